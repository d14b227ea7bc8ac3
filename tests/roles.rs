//! The database roles of subscriptions: made, mended and dropped with them, and connected to when there is work.

use projectionist::engine::{Host, Options};
use projectionist::store::{self, DEFAULT_CONNECTIONS, Grant, Store, Walls};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use subscription::Status;
use uuid::Uuid;

use crate::support::modules::compiler;
use crate::support::rows::{projector, register, touch};
use crate::support::{Modules, TestDatabase, stepped};

/// Names and attributes of the roles that a database says it has.
async fn roles(database: &TestDatabase, id: &str) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT name::text FROM projectionist.roles WHERE subscription = $1 ORDER BY duty DESC",
    )
    .bind(id)
    .fetch_all(database.pool())
    .await
    .expect("names")
}

async fn exist(database: &TestDatabase, names: &[String]) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM pg_roles WHERE rolname::text = ANY ($1)")
        .bind(names)
        .fetch_one(database.pool())
        .await
        .expect("a count")
}

async fn run(database: &TestDatabase, statement: String) {
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(database.pool())
        .await
        .expect("done");
}

#[tokio::test]
async fn a_subscription_has_two_roles_that_may_nothing_else_and_go_with_it() {
    let database = TestDatabase::new().await;
    register(&database.store(), projector("accounts_1"), Status::New).await;
    let names = roles(&database, "accounts_1").await;
    assert_eq!(names.len(), 2);
    let attributes = sqlx::query(
        "SELECT bool_or(rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls OR rolinherit) AS may_more,
                bool_and(rolcanlogin) AS may_log_in, (SELECT count(*) FROM pg_auth_members m WHERE m.member::regrole::text = ANY ($1)) AS member_of,
                bool_and(array_to_string(rolconfig, ',') LIKE '%idle_in_transaction_session_timeout=%') AS bounded
           FROM pg_roles WHERE rolname::text = ANY ($1)",
    )
    .bind(&names)
    .fetch_one(database.pool())
    .await
    .expect("attributes");
    assert!(!attributes.get::<bool, _>("may_more"));
    assert!(attributes.get::<bool, _>("may_log_in") && attributes.get::<bool, _>("bounded"));
    assert_eq!(attributes.get::<i64, _>("member_of"), 0);

    let removed = database.store().remove_subscription("accounts_1").await;

    assert!(removed.expect("removed"));
    assert_eq!(exist(&database, &names).await, 0);
    assert_eq!(roles(&database, "accounts_1").await, [""; 0]);
}

#[tokio::test]
async fn long_ids_have_names_that_fit_and_differ() {
    let database = TestDatabase::new().await;
    let ids = ["1", "2"].map(|end| format!("{}_{end}", "a".repeat(46)));
    let mut names = Vec::new();
    for id in &ids {
        register(&database.store(), projector(id), Status::New).await;
        names.extend(roles(&database, id).await);
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(names.iter().all(|name| name.len() <= 63), "{names:?}");
    assert_eq!(exist(&database, &names).await, 4);
}

#[tokio::test]
async fn two_databases_of_one_server_have_roles_of_their_own() {
    let (one, other) = (TestDatabase::new().await, TestDatabase::new().await);
    for database in [&one, &other] {
        register(&database.store(), projector("accounts_1"), Status::Active).await;
    }
    let of_other = roles(&other, "accounts_1").await;

    assert!(
        one.store()
            .remove_subscription("accounts_1")
            .await
            .expect("removed")
    );

    assert_eq!(exist(&one, &of_other).await, 2);
    assert!(
        touch(&other.store(), "accounts_1", Grant::Handle)
            .await
            .expect("a batch")
    );
}

#[tokio::test]
async fn a_copy_of_a_database_gets_roles_of_its_own_and_leaves_the_others() {
    let (original, modules) = (TestDatabase::new().await, Modules::with(&["records"]));
    original.append_ticks(2).await;
    stepped(&original, &modules)
        .await
        .once()
        .await
        .expect("caught up");
    let of_original = roles(&original, "records_1").await;
    let copy = TestDatabase::copy_of(&original).await;
    let mut host = stepped(&copy, &modules).await;
    copy.append_ticks(2).await;

    host.once().await.expect("caught up");

    copy.until_all_seen_once("records_1").await;
    let of_copy = roles(&copy, "records_1").await;
    assert!(of_copy.iter().all(|name| !of_original.contains(name)));
    assert!(
        copy.store()
            .remove_subscription("records_1")
            .await
            .expect("removed")
    );
    assert_eq!(exist(&copy, &of_original).await, 2);
    assert_eq!(exist(&copy, &of_copy).await, 0);
}

#[tokio::test]
async fn a_role_that_was_left_behind_is_taken_over_unless_it_is_mighty() {
    let database = TestDatabase::new().await;
    for (id, attributes) in [("accounts_1", "NOLOGIN"), ("orders_1", "CREATEROLE")] {
        let create = "SELECT format('CREATE ROLE %I', projectionist.role_name(projectionist.installation(), $1, 'handler'))";
        let create: String = sqlx::query_scalar(create)
            .bind(id)
            .fetch_one(database.pool())
            .await
            .expect("a statement");
        run(&database, format!("{create} {attributes}")).await;
    }
    register(&database.store(), projector("accounts_1"), Status::Active).await;
    assert!(
        touch(&database.store(), "accounts_1", Grant::Handle)
            .await
            .expect("a batch")
    );

    let refused = store_registers(&database, "orders_1")
        .await
        .expect_err("refused");
    assert!(
        format!("{:#}", anyhow::Error::from(refused)).contains("may do more than a guest should")
    );
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT projectionist.role_name(projectionist.installation(), 'orders_1', 'handler')::text",
    )
    .fetch_all(database.pool())
    .await
    .expect("a name");
    run(&database, format!("DROP ROLE \"{}\"", names[0])).await;
}

/// Registers a subscription whose roles may be refused.
async fn store_registers(database: &TestDatabase, id: &str) -> Result<bool, store::Error> {
    let new = store::NewSubscription {
        descriptor: projector(id),
        settings: serde_json::json!({}),
        module: database.subscription("accounts_1").await.module,
        start_position: 0,
    };
    database.store().register(&new).await
}

#[tokio::test]
async fn a_role_that_cannot_log_in_is_mended() {
    let database = TestDatabase::new().await;
    register(&database.store(), projector("accounts_1"), Status::Active).await;
    for name in roles(&database, "accounts_1").await {
        run(&database, format!("ALTER ROLE \"{name}\" NOLOGIN")).await;
    }
    for grant in [Grant::Handle, Grant::Define] {
        assert!(
            touch(&database.store(), "accounts_1", grant)
                .await
                .expect("a batch")
        );
    }
}

#[tokio::test]
async fn connections_of_roles_are_bounded_and_the_longest_unused_makes_room() {
    const LIMIT: usize = 3;
    let database = TestDatabase::new().await;
    let store = Store::connect(database.url(), DEFAULT_CONNECTIONS)
        .await
        .expect("a store");
    let store = store.with_walls(Walls::Roles, Some(LIMIT as u32));
    let ids: Vec<String> = (1..=12).map(|n| format!("accounts{n}_1")).collect();
    for id in &ids {
        register(&store, projector(id), Status::Active).await;
    }
    for id in ids
        .iter()
        .chain(&ids[..1])
        .chain(&ids[11..])
        .chain(&ids[..1])
    {
        assert!(
            touch(&store, id, Grant::Handle).await.expect("a batch"),
            "{id}"
        );
        let open = sessions(&database).await;
        assert!(open.len() <= LIMIT, "{open:?}");
    }
    assert_eq!(
        sessions(&database).await,
        ["accounts11_1", "accounts12_1", "accounts1_1"]
    );

    // Many at once wait for one another.
    let touches = ids.iter().map(|id| touch(&store, id, Grant::Handle));
    for touched in futures_util::future::join_all(touches).await {
        assert!(touched.expect("a batch"));
    }
    let open = sessions(&database).await;
    assert!(open.len() <= LIMIT, "{open:?}");
}

/// The subscriptions that have sessions, by name.
async fn sessions(database: &TestDatabase) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT r.subscription FROM pg_stat_activity a JOIN projectionist.roles r ON r.name = a.usename ORDER BY 1",
    )
    .fetch_all(database.pool())
    .await
    .expect("sessions")
}

#[tokio::test]
async fn a_connection_that_was_cut_while_idle_is_opened_again() {
    let database = TestDatabase::new().await;
    let store = database.store();
    register(&store, projector("accounts_1"), Status::Active).await;
    assert!(
        touch(&store, "accounts_1", Grant::Handle)
            .await
            .expect("a batch")
    );
    let ended = "SELECT pg_terminate_backend(a.pid, 5000) FROM pg_stat_activity a JOIN projectionist.roles r ON r.name = a.usename";
    run(&database, ended.to_owned()).await;

    assert!(
        touch(&store, "accounts_1", Grant::Handle)
            .await
            .expect("a batch")
    );
}

#[tokio::test]
async fn a_subscription_that_was_removed_and_made_again_elsewhere_has_new_secrets() {
    let database = TestDatabase::new().await;
    let (here, elsewhere) = (
        database.store(),
        Store::connect(database.url(), 2).await.expect("a store"),
    );
    for _ in 0..3 {
        register(&elsewhere, projector("accounts_1"), Status::Active).await;
        assert!(
            touch(&here, "accounts_1", Grant::Handle)
                .await
                .expect("a batch")
        );
        assert!(
            elsewhere
                .remove_subscription("accounts_1")
                .await
                .expect("removed")
        );
        assert!(
            !touch(&here, "accounts_1", Grant::Handle)
                .await
                .expect("an answer")
        );
    }
}

#[tokio::test]
async fn what_was_made_without_roles_is_given_to_them_when_a_host_starts() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["records"]));
    database.append_ticks(2).await;
    let store = Store::connect(database.url(), DEFAULT_CONNECTIONS)
        .await
        .expect("a store");
    let trusting = store.with_walls(Walls::None, None);
    let mut host = Host::start(trusting, Options::new(modules.path(), compiler()))
        .await
        .expect("a host");
    host.scan().await.expect("scanned");
    let report =
        projectionist::admin::status(&database.store(), &subscription::Criteria::default()).await;
    assert!(!report.expect("a report").hosts[0].guest_roles);
    host.once().await.expect("caught up");
    database.until_all_seen_once("records_1").await;
    assert_eq!(roles(&database, "records_1").await, [""; 0]);

    let mut host = stepped(&database, &modules).await;
    database.append_ticks(2).await;
    host.once().await.expect("caught up");

    database.until_all_seen_once("records_1").await;
    let names = roles(&database, "records_1").await;
    let owner: String = sqlx::query_scalar("SELECT tableowner::text FROM pg_tables WHERE schemaname = 'records_1' AND tablename = 'seen'")
        .fetch_one(database.pool())
        .await
        .expect("an owner");
    assert_eq!(owner, names[0]);
}

/// A database that belongs to a user who is no superuser.
struct Plain {
    admin: PgConnection,
    name: String,
    url: String,
}

impl Plain {
    async fn new(attributes: &str) -> Plain {
        let name = format!("projectionist_plain_{}", Uuid::new_v4().simple());
        let server = crate::support::cluster::server().await;
        let mut admin = PgConnection::connect(&server.url_of("postgres"))
            .await
            .expect("a connection");
        for statement in [
            format!("CREATE ROLE {name} LOGIN PASSWORD 'plain' {attributes}"),
            format!("CREATE DATABASE {name} OWNER {name} TEMPLATE template0"),
        ] {
            sqlx::raw_sql(AssertSqlSafe(statement))
                .execute(&mut admin)
                .await
                .expect("done");
        }
        let url = server.url_of(&name);
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let place = rest.split_once('@').map_or(rest, |(_, place)| place);
        let url = format!("{scheme}://{name}:plain@{place}");
        Plain { admin, name, url }
    }

    async fn store(&self) -> Store {
        Store::connect(&self.url, DEFAULT_CONNECTIONS)
            .await
            .expect("a store")
    }

    async fn drop(mut self) {
        let roles = "SELECT rolname::text FROM pg_roles WHERE pg_has_role($1, oid, 'MEMBER') AND rolname LIKE 'pj%'";
        let roles: Vec<String> = sqlx::query_scalar(roles)
            .bind(&self.name)
            .fetch_all(&mut self.admin)
            .await
            .expect("roles");
        let name = &self.name;
        let mut statements = vec![format!("DROP DATABASE {name} WITH (FORCE)")];
        statements.extend(roles.iter().map(|role| format!("DROP ROLE \"{role}\"")));
        statements.push(format!("DROP ROLE {name}"));
        for statement in statements {
            sqlx::raw_sql(AssertSqlSafe(statement))
                .execute(&mut self.admin)
                .await
                .expect("dropped");
        }
    }
}

#[tokio::test]
async fn a_host_that_may_not_make_roles_says_so_and_needs_to_be_told_to_go_on() {
    let plain = Plain::new("").await;
    let modules = Modules::with(&["records"]);
    let store = plain.store().await;
    store.migrate().await.expect("migrated");
    let options = || Options::new(modules.path(), compiler());

    let Err(refused) = Host::start(store.clone(), options()).await else {
        panic!("it started")
    };
    let said = anyhow::Error::from(refused)
        .to_string()
        .replace(&plain.name, "USER");
    insta::assert_snapshot!(said);

    let trusting = store.with_walls(Walls::None, None);
    let mut host = Host::start(trusting.clone(), options())
        .await
        .expect("a host");
    host.once().await.expect("caught up");
    let row = trusting
        .subscription("records_1")
        .await
        .expect("an answer")
        .expect("it is there");
    assert_eq!(row.status, Status::Active);
    trusting.close().await;
    drop(host);
    plain.drop().await;
}

#[tokio::test]
async fn a_user_who_may_make_roles_need_not_be_a_superuser() {
    let plain = Plain::new("CREATEROLE").await;
    let modules = Modules::with(&["records", "counts_rows"]);
    let store = plain.store().await;
    store.migrate().await.expect("migrated");
    let ticks = vec![projectionist::store::NewEvent::new("Tick"); 3];
    store
        .append("ticks", store::ExpectedVersion::Any, &ticks)
        .await
        .expect("appended");
    let mut host = Host::start(store.clone(), Options::new(modules.path(), compiler()))
        .await
        .expect("a host");

    host.once().await.expect("caught up");

    let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM records_1.seen")
        .fetch_one(store.pool())
        .await
        .expect("the host reads what its guests wrote");
    assert_eq!(seen, 3);
    let counted: i64 = sqlx::query_scalar("SELECT events FROM counts_rows.stream_count")
        .fetch_one(store.pool())
        .await
        .expect("readers are shown the live version");
    assert_eq!(counted, 3);
    for id in ["records_1", "counts_rows_1"] {
        assert!(
            store.remove_subscription(id).await.expect("removed"),
            "{id}"
        );
    }
    store.close().await;
    drop(host);
    plain.drop().await;
}
