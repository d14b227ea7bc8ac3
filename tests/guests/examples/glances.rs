//! No sin: asks for the stream of its events alone, and records all that it is handed.

use projectionist_sdk::prelude::*;

#[derive(Table)]
#[table(name = "glance")]
struct Glance {
    #[key]
    position: i64,
    event_type: String,
    stream: String,
    rest: String,
}

fn projector() -> Projector {
    Projector::new("glances_1")
        .option("event-parts", "stream")
        .table::<Glance>()
        .on_any(seen)
}

fn seen(event: Message, glances: Table<Glance>) -> Result {
    let rest = format!(
        "{:?} {} {} {:?} {:?} {:?} {:?} {:?}",
        event.id(),
        event.version(),
        event.recorded_at().timestamp().micros(),
        event.payload(),
        event.metadata::<serde::de::IgnoredAny>().is_ok(),
        event.causation_id(),
        event.correlation_id(),
        event.tags()
    );
    glances.put(&Glance {
        position: i64::try_from(event.position())?,
        event_type: event.event_type().to_owned(),
        stream: event.stream().to_owned(),
        rest,
    })
}

export_projector!(projector);
