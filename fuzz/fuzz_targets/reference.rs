//! A reference that reads is printed so that it reads again as the same.
#![no_main]

use berth_image::{Platform, Reference, Transport};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(reference) = Reference::parse(text) {
        let full = reference.to_string();
        assert_eq!(
            Reference::parse(&full).as_ref().ok(),
            Some(&reference),
            "{full}"
        );
        let familiar = reference.familiar();
        assert_eq!(
            Reference::parse(&familiar).as_ref().ok(),
            Some(&reference),
            "{familiar}"
        );
        // It becomes part of URLs and file names; two dots within a tag are fair.
        let leads_up = |part: &str| matches!(part, "" | "." | "..");
        assert!(!full.split('/').any(leads_up) && !full.contains(char::is_whitespace));
    }
    if let Ok(platform) = text.parse::<Platform>() {
        assert_eq!(
            platform.to_string().parse::<Platform>().ok(),
            Some(platform)
        );
    }
    drop(Transport::parse(text));
});
