//! `reload`: from a file that is put into the directory to the first event that its code has handled. And `start`: from the
//! start of a host to its first event.

use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use super::modules;
use super::wait::Watcher;
use crate::Bench;
use crate::contender::{self, Contender};
use crate::report::Report;
use crate::sample::median;

const ROUNDS: u32 = 7;

/// Guests beside the one whose first event is waited for.
const WAITING: u8 = 19;

/// Events come so often while a guest is replaced.
const APPEND_EVERY: Duration = Duration::from_millis(3);

const PATIENCE: Duration = Duration::from_secs(60);

const HAPPENED: &str = r#"[{"type":"Happened","data":{}}]"#;
const OPENED: &str =
    r#"[{"type":"AccountOpened","data":{"account":"000001","owner":"Ada Lovelace"}}]"#;

pub async fn reload(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let (mut compiled, mut cached) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds(ROUNDS) {
        let modules = tempfile::tempdir()?;
        put(bench, &modules, "records", &[])?;
        let database = bench.server.empty("reload").await?;
        let url = bench.server.url_of(&database);
        let host = contender::start(bench, Contender::HostLive, &url, modules.path())?;
        let mut watcher = Watcher::connect(&url).await?;
        watcher.until_active(1).await?;
        first_by(&mut watcher, "a").await?;

        // Bytes that no cache has: a section of its own, which says nothing.
        let nonce = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        let began = put(bench, &modules, "records_changed", &nonce.to_le_bytes())?;
        first_by(&mut watcher, "b").await?;
        compiled.push(began.elapsed().as_secs_f64() * 1_000.0);

        let began = put(bench, &modules, "records", &[])?;
        watcher.execute("DELETE FROM records_1.seen").await?;
        first_by(&mut watcher, "a").await?;
        cached.push(began.elapsed().as_secs_f64() * 1_000.0);

        host.finish(bench).await?;
        watcher.close().await?;
        bench.server.drop(&database).await?;
    }
    eprintln!("reload    compiled {compiled:.0?} ms, cached {cached:.0?} ms");
    report.figure("reload_ms", median(compiled));
    report.figure("reload_cached_ms", median(cached));
    Ok(())
}

pub async fn start(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let modules = modules::with(bench, "accounts")?;
    modules::add_waiting(bench, &modules, WAITING)?;
    let database = bench.server.empty("start").await?;
    let url = bench.server.url_of(&database);
    let mut watcher = Watcher::connect(&url).await?;
    let mut times = Vec::new();
    // The first one sets up and compiles.
    for round in 0..=bench.rounds(ROUNDS) {
        let position = watcher.append("account-000001", OPENED).await?;
        let began = Instant::now();
        let host = contender::start(bench, Contender::HostLive, &url, modules.path())?;
        let seen = format!("SELECT max(last_position) >= {position} FROM accounts_1.account");
        watcher.until("the event is handled", &seen).await?;
        if round > 0 {
            times.push(began.elapsed().as_secs_f64() * 1_000.0);
        }
        watcher.until_active(1 + usize::from(WAITING)).await?;
        host.finish(bench).await?;
    }
    watcher.close().await?;
    bench.server.drop(&database).await?;
    eprintln!("start     {times:.0?} ms");
    report.figure("start_ms", median(times));
    Ok(())
}

/// Puts a guest's file where the host looks, in one step.
fn put(bench: &Bench, modules: &TempDir, guest: &str, nonce: &[u8]) -> anyhow::Result<Instant> {
    let mut bytes = fs::read(bench.guest(guest))?;
    if !nonce.is_empty() {
        let name = b"nonce";
        let length = u8::try_from(1 + name.len() + nonce.len())?;
        bytes.extend([0, length, u8::try_from(name.len())?]);
        bytes.extend(name);
        bytes.extend(nonce);
    }
    let new = modules.path().join(".records.new");
    fs::write(&new, bytes)?;
    let began = Instant::now();
    fs::rename(new, modules.path().join("records.wasm"))?;
    Ok(began)
}

/// Appends until an event has been handled by the code with this name.
async fn first_by(watcher: &mut Watcher, code: &str) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        watcher.append("thing-1", HAPPENED).await?;
        if watcher.is_seen(code).await? {
            return Ok(());
        }
        anyhow::ensure!(
            began.elapsed() < PATIENCE,
            "no event was handled by the code {code}"
        );
        tokio::time::sleep(APPEND_EVERY).await;
    }
}
