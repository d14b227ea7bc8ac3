//! Sin: parameters of a mebibyte each, without end.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("sends_without_end_1").on_any(sin)
}

const LARGE_BYTES: usize = 1 << 20;

fn sin(sql: Sql) -> Result {
    let large = "x".repeat(LARGE_BYTES);
    loop {
        sql.execute("SELECT length($1)", &params![large.as_str()])?;
    }
}

export_projector!(projector);
