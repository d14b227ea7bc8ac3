//! Which rows of subscriptions have changed: asked once for all lanes at a hint, since each of a thousand would ask for itself.

use std::collections::HashMap;

use tokio::sync::{Mutex, watch};

use crate::store::{Error, Store};

/// What the last question was answered, and up to which hint it is true.
#[derive(Default)]
pub(super) struct Revisions {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    hint: Option<u64>,
    by_id: HashMap<String, String>,
}

impl Revisions {
    /// The revision of a row, no older than that hint. `None`: there is no such row.
    pub async fn of(
        &self,
        id: &str,
        hint: u64,
        hints: &watch::Sender<u64>,
        store: &Store,
    ) -> Result<Option<String>, Error> {
        let mut known = self.known.lock().await;
        if known.hint.is_none_or(|answered| answered < hint) {
            // Looked at before the question: what is hinted meanwhile may not be part of the answer.
            let now = *hints.borrow();
            known.by_id = store.revisions().await?;
            known.hint = Some(now);
        }
        Ok(known.by_id.get(id).cloned())
    }
}
