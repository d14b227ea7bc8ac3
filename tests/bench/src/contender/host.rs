//! This host as a library, with the modules of a directory.

use std::path::Path;

use anyhow::Context as _;
use projectionist::engine::{Host, Notice, Options};
use projectionist::guest::Compiler;
use projectionist::store::{DEFAULT_CONNECTIONS, Store};
use subscription::Status;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::{begin, say_ready};
use crate::machine::Usage;
use crate::sample::Sample;

/// Runs until the one subscription of the directory is at the head. Compiling and `setup` are not measured: the native
/// programs have their tables and statements ready too.
pub async fn catch_up(url: &str, modules: &Path, cache: &Path) -> anyhow::Result<Sample> {
    let (store, mut host) = start(url, modules, cache).await?;
    let head = store.head().await?;
    host.scan().await?;
    let mut notices = host.notices();
    let stop = CancellationToken::new();
    let running = tokio::spawn(host.run(stop.clone()));
    let mut began: Option<Usage> = None;
    let mut handled = 0;
    let sample = loop {
        let notice = match notices.recv().await {
            Ok(notice) => notice,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => anyhow::bail!("the host stopped"),
        };
        match notice {
            Notice::Status {
                status: Status::Booting,
                ..
            } => began = Some(begin()?),
            Notice::Committed {
                events, position, ..
            } => {
                handled += events as u64;
                if position >= head {
                    let began = began.context("booting was not seen to begin")?;
                    break Sample::since(&began, handled)?;
                }
            }
            Notice::Failed { message, .. } => anyhow::bail!("the guest failed: {message}"),
            Notice::Refused { file, reason } => anyhow::bail!("{file} is refused: {reason}"),
            _ => {}
        }
    };
    stop.cancel();
    running.await??;
    Ok(sample)
}

/// Catches up and leaves.
pub async fn once(url: &str, modules: &Path, cache: &Path) -> anyhow::Result<Sample> {
    let (_, mut host) = start(url, modules, cache).await?;
    let began = begin()?;
    host.once().await?;
    Sample::since(&began, 0)
}

/// Runs until told otherwise.
pub async fn live(
    url: &str,
    modules: &Path,
    cache: &Path,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<Sample> {
    let (_, host) = start(url, modules, cache).await?;
    run_until(host, stop).await
}

/// The same; what is measured begins when all modules are loaded.
pub async fn fan_out(
    url: &str,
    modules: &Path,
    cache: &Path,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<Sample> {
    let (_, mut host) = start(url, modules, cache).await?;
    host.scan().await?;
    say_ready();
    run_until(host, stop).await
}

async fn run_until(host: Host, stop: impl Future<Output = ()>) -> anyhow::Result<Sample> {
    let began = begin()?;
    let cancel = CancellationToken::new();
    let running = tokio::spawn(host.run(cancel.clone()));
    stop.await;
    let sample = Sample::since(&began, 0)?;
    cancel.cancel();
    running.await??;
    Ok(sample)
}

async fn start(url: &str, modules: &Path, cache: &Path) -> anyhow::Result<(Store, Host)> {
    let store = Store::connect(url, DEFAULT_CONNECTIONS).await?;
    let compiler = Compiler::new(std::env::current_exe()?, cache.to_owned());
    let host = Host::start(store.clone(), Options::new(modules, compiler)).await?;
    Ok((store, host))
}
