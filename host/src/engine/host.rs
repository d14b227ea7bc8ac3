//! A host: one engine over one database and one directory of modules.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use subscription::{Keep, RetryPolicies, SwitchWhen};
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::catalog::Catalog;
use super::follower::Follower;
use super::frozen::Frozen;
use super::intake::{Intake, Settled};
use super::notice::{Notice, Thrown};
use super::shared::Shared;
use super::switch;
use super::watch::FileHints;
use super::worker;
use crate::guest::{Compiler, Runtime};
use crate::store::{self, LaneKey, Store, Walls};

/// How often the directory is looked at without a hint: for network file systems, containers, and lost events.
pub const DEFAULT_RESCAN: Duration = Duration::from_secs(3);

/// Between two looks at a file that is being written.
const STABLE_AFTER: Duration = Duration::from_millis(20);

/// How often a host says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// How long a stopping host waits for open batches before it gives them up.
pub const DEFAULT_DRAIN: Duration = Duration::from_secs(10);

/// Whether file events are used as hints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    Events,
    RescanOnly,
}

/// What a host does about a failure of a guest, besides writing it down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It goes on: the failure is tried again by its policy.
    #[default]
    GoOn,
    /// It ends with it, which is for development.
    Throw,
}

/// How a host is run.
#[derive(Clone, Debug)]
pub struct Options {
    pub modules: PathBuf,
    pub compiler: Compiler,
    pub watch: Watch,
    pub rescan: Duration,
    pub drain: Duration,
    /// How failures are tried again, where a guest has no policy of its own.
    pub retry: RetryPolicies,
    pub on_failure: OnFailure,
    /// When a version that has caught up goes live, unless its guest or its settings say.
    pub switch_when: SwitchWhen,
    /// What is kept of earlier versions, unless the live one or its settings say.
    pub keep: Keep,
    /// What `status` calls this host.
    pub name: String,
}

impl Options {
    /// The defaults for a directory of modules and a compiler.
    pub fn new(modules: &Path, compiler: Compiler) -> Options {
        Options {
            modules: modules.to_owned(),
            compiler,
            watch: Watch::Events,
            rescan: DEFAULT_RESCAN,
            drain: DEFAULT_DRAIN,
            retry: RetryPolicies::default(),
            on_failure: OnFailure::GoOn,
            switch_when: SwitchWhen::default(),
            keep: Keep::default(),
            name: format!("pid {}", std::process::id()),
        }
    }
}

/// Why a host does not start or stops.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the WebAssembly engine cannot be started on this machine")]
    Runtime(#[source] anyhow::Error),
    #[error(
        "the log cannot be read yet: {holders}; end the transaction if it is stuck, and run this again"
    )]
    HeldUp { holders: String },
    #[error(transparent)]
    Thrown(Box<Thrown>),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// An engine with its directory. It can be stepped, or run until it is told to stop.
pub struct Host {
    pub(super) shared: Arc<Shared>,
    intake: Intake,
    options: Options,
    pub(super) follower: Follower,
}

impl Host {
    /// Prepares a host; nothing is read from the directory yet.
    ///
    /// # Errors
    /// The database is out of reach, is not migrated, or cannot give a safe order (a replica, a cached sequence).
    pub async fn start(store: Store, options: Options) -> Result<Host, Error> {
        let runtime = Runtime::new().map_err(|error| Error::Runtime(error.into()))?;
        let follower = Follower::start(&store).await?;
        raise_walls(&store).await?;
        let catalog = Catalog::new(runtime, options.compiler.clone());
        let shared = Shared::new(store, catalog, Uuid::new_v4(), &options, follower.horizon());
        let intake = Intake::new(Arc::clone(&shared), options.modules.clone());
        Ok(Host {
            shared,
            intake,
            options,
            follower,
        })
    }

    /// What happens in this host from now on.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.shared.notices()
    }

    /// Moves the clock by which retries are due. For tests; nothing else looks at it.
    pub fn advance_clock(&self, by: Duration) {
        self.shared.clock_ahead_ms.fetch_add(
            i64::try_from(by.as_millis()).unwrap_or(i64::MAX),
            Ordering::Relaxed,
        );
        self.shared.hint_changes();
    }

    /// Looks at the directory until every file in it has been judged.
    pub async fn scan(&mut self) -> Result<(), Error> {
        self.keep_alive().await?;
        self.follower.look().await?;
        while self.intake.scan().await? == Settled::NotYet {
            tokio::time::sleep(STABLE_AFTER).await;
        }
        Ok(())
    }

    /// Runs until `stop` is cancelled; then open batches end, one way or the other, within the drain limit.
    ///
    /// # Errors
    /// The database is out of reach at the start; later only [`Error::Thrown`], of a host that ends with the first failure.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Error> {
        let stop = stop.child_token();
        self.keep_alive().await?;
        let following = self.follower.spawn(Arc::clone(&self.shared), stop.clone());
        let mut hints = match self.options.watch {
            Watch::Events => FileHints::watching(&self.options.modules),
            Watch::RescanOnly => FileHints::none(),
        };
        let alive = tokio::spawn(heartbeat(
            Arc::clone(&self.shared),
            self.options.clone(),
            stop.clone(),
        ));
        let switching = tokio::spawn(switch::run(Arc::clone(&self.shared), stop.clone()));
        let mut workers = Workers::new(Arc::clone(&self.shared), stop.clone());
        let mut changes = self.shared.changes.subscribe();
        let mut problems = 0_u32;
        while !stop.is_cancelled() {
            hints.register();
            changes.mark_unchanged();
            let began = Instant::now();
            let pause = match self.look(&mut workers).await {
                Ok(Settled::Yes) => {
                    problems = 0;
                    self.options.rescan
                }
                Ok(Settled::NotYet) => STABLE_AFTER.saturating_sub(began.elapsed()),
                Err(error) => {
                    problems += 1;
                    tracing::warn!(
                        "looking at modules and subscriptions failed and is tried again: {:#}",
                        anyhow::Error::from(error)
                    );
                    Duration::from_millis(subscription::unavailable_delay_ms(problems).max(100))
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = hints.next() => {}
                _ = changes.changed() => {}
                () = self.shared.until_thrown() => stop.cancel(),
                () = stop.cancelled() => {}
            }
        }
        workers.drain(self.options.drain).await;
        let _ = alive.await;
        let _ = switching.await;
        following.ended().await;
        self.leave().await;
        self.check_thrown()
    }

    /// The failure that this host was told to end with.
    pub(super) fn check_thrown(&self) -> Result<(), Error> {
        match self.shared.thrown() {
            Some(thrown) => Err(Error::Thrown(Box::new(thrown.clone()))),
            None => Ok(()),
        }
    }

    /// One look at the directory and at the rows.
    async fn look(&mut self, workers: &mut Workers) -> Result<Settled, Error> {
        if self.shared.horizon.borrow().is_none() {
            // Nothing can be registered before the horizon is known; what is there already can run.
            workers.keep_up().await?;
            return Ok(Settled::NotYet);
        }
        let settled = self.intake.scan().await?;
        workers.keep_up().await?;
        Ok(settled)
    }

    pub(super) async fn keep_alive(&self) -> Result<(), Error> {
        keep_alive(&self.shared, &self.options)
            .await
            .map_err(Error::from)
    }

    pub(super) async fn leave(&self) {
        if let Err(error) = self.shared.store.delete_host(self.shared.host).await {
            tracing::debug!("the host could not say that it leaves: {error}");
        }
    }
}

/// Gives every subscription its roles, or says that guests run without.
async fn raise_walls(store: &Store) -> Result<(), Error> {
    if store.walls() == Walls::None {
        tracing::warn!(
            "the SQL of guests runs with all rights of the host's own database role (--without-roles): run guests that you trust"
        );
    }
    for subscription in store.raise_walls().await? {
        tracing::info!(
            subscription,
            "{subscription} has database roles of its own now"
        );
    }
    Ok(())
}

/// One task for each lane that there is.
struct Workers {
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: JoinSet<LaneKey>,
    running: HashMap<LaneKey, tokio::task::Id>,
}

impl Workers {
    fn new(shared: Arc<Shared>, stop: CancellationToken) -> Workers {
        Workers {
            shared,
            stop,
            tasks: JoinSet::new(),
            running: HashMap::new(),
        }
    }

    /// Starts workers for lanes that have none: new ones, and those whose worker ended or broke.
    async fn keep_up(&mut self) -> Result<(), store::Error> {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            let id = match &ended {
                Ok((id, _)) => *id,
                Err(error) => error.id(),
            };
            if let Err(error) = ended {
                tracing::error!("a worker broke and is started again; this is a bug: {error}");
            }
            self.running.retain(|_, task| *task != id);
        }
        for lane in self.shared.store.lanes(None).await? {
            if !self.running.contains_key(&lane.key) {
                let (shared, key, stop) = (
                    Arc::clone(&self.shared),
                    lane.key.clone(),
                    self.stop.clone(),
                );
                let task = self.tasks.spawn(async move {
                    worker::run(shared, key.clone(), stop).await;
                    key
                });
                self.running.insert(lane.key, task.id());
            }
        }
        Ok(())
    }

    /// Waits for open batches, and gives up what is still open after `limit`: it is rolled back.
    async fn drain(&mut self, limit: Duration) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(limit, all).await.is_err() {
            tracing::warn!(
                limit_ms = limit.as_millis() as u64,
                "open batches did not end in time and are rolled back"
            );
            self.tasks.shutdown().await;
        }
    }
}

async fn heartbeat(shared: Arc<Shared>, options: Options, stop: CancellationToken) {
    let (frozen, mut beats) = (Frozen::new(), 0_u32);
    while !stop.is_cancelled() {
        if let Err(error) = keep_alive(&shared, &options).await {
            tracing::debug!("the host could not say that it is alive: {error}");
        }
        beats = beats.wrapping_add(1);
        frozen.look(&shared, beats).await;
        tokio::select! {
            () = tokio::time::sleep(HEARTBEAT) => {}
            () = stop.cancelled() => {}
        }
    }
}

async fn keep_alive(shared: &Shared, options: &Options) -> Result<(), store::Error> {
    shared
        .store
        .keep_host(
            shared.host,
            &options.name,
            &options.modules.display().to_string(),
        )
        .await?;
    let hosts = shared.store.hosts().await?;
    shared.has_company.store(
        hosts.iter().any(|host| host.id != shared.host),
        Ordering::Relaxed,
    );
    Ok(())
}
