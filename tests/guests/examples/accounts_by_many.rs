//! No sin: the accounts of the benchmark, one call with many statements a chunk; nothing is folded.

use projectionist_sdk::{Value, prelude::*};
use test_guests::accounts::{CREATE_ACCOUNT, UPSERT_ACCOUNT, upsert_parameters};

fn projector() -> Projector {
    Projector::new("accounts_by_many_1")
        .setup(|sql: Sql| sql.execute(CREATE_ACCOUNT, &[]).map(|_| ()))
        .on_any(collected)
        .after_chunk(written)
}

fn collected(message: Message, lists: Fold<Vec<Vec<Value>>>) -> Result {
    lists.get().push(upsert_parameters(&message)?);
    Ok(())
}

fn written(lists: Fold<Vec<Vec<Value>>>, sql: Sql) -> Result {
    sql.execute_many(UPSERT_ACCOUNT, &lists.take())?;
    Ok(())
}

export_projector!(projector);
