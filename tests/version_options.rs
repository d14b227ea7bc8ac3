//! When a new version goes live: by the word of the operator, of the guest, or of the host.

use projectionist::admin;
use projectionist::store::Unseen;
use subscription::SwitchWhen;

use crate::support::versions::LEDGER;
use crate::support::{HostProcess, Modules, TestDatabase, stepped, stepped_with};

/// A database in which version 101 is live.
async fn with_one_live(modules: &Modules) -> TestDatabase {
    let database = TestDatabase::new().await;
    modules.put_ledger("ledger.wasm", 101, "plain");
    database.append_moves(5).await;
    let mut host = stepped(&database, modules).await;
    host.once().await.expect("caught up");
    database
}

#[tokio::test]
async fn the_operators_word_goes_before_the_guests_and_that_before_the_hosts() {
    let cases = [
        // The shape of the guest, its settings, the host, and which version is live then.
        ("plain", "", SwitchWhen::Ready, "ledger_102"),
        ("plain", "", SwitchWhen::Activated, "ledger_101"),
        ("waits", "", SwitchWhen::Ready, "ledger_101"),
        (
            "waits",
            "switch = \"ready\"",
            SwitchWhen::Activated,
            "ledger_102",
        ),
        (
            "plain",
            "switch = \"activated\"",
            SwitchWhen::Ready,
            "ledger_101",
        ),
        (
            "plain",
            "switch = \"ready\"",
            SwitchWhen::Activated,
            "ledger_102",
        ),
    ];
    for (shape, settings, switch_when, live) in cases {
        let modules = Modules::new();
        let database = with_one_live(&modules).await;
        let settings = format!("[versions]\n{settings}\n");
        modules.put_bytes("second.toml", settings.as_bytes());
        modules.put_ledger("second.wasm", 102, shape);
        let mut host = stepped_with(&database, &modules, |mut options| {
            options.switch_when = switch_when;
            options
        })
        .await;

        host.once().await.expect("caught up");

        let case = format!("{shape}, {settings:?}, {switch_when:?}");
        assert_eq!(database.status("ledger_102").await, "Active", "{case}");
        assert_eq!(database.live(LEDGER).await.as_deref(), Some(live), "{case}");
        let store = database.store();
        let activated = admin::activate(&store, "ledger_102", Unseen::PassOver).await;
        activated.expect("wanted");
        host.once().await.expect("caught up");
        assert_eq!(
            database.live(LEDGER).await.as_deref(),
            Some("ledger_102"),
            "{case}"
        );
    }
}

#[tokio::test]
async fn run_is_told_on_its_command_line_when_versions_go_live() {
    let modules = Modules::new();
    let database = with_one_live(&modules).await;
    modules.put_ledger("second.wasm", 102, "plain");
    for (word, live) in [("activated", "ledger_101"), ("ready", "ledger_102")] {
        let host = HostProcess::start_with(database.url(), modules.path(), |command| {
            command.args(["--once", "--switch", word])
        });
        host.until_ended().await;
        assert_eq!(database.status("ledger_102").await, "Active", "{word}");
        assert_eq!(database.live(LEDGER).await.as_deref(), Some(live), "{word}");
    }
}
