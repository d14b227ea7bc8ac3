//! `projectionist run --once`: catches up and says what came of it.

use std::collections::{BTreeMap, HashMap};

use subscription::{Criteria, Status};

use super::criteria::explain;
use super::database::Opened;
use super::intent::show;
use super::output::{Exit, OutputArguments, Refusal};
use super::report;
use super::run::{Arguments, shown};
use super::words::counted;
use crate::admin::{self, Change, Done};
use crate::engine::{CaughtUp, Host};
use crate::store::Subscription;

pub async fn run(mut host: Host, arguments: &Arguments, opened: &Opened) -> anyhow::Result<()> {
    let criteria = Criteria {
        ids: arguments.id.clone(),
        groups: arguments.group.clone(),
    };
    // Registered first: a guest that is new may be meant.
    host.register().await.map_err(shown)?;
    let ids = admin::matching(&opened.store, &criteria).await;
    let ids = ids.map_err(explain)?;
    let before: HashMap<String, Subscription> = rows(opened).await?;
    // Whoever names none means those too that come up meanwhile.
    let of = (!criteria.is_everything()).then_some(ids.as_slice());
    let done = host.catch_up(of, arguments.limit).await.map_err(shown)?;
    let failing = failing(opened, of).await?;
    if arguments.json {
        let now = rows(opened).await?;
        let changes = changes(&done, &before, &now, &failing);
        return show(&changes, "caught up", OutputArguments { json: true });
    }
    for id in finished(&before, &rows(opened).await?) {
        for report in opened.store.reports(Some(&id)).await? {
            println!("{id} is finished: {}", report::text(&report));
        }
    }
    println!("{}", text(&done));
    judge(failing)
}

async fn rows(opened: &Opened) -> anyhow::Result<HashMap<String, Subscription>> {
    let rows = opened.store.subscriptions().await?.into_iter();
    Ok(rows.map(|row| (row.id.clone(), row)).collect())
}

/// Guests that were to run once, and have now.
fn finished(
    before: &HashMap<String, Subscription>,
    now: &HashMap<String, Subscription>,
) -> Vec<String> {
    let is_finished = |row: &Subscription| row.status == Status::Finished;
    let newly = now
        .iter()
        .filter(|(id, row)| is_finished(row) && !before.get(*id).is_some_and(is_finished));
    let mut ids: Vec<String> = newly.map(|(id, _)| id.clone()).collect();
    ids.sort_unstable();
    ids
}

/// The messages of those that are meant and in error, by id.
async fn failing(
    opened: &Opened,
    of: Option<&[String]>,
) -> anyhow::Result<BTreeMap<String, String>> {
    let lanes = opened.store.lanes(None).await?.into_iter();
    let meant = lanes.filter(|lane| of.is_none_or(|ids| ids.contains(&lane.key.subscription)));
    let failing = meant.filter_map(|lane| Some((lane.key.subscription, lane.error?.message)));
    Ok(failing.collect())
}

fn text(done: &CaughtUp) -> String {
    match done.limited.as_slice() {
        [] => format!(
            "caught up: {} events handled, everything up to position {} is done",
            done.events, done.horizon
        ),
        limited => format!(
            "{} events handled; there may be more for {}, which had as many as --limit allows",
            done.events,
            limited.join(", ")
        ),
    }
}

/// In the words of all verbs.
fn changes(
    done: &CaughtUp,
    before: &HashMap<String, Subscription>,
    now: &HashMap<String, Subscription>,
    failing: &BTreeMap<String, String>,
) -> Vec<Change> {
    let one = |(id, events): (&String, &usize)| {
        let status =
            |rows: &HashMap<String, Subscription>| rows.get(id).map(|row| row.status.to_string());
        let (result, mut reason) = match failing.get(id) {
            Some(message) => (Done::Failed, format!("{id}: it failed: {message}")),
            None => (
                Done::Done,
                format!("{id}: {} handled", counted(*events, "event", "events")),
            ),
        };
        if done.limited.contains(id) {
            reason.push_str("; there may be more");
        }
        let after = status(now);
        Change {
            id: id.clone(),
            result,
            // One that came up meanwhile was New.
            before: status(before).unwrap_or_else(|| "New".to_owned()),
            after,
            reason: Some(reason),
            failure: None,
        }
    };
    done.events_of.iter().map(one).collect()
}

fn judge(failing: BTreeMap<String, String>) -> anyhow::Result<()> {
    if failing.is_empty() {
        return Ok(());
    }
    let many = counted(failing.len(), "subscription is", "subscriptions are");
    let because = failing
        .into_iter()
        .map(|(id, message)| format!("{id}: {message}"));
    Err(Refusal {
        what: format!("{many} in error"),
        because: because.collect(),
        hint: Some("`projectionist status` shows all of it; mend the guest and drop it in, or `projectionist reactivate` to try again".to_owned()),
        exit: Exit::Failed,
    }
    .into())
}
