//! Sin: a statement that takes an hour.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("sleeps_in_the_database_1").on_any(sin)
}

fn sin(sql: Sql) -> Result {
    sql.execute("SELECT pg_sleep(3600)", &[])?;
    Ok(())
}

export_projector!(projector);
