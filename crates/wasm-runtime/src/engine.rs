//! The engine's settings, shared by compiler and executor: they must agree, or no artefact loads.

use wasmtime::{Config, WasmBacktraceDetails};

/// How deep a guest may recurse: native programs have 8 MiB, and only touched pages cost anything.
const GUEST_STACK: usize = 4 << 20;
/// What host functions need on top of the guest's stack.
const HOST_STACK: usize = 1 << 20;

/// The settings of every engine of ours.
///
/// Epoch checks are left out on purpose: a stop signal ends the process whatever the guest does, so its
/// loops need no counters.
#[must_use]
pub fn settings() -> Config {
    let mut config = Config::new();
    config.wasm_backtrace_details(WasmBacktraceDetails::Enable);
    config.max_wasm_stack(GUEST_STACK);
    config.async_stack_size(GUEST_STACK + HOST_STACK);
    config.wasm_component_model_async(true);
    config.wasm_gc(true);
    config.wasm_function_references(true);
    config.wasm_exceptions(true);
    config.wasm_memory64(true);
    config
}
