//! A guest that passed every check: compiled, described, ready for a fresh instance per batch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use subscription::Descriptor;
use wasmtime::component::{Component, InstancePre};

use super::check::{
    Refusal, check_exports, check_header, check_http, check_imports, sends_requests,
};
use super::compile::{self, Compiler};
use super::describe::describe;
use super::http::Outbound;
use super::limits::MAX_MODULE_BYTES;
use super::runtime::Runtime;
use super::settings::Settings;
use super::state::State;
use crate::store::Digest;

/// A module that can be run. Cheap to clone.
#[derive(Clone)]
pub struct Module {
    inner: Arc<Inner>,
}

struct Inner {
    digest: Digest,
    size_bytes: usize,
    descriptor: Descriptor,
    compile_time: Duration,
    instance: InstancePre<State>,
    outbound: Outbound,
}

impl Module {
    /// The way of a module: header, compile, exports, describe, imports for its kind, link.
    pub async fn load(
        runtime: &Runtime,
        compiler: &Compiler,
        bytes: &[u8],
    ) -> Result<Module, compile::Error> {
        check_size(bytes.len() as u64)?;
        check_header(bytes)?;
        let digest: Digest = Sha256::digest(bytes).into();
        let began = Instant::now();
        let component = compiler.compile(runtime.engine(), bytes, &digest).await?;
        let compile_time = began.elapsed();
        check_exports(runtime.engine(), &component)?;
        check_forbidden_everywhere(runtime, &component)?;
        let descriptor = describe(runtime, &component).await?;
        check_imports(runtime.engine(), &component, Some(descriptor.kind))?;
        let instance = runtime
            .linker(descriptor.kind)
            .instantiate_pre(&component)
            .map_err(|error| {
                // The names fit but a type does not: built against another draft of the interface.
                Refusal::OtherVersion {
                    found: format!("{error:#}"),
                    supported: "the interfaces in `wit/`".to_owned(),
                }
            })?;
        Ok(Module {
            inner: Arc::new(Inner {
                digest,
                size_bytes: bytes.len(),
                descriptor,
                compile_time,
                instance,
                outbound: runtime.outbound().clone(),
            }),
        })
    }

    /// The SHA-256 of the module's bytes.
    pub fn digest(&self) -> &Digest {
        &self.inner.digest
    }

    /// What the guest says about itself.
    pub fn descriptor(&self) -> &Descriptor {
        &self.inner.descriptor
    }

    pub fn size_bytes(&self) -> usize {
        self.inner.size_bytes
    }

    /// How long the native code took to come, from the cache or the compiler.
    pub fn compile_time(&self) -> Duration {
        self.inner.compile_time
    }

    /// The interfaces that the component asks for, by name.
    pub fn imports(&self) -> Vec<String> {
        let component = self.inner.instance.component();
        let imports = component.component_type();
        let engine = self.inner.instance.engine();
        imports
            .imports(engine)
            .map(|(name, _)| name.to_owned())
            .collect()
    }

    /// The interface by which it would send HTTP requests, when it asks for it.
    pub fn outbound_import(&self) -> Option<String> {
        let mut imports = self.imports().into_iter();
        imports.find(|import| sends_requests(import))
    }

    /// Whether it can run with these settings.
    ///
    /// # Errors
    /// It wants to send HTTP requests and the settings say nothing about that, or the other way round.
    pub fn check_settings(&self, settings: &Settings) -> Result<(), Refusal> {
        check_http(self.descriptor().kind, self.outbound_import(), settings)
    }

    /// The interfaces that the component offers, by name.
    pub fn exports(&self) -> Vec<String> {
        let component = self.inner.instance.component();
        let exports = component.component_type();
        let engine = self.inner.instance.engine();
        exports
            .exports(engine)
            .map(|(name, _)| name.to_owned())
            .collect()
    }

    pub(super) fn outbound(&self) -> &Outbound {
        &self.inner.outbound
    }

    pub(super) fn instance(&self) -> &InstancePre<State> {
        &self.inner.instance
    }
}

/// A file is refused by its size before it is read.
pub fn check_size(bytes: u64) -> Result<(), Refusal> {
    if bytes > MAX_MODULE_BYTES {
        Err(Refusal::TooLarge {
            bytes,
            limit: MAX_MODULE_BYTES,
        })
    } else {
        Ok(())
    }
}

/// Before `describe` has told the kind: what no kind may import is refused by its name, not by a failing `describe`.
fn check_forbidden_everywhere(runtime: &Runtime, component: &Component) -> Result<(), Refusal> {
    check_imports(runtime.engine(), component, None)
}
