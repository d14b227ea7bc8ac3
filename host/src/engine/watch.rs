//! File events as a hint to look. When they fail to come, the rescan finds the change all the same.

use std::path::Path;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::watch;

/// How long a change may take to be seen, for the machine to count as one that tells.
const SEEN_WITHIN: Duration = Duration::from_secs(3);

/// Whether a change of the directory is seen by itself: a hidden file is made there and removed again.
pub async fn sees_changes(directory: &Path) -> bool {
    let mut hints = FileHints::watching(directory);
    hints.register();
    let Ok(file) = tempfile::NamedTempFile::new_in(directory) else {
        return false;
    };
    let seen = tokio::time::timeout(SEEN_WITHIN, hints.next())
        .await
        .is_ok();
    drop(file);
    seen
}

/// Keeps watching until it is dropped.
pub(super) struct FileHints {
    _watcher: Option<RecommendedWatcher>,
    hints: watch::Receiver<u64>,
    _keep: watch::Sender<u64>,
}

impl FileHints {
    /// Hints for changes in a directory. Where watching is not possible there are none, which is said once.
    pub fn watching(directory: &Path) -> FileHints {
        let (sender, hints) = watch::channel(0_u64);
        let keep = sender.clone();
        let handler = move |event: notify::Result<notify::Event>| {
            // Reading is no change; whatever else it may be, looking again costs little.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                sender.send_modify(|count| *count = count.wrapping_add(1));
            }
        };
        let watcher = notify::recommended_watcher(handler).and_then(|mut watcher| {
            watcher.watch(directory, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        let watcher = watcher
            .inspect_err(|error| {
                tracing::info!(
                    "{} cannot be watched, changes are found by the rescan: {error}",
                    directory.display()
                )
            })
            .ok();
        FileHints {
            _watcher: watcher,
            hints,
            _keep: keep,
        }
    }

    /// No hints at all.
    pub fn none() -> FileHints {
        let (keep, hints) = watch::channel(0);
        FileHints {
            _watcher: None,
            hints,
            _keep: keep,
        }
    }

    /// Forgets hints so far: what comes from here on is seen by [`FileHints::next`].
    pub fn register(&mut self) {
        self.hints.mark_unchanged();
    }

    /// Resolves when something may have changed since the last registration.
    pub async fn next(&mut self) {
        if self.hints.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
