//! What the parts of one host share: handles that are cheap to clone, and nothing that needs a lock for long.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use subscription::{Keep, RetryPolicies, SwitchWhen};
use tokio::sync::{Semaphore, broadcast, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::carried::KEPT_ROWS_KIB;
use super::catalog::Catalog;
use super::host::{OnFailure, Options};
use super::notice::{Notice, Thrown};
use super::parked::Parked;
use super::ready::Waiting;
use super::revisions::Revisions;
use super::tail::Tail;
use super::turns::Turns;
use crate::store::{self, Store};

/// Notices kept for a slow reader before it misses some.
const NOTICES: usize = 1_024;

pub(super) struct Shared {
    pub store: Store,
    pub catalog: Catalog,
    pub host: Uuid,
    pub retry: RetryPolicies,
    /// When versions go live whose guest and settings do not say.
    pub switch_when: SwitchWhen,
    /// What is kept of earlier versions, if the live one does not say.
    pub keep: Keep,
    /// Everything up to here is settled. None until the horizon has been seen once.
    pub horizon: watch::Receiver<Option<i64>>,
    /// "Look again": rows of subscriptions or modules have changed, by whomever.
    pub changes: watch::Sender<u64>,
    /// Which rows they were.
    revisions: Revisions,
    pub turns: Turns,
    /// Room for rows that lanes keep between batches, in KiB.
    pub kept_rows: Arc<Semaphore>,
    /// Instances that wait for their batches.
    pub waiting: Waiting,
    /// The newest events, for lanes that follow the head.
    pub tail: Arc<Tail>,
    /// Lanes that have nothing to do until something comes.
    pub parked: Arc<Parked>,
    /// Another host is alive: lanes are shared fairly with it.
    pub has_company: AtomicBool,
    /// Tests move the clock of retries; nobody else does.
    pub clock_ahead_ms: AtomicI64,
    on_failure: OnFailure,
    /// The failure that ends this host, and the word that it has happened.
    thrown: OnceLock<Thrown>,
    thrown_at_all: CancellationToken,
    notices: broadcast::Sender<Notice>,
}

impl Shared {
    pub fn new(
        store: Store,
        catalog: Catalog,
        host: Uuid,
        options: &Options,
        horizon: watch::Receiver<Option<i64>>,
    ) -> Arc<Shared> {
        Arc::new(Shared {
            store,
            catalog,
            host,
            retry: options.retry.clone(),
            switch_when: options.switch_when,
            keep: options.keep,
            horizon,
            changes: watch::channel(0).0,
            revisions: Revisions::default(),
            turns: Turns::new(),
            kept_rows: Arc::new(Semaphore::new(KEPT_ROWS_KIB)),
            waiting: Waiting::default(),
            tail: Arc::default(),
            parked: Arc::default(),
            has_company: AtomicBool::new(false),
            clock_ahead_ms: AtomicI64::new(0),
            on_failure: options.on_failure,
            thrown: OnceLock::new(),
            thrown_at_all: CancellationToken::new(),
            notices: broadcast::channel(NOTICES).0,
        })
    }

    /// Tells whoever listens; nobody need.
    pub fn notify(&self, notice: Notice) {
        let _ = self.notices.send(notice);
    }

    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// A failure was recorded: the end of a host that is to end with the first.
    pub fn throw(&self, thrown: impl FnOnce() -> Thrown) {
        if self.on_failure == OnFailure::Throw {
            self.thrown.get_or_init(thrown);
            self.thrown_at_all.cancel();
        }
    }

    /// The failure that ends this host, if there was one.
    pub fn thrown(&self) -> Option<&Thrown> {
        self.thrown.get()
    }

    /// Resolves when there was one.
    pub async fn until_thrown(&self) {
        self.thrown_at_all.cancelled().await;
    }

    /// Wakes everybody who waits for a change.
    pub fn hint_changes(&self) {
        self.changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// The revision of a subscription's row, no older than that hint. `None`: there is no such row.
    pub async fn revision(&self, id: &str, hint: u64) -> Result<Option<String>, store::Error> {
        self.revisions
            .of(id, hint, &self.changes, &self.store)
            .await
    }

    pub fn has_company(&self) -> bool {
        self.has_company.load(Ordering::Relaxed)
    }
}
