//! What users gave and said about the views of a line, through versions that have other columns and tables.

use projectionist::admin;
use projectionist::engine::Host;
use projectionist::store::Unseen;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::support::versions::LEDGER;
use crate::support::{Modules, TestDatabase, stepped};

/// Roles belong to the server and would outlive the test's database.
struct Reader<'a> {
    database: &'a TestDatabase,
    name: String,
}

impl Reader<'_> {
    async fn new(database: &TestDatabase) -> Reader<'_> {
        let name = format!("reader_{}", uuid::Uuid::new_v4().simple());
        let reader = Reader { database, name };
        execute(database, &format!("CREATE ROLE {}", reader.name)).await;
        reader
    }

    async fn is_granted(&self, what: &str) {
        execute(self.database, &format!("GRANT {what} TO {}", self.name)).await;
    }

    /// `false` also when there is no such column.
    async fn may_read(&self, column: &str, of: &str) -> bool {
        sqlx::query_scalar(
            "SELECT coalesce(has_column_privilege($1, a.attrelid, a.attnum, 'SELECT'), false)
               FROM (SELECT) one LEFT JOIN pg_attribute a ON a.attrelid = to_regclass($2) AND a.attname = $3",
        )
        .bind(&self.name)
        .bind(of)
        .bind(column)
        .fetch_one(self.database.pool())
        .await
        .expect("an answer")
    }

    async fn drop(self) {
        let drop = format!("DROP OWNED BY {0}; DROP ROLE {0}", self.name);
        execute(self.database, &drop).await;
    }
}

async fn execute(database: &TestDatabase, sql: &str) {
    let done = database.pool().execute(AssertSqlSafe(sql.to_owned())).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn go_live(
    database: &TestDatabase,
    modules: &Modules,
    host: &mut Host,
    version: u32,
    shape: &str,
) {
    modules.put_ledger("ledger.wasm", version, shape);
    host.once().await.expect("caught up");
    let expected = format!("{LEDGER}_{version}");
    let row = database
        .store()
        .line(LEDGER)
        .await
        .expect("an answer")
        .expect("a line");
    assert_eq!(row.live, Some(expected), "{:?}", row.obstacle);
}

async fn text(database: &TestDatabase, select: &'static str) -> Option<String> {
    let value = sqlx::query_scalar(select).fetch_one(database.pool()).await;
    value.expect("an answer")
}

#[tokio::test]
async fn a_grant_on_a_column_comes_back_with_the_column() {
    let (database, modules) = (TestDatabase::new().await, Modules::new());
    let mut host = stepped(&database, &modules).await;
    database.append_moves(3).await;
    go_live(&database, &modules, &mut host, 101, "wider").await;
    let (reader, gone) = (Reader::new(&database).await, Reader::new(&database).await);
    for role in [&reader, &gone] {
        role.is_granted("SELECT (extra, balance) ON ledger.account")
            .await;
    }

    // The column goes: what was granted on the others stays.
    go_live(&database, &modules, &mut host, 102, "plain").await;
    assert!(reader.may_read("balance", "ledger.account").await);
    assert!(
        !reader.may_read("id", "ledger.account").await,
        "no more than there was"
    );
    // So does one of the roles, before the column comes back.
    gone.drop().await;
    go_live(&database, &modules, &mut host, 103, "wider").await;
    assert!(reader.may_read("extra", "ledger.account").await);
    assert!(reader.may_read("balance", "ledger.account").await);
    // Forward and back.
    go_live(&database, &modules, &mut host, 104, "typed").await;
    assert!(!reader.may_read("extra", "ledger.account").await);
    let back = admin::activate(&database.store(), "ledger_103", Unseen::PassOver).await;
    back.expect("wanted");
    host.once().await.expect("caught up");
    assert_eq!(database.live(LEDGER).await.as_deref(), Some("ledger_103"));
    assert!(reader.may_read("extra", "ledger.account").await);
    let kept: Vec<String> =
        sqlx::query_scalar("SELECT unnest(grants) FROM projectionist.line_views")
            .fetch_all(database.pool())
            .await
            .expect("an answer");
    assert!(kept.is_empty(), "all is given: {kept:?}");
    reader.drop().await;
}

#[tokio::test]
async fn a_grant_comes_back_with_the_table_that_it_was_on() {
    let (database, modules) = (TestDatabase::new().await, Modules::new());
    let mut host = stepped(&database, &modules).await;
    database.append_moves(3).await;
    go_live(&database, &modules, &mut host, 101, "table").await;
    let (some, all) = (Reader::new(&database).await, Reader::new(&database).await);
    some.is_granted("SELECT (remark) ON ledger.remark").await;
    all.is_granted("SELECT ON ledger.remark").await;

    go_live(&database, &modules, &mut host, 102, "plain").await;
    assert_eq!(
        text(&database, "SELECT to_regclass('ledger.remark')::text").await,
        None
    );
    go_live(&database, &modules, &mut host, 103, "table").await;

    assert!(some.may_read("remark", "ledger.remark").await);
    assert!(!some.may_read("id", "ledger.remark").await);
    assert!(all.may_read("id", "ledger.remark").await);
    some.drop().await;
    all.drop().await;
}

#[tokio::test]
async fn comments_stay_and_default_privileges_hold_for_what_is_new() {
    const OF_THE_VIEW: &str = "SELECT obj_description('ledger.account'::regclass, 'pg_class')";
    const OF_THE_COLUMN: &str = "SELECT col_description(a.attrelid, a.attnum) FROM pg_attribute a
                                 WHERE a.attrelid = 'ledger.account'::regclass AND a.attname = 'balance'";
    let (database, modules) = (TestDatabase::new().await, Modules::new());
    let mut host = stepped(&database, &modules).await;
    database.append_moves(3).await;
    go_live(&database, &modules, &mut host, 101, "plain").await;
    let reader = Reader::new(&database).await;
    execute(
        &database,
        &format!(
            "COMMENT ON VIEW ledger.account IS 'who owns what';
             COMMENT ON COLUMN ledger.account.balance IS 'in cents';
             ALTER DEFAULT PRIVILEGES IN SCHEMA ledger GRANT SELECT ON TABLES TO {}",
            reader.name
        ),
    )
    .await;

    // Replaced as it is, then made anew, since a column has another type.
    for (version, shape) in [(102, "wider"), (103, "typed"), (104, "table")] {
        go_live(&database, &modules, &mut host, version, shape).await;
        assert_eq!(
            text(&database, OF_THE_VIEW).await.as_deref(),
            Some("who owns what"),
            "{shape}"
        );
        assert_eq!(
            text(&database, OF_THE_COLUMN).await.as_deref(),
            Some("in cents"),
            "{shape}"
        );
        assert!(
            !reader.may_read("id", "ledger.account").await,
            "{shape}: it was there before"
        );
    }
    assert!(reader.may_read("id", "ledger.remark").await, "it is new");
    reader.drop().await;
}
