//! Rounds of contenders that take turns, each on a database of its own with a log.

use std::path::Path;

use super::check;
use crate::Bench;
use crate::contender::Contender;
use crate::report::Rounds;

/// A contender and what it needs.
pub struct Turn<'a> {
    pub contender: Contender,
    /// Of its log.
    pub events: u64,
    pub accounts: u64,
    pub modules: &'a Path,
    pub check: Check,
}

/// How it is seen that it has done its work. In the first round alone where looking takes as long as the work.
#[derive(Clone, Copy)]
pub enum Check {
    /// Its accounts are those of the log.
    Accounts(&'static str),
    /// A query that counts as many as there are events.
    Count(&'static str),
    /// It only reads.
    None,
}

/// Lets all of them have a turn in each round; in every other round in the opposite order.
pub async fn take(
    bench: &Bench,
    workload: &'static str,
    rounds: u32,
    turns: &[Turn<'_>],
) -> anyhow::Result<Rounds> {
    let mut all = Rounds::default();
    for round in 0..rounds {
        for index in 0..turns.len() {
            let index = if round % 2 == 0 {
                index
            } else {
                turns.len() - 1 - index
            };
            let sample = one(bench, workload, round, &turns[index]).await?;
            all.add(turns[index].contender, sample);
        }
    }
    Ok(all)
}

async fn one(
    bench: &Bench,
    workload: &'static str,
    round: u32,
    turn: &Turn<'_>,
) -> anyhow::Result<crate::sample::Sample> {
    let server = &bench.server;
    let only_reads = matches!(turn.check, Check::None);
    let database = if only_reads {
        server.log(turn.events, turn.accounts).await?
    } else {
        server
            .with_log_over(turn.events, turn.accounts, workload)
            .await?
    };
    server.warm(&database).await?;
    let sample = bench
        .sample(workload, turn.contender, &database, turn.modules)
        .await?;
    match turn.check {
        Check::Accounts(schema) if round == 0 => check::accounts(bench, &database, schema).await?,
        Check::Count(query) => check::count(bench, &database, query, turn.events).await?,
        Check::Accounts(_) | Check::None => {}
    }
    if !only_reads {
        server.drop(&database).await?;
    }
    Ok(sample)
}
