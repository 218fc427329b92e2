//! What a registry asks for in `WWW-Authenticate` is read or left, whatever it is.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| berth_image::fuzzing::challenge(text));
