//! Sins that are met when a file is taken up: before anything of it has handled an event.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use projectionist::guest::{CompileError, CompileLimits, Compiler, Module, Refusal, Runtime};

use super::arena::{Arena, is_refused};
use super::raw::{replaced, with_core_module, with_import};
use crate::support::modules::{bytes_of, compiler};
use crate::support::{InProcess, Modules, PATIENCE, TestDatabase, eventually};

const LOOPS: &str = "(module (func $start (loop br 0)) (start $start))";
const TRAPS: &str = "(module (func $start unreachable) (start $start))";
const GROWS_TABLES: &str = "(module
    (table 1 funcref)
    (func $start (loop (drop (table.grow (ref.null func) (i32.const 1000))) br 0))
    (start $start))";
const LARGE_TABLE: &str = "(module (table 200000 funcref))";
const TWO_MEMORIES: &str = "(module (memory 3000) (memory 3000))";
const NOTHING: &str = "(module)";

/// Ids as long as `records_1` that nobody may have.
const HOSTILE_IDS: [&[u8]; 8] = [
    b"pg_temp_1",
    b"public_01",
    b"../../x_1",
    b"a\";DROP_1",
    b"x\x1b[310m_1",
    b"RECORDS_1",
    b"records01",
    b"pj_batch1",
];

#[tokio::test]
async fn a_loop_in_a_start_function_meets_the_deadline_of_describe() {
    let words = ["describe-timeout-ms", "5000 ms"];
    is_refused("loops in start", &with_core_module(LOOPS, 1), &words).await;
}

#[tokio::test]
async fn a_loop_in_describe_meets_its_deadline() {
    let words = ["describe-timeout-ms", "5000 ms"];
    is_refused("loops in describe", &bytes_of("loops_in_describe"), &words).await;
}

#[tokio::test]
async fn a_describe_that_sleeps_meets_its_deadline() {
    let words = ["describe-timeout-ms"];
    is_refused(
        "sleeps in describe",
        &bytes_of("sleeps_in_describe"),
        &words,
    )
    .await;
}

#[tokio::test]
async fn a_start_function_that_traps_is_refused() {
    is_refused("traps in start", &with_core_module(TRAPS, 1), &["aborted"]).await;
}

#[tokio::test]
async fn table_bombs_meet_their_limit() {
    let words = ["table-entries", "100000 entries"];
    is_refused("grows tables", &with_core_module(GROWS_TABLES, 1), &words).await;
    is_refused("large table", &with_core_module(LARGE_TABLE, 1), &words).await;
}

#[tokio::test]
async fn two_memories_count_together() {
    let words = ["memory-mib", "256 MiB"];
    is_refused("two memories", &with_core_module(TWO_MEMORIES, 1), &words).await;
}

#[tokio::test]
async fn crowds_of_memories_and_tables_are_refused() {
    let memories = format!("(module {})", "(memory 0)".repeat(17));
    let words = ["memories", "16 memories"];
    is_refused("crowd of memories", &with_core_module(&memories, 1), &words).await;
    let tables = format!("(module {})", "(table 0 funcref)".repeat(65));
    let words = ["tables", "64 tables"];
    is_refused("crowd of tables", &with_core_module(&tables, 1), &words).await;
}

#[tokio::test]
async fn a_crowd_of_instances_is_refused() {
    let words = ["core-instances", "64 instances"];
    is_refused(
        "crowd of instances",
        &with_core_module(NOTHING, 100),
        &words,
    )
    .await;
}

#[tokio::test]
async fn a_giant_descriptor_is_refused() {
    let words = ["descriptor-bytes", "65536 bytes"];
    is_refused("giant descriptor", &bytes_of("describes_at_length"), &words).await;
}

#[tokio::test]
async fn imports_of_the_outside_are_refused_by_name() {
    for name in [
        "wasi:sockets/tcp@0.2.6",
        "wasi:http/outgoing-handler@0.2.6",
        "wasi:keyvalue/store@0.2.0",
        "wasi:cli/run@0.3.0",
    ] {
        is_refused("imports of the outside", &with_import(name), &[name]).await;
    }
}

#[tokio::test]
async fn hostile_ids_are_refused_and_make_nothing() {
    let (database, modules) = (TestDatabase::new().await, Modules::new());
    for (number, id) in HOSTILE_IDS.iter().enumerate() {
        let bytes = replaced("records", "records_1", id);
        modules.put_bytes(&format!("hostile{number}.wasm"), &bytes);
    }
    let _host = InProcess::start(&database, &modules).await;

    let files = eventually(PATIENCE, async || {
        let files = database.store().host_files().await.expect("files");
        if files.len() == HOSTILE_IDS.len() {
            Ok(files)
        } else {
            Err(format!("{} files were looked into", files.len()))
        }
    })
    .await;
    for (_, file) in files {
        let reason = file
            .refusal
            .unwrap_or_else(|| panic!("{} passed", file.file));
        assert!(reason.contains("id"), "{reason}");
        assert!(!reason.contains('\u{1b}'), "{reason:?}");
    }
    let known = database.store().subscriptions().await.expect("rows");
    assert!(known.is_empty(), "{known:?}");
}

/// Machine code for a module of this kind takes many seconds and hundreds of megabytes.
fn explosive() -> Vec<u8> {
    slow_to_compile(200)
}

/// Machine code for each of its functions takes a good part of a second.
fn slow_to_compile(functions: usize) -> Vec<u8> {
    let body = "(local.set 0 (i64.add (i64.mul (local.get 0) (local.get 1)) (i64.load (i32.wrap_i64 (local.get 0)))))".repeat(3_000);
    let functions = format!("(func (param i64 i64) {body})").repeat(functions);
    with_core_module(&format!("(module (memory 1) {functions})"), 1)
}

async fn compiled(limits: CompileLimits) -> Result<Module, CompileError> {
    let runtime = Runtime::new().expect("a runtime");
    Module::load(&runtime, &compiler().limited(limits), &explosive()).await
}

#[tokio::test]
async fn a_compilation_that_takes_too_long_is_killed_and_told() {
    let began = Instant::now();
    let limits = CompileLimits {
        seconds: 1,
        ..CompileLimits::default()
    };

    let refused = compiled(limits).await.err();

    let Some(CompileError::Refused(refusal)) = refused else {
        panic!("{refused:?}")
    };
    assert!(
        matches!(refusal, Refusal::CompileTimeout { seconds: 1 }),
        "{refusal}"
    );
    assert!(refusal.to_string().contains("compile-seconds"), "{refusal}");
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn a_compilation_that_takes_too_much_memory_is_ended_and_told() {
    let limits = CompileLimits {
        memory_mib: 160,
        ..CompileLimits::default()
    };

    let refused = compiled(limits).await.err();

    let Some(CompileError::Refused(refusal)) = refused else {
        panic!("{refused:?}")
    };
    assert!(
        matches!(
            refusal,
            Refusal::CompilerDied {
                memory_mib: 160,
                ..
            }
        ),
        "{refusal}"
    );
    assert!(
        refusal.to_string().contains("compile-memory-mib"),
        "{refusal}"
    );
}

#[tokio::test]
async fn native_code_that_is_too_large_is_not_taken_over() {
    let cache = tempfile::tempdir().expect("a directory");
    let program = env!("CARGO_BIN_EXE_projectionist").into();
    let compiler = Compiler::new(program, cache.path().to_owned()).limited(CompileLimits {
        native_bytes: 10_000,
        ..CompileLimits::default()
    });
    let runtime = Runtime::new().expect("a runtime");

    let refused = Module::load(&runtime, &compiler, &bytes_of("records")).await;

    let Some(CompileError::Refused(refusal)) = refused.err() else {
        panic!("it was taken over, or the machine failed")
    };
    assert!(
        matches!(refusal, Refusal::NativeTooLarge { limit: 10_000 }),
        "{refusal}"
    );
    assert!(refusal.to_string().contains("native-bytes"), "{refusal}");
    let kept = fs::read_dir(cache.path()).expect("the cache").count();
    assert_eq!(kept, 0, "nothing of it is kept");
}

/// Five modules for one host, which compiles one after the other.
#[tokio::test]
async fn modules_that_are_slow_to_compile_delay_nobody() {
    const FILES: usize = 5;
    let cache = tempfile::tempdir().expect("a directory");
    let mut arena = Arena::open_caching(cache.path()).await;
    for number in 1..=FILES {
        let file = format!("sinner{number}.wasm");
        arena.modules.put_bytes(&file, &slow_to_compile(number));
    }
    arena
        .until_caught(async |arena| {
            // Each is a copy of a file that is there, and is told so when it is compiled.
            let files = arena.database.store().host_files().await.expect("files");
            let refused = files.iter().filter(|(_, file)| file.refusal.is_some());
            (refused.count() == FILES).then_some(())
        })
        .await;
    arena.unharmed("slow to compile", "compilers").await;
}

/// `compilers`: who asks for many modules at once does not get all of the machine.
#[tokio::test]
async fn no_more_modules_are_compiled_at_a_time_than_may_be() {
    const MODULES: usize = 5;
    let place = tempfile::tempdir().expect("a directory");
    let running = place.path().join("running");
    fs::create_dir(&running).expect("a directory");
    // Each compiler notes how many there are with it.
    let script = format!(
        "#!/bin/sh\ncd {}\n: > $$; ls | /usr/bin/wc -l >> ../counts\n{} \"$@\"\nstatus=$?; rm $$; exit $status\n",
        running.display(),
        env!("CARGO_BIN_EXE_projectionist")
    );
    let program = place.path().join("compiler");
    fs::write(&program, script).expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).expect("made executable");
    let compiler = Compiler::new(program, place.path().join("cache"));
    let runtime = Runtime::new().expect("a runtime");

    let modules: Vec<Vec<u8>> = (1..=MODULES).map(slow_to_compile).collect();
    let loads = modules
        .iter()
        .map(|bytes| Module::load(&runtime, &compiler, bytes));
    for loaded in futures_util::future::join_all(loads).await {
        loaded.expect("a guest");
    }

    let counts = fs::read_to_string(place.path().join("counts")).expect("counts");
    let counts: Vec<usize> = counts
        .lines()
        .filter_map(|line| line.trim().parse().ok())
        .collect();
    assert_eq!(counts.len(), MODULES);
    assert_eq!(counts.iter().max(), Some(&2), "{counts:?}");
}
