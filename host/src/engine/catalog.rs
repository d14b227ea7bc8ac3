//! The modules that this host has ready, by digest. The row of a subscription says which digest is its newest.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::guest::limits::MAX_READY_MODULES;
use crate::guest::{CompileError, Compiler, Module, Refusal, Runtime};
use crate::store::{self, Digest, Store};

pub(super) struct Catalog {
    runtime: Runtime,
    compiler: Compiler,
    ready: Mutex<Ready<Module>>,
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
            ready: Mutex::new(Ready::new(MAX_READY_MODULES)),
        }
    }

    /// Loads the bytes of a file, once for each content.
    pub async fn load(&self, digest: &Digest, bytes: &[u8]) -> Result<Module, Error> {
        if let Some(module) = self.ready().get(digest) {
            return Ok(module);
        }
        match Module::load(&self.runtime, &self.compiler, bytes).await {
            Ok(module) => {
                self.ready().insert(*digest, module.clone());
                Ok(module)
            }
            Err(CompileError::Refused(refusal)) => Err(Error::Refused(refusal)),
            Err(machine) => Err(Error::Machine(machine)),
        }
    }

    /// The module of a digest, from the bytes in the database when this host never saw its file.
    pub async fn get(&self, store: &Store, digest: &Digest) -> Result<Module, Error> {
        if let Some(module) = self.ready().get(digest) {
            return Ok(module);
        }
        let bytes = store
            .module_bytes(digest)
            .await?
            .ok_or(Error::Unknown { digest: *digest })?;
        self.load(digest, &bytes).await
    }

    fn ready(&self) -> MutexGuard<'_, Ready<Module>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is ready, up to a number; what was not used for longest goes.
struct Ready<T> {
    max: usize,
    uses: u64,
    modules: HashMap<Digest, (u64, T)>,
}

impl<T: Clone> Ready<T> {
    fn new(max: usize) -> Ready<T> {
        Ready {
            max,
            uses: 0,
            modules: HashMap::new(),
        }
    }

    fn get(&mut self, digest: &Digest) -> Option<T> {
        self.uses += 1;
        let (used, module) = self.modules.get_mut(digest)?;
        *used = self.uses;
        Some(module.clone())
    }

    fn insert(&mut self, digest: Digest, module: T) {
        self.uses += 1;
        self.modules.insert(digest, (self.uses, module));
        while self.modules.len() > self.max {
            let oldest = self.modules.iter().min_by_key(|(_, (used, _))| *used);
            let Some(oldest) = oldest.map(|(digest, _)| *digest) else {
                return;
            };
            self.modules.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Ready;

    /// `ready-modules`.
    #[test]
    fn what_was_not_used_for_longest_goes() {
        let mut ready = Ready::new(2);
        ready.insert([1; 32], "one");
        ready.insert([2; 32], "two");
        assert_eq!(ready.get(&[1; 32]), Some("one"));
        ready.insert([3; 32], "three");
        assert_eq!(ready.get(&[2; 32]), None);
        assert_eq!(ready.get(&[1; 32]), Some("one"));
        assert_eq!(ready.get(&[3; 32]), Some("three"));
    }
}
