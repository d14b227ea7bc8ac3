//! Floor 2: guests. Compiles, checks and describes components, and runs them in fresh instances under limits.

#[allow(clippy::all, reason = "generated from wit")]
pub(crate) mod bindings;
mod check;
mod compile;
mod describe;
mod failure;
mod imports;
mod instance;
pub mod limits;
mod module;
mod native;
mod output;
mod recovery;
mod runtime;
mod settings;
mod state;
mod visit;
mod wasi;

pub use check::{Refusal, check_header};
pub use compile::{COMPILE_VERB, Compiler, Error as CompileError, compile_stdin};
pub use failure::Failure;
pub use instance::Instance;
pub use limits::Limits;
pub use module::{Module, check_size};
pub use recovery::{Recovered, recover};
pub use runtime::{Runtime, engine};
pub use settings::{MAX_SETTINGS_BYTES, Settings, Versions};
pub use state::{CallContext, Said};
pub use visit::{Visit, visit};
