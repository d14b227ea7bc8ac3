//! Files that are almost good: thousands of changed copies, and every beginning of a good one. Nothing breaks, nothing hangs,
//! and nothing is taken up that should not be.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use projectionist::guest::{CompileError, Compiler, Module, Runtime, Settings};
use projectionist::store::{EventLine, MAX_HANDLE_TIMEOUT_MS, MAX_SETUP_TIMEOUT_MS, check_stream};
use subscription::{Kind, SubscriberId};

use super::mutator::{Dice, Original, seed};
use super::raw::sections;
use crate::support::modules::bytes_of;
use crate::support::{InProcess, Modules, PATIENCE, TestDatabase, eventually};

/// The section of a component that nothing depends on.
const CUSTOM: u8 = 0;

/// Changed copies of each thing.
const MUTATIONS: usize = 10_000;

/// A file that takes longer than this hangs; a described guest that loops is ended after five seconds.
const HANGS: Duration = Duration::from_secs(30);

/// Changed copies that go the whole way, through a file, a host and the process that compiles.
const DROPPED: usize = 12;

/// Without the names at its end: without them it is as good as with them, so a beginning that has all but those is good.
fn small() -> Vec<u8> {
    let mut bytes = wat::parse_str(include_str!("small.wat")).expect("the smallest guest");
    let named = sections(&bytes);
    let meant = named.iter().rfind(|section| section.id != CUSTOM);
    let end = meant.expect("there is more than names").end;
    bytes.truncate(end);
    bytes
}

/// What a host makes of the bytes, in this process.
async fn judge(runtime: &Runtime, bytes: &[u8]) -> Result<Module, CompileError> {
    Module::load(runtime, &Compiler::in_process(), bytes).await
}

/// Whoever is taken up has an id, exports what a guest exports, and imports nothing that it may not have.
fn assert_rightly_accepted(module: &Module, what: &str) {
    let descriptor = module.descriptor();
    SubscriberId::parse(descriptor.id.as_str(), descriptor.kind)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(descriptor.clone().check().is_ok(), "{what}");
    for wanted in [
        "projectionist:guest/description@0.1.0",
        "projectionist:guest/handler@0.1.0",
    ] {
        let exports = module.exports();
        assert!(
            exports.iter().any(|export| export == wanted),
            "{what}: {exports:?}"
        );
    }
    for import in module.imports() {
        let known = import.starts_with("projectionist:") || import.starts_with("wasi:");
        let forbidden = import.starts_with("wasi:sockets") || import.starts_with("wasi:http");
        let appends =
            import.starts_with("projectionist:append") && descriptor.kind == Kind::Projector;
        assert!(known && !forbidden && !appends, "{what}: imports {import}");
    }
}

#[tokio::test]
async fn a_module_that_is_almost_good_is_judged_in_time() {
    let runtime = Runtime::new().expect("a runtime");
    let original = Original::of_component(small());
    let good = judge(&runtime, &original.bytes)
        .await
        .expect("the original");
    assert_eq!(good.descriptor().id.as_str(), "small_1");
    let mut dice = Dice::new();
    let (mut hits, mut accepted) = (0, 0);
    for number in 0..MUTATIONS {
        let (bytes, hit) = original.mutated(&mut dice);
        hits += usize::from(hit);
        let began = Instant::now();
        let judged = judge(&runtime, &bytes).await;
        let what = format!("mutation {number} of seed {}", seed());
        assert!(began.elapsed() < HANGS, "{what} hangs");
        match judged {
            Ok(module) => {
                accepted += 1;
                assert_rightly_accepted(&module, &what);
            }
            Err(CompileError::Refused(refusal)) => {
                assert!(
                    !refusal.to_string().contains("panicked"),
                    "{what}: {refusal}"
                );
            }
            Err(other) => panic!("{what}: {other}"),
        }
    }
    assert!(2 * hits >= MUTATIONS, "only {hits} hit what matters");
    assert!(accepted > 0, "some changes do no harm");
}

#[tokio::test]
async fn no_beginning_of_a_module_is_taken_for_it() {
    let runtime = Runtime::new().expect("a runtime");
    let bytes = small();
    for end in 0..bytes.len() {
        let judged = judge(&runtime, &bytes[..end]).await;
        let Err(CompileError::Refused(refusal)) = judged else {
            panic!("{end} bytes of {} are taken up", bytes.len())
        };
        assert!(
            !refusal.to_string().contains("panicked"),
            "{end}: {refusal}"
        );
    }
}

#[tokio::test]
async fn what_is_almost_good_goes_the_whole_way_and_the_good_one_runs_on() {
    let (database, modules) = (TestDatabase::new().await, Modules::with(&["records"]));
    let _host = InProcess::start(&database, &modules).await;
    let original = Original::of_component(bytes_of("records"));
    let mut dice = Dice::new();
    for number in 0..DROPPED {
        let (mut bytes, _) = original.mutated(&mut dice);
        if dice.one_in(3) {
            bytes.truncate(dice.below(bytes.len()));
        }
        modules.put_bytes(&format!("almost{number}.wasm"), &bytes);
    }
    eventually(PATIENCE * 4, async || {
        database.append_ticks(1).await;
        database.until_all_seen_once("records_1").await;
        let files = database.store().host_files().await.expect("files");
        let judged = files.len();
        (judged == DROPPED + 1).then_some(()).ok_or(judged)
    })
    .await;
    let known = database.store().subscriptions().await.expect("rows");
    // A change that does no harm leaves a second file with the id of the good one, which is refused for that.
    assert!(
        known
            .iter()
            .all(|row| row.id == "records_1" || row.status.name() != "Active")
    );
}

const SETTINGS: &str = "[settings]\nrate = 1.5\nname = \"x\"\n[limits]\nmemory-mib = 64\nhandle-timeout-ms = 100\nsetup-timeout-ms = 600000\n[retry]\nattempts = 3\nfactor = 2\nbase-ms = 100\n";

const LINE: &str = r#"{"stream": "account-1", "id": "0190a3c2-0000-7000-8000-000000000001", "type": "Opened", "data": {"a": [1, 2.5e3, null, "é\u00e9\\"]}, "metadata": {"user": "ann"}, "causation_id": null, "tags": ["a", "b:c"], "recorded_at": "2011-09-30T22:38:44.546Z"}"#;

/// Changed copies and all beginnings of a text, handed to a parser that neither breaks nor hangs.
fn parsed<T, E>(text: &str, parse: impl Fn(&str) -> Result<T, E>, check: impl Fn(T, &str)) {
    let original = Original::of_text(text);
    let mut dice = Dice::new();
    let mutated = (0..MUTATIONS).map(|_| original.mutated(&mut dice).0);
    let beginnings = (0..=text.len()).map(|end| text.as_bytes()[..end].to_vec());
    let mut accepted = 0;
    for bytes in mutated.chain(beginnings) {
        // What is no text is refused before any parser sees it.
        let Ok(changed) = String::from_utf8(bytes) else {
            continue;
        };
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| parse(&changed)));
        let outcome = outcome.unwrap_or_else(|_| panic!("seed {}: broke at {changed:?}", seed()));
        assert!(began.elapsed() < HANGS, "{changed:?}");
        if let Ok(value) = outcome {
            accepted += 1;
            check(value, &changed);
        }
    }
    assert!(accepted > 0, "the original is good");
}

#[test]
fn settings_that_are_almost_good_are_judged() {
    parsed(
        SETTINGS,
        |text| Settings::parse("small.toml", text),
        |settings, text| {
            let limits = settings.limits;
            assert!(
                (1..=MAX_HANDLE_TIMEOUT_MS).contains(&limits.handle_timeout_ms)
                    && (1..=MAX_SETUP_TIMEOUT_MS).contains(&limits.setup_timeout_ms),
                "{text:?}"
            );
        },
    );
}

#[test]
fn lines_that_are_almost_events_are_judged() {
    parsed(LINE, EventLine::parse, |line, text| {
        assert!(line.event.check().is_ok(), "{text:?}");
        let stream = line.stream.as_deref().unwrap_or("none");
        assert!(check_stream(stream).is_ok(), "{text:?}");
    });
}
