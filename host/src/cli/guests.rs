//! What a verb needs to run a guest outside a host: the runtime, and a compiler with a place for what it compiled.

use std::path::PathBuf;

use anyhow::Context as _;

use super::criteria::explain;
use super::database::Opened;
use crate::admin;
use crate::embedded;
use crate::guest::{Compiler, Runtime};

#[derive(Clone, Debug, clap::Args)]
pub struct CompilerArguments {
    /// Where compiled modules are kept. Default: in the data directory of this user.
    #[arg(long, env = "PROJECTIONIST_CACHE_DIR", value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
}

/// A compiler whose cache may be a temporary directory, which goes with this.
pub struct OwnCompiler {
    pub compiler: Compiler,
    _temporary: Option<tempfile::TempDir>,
}

impl CompilerArguments {
    /// With the cache of the host that uses the same database.
    pub fn beside(&self, opened: &Opened) -> anyhow::Result<Compiler> {
        let cache = match &self.cache_dir {
            Some(directory) => directory.clone(),
            None => opened.cache_dir()?,
        };
        Ok(Compiler::new(program()?, cache))
    }

    /// Without any database. Where no host has ever run, nothing is left behind either.
    pub fn alone(&self) -> anyhow::Result<OwnCompiler> {
        let root = embedded::default_data_root()
            .ok()
            .filter(|root| root.is_dir());
        let (cache, temporary) = match (&self.cache_dir, root) {
            (Some(directory), _) => (directory.clone(), None),
            (None, Some(root)) => (root.join("cache"), None),
            (None, None) => {
                let place = tempfile::tempdir().context("making a place for a compiled module")?;
                (place.path().join("cache"), Some(place))
            }
        };
        Ok(OwnCompiler {
            compiler: Compiler::new(program()?, cache),
            _temporary: temporary,
        })
    }
}

pub fn runtime() -> anyhow::Result<Runtime> {
    let made = Runtime::new().map_err(|error| admin::Error::Runtime {
        source: error.into(),
    });
    made.map_err(explain)
}

/// This very binary compiles, in a process of its own.
fn program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("finding the projectionist binary, which compiles modules")
}
