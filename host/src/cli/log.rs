//! The log of a running host, on standard error: what goes wrong, and what guests have to say. What happens is told on
//! standard output.

use tracing_subscriber::EnvFilter;

/// What is written unless `PROJECTIONIST_LOG` says otherwise: what cannot be told in another way, and guests' warnings.
const DEFAULT: &str = "error,guest=warn";

/// The filter, such as `info` or `warn,guest=debug`.
const VARIABLE: &str = "PROJECTIONIST_LOG";

/// From here on this process has a log.
pub fn begin() {
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    // A program that has the host as a library may have a log of its own.
    if let Err(error) = log.try_init() {
        tracing::debug!("there is a log already: {error}");
    }
}
