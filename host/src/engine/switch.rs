//! Versions of a line: what its rows ask for, done. Overtaken versions are superseded, and one that has caught up goes live.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use subscription::{Input, Kind, LineDuty, LineMember, Next, SubscriberId, line_duty};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::notice::Notice;
use super::retire;
use super::shared::Shared;
use crate::guest::Settings;
use crate::store::{Error, Handover, Hindrance, Level, LineRow, Subscription, Switched, failpoint};

/// How often lines are looked at without a hint.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long one attempt to switch goes on before it is begun anew.
const ATTEMPT: Duration = Duration::from_secs(20);

/// How long the live version may be held back by one that does not come level.
const LEVEL_WITHIN: Duration = Duration::from_secs(1);

/// How near the next version has to be before the live one is held back for it, in positions.
const NEAR: i64 = 1_000;

/// Between two looks at versions that have to come level.
const LEVEL_PAUSE: Duration = Duration::from_millis(5);

/// Between two tries to get locks that readers hold.
const BUSY_PAUSE: Duration = Duration::from_millis(70);

/// How long a lock is waited for at first. Others wait behind it for so long.
const PATIENCE: Duration = Duration::from_millis(50);

/// And at most, when readers leave no gap: it stays below the second after which the server looks for deadlocks.
const LONGEST_PATIENCE: Duration = Duration::from_millis(400);

/// After so many tries patience grows.
const TRIES_BEFORE_MORE: u32 = 40;

/// After an attempt that came to nothing, and before one that was refused is made again.
const AFTER_ATTEMPT: Duration = Duration::from_secs(2);
const AFTER_REFUSAL: Duration = Duration::from_secs(5);

/// Hindrances that are named.
const NAMED: usize = 3;

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    Switched,
    /// Not now: what is in the way, unless it is only a matter of moments.
    NotYet(Option<String>),
    Refused(String),
}

/// Looks after all lines until the host stops.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut changes = shared.changes.subscribe();
    let mut attempts: HashMap<String, JoinHandle<()>> = HashMap::new();
    let mut told = HashMap::new();
    let mut at_rest = None;
    while !stop.is_cancelled() {
        changes.mark_unchanged();
        attempts.retain(|_, task| !task.is_finished());
        match newly_due(&shared, &mut at_rest).await {
            Ok(due) => {
                for handover in due {
                    let (shared, stop) = (Arc::clone(&shared), stop.clone());
                    attempts
                        .entry(handover.line.clone())
                        .or_insert_with(|| tokio::spawn(attempts_at(shared, handover, stop)));
                }
            }
            Err(error) => tracing::debug!("lines cannot be looked at for now: {error}"),
        }
        if let Err(error) = retire::look(&shared, &mut told).await {
            tracing::debug!("versions cannot be dropped for now: {error}");
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = changes.changed() => {}
            () = stop.cancelled() => {}
        }
    }
    for task in attempts.into_values() {
        let _ = task.await;
    }
}

/// One attempt, what it says to people, and the pause after it.
async fn attempts_at(shared: Arc<Shared>, handover: Handover, stop: CancellationToken) {
    let attempted = attempt(&shared, &handover, &stop).await;
    let pause = match attempted {
        Ok(Attempt::Switched) => Duration::ZERO,
        Ok(Attempt::NotYet(_)) => AFTER_ATTEMPT,
        Ok(Attempt::Refused(_)) => AFTER_REFUSAL,
        Err(error) => {
            tracing::debug!(
                line = handover.line,
                "the switch of {} failed and is tried again: {error}",
                handover.line
            );
            AFTER_ATTEMPT
        }
    };
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = stop.cancelled() => {}
    }
}

/// The same as [`due`], unless the rows are those of which nothing was due.
async fn newly_due(shared: &Shared, at_rest: &mut Option<String>) -> Result<Vec<Handover>, Error> {
    // Asked before they are read: what changes in between is found at the next look.
    let rows = shared.store.lines_digest().await?;
    if at_rest.as_ref() == Some(&rows) {
        return Ok(Vec::new());
    }
    let due = due(shared).await?;
    *at_rest = due.is_empty().then_some(rows);
    Ok(due)
}

/// Supersedes what is overtaken, and says which lines have to be handed over.
pub(super) async fn due(shared: &Shared) -> Result<Vec<Handover>, Error> {
    loop {
        let lines = shared.store.lines().await?;
        let rows = shared.store.subscriptions().await?;
        let mut by_line: HashMap<&str, Vec<&Subscription>> = HashMap::new();
        for row in &rows {
            by_line.entry(&row.line).or_default().push(row);
        }
        let (mut due, mut superseded) = (Vec::new(), false);
        for line in &lines {
            let of_line = by_line
                .get(line.line.as_str())
                .map_or(&[][..], Vec::as_slice);
            match duty_of(shared, line, of_line) {
                // What was in the way of a version that is not to be live any more is in nobody's way.
                LineDuty::Rest if line.obstacle.is_some() => {
                    shared.store.note_obstacle(&line.line, None).await?;
                }
                LineDuty::Rest => {}
                LineDuty::Supersede(overtaken) => {
                    for id in overtaken {
                        supersede(shared, &rows, &id).await?;
                    }
                    superseded = true;
                }
                LineDuty::Switch { from, to } => due.push(Handover {
                    line: line.line.clone(),
                    from: from.map(|id| id.to_string()),
                    to: to.to_string(),
                    by: shared.host,
                }),
            }
        }
        // What is left of such a line may be due now.
        if !superseded {
            return Ok(due);
        }
    }
}

fn duty_of(shared: &Shared, line: &LineRow, rows: &[&Subscription]) -> LineDuty {
    let id_of = |id: &Option<String>| -> Option<SubscriberId> {
        let id = id.as_deref()?;
        rows.iter()
            .find(|row| row.id == id)
            .map(|row| row.descriptor.id.clone())
    };
    let members: Vec<LineMember> = rows
        .iter()
        .map(|row| {
            let settings = Settings::of(row);
            LineMember {
                id: row.descriptor.id.clone(),
                status: row.status,
                was_live: row.went_live_at.is_some(),
                switch: settings
                    .versions
                    .switch
                    .or_else(|| row.descriptor.switch_when())
                    .unwrap_or(shared.switch_when),
            }
        })
        .collect();
    line_duty(
        id_of(&line.live).as_ref(),
        id_of(&line.wanted).as_ref(),
        &members,
    )
}

async fn supersede(shared: &Shared, rows: &[Subscription], id: &SubscriberId) -> Result<(), Error> {
    let Some(row) = rows.iter().find(|row| row.id == id.as_str()) else {
        return Ok(());
    };
    let Ok(Next::Status(next)) = row.status.on(Input::Superseded, row.run_mode) else {
        return Ok(());
    };
    if shared
        .store
        .change_status(&row.id, row.status, next)
        .await?
    {
        tracing::info!(
            subscription = row.id,
            "{} is superseded: a later version is being built",
            row.id
        );
        shared.notify(Notice::Status {
            subscription: row.id.clone(),
            status: next,
        });
        shared.hint_changes();
    }
    Ok(())
}

/// Tries to switch a line, for as long as one attempt goes on. However it ends, the live version is not held back after it.
pub(super) async fn attempt(
    shared: &Shared,
    handover: &Handover,
    stop: &CancellationToken,
) -> Result<Attempt, Error> {
    let attempted = stop
        .run_until_cancelled(hand_over(shared, handover))
        .await
        .unwrap_or(Ok(Attempt::NotYet(None)));
    let obstacle = match &attempted {
        Ok(Attempt::Switched) => {
            tell(shared, handover).await?;
            return attempted;
        }
        Ok(Attempt::NotYet(obstacle)) => obstacle.clone(),
        Ok(Attempt::Refused(why)) => Some(why.clone()),
        Err(_) => None,
    };
    shared.store.end_handover(handover).await?;
    if let Some(why) = &obstacle {
        tracing::info!(
            line = handover.line,
            "{} is not switched to {} yet: {why}",
            handover.line,
            handover.to
        );
        shared.notify(Notice::SwitchHeldUp {
            line: handover.line.clone(),
            to: handover.to.clone(),
            why: why.clone(),
        });
    }
    shared
        .store
        .note_obstacle(&handover.line, obstacle.as_deref())
        .await?;
    attempted
}

async fn tell(shared: &Shared, handover: &Handover) -> Result<(), Error> {
    let Handover { line, from, to, .. } = handover;
    tracing::info!(
        line,
        from,
        to,
        "{to} is live now, and readers of {line} see it"
    );
    shared.notify(Notice::LineSwitched {
        line: line.clone(),
        from: from.clone(),
        to: to.clone(),
    });
    if let Some(from) = from
        && let Some(row) = shared.store.subscription(from).await?
    {
        shared.notify(Notice::Status {
            subscription: from.clone(),
            status: row.status,
        });
    }
    shared.hint_changes();
    Ok(())
}

async fn hand_over(shared: &Shared, handover: &Handover) -> Result<Attempt, Error> {
    let until = Instant::now() + ATTEMPT;
    let Some(from) = &handover.from else {
        return switch(shared, handover, until).await;
    };
    if !is_near(shared, from, &handover.to).await? {
        return Ok(Attempt::NotYet(None));
    }
    if shared
        .store
        .line(&handover.line)
        .await?
        .is_some_and(|line| line.kind == Kind::Processor)
    {
        return take_over_exactly(shared, handover, from, until).await;
    }
    if !shared.store.begin_handover(handover).await? {
        return Ok(Attempt::NotYet(None));
    }
    failpoint("handover-begun");
    if !come_level(shared, handover).await? {
        return Ok(Attempt::NotYet(None));
    }
    failpoint("handover-confirmed");
    if let Some(waits) = outwait_snapshots(shared, handover, until).await? {
        return Ok(waits);
    }
    switch(shared, handover, until).await
}

/// Whether it makes sense to hold the live version back already.
async fn is_near(shared: &Shared, from: &str, to: &str) -> Result<bool, Error> {
    let store = &shared.store;
    let (from, to) = (
        store.least_position(from).await?,
        store.least_position(to).await?,
    );
    Ok(match (from, to) {
        (Some(from), Some(to)) => to.saturating_add(NEAR) >= from,
        (None, Some(_)) => true,
        (_, None) => false,
    })
}

/// Waits, for a moment, until the next version is level with the live one.
async fn come_level(shared: &Shared, handover: &Handover) -> Result<bool, Error> {
    let began = Instant::now();
    loop {
        match shared.store.confirm_handover(handover).await? {
            Level::Yes => return Ok(true),
            Level::Lost => return Ok(false),
            Level::NotYet if began.elapsed() > LEVEL_WITHIN => return Ok(false),
            Level::NotYet => tokio::time::sleep(LEVEL_PAUSE).await,
        }
    }
}

/// Waits for transactions whose snapshot is older than the handover. The answer, when it did not come to that.
async fn outwait_snapshots(
    shared: &Shared,
    handover: &Handover,
    until: Instant,
) -> Result<Option<Attempt>, Error> {
    let mut watch = Watch::new(shared);
    loop {
        let older = shared.store.older_snapshots(&handover.line).await?;
        if older.is_empty() {
            return Ok(None);
        }
        if Instant::now() >= until {
            let what = "transactions that began before and still read as of then";
            return Ok(Some(Attempt::NotYet(Some(named(what, &older)))));
        }
        if !watch.keeps_up(shared, handover).await? || !shared.store.keep_handover(handover).await?
        {
            return Ok(Some(Attempt::NotYet(None)));
        }
        tokio::time::sleep(BUSY_PAUSE).await;
    }
}

/// Switches as soon as nobody holds a lock that is needed.
async fn switch(shared: &Shared, handover: &Handover, until: Instant) -> Result<Attempt, Error> {
    let mut watch = Watch::new(shared);
    let (mut tries, mut patience) = (0_u32, PATIENCE);
    loop {
        match shared.store.switch(handover, patience).await? {
            Switched::Done => return Ok(Attempt::Switched),
            Switched::Refused(why) => return Ok(Attempt::Refused(why)),
            Switched::Stale => return Ok(Attempt::NotYet(None)),
            Switched::Busy | Switched::Behind => {}
        }
        if Instant::now() >= until {
            let readers = shared.store.view_readers(&handover.line).await?;
            let why = (!readers.is_empty()).then(|| {
                named(
                    "transactions that have read the line and have not ended",
                    &readers,
                )
            });
            return Ok(Attempt::NotYet(why));
        }
        let in_hand = handover.from.is_none()
            || (watch.keeps_up(shared, handover).await?
                && shared.store.keep_handover(handover).await?);
        if !in_hand {
            return Ok(Attempt::NotYet(None));
        }
        tries += 1;
        if tries.is_multiple_of(TRIES_BEFORE_MORE) {
            patience = (patience * 2).min(LONGEST_PATIENCE);
        }
        tokio::time::sleep(BUSY_PAUSE).await;
    }
}

/// A processor goes on exactly where the one before it stops: that one is held where it is until then.
async fn take_over_exactly(
    shared: &Shared,
    handover: &Handover,
    from: &str,
    until: Instant,
) -> Result<Attempt, Error> {
    loop {
        if let Some(hold) = shared.store.hold_lanes(from).await? {
            let level_by = Instant::now() + LEVEL_WITHIN;
            while shared
                .store
                .least_position(&handover.to)
                .await?
                .is_some_and(|to| to < hold.position)
                && Instant::now() < level_by
            {
                tokio::time::sleep(LEVEL_PAUSE).await;
            }
            match shared.store.switch_held(hold, handover).await? {
                Switched::Done => return Ok(Attempt::Switched),
                Switched::Refused(why) => return Ok(Attempt::Refused(why)),
                Switched::Stale => return Ok(Attempt::NotYet(None)),
                Switched::Busy | Switched::Behind => {}
            }
        }
        if Instant::now() >= until {
            return Ok(Attempt::NotYet(None));
        }
        tokio::time::sleep(BUSY_PAUSE).await;
    }
}

/// Sees to it that nobody is held back by a version that stands still.
struct Watch {
    position: Option<i64>,
    moved: Instant,
}

impl Watch {
    fn new(_: &Shared) -> Watch {
        Watch {
            position: None,
            moved: Instant::now(),
        }
    }

    async fn keeps_up(&mut self, shared: &Shared, handover: &Handover) -> Result<bool, Error> {
        let horizon = *shared.horizon.borrow();
        let position = shared.store.least_position(&handover.to).await?;
        if position != self.position || position >= horizon {
            self.position = position;
            self.moved = Instant::now();
        }
        Ok(position.is_some() && self.moved.elapsed() <= LEVEL_WITHIN)
    }
}

fn named(what: &str, hindrances: &[Hindrance]) -> String {
    let each = hindrances.iter().take(NAMED).map(|one| {
        let pid = one.pid.map_or("?".to_owned(), |pid| pid.to_string());
        match one.application.as_deref().filter(|name| !name.is_empty()) {
            Some(application) => format!("pid {pid} ({application})"),
            None => format!("pid {pid}"),
        }
    });
    let mut text = format!(
        "it waits for {what}: {}",
        each.collect::<Vec<_>>().join(", ")
    );
    if hindrances.len() > NAMED {
        text.push_str(&format!(" and {} more", hindrances.len() - NAMED));
    }
    text
}
