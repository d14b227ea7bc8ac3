//! `projectionist run`: the host.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use subscription::{BadRetry, Keep, RetryPolicies, SwitchWhen};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::database::{DatabaseArguments, Opened, open};
use super::log;
use super::output::{Exit, Refusal};
use super::{once, presenter};
use crate::admin::sample;
use crate::embedded;
use crate::engine::{self, Host, OnFailure, Options, Watch};
use crate::guest::Compiler;

/// Run the host: take up the modules of a directory, build their read models and keep them up to date.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// The directory of modules. A guest's settings are in NAME.toml beside NAME.wasm.
    #[arg(
        long,
        env = "PROJECTIONIST_MODULES",
        value_name = "DIR",
        default_value = "./modules"
    )]
    pub modules: PathBuf,
    /// Catch up with everything that is there and leave. Exit code 1 if a subscription is in error then.
    #[arg(long)]
    pub once: bool,
    /// With --once: at most so many events for each subscription; the next run goes on behind them.
    #[arg(long, value_name = "N", requires = "once", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// With --once: only this subscription. May be repeated: any of them.
    #[arg(long, value_name = "ID", requires = "once")]
    pub id: Vec<String>,
    /// With --once: only subscriptions of this group. May be repeated: any of them. With --id, both must fit.
    #[arg(long, value_name = "GROUP", requires = "once")]
    pub group: Vec<String>,
    /// With --once: print what came of each subscription as lines of JSON, for programs.
    #[arg(long, requires = "once")]
    pub json: bool,
    /// When the event log is empty, fill it with made-up loan applications first.
    #[arg(long)]
    pub sample: bool,
    /// Do not use file events; changes of the directory are found by looking every few seconds.
    #[arg(long)]
    pub no_watch: bool,
    /// Where compiled modules are kept. Default: in the data directory of this user.
    #[arg(long, env = "PROJECTIONIST_CACHE_DIR", value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
    /// Connections that are open at most for the SQL of guests, each as the role of its subscription. The one that was not used
    /// for longest makes room for another. Default: a third of what the server accepts, but 24 at least and 128 at most.
    #[arg(long, env = "PROJECTIONIST_ROLE_CONNECTIONS", value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub role_connections: Option<u32>,
    /// How failures are tried again: none, or some of base=5s,factor=2,attempts=5,jitter=0%, for all subscriptions or, as
    /// GROUP:POLICY, for those of a group. Repeatable. A guest's own NAME.toml goes first.
    #[arg(
        long,
        env = "PROJECTIONIST_RETRY",
        value_name = "[GROUP:]POLICY",
        value_delimiter = ';',
        value_parser = retry
    )]
    pub retry: Vec<String>,
    /// For development: end with the first failure of a guest, show all of it, and exit with 1.
    #[arg(long)]
    pub throw: bool,
    /// When a new version goes live that has caught up: as soon as it has, or when it is activated. A guest, or its settings
    /// (switch under [versions]), may say otherwise.
    #[arg(long, value_name = "WHEN", default_value = "ready", value_parser = switch_when)]
    pub switch: SwitchWhen,
    /// What is kept of the versions before the live one: all, a number of them, or a time such as 12h or 7d. A guest, or its
    /// settings (keep under [versions]), may say otherwise.
    #[arg(long, value_name = "WHAT", default_value_t = Keep::All)]
    pub keep_versions: Keep,
    /// How long a host that is told to stop waits for its open batches.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub drain: u64,
}

const AFTER_HELP: &str = "\
The database is migrated if need be. SIGTERM and ctrl-c end the host: open batches commit or roll back.
A second host on the same database shares the work: give both the same --database-url.
The SQL of each guest runs as database roles of its own, which the host makes: its database user needs CREATEROLE and
CREATE on the database. With --without-roles it runs as the host's own user: for guests that you trust with all of that.

Examples:
  projectionist run --sample                        try it, with an event log made up
  projectionist run --modules /srv/modules --database-url postgres://app@db/app
  projectionist run --once                          catch up and leave, for schedulers and tests
  projectionist run --throw                         while you write a guest: stop at its first failure
  projectionist run --retry attempts=10 --retry billing:base=1m,factor=1 --retry reports:none";

/// Applications in a sample log: about twenty events each.
const SAMPLE_APPLICATIONS: u32 = 1_000;

const SAMPLE_SEED: u64 = 1;

pub async fn run(arguments: Arguments, database: &DatabaseArguments) -> anyhow::Result<()> {
    log::begin();
    // From the first moment on: a host that is told to stop while it starts leaves as orderly as any other.
    let stop = stop_on_signals()?;
    check_modules(&arguments)?;
    let Some(opened) = stop.run_until_cancelled(open_for_host(database)).await else {
        return Ok(());
    };
    let opened = opened?.with_walls(database.walls(), arguments.role_connections);
    let result = run_on(&arguments, &opened, &stop).await;
    let closed = opened.close().await;
    result.and(closed)
}

/// Cancelled by SIGTERM and by ctrl-c.
fn stop_on_signals() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let cancelled = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        cancelled.cancel();
    });
    Ok(stop)
}

async fn run_on(
    arguments: &Arguments,
    opened: &Opened,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let Some(host) = stop.run_until_cancelled(prepare(arguments, opened)).await else {
        return Ok(());
    };
    if arguments.once {
        // Given up in the middle, open batches are rolled back.
        let done = stop
            .run_until_cancelled(once::run(host?, arguments, opened))
            .await;
        return done.unwrap_or(Ok(()));
    }
    serve(host?, arguments, opened, stop).await
}

async fn prepare(arguments: &Arguments, opened: &Opened) -> anyhow::Result<Host> {
    opened.store.migrate().await?;
    if arguments.sample && opened.store.head().await? == 0 {
        let written =
            sample::import(&opened.store, SAMPLE_APPLICATIONS, SAMPLE_SEED, |_| {}).await?;
        println!(
            "the event log was empty: {} made-up events of {SAMPLE_APPLICATIONS} loan applications are in it now",
            written.imported
        );
    }
    Ok(Host::start(opened.store.clone(), options(arguments, opened)?).await?)
}

fn check_modules(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.modules.is_dir() {
        return Ok(());
    }
    let modules = arguments.modules.display();
    Err(Refusal {
        what: format!("there is no directory {modules}"),
        because: Vec::new(),
        hint: Some(format!(
            "make it and put modules there (mkdir -p {modules}), or name another with --modules"
        )),
        exit: Exit::Usage,
    }
    .into())
}

/// The private server belongs to one host at a time: it stops with that host.
async fn open_for_host(database: &DatabaseArguments) -> anyhow::Result<Opened> {
    match &database.database_url {
        Some(_) => open(database).await,
        None => Opened::private(embedded::Attach::Refused).await,
    }
}

/// Refuses what is no policy, with the reason.
fn retry(text: &str) -> Result<String, BadRetry> {
    RetryPolicies::default().change(text)?;
    Ok(text.to_owned())
}

fn retries(arguments: &Arguments) -> anyhow::Result<RetryPolicies> {
    let mut policies = RetryPolicies::default();
    for text in &arguments.retry {
        policies.change(text)?;
    }
    Ok(policies)
}

fn options(arguments: &Arguments, opened: &Opened) -> anyhow::Result<Options> {
    let program = std::env::current_exe()
        .context("finding the projectionist binary, which compiles modules")?;
    let cache = match &arguments.cache_dir {
        Some(directory) => directory.clone(),
        None => opened.cache_dir()?,
    };
    Ok(Options {
        watch: if arguments.no_watch {
            Watch::RescanOnly
        } else {
            Watch::Events
        },
        drain: Duration::from_secs(arguments.drain),
        retry: retries(arguments)?,
        on_failure: if arguments.throw {
            OnFailure::Throw
        } else {
            OnFailure::GoOn
        },
        switch_when: arguments.switch,
        keep: arguments.keep_versions,
        ..Options::new(&arguments.modules, Compiler::new(program, cache))
    })
}

fn switch_when(text: &str) -> Result<SwitchWhen, String> {
    match text {
        "ready" => Ok(SwitchWhen::Ready),
        "activated" => Ok(SwitchWhen::Activated),
        _ => Err("it is `ready` or `activated`".to_owned()),
    }
}

async fn serve(
    host: Host,
    arguments: &Arguments,
    opened: &Opened,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let presenter = presenter::Presenter::begin(&arguments.modules, opened).await?;
    let presenting = tokio::spawn(presenter.follow(host.notices(), stop.clone()));
    let mut running = tokio::spawn(host.run(stop.clone()));
    let ended = tokio::select! {
        ended = &mut running => ended,
        () = stop.cancelled() => {
            println!("stopping: open batches commit or roll back");
            running.await
        }
    };
    stop.cancel();
    presenting.await?;
    ended
        .context("the host broke; this is a bug")?
        .map_err(shown)
}

/// A failure that ended the host, with all that helps to find its cause.
pub fn shown(error: engine::Error) -> anyhow::Error {
    let engine::Error::Thrown(thrown) = error else {
        return error.into();
    };
    let mut because = vec![thrown.message.clone()];
    let traced = thrown.backtrace.as_ref();
    because.extend(traced.map(|backtrace| format!("backtrace:\n{backtrace}")));
    let wrote = thrown.output.as_ref();
    because.extend(wrote.map(|output| format!("the guest wrote:\n{output}")));
    Refusal {
        what: thrown.to_string(),
        because,
        hint: Some(format!(
            "mend the guest and run it again; the error is kept, and `projectionist status --id {}` shows it",
            thrown.subscription
        )),
        exit: Exit::Failed,
    }
    .into()
}
