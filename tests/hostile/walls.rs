//! What a guest finds of the machine that it runs on: nothing, and the same nothing at every rebuild.

use super::arena::{SHORT, fails};
use crate::support::log::column;
use crate::support::{Modules, TestDatabase, stepped};

#[tokio::test]
async fn there_are_no_files_no_environment_and_no_arguments() {
    let error = fails("reads_files", "reads_files_1", SHORT, "guest-failed", &[]).await;
    insta::assert_snapshot!(error.message);
}

#[tokio::test]
async fn a_projector_that_throws_dice_is_told_why_not() {
    let words = ["randomness", "take such values from events"];
    fails("throws_dice", "throws_dice_1", SHORT, "trap", &words).await;
}

/// What the guest wrote about the time, the hash seeds, the environment and the arguments.
async fn told() -> Vec<String> {
    let (database, modules) = (
        TestDatabase::new().await,
        Modules::with(&["tells_the_time"]),
    );
    database.append_ticks(3).await;
    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("caught up");
    column(
        database.pool(),
        "SELECT text FROM tells_the_time_1.told ORDER BY position",
    )
    .await
}

#[tokio::test]
async fn time_and_hash_seeds_are_the_same_at_every_rebuild() {
    let (first, second) = (told().await, told().await);
    assert_eq!(first.len(), 3);
    assert_eq!(first, second);
    assert!(first[0].contains("tv_sec: 0"), "{}", first[0]);
}
