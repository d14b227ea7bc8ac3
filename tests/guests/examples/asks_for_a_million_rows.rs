//! Sin: a query with a million rows.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("asks_for_a_million_rows_1").on_any(sin)
}

fn sin(sql: Sql) -> Result {
    let _: Vec<(i64,)> = sql.query(
        "SELECT n FROM generate_series(1::bigint, 1000000) AS g(n)",
        &[],
    )?;
    Ok(())
}

export_projector!(projector);
