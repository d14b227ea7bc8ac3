//! The modules that this host has ready, by digest. The row of a subscription says which digest is its newest.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::guest::{CompileError, Compiler, Module, Refusal, Runtime};
use crate::store::{self, Digest, Store};

pub(super) struct Catalog {
    runtime: Runtime,
    compiler: Compiler,
    modules: Mutex<HashMap<Digest, Module>>,
}

/// Why a module is not ready.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the module {} is not stored; put its file back into the directory, or remove the subscription", hex::encode(&digest[..6]))]
    Unknown { digest: Digest },
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Machine(CompileError),
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Catalog {
    pub fn new(runtime: Runtime, compiler: Compiler) -> Catalog {
        Catalog {
            runtime,
            compiler,
            modules: Mutex::new(HashMap::new()),
        }
    }

    /// Loads the bytes of a file, once for each content.
    pub async fn load(&self, digest: &Digest, bytes: &[u8]) -> Result<Module, Error> {
        if let Some(module) = self.known(digest) {
            return Ok(module);
        }
        match Module::load(&self.runtime, &self.compiler, bytes).await {
            Ok(module) => {
                self.modules
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(*digest, module.clone());
                Ok(module)
            }
            Err(CompileError::Refused(refusal)) => Err(Error::Refused(refusal)),
            Err(machine) => Err(Error::Machine(machine)),
        }
    }

    /// The module of a digest, from the bytes in the database when this host never saw its file.
    pub async fn get(&self, store: &Store, digest: &Digest) -> Result<Module, Error> {
        if let Some(module) = self.known(digest) {
            return Ok(module);
        }
        let bytes = store
            .module_bytes(digest)
            .await?
            .ok_or(Error::Unknown { digest: *digest })?;
        self.load(digest, &bytes).await
    }

    fn known(&self, digest: &Digest) -> Option<Module> {
        self.modules
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(digest)
            .cloned()
    }
}
