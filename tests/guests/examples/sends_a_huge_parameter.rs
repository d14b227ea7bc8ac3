//! Sin: a statement with a parameter of 100 MiB.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("sends_a_huge_parameter_1").on_any(sin)
}

const HUGE_BYTES: usize = 100 << 20;

fn sin(sql: Sql) -> Result {
    let huge = "x".repeat(HUGE_BYTES);
    sql.execute("SELECT length($1)", &params![huge])?;
    Ok(())
}

export_projector!(projector);
