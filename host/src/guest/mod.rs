//! Floor 2: guests. Compiles, checks and describes components, and runs them in fresh instances under limits.

mod allowance;
#[allow(clippy::all, reason = "generated from wit")]
pub(crate) mod bindings;
mod cache;
mod call;
mod check;
mod compile;
mod describe;
mod failure;
mod http;
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
pub mod text;
mod trial;
mod visit;
mod wasi;

pub use check::{Refusal, check_header};
pub use compile::{COMPILE_VERB, CompileLimits, Compiler, Error as CompileError, compile_stdin};
pub use failure::Failure;
pub use http::{HttpSettings, NAMES_VARIABLE};
pub use instance::Instance;
pub use limits::Limits;
pub use module::{Module, check_size};
pub use recovery::{Recovered, recover};
pub use runtime::{Runtime, engine};
pub use settings::{MAX_SETTINGS_BYTES, Settings, Versions};
pub use state::{CallContext, Said};
pub use visit::{Visit, visit};
