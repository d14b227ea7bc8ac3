//! Activate: which version of a line is to be live, forward or back.

use std::time::Duration;

use serde::Serialize;
use subscription::{Criteria, Kind};
use tokio::time::Instant;

use super::{Error, selection};
use crate::store::{Intended, LineRow, Store, Subscription, Unseen};

/// Between two looks at a switch that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long a processor's open batch is waited for, at a time and in all.
const BATCH_PATIENCE: Duration = Duration::from_secs(2);
const BATCH_PATIENCE_IN_ALL: Duration = Duration::from_secs(60);

/// What was done, or is under way now.
#[derive(Clone, Debug, Serialize)]
pub struct Activation {
    pub line: String,
    pub id: String,
    pub kind: &'static str,
    pub outcome: Activated,
    /// The version that was live.
    pub before: Option<String>,
    /// Where the activated version stands, and where the live one does.
    pub position: i64,
    pub live_position: Option<i64>,
    /// What holds it up, if something does.
    pub obstacle: Option<String>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activated {
    /// It was live before; whatever else was wanted is not any more.
    Already,
    /// It is live.
    Live,
    /// It catches up, and goes live when it is level. A host does that.
    Wanted,
}

/// Makes a version the one that is to be live. Of processors the one that works is stopped at once, and the other goes on there.
pub async fn activate(store: &Store, id: &str, unseen: Unseen) -> Result<Activation, Error> {
    let began = Instant::now();
    loop {
        let (row, line) = find(store, id).await?;
        if line.live.as_deref() == Some(id) && line.wanted.is_none() {
            return report(store, &row, line, Activated::Already).await;
        }
        if line.live.as_deref() == Some(id) {
            store.want_nothing(&line.line).await?;
            return report(store, &row, line, Activated::Already).await;
        }
        let at_once = row.kind == Kind::Processor
            && (unseen == Unseen::Repeat || !row.descriptor.rebuilds_state());
        let intended = if at_once {
            let from = line.live.as_deref();
            store
                .replace_processor(&line.line, from, id, unseen, BATCH_PATIENCE)
                .await?
        } else {
            store
                .want(&line.line, id, row.kind == Kind::Processor)
                .await?
        };
        match intended {
            Intended::Done(_) if at_once => {
                return report(store, &row, line, Activated::Live).await;
            }
            Intended::Done(_) => return report(store, &row, line, Activated::Wanted).await,
            Intended::Busy if began.elapsed() >= BATCH_PATIENCE_IN_ALL => {
                return Err(Error::BatchOpen {
                    id: line.live.unwrap_or_default(),
                    seconds: BATCH_PATIENCE_IN_ALL.as_secs(),
                });
            }
            Intended::Busy | Intended::Stale => {}
        }
    }
}

/// Waits until a version is live, or the time has passed.
pub async fn await_live(store: &Store, id: &str, timeout: Duration) -> Result<Activation, Error> {
    let until = Instant::now() + timeout;
    loop {
        let (row, line) = find(store, id).await?;
        let is_live = line.live.as_deref() == Some(id);
        if is_live || Instant::now() >= until {
            let outcome = if is_live {
                Activated::Live
            } else {
                Activated::Wanted
            };
            return report(store, &row, line, outcome).await;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn find(store: &Store, id: &str) -> Result<(Subscription, LineRow), Error> {
    let criteria = Criteria {
        ids: vec![id.to_owned()],
        ..Criteria::default()
    };
    let unknown = || Error::UnknownIds {
        ids: vec![id.to_owned()],
        near: Vec::new(),
    };
    let row = selection::select(store, &criteria).await?.pop();
    let row = row.ok_or_else(unknown)?;
    let line = store.line(&row.line).await?.ok_or_else(unknown)?;
    Ok((row, line))
}

async fn report(
    store: &Store,
    row: &Subscription,
    line: LineRow,
    outcome: Activated,
) -> Result<Activation, Error> {
    let live_position = match &line.live {
        Some(live) => store.least_position(live).await?,
        None => None,
    };
    Ok(Activation {
        id: row.id.clone(),
        kind: row.kind.as_str(),
        outcome,
        position: store.least_position(&row.id).await?.unwrap_or_default(),
        live_position,
        obstacle: line.obstacle,
        before: line.live,
        line: line.line,
    })
}
