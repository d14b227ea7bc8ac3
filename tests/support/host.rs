//! Hosts inside a test's process: one that runs, and one that a test takes step by step.

use projectionist::engine::{self, Host, Notice, Options};
use projectionist::store::{DEFAULT_CONNECTIONS, Store};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::modules::{Modules, compiler};
use super::{PATIENCE, TestDatabase};

/// A host that runs inside this process. Told to stop when it is dropped.
pub struct InProcess {
    stop: CancellationToken,
    task: Option<JoinHandle<Result<(), engine::Error>>>,
    notices: broadcast::Receiver<Notice>,
}

impl InProcess {
    pub async fn start(database: &TestDatabase, modules: &Modules) -> InProcess {
        InProcess::start_with(database, modules, |options| options).await
    }

    pub async fn start_with(
        database: &TestDatabase,
        modules: &Modules,
        change: impl FnOnce(Options) -> Options,
    ) -> InProcess {
        let options = change(Options::new(modules.path(), compiler()));
        InProcess::run(store(database.url()).await, options).await
    }

    /// Over another way to the database than a test's own.
    pub async fn start_at(url: &str, modules: &Modules) -> InProcess {
        let options = Options::new(modules.path(), compiler());
        InProcess::run(store(url).await, options).await
    }

    async fn run(store: Store, options: Options) -> InProcess {
        let host = Host::start(store, options).await.expect("a host");
        let notices = host.notices();
        let stop = CancellationToken::new();
        let task = Some(tokio::spawn(host.run(stop.clone())));
        InProcess {
            stop,
            task,
            notices,
        }
    }

    /// What happened since the last time this was asked.
    pub fn noticed(&mut self) -> Vec<Notice> {
        let mut noticed = Vec::new();
        loop {
            match self.notices.try_recv() {
                Ok(notice) => noticed.push(notice),
                Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(_) => return noticed,
            }
        }
    }

    pub async fn stop(mut self) {
        self.stop.cancel();
        let task = self.task.take().expect("stopped once");
        tokio::time::timeout(PATIENCE, task)
            .await
            .expect("it stops in time")
            .expect("it does not panic")
            .expect("it stops well");
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A host that does nothing until it is told: [`Host::scan`], [`Host::once`].
pub async fn stepped(database: &TestDatabase, modules: &Modules) -> Host {
    stepped_with(database, modules, |options| options).await
}

/// The same with other options.
pub async fn stepped_with(
    database: &TestDatabase,
    modules: &Modules,
    change: impl FnOnce(Options) -> Options,
) -> Host {
    let options = change(Options::new(modules.path(), compiler()));
    Host::start(store(database.url()).await, options)
        .await
        .expect("a host")
}

/// A pool of the host's own, as it has in life.
async fn store(url: &str) -> Store {
    Store::connect(url, DEFAULT_CONNECTIONS)
        .await
        .expect("a connection to the test database")
}
