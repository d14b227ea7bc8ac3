//! What tests share: a server, a database each, the guests, directories of modules, hosts, and waiting for a condition.

pub mod cluster;
pub mod command;
pub mod database;
pub mod guests;
pub mod host;
pub mod log;
pub mod modules;
pub mod obeys;
pub mod process;
pub mod round_trips;
pub mod rows;
pub mod runs;
pub mod server;
pub mod stage;
pub mod versions;
pub mod writer;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use database::TestDatabase;
pub use host::{InProcess, stepped, stepped_with};
pub use modules::Modules;
pub use process::HostProcess;
pub use writer::Writer;

/// How long a test waits for what should come at once: long, because a busy machine is no failure.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Asks until the answer is `Ok`, and panics with the last `Err` after `timeout`.
pub async fn eventually<T, E: Display>(
    timeout: Duration,
    mut ask: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let began = Instant::now();
    loop {
        match ask().await {
            Ok(value) => return value,
            Err(last) if began.elapsed() > timeout => {
                panic!("not within {timeout:?}; the last answer was: {last}")
            }
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// The target directory of the build that this test belongs to.
pub fn target_dir() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("cargo puts it into the target directory")
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("host/ is in the repository")
        .to_path_buf()
}
