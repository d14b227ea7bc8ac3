//! The horizon stops where something may still appear, and nowhere else.

use projectionist::store::{Horizon, Look, RecordedEvent};

use sqlx::AssertSqlSafe;

use crate::support::{PATIENCE, TestDatabase, Writer, eventually};

/// A horizon that has seen the present head.
async fn settled(database: &TestDatabase) -> Horizon {
    let mut horizon = Horizon::new(database.store());
    let look = look(&mut horizon).await;
    assert_eq!(
        (look.candidate, look.waiting_for.len()),
        (None, 0),
        "nobody writes yet"
    );
    horizon
}

async fn look(horizon: &mut Horizon) -> Look {
    horizon.look().await.expect("a look")
}

/// Looks until there is nothing to find at once; the horizon then.
async fn reach(horizon: &mut Horizon) -> i64 {
    let mut last = None;
    loop {
        let now = look(horizon).await.horizon;
        if now == last {
            return now.expect("a horizon");
        }
        last = now;
    }
}

async fn end_process(database: &TestDatabase, pid: i32) {
    sqlx::query("SELECT pg_terminate_backend($1)")
        .bind(pid)
        .execute(database.pool())
        .await
        .expect("ended");
}

#[tokio::test]
async fn an_empty_log_has_its_horizon_at_zero() {
    let database = TestDatabase::new().await;
    assert_eq!(
        look(&mut Horizon::new(database.store())).await.horizon,
        Some(0)
    );
}

#[tokio::test]
async fn events_without_holes_need_nobody_to_end() {
    let database = TestDatabase::new().await;
    let mut horizon = settled(&database).await;
    for _ in 0..3 {
        Writer::write_one(&database).await;
    }
    // This one took a number, but a higher one than any that is visible.
    let (_open, _) = Writer::open(&database).await;
    let look = look(&mut horizon).await;
    assert_eq!((look.horizon, look.candidate), (Some(3), None));
}

#[tokio::test]
async fn an_open_writer_holds_exactly_below_its_number() {
    let database = TestDatabase::new().await;
    let mut horizon = settled(&database).await;
    assert_eq!(Writer::write_one(&database).await, 1);
    let (mut open, two) = Writer::open(&database).await;
    assert_eq!((two, Writer::write_one(&database).await), (2, 3));

    let held = look(&mut horizon).await;
    assert_eq!((held.horizon, held.candidate), (Some(1), Some(3)));
    let holder = &held.waiting_for[0];
    assert_eq!(holder.pid, Some(open.pid().await));
    assert!(
        holder
            .query
            .as_deref()
            .is_some_and(|query| query.starts_with("INSERT INTO")),
        "{holder}"
    );
    assert_eq!(holder.state.as_deref(), Some("idle in transaction"));
    assert!(holder.since.is_some());

    assert_eq!(reach(&mut horizon).await, 1, "however often one looks");
    open.commit().await;
    assert_eq!(reach(&mut horizon).await, 3);
}

#[tokio::test]
async fn a_rolled_back_number_does_not_block() {
    let database = TestDatabase::new().await;
    let mut horizon = settled(&database).await;
    Writer::write_one(&database).await;
    Writer::waste_one(&database).await;
    Writer::write_one(&database).await;
    let look = look(&mut horizon).await;
    assert_eq!(
        (look.horizon, look.waiting_for.len()),
        (Some(3), 0),
        "one look is enough"
    );
}

#[tokio::test]
async fn a_rolled_back_savepoint_gives_nothing_away() {
    let database = TestDatabase::new().await;
    let mut horizon = settled(&database).await;
    let mut writer = Writer::begin(&database).await;
    writer.execute("SAVEPOINT a").await;
    let taken = writer.take().await;
    writer.execute("ROLLBACK TO a").await;
    Writer::write_one(&database).await;
    assert_eq!(
        reach(&mut horizon).await,
        0,
        "the number was taken before the savepoint was rolled back, and may be used yet"
    );
    writer.insert(taken).await;
    writer.commit().await;
    assert_eq!(reach(&mut horizon).await, 2);
}

#[tokio::test]
async fn new_writers_do_not_prolong_the_wait() {
    let database = TestDatabase::new().await;
    let mut horizon = settled(&database).await;
    let (first, _) = Writer::open(&database).await;
    assert_eq!(Writer::write_one(&database).await, 2);
    assert_eq!(look(&mut horizon).await.candidate, Some(2));
    let (later, three) = Writer::open(&database).await;
    assert_eq!((three, Writer::write_one(&database).await), (3, 4));
    assert_eq!(
        look(&mut horizon).await.waiting_for.len(),
        1,
        "only the first is waited for"
    );
    first.roll_back().await;
    assert_eq!(
        reach(&mut horizon).await,
        2,
        "the later one holds below its own number"
    );
    later.commit().await;
    assert_eq!(reach(&mut horizon).await, 4);
}

#[tokio::test]
async fn an_unrelated_transaction_never_holds_the_horizon() {
    let database = TestDatabase::new().await;
    Writer::write_one(&database).await;
    let mut horizon = settled(&database).await;
    let mut unrelated = Writer::begin(&database).await;
    unrelated
        .execute(
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
             CREATE TABLE public.unrelated AS SELECT pg_current_xact_id() AS number;
             SELECT FROM projectionist.events FOR KEY SHARE;
             LOCK TABLE projectionist.events IN ROW EXCLUSIVE MODE;
             SELECT last_value FROM projectionist.events_position",
        )
        .await;
    Writer::waste_one(&database).await;
    Writer::write_one(&database).await;
    let look = look(&mut horizon).await;
    assert_eq!((look.horizon, look.waiting_for.len()), (Some(3), 0));
    unrelated.roll_back().await;
}

#[tokio::test]
async fn a_writer_in_a_copy_of_the_database_has_no_say() {
    let (database, copy) = (TestDatabase::new().await, TestDatabase::new().await);
    let mut horizon = settled(&database).await;
    let (elsewhere, _) = Writer::open(&copy).await;
    Writer::waste_one(&database).await;
    Writer::write_one(&database).await;
    assert_eq!(look(&mut horizon).await.horizon, Some(2));
    elsewhere.roll_back().await;
}

#[tokio::test]
async fn a_start_waits_for_the_writers_that_are_open_then() {
    let database = TestDatabase::new().await;
    let (open, _) = Writer::open(&database).await;
    assert_eq!(Writer::write_one(&database).await, 2);

    let mut horizon = Horizon::new(database.store());
    let start = look(&mut horizon).await;
    assert_eq!(
        (start.horizon, start.candidate, start.waiting_for.len()),
        (None, Some(2), 1)
    );
    Writer::write_one(&database).await;
    let (later, four) = Writer::open(&database).await;
    assert_eq!(
        (look(&mut horizon).await.candidate, four),
        (Some(2), 4),
        "the candidate of the start stays"
    );
    open.commit().await;
    assert_eq!(reach(&mut horizon).await, 3);
    later.roll_back().await;
}

#[tokio::test]
async fn a_start_does_not_care_for_holes_below_the_head() {
    let database = TestDatabase::new().await;
    Writer::waste_one(&database).await;
    Writer::write_one(&database).await;
    Writer::waste_one(&database).await;
    assert_eq!(
        look(&mut Horizon::new(database.store())).await.horizon,
        Some(2)
    );
}

#[tokio::test]
async fn a_prepared_transaction_counts_until_it_is_decided() {
    let database = TestDatabase::new().await;
    let mut horizon = settled(&database).await;
    let mut writer = Writer::begin(&database).await;
    writer.execute("SET LOCAL projectionist.bell = 'off'").await;
    let position = writer.take().await;
    writer.insert(position).await;
    Writer::write_one(&database).await;
    assert!(
        look(&mut horizon).await.waiting_for[0].pid.is_some(),
        "collected while it had a process"
    );

    let gid = format!("horizon-{}", uuid::Uuid::new_v4());
    writer.prepare(&gid).await;
    let held = look(&mut horizon).await;
    assert_eq!((held.horizon, held.waiting_for.len()), (Some(0), 1));
    assert_eq!(
        (held.waiting_for[0].pid, held.waiting_for[0].gid.as_deref()),
        (None, Some(gid.as_str()))
    );
    Writer::commit_prepared(&database, &gid).await;
    assert_eq!(reach(&mut horizon).await, 2);
}

#[tokio::test]
async fn a_writer_whose_process_is_ended_lets_go() {
    let database = TestDatabase::new().await;
    let mut horizon = settled(&database).await;
    let (mut idle, _) = Writer::open(&database).await;
    Writer::write_one(&database).await;
    assert_eq!(reach(&mut horizon).await, 0);
    end_process(&database, idle.pid().await).await;
    eventually(PATIENCE, async || match look(&mut horizon).await {
        Look {
            horizon: Some(2), ..
        } => Ok(()),
        look => Err(format!("{look:?}")),
    })
    .await;
}

#[tokio::test]
async fn a_lost_connection_collects_again_and_loses_nothing() {
    let database = TestDatabase::new().await;
    let mut horizon = settled(&database).await;
    let (open, _) = Writer::open(&database).await;
    Writer::write_one(&database).await;
    assert_eq!(look(&mut horizon).await.waiting_for.len(), 1);
    let mut other = database.connect().await;
    let ours =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
                AND application_name = 'projectionist' AND pid <> pg_backend_pid()";
    sqlx::raw_sql(ours)
        .execute(&mut other)
        .await
        .expect("ended");
    // A look may fail now or find a new connection; either way nothing is passed.
    let after = eventually(PATIENCE, async || horizon.look().await).await;
    assert_eq!((after.horizon, after.waiting_for.len()), (Some(0), 1));
    open.commit().await;
    assert_eq!(reach(&mut horizon).await, 2);
}

#[tokio::test]
async fn a_long_way_goes_in_bounded_pieces() {
    let database = TestDatabase::new().await;
    let mut horizon = settled(&database).await;
    let mut writer = Writer::begin(&database).await;
    writer
        .execute(
            "INSERT INTO projectionist.events (stream, version, type)
             SELECT 'bulk', n, 'Written' FROM generate_series(1, 50001) AS n",
        )
        .await;
    writer.commit().await;
    let first = look(&mut horizon).await;
    assert_eq!((first.horizon, first.more), (Some(50_000), true));
    let second = look(&mut horizon).await;
    assert_eq!((second.horizon, second.more), (Some(50_001), false));
}

#[tokio::test]
async fn sources_without_safe_order_are_refused() {
    let database = TestDatabase::new().await;
    database
        .store()
        .check_preconditions()
        .await
        .expect("the log of the migrations is fine");
    let mut refusals = Vec::new();
    for (change, restore) in [
        ("CACHE 10", "CACHE 1"),
        ("INCREMENT 2", "INCREMENT 1"),
        ("CYCLE", "NO CYCLE"),
        ("RENAME TO elsewhere", ""),
    ] {
        alter(&database, change).await;
        let refusal = database.store().check_preconditions().await;
        refusals.push(refusal.expect_err(change).to_string());
        if !restore.is_empty() {
            alter(&database, restore).await;
        }
    }
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    events cannot be read in safe order: the sequence "projectionist"."events_position" has CACHE 10, so a number may be older than one that was taken before it; mend it with: ALTER SEQUENCE "projectionist"."events_position" CACHE 1
    events cannot be read in safe order: the sequence "projectionist"."events_position" has INCREMENT 2, so holes cannot be seen; mend it with: ALTER SEQUENCE "projectionist"."events_position" INCREMENT 1
    events cannot be read in safe order: the sequence "projectionist"."events_position" has CYCLE, so numbers may come again; mend it with: ALTER SEQUENCE "projectionist"."events_position" NO CYCLE
    there is no sequence "projectionist"."events_position" to number the events; run `projectionist migrate`
    "#);
}

async fn alter(database: &TestDatabase, change: &str) {
    let alter = format!("ALTER SEQUENCE projectionist.events_position {change}");
    let altered = sqlx::raw_sql(AssertSqlSafe(alter))
        .execute(database.pool())
        .await;
    altered.expect("altered");
}

/// The events at these positions, as if they had been said.
async fn said(database: &TestDatabase, positions: &[i64]) -> Vec<RecordedEvent> {
    let log = database.log().await;
    let at = |position: &i64| {
        let mut events = log.iter();
        events.find(|event| event.position == *position).cloned()
    };
    positions.iter().filter_map(at).collect()
}

#[tokio::test]
async fn what_is_said_moves_it_where_no_number_is_missing_below() {
    let database = TestDatabase::new().await;
    let mut horizon = settled(&database).await;
    let first = Writer::write_one(&database).await;
    let second = Writer::write_one(&database).await;
    // In the order in which they were committed, which is none of theirs.
    let heard = horizon.hear(said(&database, &[second, first]).await);
    let heard = heard.expect("nothing is missing");
    assert_eq!(heard.horizon, Some(second));
    let along = heard.along.expect("the events");
    assert_eq!(along.page.events, said(&database, &[first, second]).await);

    // Who says again what is known says nothing.
    let heard = horizon.hear(said(&database, &[first]).await);
    assert_eq!(heard.expect("known").horizon, Some(second));

    let mut open = Writer::begin(&database).await;
    let missing = open.take().await;
    let above = Writer::write_one(&database).await;
    let heard = horizon.hear(said(&database, &[above]).await);
    assert!(heard.is_none(), "{missing} is missing");
    assert_eq!(look(&mut horizon).await.horizon, Some(second));

    // While a writer is waited for only a look tells whether he has ended.
    open.insert(missing).await;
    open.commit().await;
    let heard = horizon.hear(said(&database, &[missing]).await);
    assert!(heard.is_none());
    assert_eq!(reach(&mut horizon).await, above);
}

#[tokio::test]
async fn what_is_said_before_a_first_look_moves_nothing() {
    let database = TestDatabase::new().await;
    let mut horizon = Horizon::new(database.store());
    let position = Writer::write_one(&database).await;
    assert!(horizon.hear(said(&database, &[position]).await).is_none());
}
