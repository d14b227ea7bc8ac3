//! Reading the next page of the log while the guest works on the present one.

use tokio::task::JoinHandle;

use crate::store::{Error, Page, ReadFilter, ReadLimit, Store};

/// Which page: two that are equal in this are the same page, since the log below the horizon never changes.
#[derive(Clone, PartialEq)]
pub(super) struct Wanted {
    /// Exclusive.
    pub after: i64,
    pub filter: ReadFilter,
    pub limit: ReadLimit,
}

/// A page on its way. Whether it is the one that is needed turns out when the next batch begins.
pub(super) struct Ahead {
    wanted: Wanted,
    task: JoinHandle<Result<Page, Error>>,
}

impl Ahead {
    /// Begins to read a page up to a position.
    pub fn begin(store: &Store, wanted: Wanted, up_to: i64) -> Ahead {
        let (store, page) = (store.clone(), wanted.clone());
        let task = tokio::spawn(async move { page.read(&store, up_to).await });
        Ahead { wanted, task }
    }

    /// The page, if it is the one that is wanted.
    pub async fn take(self, wanted: &Wanted) -> Option<Result<Page, Error>> {
        if self.wanted != *wanted {
            self.task.abort();
            return None;
        }
        self.task.await.ok()
    }
}

impl Wanted {
    pub async fn read(&self, store: &Store, up_to: i64) -> Result<Page, Error> {
        store
            .read_events(self.after, up_to, &self.filter, self.limit)
            .await
    }
}
