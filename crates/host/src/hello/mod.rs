//! The built-in image `hello`: two programs inside the binary, so that the first command works offline.
//!
//! `build.rs` makes both from `hello.c` and from `hello.wat` with `wasm.txt`.

/// The native program: a static ELF for the host's architecture.
pub const NATIVE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hello"));

/// The wasm program: a WASI preview 1 module.
pub const WASM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hello.wasm"));

/// What a person types to run it.
pub const NAME: &str = "hello";

#[cfg(test)]
mod tests {
    use berth_contract::ProgramKind;

    use super::*;

    #[test]
    fn both_programs_are_what_dispatch_expects() {
        assert!(matches!(ProgramKind::from_head(NATIVE), ProgramKind::Elf { .. }));
        assert_eq!(ProgramKind::from_head(WASM), ProgramKind::WasmModule);
        assert!(NATIVE.len() < 16 * 1024, "{} bytes", NATIVE.len());
        assert!(WASM.len() < 4 * 1024, "{} bytes", WASM.len());
    }
}
