//! What must agree after every step: everything that an operator or a reader can see, with positions as places in the log.

use std::collections::{BTreeMap, BTreeSet};

/// What can be seen of a database. Positions are counted: 1 is the first event of the log, whatever number it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// Type and, for what a guest appended, its cause.
    pub log: Vec<(String, Option<usize>)>,
    pub subscriptions: BTreeMap<String, Standing>,
    /// The live version of the line, and what readers of the line see.
    pub live: Option<String>,
    pub read: Option<Vec<Row>>,
    /// Those of guests, by name.
    pub schemas: Vec<String>,
}

impl Picture {
    /// The lines in which two pictures differ, with whose each is.
    pub fn difference(&self, other: &Picture, names: [&str; 2]) -> String {
        let (ours, theirs) = (self.lines(), other.lines());
        let only = |lines: &[String], others: &[String], name: &str| -> String {
            let others: BTreeSet<&String> = others.iter().collect();
            let different = lines.iter().filter(|line| !others.contains(line));
            different
                .map(|line| format!("  {name}: {line}\n"))
                .collect()
        };
        only(&ours, &theirs, names[0]) + &only(&theirs, &ours, names[1])
    }

    /// The statuses that subscriptions have, without where they resume.
    pub fn status_names(&self) -> impl Iterator<Item = String> {
        let statuses = self.subscriptions.values().map(|standing| &standing.status);
        statuses.map(|status| status.split('(').next().unwrap_or_default().to_owned())
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("schemas {:?}", self.schemas),
            format!("live {:?}", self.live),
            format!("readers see {:?}", self.read),
        ];
        let events = self.log.iter().zip(1..);
        lines.extend(
            events.map(|((event_type, cause), at)| format!("event {at}: {event_type} {cause:?}")),
        );
        for (id, standing) in &self.subscriptions {
            let Standing { rows, skipped, .. } = standing;
            lines.push(format!(
                "{id}: {} at {}, generation {}, {}",
                standing.status, standing.checkpoint, standing.generation, standing.module
            ));
            lines.push(format!("{id}: {:?}", standing.failing));
            lines.push(format!("{id}: skipped {skipped:?}"));
            lines.push(format!("{id}: tables {}", rows.is_some()));
            let rows = rows.iter().flatten();
            lines.extend(
                rows.map(|row| format!("{id}: {} times {} by {}", row.times, row.event, row.code)),
            );
        }
        lines
    }
}

/// One subscription with its read model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub status: String,
    pub checkpoint: usize,
    pub generation: i32,
    pub module: String,
    pub failing: Option<Failing>,
    /// Generation, event, and what became of it.
    pub skipped: Vec<(i32, usize, LeftOut)>,
    /// `None`: there are no tables.
    pub rows: Option<Vec<Row>>,
}

/// An event that was skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// `guest` or `operator`.
    pub by: &'static str,
    pub replayed: bool,
}

/// What holds a subscription up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    pub class: String,
    /// `None`: no event is to blame.
    pub event: Option<usize>,
    pub attempts: u32,
    /// Hours until the retry; `None`: it waits for an operator.
    pub due_in_h: Option<i64>,
}

/// A row of a read model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub event: usize,
    pub times: i64,
    pub code: String,
}

/// What an operator is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Done,
    /// It had as many events as it was allowed to.
    Limited,
    Refused,
    Failed,
    /// There is no such subscription.
    Unknown,
    /// Nobody asked for one.
    Nothing,
}
