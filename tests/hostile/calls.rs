//! Sins of time and of breaking down: calls that never come back, that recurse, that end badly.

use std::time::{Duration, Instant};

use super::arena::{Arena, SHORT, fails};
use super::raw::copies;
use crate::support::command::projectionist;
use crate::support::process::compiled_modules;

#[tokio::test]
async fn a_loop_in_handle_meets_its_deadline() {
    let words = ["handle-timeout-ms", "300 ms"];
    fails(
        "loops_in_handle",
        "loops_in_handle_1",
        SHORT,
        "deadline",
        &words,
    )
    .await;
}

#[tokio::test]
async fn a_loop_in_setup_meets_its_deadline() {
    let words = ["setup-timeout-ms", "500 ms"];
    fails(
        "loops_in_setup",
        "loops_in_setup_1",
        SHORT,
        "deadline",
        &words,
    )
    .await;
}

#[tokio::test]
async fn a_loop_in_teardown_meets_its_deadline_and_remove_drops_all_the_same() {
    let mut arena = Arena::open().await;
    let id = "loops_in_teardown_1";
    arena.modules.put_bytes("sinner.toml", SHORT.as_bytes());
    arena.modules.put("sinner.wasm", "loops_in_teardown");
    arena.database.until_status(id, "Active").await;
    let (url, cache) = (arena.database.url().to_owned(), compiled_modules());
    let removing = tokio::spawn(async move {
        let cache = cache.display().to_string();
        let words = ["remove", "--id", id, "--yes", "--cache-dir", cache.as_str()];
        projectionist(Some(&url), &words).await
    });
    arena.modules.remove("sinner.wasm");
    arena
        .until_caught(async |_| removing.is_finished().then_some(()))
        .await;

    let output = removing.await.expect("it ended");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("setup-timeout-ms"), "{said}");
    let row = arena.database.store().subscription(id).await;
    assert!(row.expect("an answer").is_none(), "it is dropped: {said}");
    arena
        .unharmed("loops in teardown", "setup-timeout-ms")
        .await;
}

#[tokio::test]
async fn a_guest_that_sleeps_meets_its_deadline() {
    fails(
        "sleeps",
        "sleeps_1",
        SHORT,
        "deadline",
        &["handle-timeout-ms"],
    )
    .await;
}

#[tokio::test]
async fn a_statement_that_takes_an_hour_is_ended_on_the_server() {
    let mut arena = Arena::open().await;
    let caught = arena
        .sin("sleeps_in_the_database", "sleeps_in_the_database_1", SHORT)
        .await;
    let error = caught.failed();
    assert_eq!(error.class.as_str(), "deadline", "{}", error.message);
    crate::support::eventually(crate::support::PATIENCE, async || {
        let running: Vec<String> = crate::support::log::column(
            arena.database.pool(),
            "SELECT query FROM pg_stat_activity WHERE query LIKE '%pg_sleep(%' AND state = 'active' AND pid <> pg_backend_pid()",
        )
        .await;
        match running.as_slice() {
            [] => Ok(()),
            running => Err(format!("it runs on: {running:?}")),
        }
    })
    .await;
    arena
        .unharmed("sleeps in the database", "handle-timeout-ms")
        .await;
}

#[tokio::test]
async fn deep_recursion_meets_the_end_of_the_stack() {
    let words = ["stack-bytes", "1048576 bytes"];
    fails(
        "recurses_without_end",
        "recurses_without_end_1",
        SHORT,
        "memory",
        &words,
    )
    .await;
}

#[tokio::test]
async fn a_panic_is_told_with_its_words() {
    let words = ["panicked", "nobody expected this"];
    let error = fails("panics", "panics_1", SHORT, "trap", &words).await;
    assert!(error.backtrace.is_some_and(|trace| trace.contains("panic")));
}

#[tokio::test]
async fn a_guest_that_exits_ends_itself_alone() {
    fails("exits", "exits_1", SHORT, "trap", &["exit"]).await;
}

#[tokio::test]
async fn the_unreachable_is_a_trap() {
    let id = "reaches_the_unreachable_1";
    fails("reaches_the_unreachable", id, SHORT, "trap", &["aborted"]).await;
}

/// As many as have a place at the same time, and more: they would hold every thread and every place of the host.
#[tokio::test]
async fn many_loopers_at_once_delay_nobody() {
    const LOOPERS: usize = 12;
    let mut arena = Arena::open().await;
    let settings = "[limits]\nhandle-timeout-ms = 4000\n[retry]\nattempts = 0\n";
    let loopers = copies("loops_in_handle", "loops_in_handle", LOOPERS);
    for (id, bytes) in &loopers {
        arena
            .modules
            .put_bytes(&format!("{id}.toml"), settings.as_bytes());
        arena.modules.put_bytes(&format!("{id}.wasm"), bytes);
    }
    // Each of them tries what it was given, then half of that, and so on: that takes them a while.
    let began = Instant::now();
    arena
        .until_caught(async |arena| {
            let mut looping = 0;
            for (id, _) in &loopers {
                let known = arena.database.store().subscription(id).await;
                looping += usize::from(known.expect("an answer").is_some());
            }
            (looping == LOOPERS && began.elapsed() > Duration::from_secs(20)).then_some(())
        })
        .await;
    arena
        .unharmed("twelve loopers at once", "handle-timeout-ms")
        .await;
}
