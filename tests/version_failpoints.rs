//! A host that is killed at any step from a new file to the switch, and to the end of the version before: the next host comes to the
//! same end as if nothing had been.

use projectionist::admin;
use projectionist::store::{FAILPOINTS, Unseen};

use crate::support::versions::LEDGER;
use crate::support::{HostProcess, Modules, PATIENCE, TestDatabase, eventually, stepped};

/// One test for each failpoint, so that they run side by side; and a list of them all.
macro_rules! killed_at {
    ($($test:ident: $failpoint:literal,)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            a_host_that_is_killed_comes_to_the_same_end($failpoint).await;
        })*

        const TESTED: &[&str] = &[$($failpoint),*];
    };
}

killed_at! {
    killed_when_the_module_is_kept: "module-kept",
    killed_before_the_version_is_registered: "version-registering",
    killed_after_the_version_is_registered: "version-registered",
    killed_before_its_setup_is_committed: "version-setting-up",
    killed_after_its_setup: "version-set-up",
    killed_when_it_has_caught_up: "version-caught-up",
    killed_when_the_live_version_is_held_back: "handover-begun",
    killed_when_the_versions_are_level: "handover-confirmed",
    killed_when_the_switch_begins: "switch-begun",
    killed_when_both_lanes_are_locked: "switch-lanes-locked",
    killed_when_the_views_are_pointed: "switch-views-pointed",
    killed_before_the_switch_is_committed: "switch-committing",
    killed_after_the_switch: "switch-committed",
    killed_before_the_old_version_is_dropped: "retire-committing",
    killed_after_the_old_version_is_dropped: "retire-committed",
}

#[test]
fn every_failpoint_is_tested() {
    assert_eq!(TESTED, FAILPOINTS);
}

async fn a_host_that_is_killed_comes_to_the_same_end(failpoint: &str) {
    let (database, modules) = (TestDatabase::new().await, Modules::new());
    modules.put_ledger("ledger.wasm", 101, "plain");
    database.append_moves(300).await;
    let mut host = stepped(&database, &modules).await;
    host.once().await.expect("caught up");
    drop(host);
    modules.put_bytes("ledger.toml", b"[versions]\nkeep = \"0\"\n");
    modules.put_ledger("ledger.wasm", 102, "typed");
    database.append_moves(30).await;

    let host = HostProcess::dying_at(database.url(), modules.path(), failpoint);
    host.until_dead().await;
    // Whatever had been done, readers see one version or the other, and all of it.
    let live = database.live(LEDGER).await.expect("a live version");
    let seen = database.accounts(LEDGER).await.expect("rows");
    let there = database.accounts(&live).await.expect("rows");
    assert_eq!(seen, there, "{live} is what readers see");
    assert_eq!(seen.len(), 7, "all accounts are there");
    database.append_moves(30).await;

    let host = HostProcess::start(database.url(), modules.path());
    database.until_live(LEDGER, "ledger_102").await;
    eventually(PATIENCE, async || {
        match database
            .store()
            .subscription("ledger_101")
            .await
            .expect("an answer")
        {
            None => Ok(()),
            Some(row) => Err(format!("ledger_101 is {}\n{}", row.status, host.output())),
        }
    })
    .await;
    database.append_moves(30).await;
    database.until_ledger_is_right("ledger_102").await;
    assert_eq!(
        database.accounts(LEDGER).await.expect("rows"),
        database.accounts("ledger_102").await.expect("rows")
    );
    assert_eq!(database.status("ledger_102").await, "Active");
    assert!(
        database.accounts("ledger_101").await.is_err(),
        "its tables are gone"
    );
    let left: Vec<String> = sqlx::query_scalar(
        "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'ledger%'
         UNION ALL SELECT encode(digest, 'hex') FROM projectionist.modules m
          WHERE NOT EXISTS (SELECT FROM projectionist.subscriptions s WHERE s.module = m.digest) ORDER BY 1",
    )
    .fetch_all(database.pool())
    .await
    .expect("names");
    assert_eq!(left, ["ledger", "ledger_102"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_on_the_way_back_it_comes_back_all_the_same() {
    for failpoint in [
        "handover-confirmed",
        "switch-committing",
        "switch-committed",
    ] {
        let (database, modules) = (TestDatabase::new().await, Modules::new());
        modules.put_ledger("ledger.wasm", 101, "plain");
        database.append_moves(50).await;
        let mut host = stepped(&database, &modules).await;
        host.once().await.expect("caught up");
        modules.put_ledger("ledger.wasm", 102, "wider");
        host.once().await.expect("caught up");
        drop(host);
        database.append_moves(50).await;
        let wanted = admin::activate(&database.store(), "ledger_101", Unseen::PassOver).await;
        assert_eq!(wanted.expect("wanted").outcome, admin::Activated::Wanted);

        let host = HostProcess::dying_at(database.url(), modules.path(), failpoint);
        host.until_dead().await;
        let _host = HostProcess::start(database.url(), modules.path());

        database.until_live(LEDGER, "ledger_101").await;
        database.until_ledger_is_right("ledger_101").await;
        database
            .until_status("ledger_102", "Detached(Active)")
            .await;
        assert_eq!(
            database.accounts(LEDGER).await.expect("rows"),
            database.accounts("ledger_101").await.expect("rows"),
            "{failpoint}"
        );
    }
}
