//! wasm-runtime
