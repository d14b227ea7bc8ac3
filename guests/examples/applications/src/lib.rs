//! Loan applications, one row each: where it stands, how much was asked for, how many offers were made, when it began and
//! when something last happened.
//!
//! A projector with buffered rows. Every handler changes the row of its application by key; the host keeps the rows of a
//! batch in memory and writes each of them once, however many events changed it. `prefetch` names the rows that a chunk of
//! events will need, so that they are read in one round trip.
//!
//! Handlers of a type are called first, the wildcard after them: `passed` sees every event of an application.

use projectionist_sdk::prelude::*;
use serde::Deserialize;

/// A row of the read model. The struct is the table: `setup` makes it.
#[derive(Table)]
#[table(name = "application")]
struct Application {
    /// The case, from the stream's name.
    #[key]
    id: String,
    /// The last state, such as `SUBMITTED` or `APPROVED`.
    state: String,
    amount_requested: Option<i64>,
    /// How many offers were made to the applicant.
    offers: i64,
    first_event_at: Timestamp,
    last_event_at: Timestamp,
}

/// The part of `A_SUBMITTED` that matters here.
#[derive(Deserialize)]
struct Submitted {
    amount_requested: Option<i64>,
}

fn projector() -> Projector {
    Projector::new("applications_1")
        .table::<Application>()
        .filter(Clause::streams(["application-*"]))
        .prefetch::<Application, _, _>("*", |stream: StreamId| {
            stream.after("application-").map(str::to_owned)
        })
        .on("A_SUBMITTED", submitted)
        .on("O_CREATED", offered)
        .on_any(passed)
}

fn submitted(
    event: Event<Submitted>,
    stream: StreamId,
    at: RecordedAt,
    applications: Table<Application>,
) -> Result {
    applications.upsert(begun(&stream, at)?, |application| {
        application.amount_requested = event.amount_requested
    })
}

fn offered(stream: StreamId, at: RecordedAt, applications: Table<Application>) -> Result {
    applications.upsert(begun(&stream, at)?, |application| application.offers += 1)
}

/// The log is read in its order, so the event in hand is the last one so far, and the row's first event never changes.
fn passed(
    message: Message,
    stream: StreamId,
    at: RecordedAt,
    applications: Table<Application>,
) -> Result {
    applications.upsert(begun(&stream, at)?, |application| {
        application.last_event_at = *at;
        if let Some(state) = message.event_type().strip_prefix("A_") {
            application.state = state.to_owned();
        }
    })
}

/// The row of an application whose first event is in hand.
fn begun(stream: &StreamId, at: RecordedAt) -> Result<Application> {
    Ok(Application {
        id: stream.after("application-")?.to_owned(),
        state: String::new(),
        amount_requested: None,
        offers: 0,
        first_event_at: *at,
        last_event_at: *at,
    })
}

export_projector!(projector);
