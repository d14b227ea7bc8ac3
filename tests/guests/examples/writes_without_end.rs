//! Sin: buffers rows without end.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("writes_without_end_1")
        .table::<Heap>()
        .on_any(sin)
}

#[derive(Table)]
#[table(name = "heap")]
struct Heap {
    #[key]
    id: i64,
    text: String,
}

fn sin(heap: Table<Heap>) -> Result {
    for id in 0.. {
        heap.put(&Heap {
            id,
            text: "x".repeat(10_000),
        })?;
    }
    Ok(())
}

export_projector!(projector);
