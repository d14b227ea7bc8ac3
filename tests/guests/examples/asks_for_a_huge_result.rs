//! Sin: a query whose one value has 100 MB.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("asks_for_a_huge_result_1").on_any(sin)
}

fn sin(sql: Sql) -> Result {
    let _: Option<(String,)> = sql.query_first("SELECT repeat('x', 100000000)", &[])?;
    Ok(())
}

export_projector!(projector);
