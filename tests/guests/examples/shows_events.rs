//! No sin: writes down all that it is handed of its events.

use projectionist_sdk::prelude::*;
use test_guests::shown::{TABLE, shown};

fn projector() -> Projector {
    Projector::new("shows_events_1")
        .setup(|sql: Sql| sql.execute(TABLE, &[]).map(|_| ()))
        .on_any(show)
}

fn show(event: Message, sql: Sql) -> Result {
    sql.execute("INSERT INTO shown VALUES ($1, $2)", &shown(&event)?)?;
    Ok(())
}

export_projector!(projector);
