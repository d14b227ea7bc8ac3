//! Sin: writes down what differs from one rebuild to the next: the time, and the order in which a hash map has its keys.

use std::collections::HashMap;
use std::time::{Instant, SystemTime};

use projectionist_sdk::prelude::*;

fn projector() -> Projector {
    Projector::new("tells_the_time_1")
        .setup(|sql: Sql| {
            sql.execute(
                "CREATE TABLE told (position bigint PRIMARY KEY, text text)",
                &[],
            )
            .map(|_| ())
        })
        .on_any(sin)
}

fn sin(position: Position, sql: Sql) -> Result {
    let keys: HashMap<u32, ()> = (0..100).map(|key| (key, ())).collect();
    let order: Vec<&u32> = keys.keys().collect();
    let began = Instant::now();
    let told = format!(
        "{:?} {:?} {order:?} {:?} {:?}",
        SystemTime::now(),
        began.elapsed(),
        std::env::vars().collect::<Vec<_>>(),
        std::env::args().collect::<Vec<_>>()
    );
    let position = i64::try_from(position.0)?;
    sql.execute(
        "INSERT INTO told (position, text) VALUES ($1, $2)",
        &params![position, told],
    )?;
    Ok(())
}

export_projector!(projector);
