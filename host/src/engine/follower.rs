//! TEMPORARY: the horizon without its module.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::shared::Shared;
use crate::store::{Error, Store};

pub(super) struct Follower {
    store: Store,
    sender: Arc<watch::Sender<Option<i64>>>,
    receiver: watch::Receiver<Option<i64>>,
}

impl Follower {
    pub async fn start(store: &Store) -> Result<Follower, Error> {
        let (sender, receiver) = watch::channel(None);
        Ok(Follower {
            store: store.clone(),
            sender: Arc::new(sender),
            receiver,
        })
    }
    pub fn horizon(&self) -> watch::Receiver<Option<i64>> {
        self.receiver.clone()
    }
    pub async fn wait_for_horizon(&mut self) -> Result<(), Error> {
        self.look().await.map(drop)
    }
    pub async fn look(&mut self) -> Result<i64, Error> {
        let head = self.store.head().await?;
        self.sender.send_replace(Some(head));
        Ok(head)
    }
    pub fn spawn(&mut self, shared: Arc<Shared>, stop: CancellationToken) -> JoinHandle<()> {
        let (store, sender) = (self.store.clone(), Arc::clone(&self.sender));
        tokio::spawn(async move {
            while !stop.is_cancelled() {
                if let Ok(head) = store.head().await {
                    sender.send_if_modified(|known| {
                        let new = *known != Some(head);
                        *known = Some(head);
                        new
                    });
                }
                shared.hint_changes();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
    }
}
