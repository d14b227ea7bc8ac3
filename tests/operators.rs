//! What operators' verbs do to subscriptions, with no host running: rows say it all.

use std::time::Duration;

use projectionist::admin::{self, Change, Done, Error, OnFailure, Removal};
use projectionist::guest::{Compiler, Module, Runtime};
use projectionist::store::{
    Batch, Durability, ExpectedVersion, Grant, HostFile, LaneKey, NewEvent, NewLaneError,
    NewSubscription, Opening, Store,
};
use sha2::{Digest as _, Sha256};
use sqlx::AssertSqlSafe;
use subscription::{Criteria, Descriptor, ErrorClass, Kind, Resume, Status, SubscriberId};
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::rows::bring;
use crate::support::{TestDatabase, guests};

/// A subscription whose module nobody runs.
async fn register(store: &Store, id: &str, kind: Kind) {
    let id = SubscriberId::parse(id, kind).expect("an id");
    register_with(store, Descriptor::new(id, kind), b"no module at all").await;
}

async fn register_with(store: &Store, descriptor: Descriptor, bytes: &[u8]) {
    let module = Sha256::digest(bytes).into();
    let kept = store.keep_module(&module, bytes, &descriptor).await;
    kept.expect("kept the module");
    let new = NewSubscription {
        descriptor,
        settings: serde_json::json!({}),
        module,
        start_position: 0,
    };
    assert!(store.register(&new).await.expect("registered"));
}

async fn status_of(store: &Store, id: &str) -> Status {
    let found = store.subscription(id).await.expect("an answer");
    found.expect("it is there").status
}

fn ids(ids: &[&str]) -> Criteria {
    Criteria {
        ids: ids.iter().map(ToString::to_string).collect(),
        ..Criteria::default()
    }
}

fn group(group: &str) -> Criteria {
    Criteria {
        groups: vec![group.to_owned()],
        ..Criteria::default()
    }
}

fn results(changes: &[Change]) -> Vec<(&str, Done, Option<&str>)> {
    changes
        .iter()
        .map(|change| (change.id.as_str(), change.result, change.after.as_deref()))
        .collect()
}

async fn exists(database: &TestDatabase, schema: &str) -> bool {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)")
        .bind(schema)
        .fetch_one(database.pool())
        .await
        .expect("an answer")
}

async fn fail(store: &Store, id: &str, mut error: NewLaneError) {
    let row = store.subscription(id).await.expect("read").expect("known");
    error.module = row.module;
    let from = status_of(store, id).await;
    let resume = match from {
        Status::New => Resume::New,
        Status::Booting => Resume::Booting,
        _ => Resume::Active,
    };
    let recorded = store
        .record_failure(&key(id), from, Status::Error(resume), &error)
        .await;
    assert!(recorded.expect("recorded"));
}

fn key(id: &str) -> LaneKey {
    LaneKey {
        subscription: id.to_owned(),
        lane: 0,
    }
}

fn trap() -> NewLaneError {
    NewLaneError {
        class: ErrorClass::Trap,
        message: "the guest panicked".to_owned(),
        position: Some(3),
        event_type: Some("Poison".to_owned()),
        module: [7; 32],
        backtrace: Some("0: handle".to_owned()),
        output: Some("no".to_owned()),
        attempts: 2,
        retry_context: None,
        retry_after_ms: Some(60_000),
    }
}

#[tokio::test]
async fn pausing_remembers_where_to_go_on_and_reactivating_goes_on_there() {
    let database = TestDatabase::new().await;
    let store = database.store();
    register(&store, "accounts_1", Kind::Projector).await;
    bring(&store, "accounts_1", Status::Booting).await;

    let paused = admin::pause(&store, &ids(&["accounts_1"])).await;
    let paused = paused.expect("an answer");
    assert_eq!(
        results(&paused),
        [("accounts_1", Done::Done, Some("Paused(Booting)"))]
    );
    let now = status_of(&store, "accounts_1").await;
    assert_eq!(now, Status::Paused(Resume::Booting));

    let again = admin::reactivate(&store, &ids(&["accounts_1"])).await;
    let again = again.expect("an answer");
    assert_eq!(
        results(&again),
        [("accounts_1", Done::Done, Some("Booting"))]
    );
    assert_eq!(status_of(&store, "accounts_1").await, Status::Booting);
}

#[tokio::test]
async fn what_is_named_and_cannot_be_paused_is_refused_and_what_is_not_named_is_left() {
    let database = TestDatabase::new().await;
    let store = database.store();
    register(&store, "accounts_1", Kind::Projector).await;
    register(&store, "orders_1", Kind::Projector).await;
    register(&store, "mails", Kind::Processor).await;
    bring(&store, "accounts_1", Status::Active).await;
    bring(&store, "mails", Status::Active).await;

    let group = admin::pause(&store, &group("projector")).await;
    let group = group.expect("an answer");
    let expected = [
        ("accounts_1", Done::Done, Some("Paused(Active)")),
        ("orders_1", Done::Left, Some("New")),
    ];
    assert_eq!(results(&group), expected);
    assert_eq!(status_of(&store, "mails").await, Status::Active);

    let named = admin::pause(&store, &ids(&["orders_1", "mails"])).await;
    let named = named.expect("an answer");
    let expected = [
        ("mails", Done::Done, Some("Paused(Active)")),
        ("orders_1", Done::Refused, Some("New")),
    ];
    assert_eq!(results(&named), expected);
    insta::assert_snapshot!(named[1].reason.clone().unwrap_or_default(), @"orders_1: a subscription that is New cannot be paused: it has handled nothing yet; let its setup run first, or take its file out of the directory");
}

#[tokio::test]
async fn guests_are_in_the_group_of_their_kind_or_in_the_one_that_they_name() {
    let database = TestDatabase::new().await;
    let store = database.store();
    register(&store, "accounts_1", Kind::Projector).await;
    register(&store, "mails", Kind::Processor).await;
    let id = SubscriberId::parse("audit", Kind::Processor).expect("an id");
    let named = Descriptor {
        group: "default".to_owned(),
        ..Descriptor::new(id, Kind::Processor)
    };
    register_with(&store, named, b"another module").await;
    for (wanted, expected) in [
        ("projector", "accounts_1"),
        ("processor", "mails"),
        ("default", "audit"),
    ] {
        let found = admin::matching(&store, &group(wanted)).await;
        assert_eq!(found.expect("an answer"), [expected]);
    }
}

#[tokio::test]
async fn reactivating_forgets_the_error_and_its_count() {
    let database = TestDatabase::new().await;
    let store = database.store();
    register(&store, "accounts_1", Kind::Projector).await;
    bring(&store, "accounts_1", Status::Active).await;
    fail(&store, "accounts_1", trap()).await;

    let changes = admin::reactivate(&store, &Criteria::default()).await;
    let changes = changes.expect("an answer");

    assert_eq!(
        results(&changes),
        [("accounts_1", Done::Done, Some("Active"))]
    );
    let lanes = store.lanes(Some("accounts_1")).await.expect("lanes");
    assert!(lanes[0].error.is_none(), "{lanes:?}");
}

#[tokio::test]
async fn an_id_that_nobody_has_is_an_error_that_says_what_may_have_been_meant() {
    let database = TestDatabase::new().await;
    let store = database.store();
    register(&store, "accounts_1", Kind::Projector).await;

    let mut texts = Vec::new();
    for criteria in [
        ids(&["acounts_1"]),
        ids(&["accounts"]),
        ids(&["invoices_1"]),
        group("projectors"),
        Criteria {
            ids: vec!["accounts_1".to_owned()],
            groups: vec!["projector".to_owned(), "processor".to_owned()],
        },
    ] {
        let error = admin::pause(&store, &criteria).await.expect_err("an error");
        texts.push(format!("{error}\n  {}", error.hint().unwrap_or_default()));
    }
    insta::assert_snapshot!(texts.join("\n"));
}

#[tokio::test]
async fn status_says_how_everything_stands() {
    let database = TestDatabase::new().await;
    let store = database.store();
    let events: Vec<NewEvent> = (0..4).map(|_| NewEvent::new("Opened")).collect();
    let appended = store.append("s", ExpectedVersion::Any, &events).await;
    appended.expect("appended");
    register(&store, "accounts_1", Kind::Projector).await;
    register(&store, "accounts_2", Kind::Projector).await;
    bring(&store, "accounts_1", Status::Active).await;
    fail(&store, "accounts_1", trap()).await;
    bring(&store, "accounts_2", Status::Booting).await;
    let host = Uuid::new_v4();
    let kept = store.keep_host(host, "blue", "/srv/modules").await;
    kept.expect("a host");
    let file = |file: &str, subscription: Option<&str>, refusal: Option<&str>| HostFile {
        file: file.to_owned(),
        digest: None,
        subscription: subscription.map(str::to_owned),
        refusal: refusal.map(str::to_owned),
    };
    let files = [
        file("accounts.wasm", Some("accounts_2"), None),
        file("broken.wasm", None, Some("not a WebAssembly file")),
    ];
    store.keep_host_files(host, &files).await.expect("files");

    let report = admin::status(&store, &Criteria::default()).await;
    let report = report.expect("a report");

    let json = serde_json::to_string_pretty(&report).expect("JSON");
    insta::with_settings!({filters => vec![
        (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "[time]"),
        (r#""retry_in_ms": \d+"#, r#""retry_in_ms": [ms]"#),
        (r"[0-9a-f]{8}-[0-9a-f-]{27}", "[uuid]"),
    ]}, {
        insta::assert_snapshot!(json);
    });

    let only = admin::status(&store, &ids(&["accounts_2"])).await;
    let only = only.expect("a report").subscriptions;
    assert_eq!(only.len(), 1);
    assert_eq!(only[0].progress, Some(0.0));
}

#[tokio::test]
async fn status_names_the_transaction_that_holds_the_log_up() {
    let database = TestDatabase::new().await;
    let mut writer = database.connect().await;
    for statement in [
        "SET application_name = 'billing'",
        "BEGIN",
        "SELECT projectionist.append('s', NULL, '[{\"type\": \"Opened\"}]')",
    ] {
        let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
        done.execute(&mut writer).await.expect("done");
    }

    let report = admin::status(&database.store(), &Criteria::default()).await;
    let report = report.expect("a report");

    let [open] = report.open_writers.as_slice() else {
        panic!("one writer is open: {:?}", report.open_writers)
    };
    assert_eq!(open.application.as_deref(), Some("billing"));
    assert!(open.pid.is_some() && open.since.is_some(), "{open:?}");
}

/// A removal whose compiler is the binary of this build.
struct Bench {
    database: TestDatabase,
    removal: Removal,
    _cache: TempDir,
}

async fn bench() -> Bench {
    let database = TestDatabase::new().await;
    let cache = tempfile::tempdir().expect("a directory");
    let program = env!("CARGO_BIN_EXE_projectionist").into();
    let removal = Removal {
        store: database.store(),
        runtime: Runtime::new().expect("a runtime"),
        compiler: Compiler::new(program, cache.path().join("cache")),
        lane_patience: Duration::from_millis(300),
    };
    Bench {
        database,
        removal,
        _cache: cache,
    }
}

impl Bench {
    /// Registers a guest that was really built, with the table that its setup would make.
    async fn register_guest(&self, name: &str, status: Status) -> String {
        let Removal {
            store,
            runtime,
            compiler,
            ..
        } = &self.removal;
        let bytes = std::fs::read(guests::path(name)).expect("the guest");
        let module = Module::load(runtime, compiler, &bytes).await;
        let descriptor = module.expect("a module").descriptor().clone();
        let id = descriptor.id.to_string();
        register_with(store, descriptor, &bytes).await;
        bring(store, &id, status).await;
        let create = format!("CREATE TABLE {id}.seen (n bigint)");
        self.run(format!("{create}; SELECT projectionist.make_roles('{id}')"))
            .await;
        id
    }

    async fn run(&self, statement: String) {
        let done = sqlx::raw_sql(AssertSqlSafe(statement));
        done.execute(self.database.pool()).await.expect("done");
    }

    async fn is_there(&self, id: &str) -> (bool, bool) {
        let row = self.removal.store.subscription(id).await;
        let row = row.expect("an answer").is_some();
        (row, exists(&self.database, id).await)
    }
}

#[tokio::test]
async fn removing_drops_rows_schema_and_module_whatever_the_status() {
    let bench = bench().await;
    let store = &bench.removal.store;
    for (id, status) in [
        ("new_1", None),
        ("booting_1", Some(Status::Booting)),
        ("detached_1", Some(Status::Detached(Resume::Active))),
    ] {
        register(store, id, Kind::Projector).await;
        if let Some(status) = status {
            bring(store, id, status).await;
        }
        let change = bench.removal.remove(id).await.expect("an answer");
        assert_eq!(change.result, Done::Done, "{change:?}");
        assert_eq!(change.after, None);
        assert_eq!(bench.is_there(id).await, (false, false), "{id}");
    }
    let modules: i64 = sqlx::query_scalar("SELECT count(*) FROM projectionist.modules")
        .fetch_one(bench.database.pool())
        .await
        .expect("a count");
    assert_eq!(modules, 0);
}

#[tokio::test]
async fn a_teardown_that_goes_well_drops_everything() {
    let bench = bench().await;
    let detached = Status::Detached(Resume::Active);
    let id = bench.register_guest("refuses_teardown", detached).await;

    let change = bench.removal.teardown(&id, OnFailure::Keep).await;
    let change = change.expect("an answer");

    assert_eq!(change.result, Done::Done, "{change:?}");
    assert_eq!(change.reason, None);
    assert_eq!(bench.is_there(&id).await, (false, false));
}

#[tokio::test]
async fn a_guest_without_teardown_is_torn_down() {
    let bench = bench().await;
    let detached = Status::Detached(Resume::Active);
    let id = bench.register_guest("records", detached).await;

    let change = bench.removal.teardown(&id, OnFailure::Keep).await;

    assert_eq!(change.expect("an answer").result, Done::Done);
    assert_eq!(bench.is_there(&id).await, (false, false));
}

#[tokio::test]
async fn a_failing_teardown_keeps_everything_unless_forced() {
    let bench = bench().await;
    let detached = Status::Detached(Resume::Active);
    let id = bench.register_guest("refuses_teardown", detached).await;
    let insert = format!("INSERT INTO {id}.seen VALUES (1)");
    bench.run(insert).await;

    let kept = bench.removal.teardown(&id, OnFailure::Keep).await;
    let kept = kept.expect("an answer");
    assert_eq!(kept.result, Done::Failed);
    insta::assert_snapshot!(kept.reason.unwrap_or_default());
    assert_eq!(bench.is_there(&id).await, (true, true));
    assert_eq!(status_of(&bench.removal.store, &id).await, detached);

    let forced = bench.removal.teardown(&id, OnFailure::Drop).await;
    let forced = forced.expect("an answer");
    assert_eq!(forced.result, Done::Done, "{forced:?}");
    insta::assert_snapshot!(forced.reason.unwrap_or_default());
    assert_eq!(bench.is_there(&id).await, (false, false));
}

#[tokio::test]
async fn removing_drops_although_the_teardown_fails_or_cannot_run() {
    let bench = bench().await;
    let id = bench
        .register_guest("refuses_teardown", Status::Active)
        .await;
    let insert = format!("INSERT INTO {id}.seen VALUES (1)");
    bench.run(insert).await;
    register(&bench.removal.store, "broken_1", Kind::Projector).await;
    bring(&bench.removal.store, "broken_1", Status::Active).await;

    let mut reasons = Vec::new();
    for id in [id.as_str(), "broken_1"] {
        let change = bench.removal.remove(id).await.expect("an answer");
        assert_eq!(change.result, Done::Done, "{change:?}");
        assert_eq!(bench.is_there(id).await, (false, false));
        reasons.extend(change.reason);
    }
    insta::assert_snapshot!(reasons.join("\n"));
}

#[tokio::test]
async fn teardown_is_for_what_is_detached() {
    let bench = bench().await;
    let store = &bench.removal.store;
    register(store, "accounts_1", Kind::Projector).await;
    bring(store, "accounts_1", Status::Active).await;

    let change = bench.removal.teardown("accounts_1", OnFailure::Drop).await;
    let change = change.expect("an answer");

    assert_eq!(change.result, Done::Refused);
    insta::assert_snapshot!(change.reason.unwrap_or_default());
    assert_eq!(status_of(store, "accounts_1").await, Status::Active);
}

#[tokio::test]
async fn a_batch_that_does_not_end_is_waited_for_and_then_named() {
    let bench = bench().await;
    let store = &bench.removal.store;
    register(store, "accounts_1", Kind::Projector).await;
    bring(store, "accounts_1", Status::Active).await;
    let opening = Batch::open(
        store,
        &key("accounts_1"),
        Grant::Handle,
        Durability::Replayable,
    )
    .await
    .expect("an answer");
    let Opening::Opened(batch) = opening else {
        panic!("nobody else has the lane")
    };

    let change = bench.removal.remove("accounts_1").await;
    let change = change.expect("an answer");
    assert_eq!(change.result, Done::Failed);
    insta::assert_snapshot!(change.reason.unwrap_or_default());
    // No batch begins any more, so the next try finds the lane free.
    let paused = Status::Paused(Resume::Active);
    assert_eq!(status_of(store, "accounts_1").await, paused);

    batch.rollback().await.expect("rolled back");
    let change = bench.removal.remove("accounts_1").await;
    assert_eq!(change.expect("an answer").result, Done::Done);
}

#[tokio::test]
async fn removing_what_is_not_there_is_an_error() {
    let bench = bench().await;
    let error = bench.removal.remove("accounts_1").await;
    assert!(matches!(error, Err(Error::UnknownIds { .. })), "{error:?}");
}
