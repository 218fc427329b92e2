//! A wasm module or component in, a WASI guest in its own process out.
//!
//! ```text
//! module bytes ──► cache ──(miss)──► berth-wasmc, jailed ──► compiled module in DATA/wasm
//!                    │
//! Spec + Slot ──► WasmRuntime ──► the native runtime ──► namespaces, cgroup, root, network
//!                                                             └─ execve: berth-wasm, which confines
//!                                                                itself and runs the compiled module
//! ```
//!
//! The library holds no wasm engine: it rewrites what the native runtime is asked to run, so that
//! everything the kernel does for native guests it does for these too. The engine is in the two programs,
//! behind the features `executor` and `compiler`.

mod accepts;
pub mod cache;
mod compile;
pub mod configuration;
#[cfg(any(feature = "executor", feature = "compiler"))]
pub mod engine;
mod guest;
mod inside;
mod runtime;

pub use accepts::verdict;
pub use cache::Cache;
pub use inside::compile_ahead;
pub use runtime::{FUNCTION_ANNOTATION, PORTS_ANNOTATION, WasmRuntime};
