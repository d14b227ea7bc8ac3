//! No sin: the accounts of the benchmark, one statement an event.

use projectionist_sdk::prelude::*;
use test_guests::accounts::{CREATE_ACCOUNT, UPSERT_ACCOUNT, upsert_parameters};

fn projector() -> Projector {
    Projector::new("accounts_by_statement_1")
        .setup(|sql: Sql| sql.execute(CREATE_ACCOUNT, &[]).map(|_| ()))
        .on_any(written)
}

fn written(message: Message, sql: Sql) -> Result {
    sql.execute(UPSERT_ACCOUNT, &upsert_parameters(&message)?)?;
    Ok(())
}

export_projector!(projector);
