//! Hosts: the real binary, one inside the test's process, and one that a test takes step by step.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use projectionist::engine::{self, Host, Notice, Options};
use projectionist::store::{DEFAULT_CONNECTIONS, Store};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::modules::{Modules, cache_dir, compiler};
use super::{PATIENCE, TestDatabase, eventually};

/// `projectionist run`. Killed when it is dropped.
pub struct HostProcess {
    child: Child,
    said: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl HostProcess {
    pub fn start(database: &TestDatabase, modules: &Modules) -> HostProcess {
        HostProcess::start_with(database, modules, &[])
    }

    pub fn start_with(
        database: &TestDatabase,
        modules: &Modules,
        arguments: &[&str],
    ) -> HostProcess {
        let mut child = Command::new(env!("CARGO_BIN_EXE_projectionist"))
            .arg("run")
            .arg("--modules")
            .arg(modules.path())
            .arg("--cache-dir")
            .arg(cache_dir())
            .args(["--database-url", database.url()])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("started");
        let said = Arc::new(Mutex::new(String::new()));
        let readers = vec![
            collect(child.stdout.take().expect("piped"), Arc::clone(&said)),
            collect(child.stderr.take().expect("piped"), Arc::clone(&said)),
        ];
        HostProcess {
            child,
            said,
            readers,
        }
    }

    /// All that it said so far.
    pub fn said(&self) -> String {
        self.said.lock().expect("nobody panicked").clone()
    }

    /// Waits until it has said something with these words.
    pub async fn says(&self, words: &str) {
        eventually(PATIENCE, async || {
            let said = self.said();
            if said.contains(words) {
                Ok(())
            } else {
                Err(format!("it did not say {words:?}, but:\n{said}"))
            }
        })
        .await;
    }

    /// SIGTERM: it is to end by itself.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGKILL, and waits until it is gone.
    pub async fn kill(mut self) {
        self.signal(Signal::KILL);
        self.child.wait().await.expect("ended");
    }

    /// How it ended, and all that it said.
    pub async fn ended(mut self, limit: Duration) -> (ExitStatus, String) {
        match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(status) => {
                for reader in std::mem::take(&mut self.readers) {
                    reader.await.expect("read to the end");
                }
                (status.expect("ended"), self.said())
            }
            Err(_) => panic!("it did not end within {limit:?}; it said:\n{}", self.said()),
        }
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.id().expect("it has not been waited for");
        let pid = Pid::from_raw(id.cast_signed()).expect("a process id is not 0");
        kill_process(pid, signal).expect("signalled");
    }
}

fn collect(
    from: impl AsyncRead + Unpin + Send + 'static,
    to: Arc<Mutex<String>>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut said = to.lock().expect("nobody panicked");
            said.push_str(&line);
            said.push('\n');
        }
    })
}

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
        let host = Host::start(store(database).await, options)
            .await
            .expect("a host");
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
    let options = Options::new(modules.path(), compiler());
    Host::start(store(database).await, options)
        .await
        .expect("a host")
}

/// A pool of the host's own, as it has in life.
async fn store(database: &TestDatabase) -> Store {
    Store::connect(database.url(), DEFAULT_CONNECTIONS)
        .await
        .expect("a connection to the test database")
}
