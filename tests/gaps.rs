//! Holes in the log as guests and the horizon meet them: filled late, never filled, and several at once.

use projectionist::store::Horizon;

use crate::support::obeys::Script;
use crate::support::stage::Stage;
use crate::support::{TestDatabase, Writer};

const ID: &str = "obeys_aa_1";

async fn horizon(horizon: &mut Horizon) -> Option<i64> {
    horizon.look().await.expect("a look").horizon
}

/// A horizon at the end of a log of so many events.
async fn behind(events: usize) -> (TestDatabase, Horizon) {
    let database = TestDatabase::new().await;
    database.append_ticks(events).await;
    let mut search = Horizon::new(database.store());
    assert_eq!(horizon(&mut search).await, Some(events as i64));
    (database, search)
}

#[tokio::test]
async fn an_event_that_fills_a_hole_late_is_handed_over_in_its_place() {
    let mut stage = Stage::registered(&[Script::projector(ID)], 5).await;
    stage.catch_up().await;
    Writer::write_one(&stage.database).await;
    Writer::write_one(&stage.database).await;
    let (late, position) = Writer::open(&stage.database).await;
    assert_eq!((position, Writer::write_one(&stage.database).await), (8, 9));

    let (caught_up, ()) = tokio::join!(stage.host.once(), late.commit());

    assert_eq!(caught_up.expect("caught up").events, 4);
    assert_eq!(stage.handled(ID).await, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for position in 6..=9 {
        assert_eq!(stage.written::<i64>(ID, "times", position).await, 1);
    }
}

#[tokio::test]
async fn a_hole_that_nobody_can_fill_any_more_is_passed_at_the_first_look() {
    let (database, mut search) = behind(7).await;
    Writer::waste_one(&database).await;
    Writer::write_one(&database).await;
    let look = search.look().await.expect("a look");
    assert_eq!((look.horizon, look.waiting_for.len()), (Some(9), 0));
}

#[tokio::test]
async fn an_open_writer_above_the_last_event_gives_nothing_away() {
    let (database, mut search) = behind(1).await;
    Writer::waste_one(&database).await;
    let (open, position) = Writer::open(&database).await;
    assert_eq!(position, 3);
    assert_eq!(horizon(&mut search).await, Some(1));
    open.commit().await;
    assert_eq!(horizon(&mut search).await, Some(3));
}

#[tokio::test]
async fn the_horizon_stops_before_the_first_hole_that_is_open() {
    // The very next number is open.
    let (database, mut search) = behind(10).await;
    let (first, position) = Writer::open(&database).await;
    assert_eq!(position, 11);
    Writer::write_one(&database).await;
    Writer::write_one(&database).await;
    assert_eq!(horizon(&mut search).await, Some(10));
    first.commit().await;
    while horizon(&mut search).await != Some(13) {}

    // A number in between is open.
    Writer::write_one(&database).await;
    let (second, position) = Writer::open(&database).await;
    assert_eq!((position, Writer::write_one(&database).await), (15, 16));
    assert_eq!(horizon(&mut search).await, Some(14));
    second.roll_back().await;
    while horizon(&mut search).await != Some(16) {}
}
