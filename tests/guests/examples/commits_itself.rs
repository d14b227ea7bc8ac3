//! Sin: records an event and then ends the host's transaction by itself.

use projectionist_sdk::prelude::*;
use test_guests::{create_seen, record};

fn projector() -> Projector {
    Projector::new("commits_itself_1")
        .setup(create_seen)
        .on_any(escape)
}

fn escape(message: Message, sql: Sql) -> Result {
    record(&message, &sql, "a")?;
    sql.execute("COMMIT", &[])?;
    Ok(())
}

export_projector!(projector);
