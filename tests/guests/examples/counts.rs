//! No sin: a processor that counts events, in one row, and writes nothing else.

use projectionist_sdk::prelude::*;

/// As many as a call may have: counting can be repeated without harm to anybody else.
const EVENTS_AT_A_TIME: u32 = 1_000;

fn processor() -> Processor {
    Processor::new("counts")
        .run_mode(RunMode::FromBeginning)
        .max_chunk(EVENTS_AT_A_TIME)
        .setup(made)
        .on_any(|counted: Fold<i64>| *counted.get() += 1)
        .after_chunk(|counted: Fold<i64>, sql: Sql| added(counted.take(), &sql))
}

fn made(sql: Sql) -> Result {
    sql.execute("CREATE TABLE counter (events bigint NOT NULL)", &[])?;
    sql.execute("INSERT INTO counter (events) VALUES (0)", &[])?;
    Ok(())
}

fn added(counted: i64, sql: &Sql) -> Result {
    sql.execute("UPDATE counter SET events = events + $1", &params![counted])?;
    Ok(())
}

export_processor!(processor);
