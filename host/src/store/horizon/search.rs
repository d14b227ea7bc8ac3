//! The decisions of the horizon, free of I/O: what to ask next, and what an answer means.

use std::collections::BTreeSet;

use super::Holder;

/// How the name of a prepared transaction begins that its server has read back from the disk, `-1/<transaction id>`. The
/// same transaction had another name before the restart.
const READ_BACK: &str = "-1/";

/// Positions above some point, in order, as one statement saw them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The end of the run without holes that begins at that point, or the point itself.
    pub unbroken: i64,
    /// The last position.
    pub last: i64,
    /// How many.
    pub found: i64,
}

/// What to ask the database next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Head,
    Piece { above: i64, waiting: bool },
}

/// Where the search is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Search {
    horizon: Option<i64>,
    wait: Option<Wait>,
}

/// A position that was visible above a hole, and who might still fill the hole.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wait {
    candidate: i64,
    /// Names of transactions. `None` until they are collected: in a later statement than the candidate, or the taker of a
    /// number below it could be missing from the list and its event from the snapshot.
    holders: Option<BTreeSet<String>>,
}

impl Search {
    pub(super) fn horizon(&self) -> Option<i64> {
        self.horizon
    }

    pub(super) fn candidate(&self) -> Option<i64> {
        self.wait.as_ref().map(|wait| wait.candidate)
    }

    /// Whether the next thing to look at is the holders.
    pub(super) fn is_waiting(&self) -> bool {
        self.wait.is_some()
    }

    pub(super) fn question(&self) -> Question {
        match self.horizon {
            Some(above) => Question::Piece {
                above,
                waiting: self.is_waiting(),
            },
            // The head is asked again after a failure: the newer candidate is as good, and nobody waits longer.
            None => Question::Head,
        }
    }

    /// At the start nothing is scanned: the head is the candidate, as if there were a hole right below it.
    pub(super) fn saw_head(&mut self, head: i64) {
        if self.wait.is_none() {
            self.wait = Some(Wait {
                candidate: head,
                holders: None,
            });
        }
    }

    pub(super) fn saw_piece(&mut self, piece: &Piece) {
        // No number in an unbroken run is left for anybody to insert, whoever still holds the lock.
        self.horizon = self.horizon.max(Some(piece.unbroken));
        if self
            .wait
            .as_ref()
            .is_some_and(|wait| wait.candidate <= piece.unbroken)
        {
            self.wait = None;
        }
        if self.wait.is_none() && piece.last > piece.unbroken {
            self.wait = Some(Wait {
                candidate: piece.last,
                holders: None,
            });
        }
    }

    /// Takes the transactions that hold the lock now. New ones do not count: they took higher numbers than the candidate.
    pub(super) fn saw_holders(&mut self, open: &[Holder]) {
        let Some(wait) = &mut self.wait else { return };
        let names = |holders: &[Holder]| {
            holders
                .iter()
                .map(|h| h.virtual_transaction.clone())
                .collect::<BTreeSet<_>>()
        };
        let now = names(open);
        let remaining = match wait.holders.take() {
            None => now,
            Some(collected) => {
                let gone_under_its_name = collected
                    .difference(&now)
                    .any(|name| !name.starts_with(READ_BACK));
                let mut remaining: BTreeSet<String> =
                    collected.intersection(&now).cloned().collect();
                if gone_under_its_name {
                    // One of these may be the one that has gone, under its new name. They can be told from no other, so
                    // all count; their names are final, so this happens at most once for each.
                    remaining.extend(now.into_iter().filter(|name| name.starts_with(READ_BACK)));
                }
                remaining
            }
        };
        if remaining.is_empty() {
            self.horizon = self.horizon.max(Some(wait.candidate));
            self.wait = None;
        } else {
            wait.holders = Some(remaining);
        }
    }

    /// Those of `open` that the horizon waits for.
    pub(super) fn still_open(&self, open: Vec<Holder>) -> Vec<Holder> {
        let Some(holders) = self.wait.as_ref().and_then(|wait| wait.holders.as_ref()) else {
            return Vec::new();
        };
        open.into_iter()
            .filter(|holder| holders.contains(&holder.virtual_transaction))
            .collect()
    }

    pub(super) fn forget_holders(&mut self) {
        if let Some(wait) = &mut self.wait {
            wait.holders = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holders(names: &[&str]) -> Vec<Holder> {
        let holder = |name: &&str| Holder {
            virtual_transaction: name.to_string(),
            pid: (!name.starts_with("-1/")).then_some(1),
            application: None,
            query: None,
            state: None,
            since: None,
            gid: None,
        };
        names.iter().map(holder).collect()
    }

    fn piece(unbroken: i64, last: i64) -> Piece {
        Piece {
            unbroken,
            last,
            found: 1,
        }
    }

    /// A search whose horizon is 5, with nothing above.
    fn at_five() -> Search {
        Search {
            horizon: Some(5),
            wait: None,
        }
    }

    #[test]
    fn starts_at_the_head_when_nobody_writes() {
        let mut search = Search::default();
        assert_eq!(search.question(), Question::Head);
        search.saw_head(7);
        assert_eq!((search.horizon(), search.candidate()), (None, Some(7)));
        search.saw_holders(&[]);
        assert_eq!((search.horizon(), search.candidate()), (Some(7), None));
    }

    #[test]
    fn starts_in_an_empty_log() {
        let mut search = Search::default();
        search.saw_head(0);
        search.saw_holders(&[]);
        assert_eq!(search.horizon(), Some(0));
    }

    #[test]
    fn knows_nothing_until_the_writers_of_the_start_have_ended() {
        let mut search = Search::default();
        search.saw_head(7);
        search.saw_holders(&holders(&["1/1", "2/1"]));
        search.saw_head(9); // The first candidate stays.
        search.saw_holders(&holders(&["2/1", "3/1"]));
        assert_eq!(search.horizon(), None);
        search.saw_holders(&holders(&["3/1"]));
        assert_eq!(search.horizon(), Some(7));
    }

    #[test]
    fn an_unbroken_run_needs_no_look_at_holders() {
        let mut search = at_five();
        search.saw_piece(&piece(8, 8));
        assert_eq!((search.horizon(), search.is_waiting()), (Some(8), false));
    }

    #[test]
    fn nothing_above_changes_nothing() {
        let mut search = at_five();
        search.saw_piece(&piece(5, 5));
        assert_eq!(search, at_five());
    }

    #[test]
    fn stops_below_a_hole_until_its_holders_have_ended() {
        let mut search = at_five();
        search.saw_piece(&piece(6, 9));
        assert_eq!((search.horizon(), search.candidate()), (Some(6), Some(9)));
        search.saw_holders(&holders(&["1/1"]));
        assert_eq!(search.horizon(), Some(6));
        search.saw_holders(&holders(&[]));
        assert_eq!((search.horizon(), search.is_waiting()), (Some(9), false));
    }

    #[test]
    fn new_writers_do_not_prolong_the_wait() {
        let mut search = at_five();
        search.saw_piece(&piece(5, 9));
        search.saw_holders(&holders(&["1/1"]));
        search.saw_holders(&holders(&["1/1", "2/1"]));
        search.saw_piece(&piece(5, 20));
        assert_eq!(search.candidate(), Some(9), "nor do new events");
        search.saw_holders(&holders(&["1/2", "2/1"]));
        assert_eq!(search.horizon(), Some(9));
    }

    #[test]
    fn holes_that_fill_meanwhile_are_passed_at_once() {
        let mut search = at_five();
        search.saw_piece(&piece(5, 9));
        search.saw_holders(&holders(&["1/1"]));
        search.saw_piece(&piece(7, 9));
        assert_eq!((search.horizon(), search.candidate()), (Some(7), Some(9)));
        search.saw_piece(&piece(10, 12));
        assert_eq!((search.horizon(), search.candidate()), (Some(10), Some(12)));
        search.saw_holders(&holders(&["1/1"]));
        assert_eq!(
            search.horizon(),
            Some(10),
            "the wait for the next candidate begins with a collection of its own"
        );
    }

    #[test]
    fn a_short_look_while_waiting_does_not_end_the_wait() {
        let mut search = at_five();
        search.saw_piece(&piece(5, 9000));
        search.saw_holders(&holders(&["1/1"]));
        search.saw_piece(&piece(6, 1000));
        assert_eq!(
            (search.horizon(), search.candidate()),
            (Some(6), Some(9000))
        );
    }

    #[test]
    fn a_prepared_transaction_is_followed_over_a_restart() {
        let mut search = at_five();
        search.saw_piece(&piece(5, 9));
        search.saw_holders(&holders(&["3/45"]));
        search.saw_holders(&holders(&["-1/700"]));
        assert_eq!(search.horizon(), Some(5));
        // Final names: another one that appears now is new.
        search.saw_holders(&holders(&["-1/701"]));
        assert_eq!(search.horizon(), Some(9));
    }

    #[test]
    fn after_a_lost_connection_everybody_counts_again() {
        let mut search = at_five();
        search.saw_piece(&piece(5, 9));
        search.saw_holders(&holders(&["1/1"]));
        search.forget_holders();
        search.saw_holders(&holders(&["2/7"]));
        assert_eq!((search.horizon(), search.candidate()), (Some(5), Some(9)));
        search.saw_holders(&[]);
        assert_eq!(search.horizon(), Some(9));
    }

    #[test]
    fn the_horizon_never_goes_back() {
        let mut search = at_five();
        search.saw_piece(&piece(3, 3));
        assert_eq!(search.horizon(), Some(5));
    }
}
