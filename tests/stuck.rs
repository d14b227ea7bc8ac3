//! Guests that are stuck for ever, beside one that follows the log.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::log::event;
use crate::support::modules::bytes_of;
use crate::support::versions::replace;
use crate::support::{HostProcess, Modules, TestDatabase};

/// How long a call of a stuck guest may last: whoever waits for one waits at least so long.
const CALL: Duration = Duration::from_secs(50);

/// Those that compute, that wait for the database, and that fail at once and are tried again soon.
const STUCK: [(&str, &[&str]); 3] = [
    (
        "loops_in_handle",
        &[
            "loops_in_handla_1",
            "loops_in_handlb_1",
            "loops_in_handlc_1",
            "loops_in_handld_1",
        ],
    ),
    (
        "sleeps_in_the_database",
        &[
            "sleeps_in_the_databasa_1",
            "sleeps_in_the_databasb_1",
            "sleeps_in_the_databasc_1",
        ],
    ),
    (
        "fails_on_poison",
        &[
            "fails_on_poisoa_1",
            "fails_on_poisob_1",
            "fails_on_poisoc_1",
        ],
    ),
];

const SETTINGS: &str =
    "retry = \"base=50ms,factor=1,attempts=1000\"\n[limits]\nhandle-timeout-ms = 50000\n";

fn put_stuck(modules: &Modules) {
    for (guest, ids) in STUCK {
        for id in ids {
            let bytes = replace(bytes_of(guest), &format!("{guest}_1"), id);
            modules.put_bytes(&format!("{id}.toml"), SETTINGS.as_bytes());
            modules.put_bytes(&format!("{id}.wasm"), &bytes);
        }
    }
}

#[tokio::test]
async fn ten_that_are_stuck_do_not_delay_one_that_follows_the_log() {
    let database = TestDatabase::new().await;
    let poison = event("Poison", &json!({ "verdict": "retry" }));
    let first = database.append("s", &[poison]).await[0].position;
    let modules = Modules::with(&["records"]);
    put_stuck(&modules);
    let _host = HostProcess::start(database.url(), modules.path());
    database.until_status("records_1", "Active").await;
    for id in STUCK.iter().flat_map(|(_, ids)| *ids) {
        database.until_registered(id).await;
    }

    let began = Instant::now();
    for handled in 2..=40 {
        database.append_ticks(1).await;
        database.until_seen("records_1", handled).await;
    }
    let took = began.elapsed();

    assert!(took < CALL, "it waited for somebody: {took:?}");
    let mut at_it = 0;
    for id in STUCK.iter().flat_map(|(_, ids)| *ids) {
        let position = database.position(id).await;
        assert!(position < first, "{id} got past {first}");
        at_it += usize::from(database.in_a_batch(id).await);
    }
    assert!(at_it > 0, "nobody is stuck");
}
