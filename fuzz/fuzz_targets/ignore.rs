//! Patterns of `.dockerignore` match or do not, and come to an end.
#![no_main]

use berth_fuzz::build::ignore::Patterns;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // The first line is a path, the rest an ignore file.
    let (path, file) = text.split_once('\n').unwrap_or((text, ""));
    if let Ok(patterns) = Patterns::from_file(file) {
        std::hint::black_box(patterns.matches(path));
    }
});
