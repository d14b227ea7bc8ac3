//! What a line's versions ask for: which one is to go live, and which are overtaken before they did.
//!
//! It follows from the rows alone, so a host that dies at any point leaves nothing pending: the next look decides the same.

use serde::{Deserialize, Serialize};

use crate::{Status, SubscriberId};

/// When a version that has caught up goes live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SwitchWhen {
    /// As soon as it has caught up.
    #[default]
    Ready,
    /// When an operator activates it.
    Activated,
}

/// A version of a line, as far as switching is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineMember {
    pub id: SubscriberId,
    pub status: Status,
    /// It was live once: it goes live again only when an operator says so.
    pub was_live: bool,
    pub switch: SwitchWhen,
}

/// What a host owes a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineDuty {
    /// Nothing.
    Rest,
    /// A still newer version is being built: these will never go live.
    Supersede(Vec<SubscriberId>),
    /// Hand over. `None`: no version has been live before.
    Switch {
        from: Option<SubscriberId>,
        to: SubscriberId,
    },
}

/// What the versions of one line ask for.
///
/// An operator's wish goes before everything. Otherwise the highest version above the live one goes live when it has caught up; those
/// between the two are superseded, unless there is no live version yet and one of them is ready to be it.
pub fn line_duty(
    live: Option<&SubscriberId>,
    wanted: Option<&SubscriberId>,
    members: &[LineMember],
) -> LineDuty {
    let floor = live.map(SubscriberId::version);
    let above = || {
        members
            .iter()
            .filter(|member| !matches!(member.status, Status::Detached(_)))
            .filter(|member| Some(&member.id) != live)
            .filter(|member| floor.is_none_or(|floor| member.id.version() > floor))
    };
    if let Some(wanted) = wanted.filter(|wanted| Some(*wanted) != live) {
        let ready = members
            .iter()
            .any(|member| member.id == *wanted && is_ready(member));
        return match ready {
            true => LineDuty::Switch {
                from: live.cloned(),
                to: wanted.clone(),
            },
            false => LineDuty::Rest,
        };
    }
    let may_switch = |member: &&LineMember| {
        is_ready(member) && !member.was_live && member.switch == SwitchWhen::Ready
    };
    let newest = above().max_by_key(|member| member.id.version());
    if live.is_none()
        && let Some(first) = above()
            .filter(may_switch)
            .max_by_key(|member| member.id.version())
    {
        return LineDuty::Switch {
            from: None,
            to: first.id.clone(),
        };
    }
    let Some(newest) = newest else {
        return LineDuty::Rest;
    };
    let overtaken: Vec<SubscriberId> = above()
        .filter(|member| member.id != newest.id && !member.was_live)
        .map(|member| member.id.clone())
        .collect();
    if !overtaken.is_empty() {
        return LineDuty::Supersede(overtaken);
    }
    match may_switch(&newest) {
        true => LineDuty::Switch {
            from: live.cloned(),
            to: newest.id.clone(),
        },
        false => LineDuty::Rest,
    }
}

fn is_ready(member: &LineMember) -> bool {
    matches!(member.status, Status::Active | Status::Finished)
}

#[cfg(test)]
mod tests {
    use super::{LineDuty, LineMember, SwitchWhen, line_duty};
    use crate::{Kind, Resume, Status, SubscriberId};

    fn id(version: u64) -> SubscriberId {
        SubscriberId::parse(&format!("a_{version}"), Kind::Projector).expect("a good id")
    }

    fn member(version: u64, status: Status) -> LineMember {
        LineMember {
            id: id(version),
            status,
            was_live: false,
            switch: SwitchWhen::Ready,
        }
    }

    fn was_live(version: u64, status: Status) -> LineMember {
        LineMember {
            was_live: true,
            ..member(version, status)
        }
    }

    fn switch(from: Option<u64>, to: u64) -> LineDuty {
        LineDuty::Switch {
            from: from.map(id),
            to: id(to),
        }
    }

    fn duty(live: Option<u64>, wanted: Option<u64>, members: &[LineMember]) -> LineDuty {
        line_duty(live.map(id).as_ref(), wanted.map(id).as_ref(), members)
    }

    #[test]
    fn a_version_goes_live_when_it_has_caught_up() {
        let live = || was_live(1, Status::Active);
        for status in Status::all() {
            let expected = match status {
                Status::Active | Status::Finished => switch(Some(1), 2),
                _ => LineDuty::Rest,
            };
            let members = [live(), member(2, status)];
            assert_eq!(duty(Some(1), None, &members), expected, "{status}");
        }
        assert_eq!(
            duty(None, None, &[member(1, Status::Booting)]),
            LineDuty::Rest
        );
        assert_eq!(
            duty(None, None, &[member(1, Status::Active)]),
            switch(None, 1)
        );
    }

    #[test]
    fn a_still_newer_version_supersedes_the_one_that_boots() {
        let members = |status| {
            [
                was_live(1, Status::Active),
                member(2, status),
                member(3, Status::New),
            ]
        };
        for status in [
            Status::New,
            Status::Booting,
            Status::Active,
            Status::Error(Resume::Booting),
        ] {
            let expected = LineDuty::Supersede(vec![id(2)]);
            assert_eq!(duty(Some(1), None, &members(status)), expected, "{status}");
        }
        let gone = members(Status::Detached(Resume::Booting));
        assert_eq!(duty(Some(1), None, &gone), LineDuty::Rest);
    }

    #[test]
    fn without_a_live_version_the_first_that_is_ready_is_shown_at_once() {
        let members = [member(1, Status::Active), member(2, Status::Booting)];
        assert_eq!(duty(None, None, &members), switch(None, 1));
        let members = [member(1, Status::Booting), member(2, Status::New)];
        assert_eq!(duty(None, None, &members), LineDuty::Supersede(vec![id(1)]));
    }

    #[test]
    fn what_was_live_before_and_what_waits_for_an_operator_does_not_go_live_by_itself() {
        let members = [was_live(1, Status::Active), was_live(2, Status::Active)];
        assert_eq!(duty(Some(1), None, &members), LineDuty::Rest);
        let waits = LineMember {
            switch: SwitchWhen::Activated,
            ..member(2, Status::Active)
        };
        let members = [was_live(1, Status::Active), waits];
        assert_eq!(duty(Some(1), None, &members), LineDuty::Rest);
        assert_eq!(duty(Some(1), Some(2), &members), switch(Some(1), 2));
    }

    #[test]
    fn a_wish_goes_before_a_higher_version_and_waits_until_it_can_be_had() {
        let members = |status| {
            [
                was_live(1, status),
                was_live(2, Status::Active),
                member(3, Status::Active),
            ]
        };
        let active = members(Status::Active);
        assert_eq!(duty(Some(2), Some(1), &active), switch(Some(2), 1));
        let booting = members(Status::Booting);
        assert_eq!(duty(Some(2), Some(1), &booting), LineDuty::Rest);
        // What is live already is no wish.
        assert_eq!(duty(Some(2), Some(2), &active), switch(Some(2), 3));
    }

    #[test]
    fn a_lower_version_that_an_operator_lets_run_is_left_alone() {
        let members = [was_live(1, Status::Active), was_live(2, Status::Active)];
        assert_eq!(duty(Some(2), None, &members), LineDuty::Rest);
    }
}
