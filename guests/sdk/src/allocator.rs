//! The memory of a guest. An event brings half a dozen texts, each of which is allocated and freed, which took a third of the guest's time
//! with the allocator of the target.

#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();
