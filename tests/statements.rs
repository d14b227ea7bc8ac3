//! Every statement file fits the schema that the migrations make. Statements are checked when they run and not when they
//! are compiled, so this is where a misspelt column shows.

use std::fs;

use projectionist::store::EventSource;
use sqlx::{AssertSqlSafe, Executor as _, SqlSafeStr as _};

use crate::support::{TestDatabase, repository};

#[tokio::test]
async fn every_statement_fits_the_schema() {
    let database = TestDatabase::new().await;
    let mut connection = database.connect().await;
    let source = EventSource::built_in();
    let folder = repository().join("host/src/store/sql");
    let mut prepared = 0;
    let mut broken = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder of statements") {
        let path = entry.expect("an entry of it").path();
        let text = fs::read_to_string(&path).expect("a statement");
        // What a subscription wants is filled in by the store; any condition will do here.
        let sql = source.render(&text.replace("{filter}", "true"));
        let statement = AssertSqlSafe(sql).into_sql_str();
        match connection.prepare(statement).await {
            Ok(_) => prepared += 1,
            Err(error) => broken.push(format!("{}: {error}", path.display())),
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(prepared > 40, "only {prepared} statements were found");
}
