//! No sin: counts the events of each stream, through buffered rows.

use projectionist_sdk::prelude::*;

#[derive(Table, Default)]
#[table(name = "stream_count")]
struct StreamCount {
    #[key]
    stream: String,
    events: i64,
    last_position: i64,
}

fn projector() -> Projector {
    Projector::new("counts_rows_1")
        .table::<StreamCount>()
        .prefetch::<StreamCount, _, _>("*", |stream: StreamId| stream.to_string())
        .on_any(count)
}

fn count(stream: StreamId, position: Position, counts: Table<StreamCount>) -> Result {
    let position = i64::try_from(position.0)?;
    counts.change(stream.as_str(), |count| {
        count.events += 1;
        count.last_position = position;
    })
}

export_projector!(projector);
