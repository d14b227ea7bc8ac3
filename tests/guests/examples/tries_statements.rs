//! No sin: records every event with a statement that may fail without harm to the rest.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("tries_statements_1")
        .setup(|sql: Sql| {
            sql.execute("CREATE TABLE tried (position bigint PRIMARY KEY)", &[])
                .map(|_| ())
        })
        .on_any(|position: Position, sql: Sql| -> Result {
            let position = i64::try_from(position.0)?;
            sql.try_execute(
                "INSERT INTO tried (position) VALUES ($1)",
                &params![position],
            )?;
            Ok(())
        })
}

export_projector!(projector);
