//! The horizon of a host: followed by a task while the host runs, or looked at step by step by `run --once`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::horizon_task;
use super::passing;
use super::shared::Shared;
use crate::store::{Error, Horizon, Listener, Store};

/// How long a stepped host waits for writers that hold the horizon up before it goes on with what is settled.
const WAIT_FOR_WRITERS: Duration = Duration::from_secs(10);

/// Between two looks at writers that hold the horizon up.
const PAUSE: Duration = Duration::from_millis(5);

pub(super) struct Follower {
    store: Store,
    search: Horizon,
    horizon: watch::Sender<Option<i64>>,
}

/// Follows until its host stops.
pub(super) struct Following {
    task: JoinHandle<()>,
    hints: JoinHandle<()>,
    passing: JoinHandle<()>,
    _listener: Listener,
}

impl Follower {
    /// # Errors
    /// The database cannot give a safe order, with the reason.
    pub async fn start(store: &Store) -> Result<Follower, Error> {
        store.check_preconditions().await?;
        Ok(Follower {
            store: store.clone(),
            search: Horizon::new(store.clone()),
            horizon: watch::channel(None).0,
        })
    }

    pub fn horizon(&self) -> watch::Receiver<Option<i64>> {
        self.horizon.subscribe()
    }

    /// Looks until everything that is visible now is settled, or writers have been waited for long enough.
    ///
    /// # Errors
    /// Writers that were open from the start have not ended in that time, so that nothing is known to be settled.
    pub async fn look(&mut self) -> Result<i64, super::Error> {
        let looked = self.look_until_settled().await;
        self.search.rest();
        looked
    }

    async fn look_until_settled(&mut self) -> Result<i64, super::Error> {
        let began = Instant::now();
        loop {
            let look = self.search.look().await?;
            self.horizon.send_replace(look.horizon);
            let waits = look.horizon.is_none() || !look.waiting_for.is_empty();
            let in_time = began.elapsed() < WAIT_FOR_WRITERS;
            match look.horizon {
                Some(horizon) if !look.more && (!waits || !in_time) => return Ok(horizon),
                None if !in_time => {
                    let holders: Vec<String> =
                        look.waiting_for.iter().map(ToString::to_string).collect();
                    return Err(super::Error::HeldUp {
                        holders: holders.join("; "),
                    });
                }
                _ => {}
            }
            if waits {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Follows in the background, and turns what operators ring into hints for the workers.
    pub fn spawn(&self, shared: Arc<Shared>, stop: CancellationToken) -> Following {
        let listener = self.store.listen();
        let task = horizon_task::spawn_into(
            self.store.clone(),
            listener.events(),
            self.horizon.clone(),
            Arc::clone(&shared.tail),
            Arc::clone(&shared.parked),
            stop.clone(),
        );
        let passing = tokio::spawn(passing::run(Arc::clone(&shared), stop.clone()));
        let mut control = listener.control();
        let hints = tokio::spawn(async move {
            let heard = async {
                loop {
                    control.heard().await;
                    shared.hint_changes();
                }
            };
            stop.run_until_cancelled(heard).await;
        });
        Following {
            task,
            hints,
            passing,
            _listener: listener,
        }
    }
}

impl Following {
    pub async fn ended(self) {
        let _ = self.task.await;
        let _ = self.hints.await;
        let _ = self.passing.await;
    }
}
