//! Sin: `teardown` fails as long as its table has a row, so a test can tell whether it ran.

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("refuses_teardown_1")
        .setup(test_guests::create_seen)
        .teardown(refuse)
        .on_any(|| ())
}

fn refuse(sql: Sql) -> Result {
    let found: Option<(i64,)> = sql.query_first("SELECT count(*) FROM seen", &[])?;
    match found {
        Some((0,)) => Ok(()),
        _ => Err(Failure::stop("the table seen still has rows")),
    }
}

export_projector!(projector);
