//! A Dockerfile that reads is printed so that it reads again as the same.
#![no_main]

use berth_fuzz::build::dockerfile::{Dockerfile, parse_one};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(read) = Dockerfile::read("Dockerfile", text) else {
        return;
    };
    for located in &read.instructions {
        let printed = located.instruction.to_string();
        assert_eq!(
            parse_one(&printed).as_ref(),
            Ok(&located.instruction),
            "{printed}"
        );
    }
});
