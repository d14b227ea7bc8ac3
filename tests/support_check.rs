//! The test support itself.
use crate::support::{TestDatabase, guests};

#[tokio::test]
async fn databases_are_apart() {
    let (a, b) = (TestDatabase::new().await, TestDatabase::new().await);
    sqlx::raw_sql("CREATE TABLE public.only_here ()")
        .execute(a.pool())
        .await
        .expect("created");
    let there: Option<String> = sqlx::query_scalar("SELECT to_regclass('public.only_here')::text")
        .fetch_one(b.pool())
        .await
        .expect("answer");
    assert_eq!(there, None);
    let events: i64 = sqlx::query_scalar("SELECT count(*) FROM projectionist.events")
        .fetch_one(a.pool())
        .await
        .expect("migrated");
    assert_eq!(events, 0);
    let mut open = a.pool().begin().await.expect("begun");
    sqlx::raw_sql("CREATE TABLE public.t (); PREPARE TRANSACTION 'left'")
        .execute(&mut *open)
        .await
        .expect("prepared");
}

#[test]
fn guests_are_built() {
    assert!(guests::path("applications").is_file());
    assert!(guests::path("traps_in_handle").is_file());
}
