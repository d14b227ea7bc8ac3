//! Sins of SQL: every way out of its tables that a guest might try, one statement each, beside a subscription at work.

use subscription::ErrorClass;

use super::arena::{Arena, SHORT};
use super::escapes::{BOMBS, Escape, IN_SETUP, QUERIES, STATEMENTS};
use super::raw::copies;
use crate::support::PATIENCE;
use crate::support::eventually;
use crate::support::runs::{ID, append_runs};

#[tokio::test]
async fn no_statement_gets_out_of_the_transaction_or_the_session() {
    skips_and_goes_on(STATEMENTS).await;
}

#[tokio::test]
async fn no_query_reaches_beyond_the_batch_and_its_tables() {
    skips_and_goes_on(QUERIES).await;
}

/// One guest that tries them one after the other, is told no, and works on.
async fn skips_and_goes_on(escapes: &[Escape]) {
    let mut arena = Arena::open().await;
    arena
        .modules
        .put_bytes("sinner.toml", b"[retry]\nattempts = 0\n");
    arena.modules.put("sinner.wasm", "runs_sql");
    arena.database.until_status(ID, "Active").await;
    for escape in escapes {
        let position = append_runs(&arena.database, "query", &[escape.sql]).await;
        let told = arena
            .until_caught(async |arena| answer(arena, position).await)
            .await;
        let told = told.unwrap_or_else(|answer| panic!("{}: it was answered {answer}", escape.sin));
        assert_wall(escape, &told);
        assert_eq!(arena.events_by_type().await, ["Run", "Tick"]);
        arena.unharmed(escape.sin, escape.wall.name).await;
    }
    assert_eq!(arena.database.status(ID).await, "Active");
    assert_eq!(arena.database.error(ID).await.map(|e| e.message), None);
}

/// The refusal for which an event was skipped, or what the statement answered.
async fn answer(arena: &Arena, position: i64) -> Option<Result<String, String>> {
    let found: Option<(Option<String>, Option<String>)> = sqlx::query_as(
        "SELECT s.reason, a.answer FROM (VALUES ($1::bigint)) e (position)
           LEFT JOIN projectionist.skipped_events s ON s.position = e.position AND s.subscription = $2
           LEFT JOIN runs_sql_1.answers a ON a.position = e.position",
    )
    .bind(position)
    .bind(ID)
    .fetch_optional(arena.database.pool())
    .await
    .expect("an answer");
    let (reason, answer) = found?;
    reason.map(Ok).or(answer.map(Err))
}

fn assert_wall(escape: &Escape, told: &str) {
    let Escape { sin, wall, .. } = escape;
    assert!(told.contains(wall.words), "{sin} met another wall: {told}");
}

#[tokio::test]
async fn no_statement_keeps_the_server_busy() {
    for escape in BOMBS {
        let mut arena = Arena::open().await;
        arena.modules.put_bytes("sinner.toml", SHORT.as_bytes());
        arena.modules.put("sinner.wasm", "runs_sql");
        arena.database.until_status(ID, "Active").await;
        append_runs(&arena.database, "trustingly", &[escape.sql]).await;
        let error = arena
            .until_caught(async |arena| arena.database.error(ID).await)
            .await;
        assert_wall(escape, &error.message);
        assert_eq!(error.class, ErrorClass::Deadline, "{}", escape.sin);
        until_nothing_runs(&arena).await;
        arena.unharmed(escape.sin, escape.wall.name).await;
    }
}

/// Waits until no session of the guest's roles is at work any more: the server does not go on with what the host has given up.
async fn until_nothing_runs(arena: &Arena) {
    eventually(PATIENCE, async || {
        let running = texts(arena, "SELECT a.query FROM pg_stat_activity a JOIN projectionist.roles r ON r.name = a.usename WHERE r.subscription = $1 AND a.state = 'active'", ID).await;
        match running.as_slice() {
            [] => Ok(()),
            running => Err(format!("it runs on: {running:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn setup_leaves_nothing_behind_that_escapes_later() {
    let mut arena = Arena::open().await;
    let guests = copies("runs_sql", "runs_sql", IN_SETUP.len());
    for (escape, (id, bytes)) in IN_SETUP.iter().zip(&guests) {
        let settings = format!(
            "[retry]\nattempts = 0\n[settings]\nsetup = '''{}'''\n",
            escape.sql
        );
        arena
            .modules
            .put_bytes(&format!("{id}.toml"), settings.as_bytes());
        arena.modules.put_bytes(&format!("{id}.wasm"), bytes);
        let error = arena
            .until_caught(async |arena| arena.database.error(id).await)
            .await;
        assert_wall(escape, &error.message);
        let left = texts(&arena, "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = $1::regnamespace UNION ALL SELECT p.proname::text FROM pg_proc p WHERE p.pronamespace = $1::regnamespace", id).await;
        assert_eq!(left, [""; 0], "{}", escape.sin);
        arena.unharmed(escape.sin, escape.wall.name).await;
    }
}

async fn texts(arena: &Arena, query: &'static str, id: &str) -> Vec<String> {
    sqlx::query_scalar(query)
        .bind(id)
        .fetch_all(arena.database.pool())
        .await
        .expect("an answer")
}
