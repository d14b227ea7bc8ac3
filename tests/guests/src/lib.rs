//! What several of the guests here share: a record of every event that reached them, exactly once or not at all.

pub mod accounts;
pub mod calls_out;
pub mod obeys;
pub mod shown;

use projectionist_sdk::prelude::*;

const CREATE_SEEN: &str = "CREATE TABLE seen (
    position bigint PRIMARY KEY,
    id text NOT NULL,
    stream text NOT NULL,
    version bigint NOT NULL,
    type text NOT NULL,
    n bigint NOT NULL,
    code text NOT NULL
)";
const CREATE_COUNTER: &str =
    "CREATE TABLE counter (one boolean PRIMARY KEY DEFAULT true CHECK (one), n bigint NOT NULL)";
const START_COUNTER: &str = "INSERT INTO counter (n) VALUES (0)";
const COUNT: &str = "UPDATE counter SET n = n + 1 RETURNING n";
const RECORD: &str = "INSERT INTO seen (position, id, stream, version, type, n, code) VALUES ($1, $2, $3, $4, $5, $6, $7)";

/// A projector that inserts one row into `seen` per event of any type. A second delivery violates the primary key; `n`
/// counts in a one-row table, so a lost rollback or another order shows as well. `code` tells apart builds of one guest.
pub fn recorder(id: &str, code: &'static str) -> Projector {
    Projector::new(id)
        .setup(create_seen)
        .on_any(move |message: Message, sql: Sql| record(&message, &sql, code))
}

/// The `setup` of a guest that records.
pub fn create_seen(sql: Sql) -> Result {
    for statement in [CREATE_SEEN, CREATE_COUNTER, START_COUNTER] {
        sql.execute(statement, &[])?;
    }
    Ok(())
}

/// Inserts the row of one event.
pub fn record(message: &Message, sql: &Sql, code: &str) -> Result {
    let counted: Option<(i64,)> = sql.query_first(COUNT, &[])?;
    let (n,) = counted.ok_or_else(|| Failure::stop("the counter has lost its row"))?;
    let position = i64::try_from(message.position())?;
    let version = i64::try_from(message.version())?;
    let (id, stream, event_type) = (message.id(), message.stream(), message.event_type());
    sql.execute(
        RECORD,
        &params![position, id, stream, version, event_type, n, code],
    )?;
    Ok(())
}

/// The type of event at which several guests misbehave.
pub const POISON: &str = "Poison";

/// Answers a `Command` with `Done`, which names the command's position, in the stream `done-<stream>`.
pub fn answer(command: Message, append: Append) -> Result {
    let done = Done {
        command_position: command.position(),
    };
    append
        .to(format!("done-{}", command.stream()))
        .event("Done", &done)
        .send()
}

#[derive(serde::Serialize)]
struct Done {
    command_position: u64,
}

const CREATE_ANSWERED: &str =
    "CREATE TABLE answered (position bigint PRIMARY KEY, muted text NOT NULL)";
const NOTE: &str = "INSERT INTO answered (position, muted) VALUES ($1, $2)";

/// The `setup` of a guest that answers and notes.
pub fn create_answered(sql: Sql) -> Result {
    sql.execute(CREATE_ANSWERED, &[])?;
    Ok(())
}

/// Answers, and keeps which event it was and whether the answer was dropped.
pub fn answer_and_note(command: Message, context: Context, append: Append, sql: Sql) -> Result {
    let position = i64::try_from(command.position())?;
    let muted = context.attribute("muted").unwrap_or_default();
    sql.execute(NOTE, &params![position, muted])?;
    answer(command, append)
}

/// Turns of the loop below in a millisecond, about; a projector has no clock.
const TURNS_PER_MS: u64 = 400_000;

/// Computes for about so long.
pub fn busy_for_ms(delay_ms: u64) {
    let mut state = 1_u64;
    for _ in 0..delay_ms * TURNS_PER_MS {
        state = std::hint::black_box(
            state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1),
        );
    }
}
