//! Lines in the host's log, which already knows the subscription and the position.
//!
//! ```
//! use projectionist_sdk::log::info;
//!
//! # fn handler(application: &str, offers: u64) {
//! info!("planned a follow-up");
//! info!(["application" => application], "the {offers}th offer");
//! # }
//! ```

pub use crate::bindings::projectionist::log::logger::Level;
pub use crate::{
    log_debug as debug, log_error as error, log_info as info, log_trace as trace, log_warn as warn,
};

use crate::bindings::projectionist::log::logger;

/// Whether anybody reads lines of this level.
pub fn enabled(level: Level) -> bool {
    logger::enabled(level)
}

/// Writes a line with named values. The macros are shorter.
pub fn write(level: Level, message: &str, fields: &[(String, String)]) {
    logger::log(level, message, fields);
}

/// Writes a line at a level: an optional `["name" => value, ..]`, then what `format!` takes.
#[macro_export]
macro_rules! log {
    ($level:expr, [$($name:expr => $value:expr),* $(,)?], $($message:tt)+) => {
        if $crate::log::enabled($level) {
            $crate::log::write($level, &::std::format!($($message)+), &[$(($name.to_string(), $value.to_string())),*]);
        }
    };
    ($level:expr, $($message:tt)+) => { $crate::log!($level, [], $($message)+) };
}

/// Writes a line at level `Trace`: an optional `["name" => value, ..]`, then what `format!` takes.
#[macro_export]
macro_rules! log_trace {
    ($($line:tt)+) => { $crate::log!($crate::log::Level::Trace, $($line)+) };
}

/// Writes a line at level `Debug`: an optional `["name" => value, ..]`, then what `format!` takes.
#[macro_export]
macro_rules! log_debug {
    ($($line:tt)+) => { $crate::log!($crate::log::Level::Debug, $($line)+) };
}

/// Writes a line at level `Info`: an optional `["name" => value, ..]`, then what `format!` takes.
#[macro_export]
macro_rules! log_info {
    ($($line:tt)+) => { $crate::log!($crate::log::Level::Info, $($line)+) };
}

/// Writes a line at level `Warn`: an optional `["name" => value, ..]`, then what `format!` takes.
#[macro_export]
macro_rules! log_warn {
    ($($line:tt)+) => { $crate::log!($crate::log::Level::Warn, $($line)+) };
}

/// Writes a line at level `Error`: an optional `["name" => value, ..]`, then what `format!` takes.
#[macro_export]
macro_rules! log_error {
    ($($line:tt)+) => { $crate::log!($crate::log::Level::Error, $($line)+) };
}
