//! The guest interface as Rust types, generated from `wit/`.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "projectionist:guest/processor-core",
    imports: { default: async | trappable },
    exports: { default: async },
});

/// Name and version of the interfaces that a guest may export besides the required ones.
pub const LIFECYCLE: &str = "projectionist:guest/lifecycle@0.1.0";
pub const RECOVERY: &str = "projectionist:guest/recovery@0.1.0";
pub const BATCH: &str = "projectionist:guest/batch@0.1.0";
pub const DESCRIPTION: &str = "projectionist:guest/description@0.1.0";
pub const HANDLER: &str = "projectionist:guest/handler@0.1.0";
pub const CHUNK_HANDLER: &str = "projectionist:guest/chunk-handler@0.1.0";
