//! Loading native code from the cache: the one place where wasmtime's API asks for `unsafe`.
#![expect(unsafe_code, reason = "Component::deserialize_file trusts the file")]

use std::path::Path;

use wasmtime::Engine;
use wasmtime::component::Component;

/// Maps a compiled module. The caller only names files of the cache directory.
pub(super) fn load(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file was written by `Compiler::compile` from the output of this very binary, into a directory of mode
    // 0700 that nobody else can write to, under a name that holds the digest of the source and the hash of the engine's
    // settings; it is renamed into place whole and never changed afterwards. The watched module directory is never
    // loaded from. wasmtime itself checks version and settings.
    unsafe { Component::deserialize_file(engine, path) }
}
