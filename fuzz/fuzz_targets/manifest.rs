//! A manifest, index or config that reads is written so that it reads again as the same.
#![no_main]

use berth_image::documents::{Configuration, Document};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(document) = Document::parse(bytes, None) {
        let written = match &document {
            Document::Manifest(manifest) => serde_json::to_vec(manifest),
            Document::Index(index) => serde_json::to_vec(index),
        };
        let again = Document::parse(&written.unwrap(), Some(document.media_type()));
        assert_eq!(again.unwrap(), document);
    }
    if let Ok(config) = Configuration::parse(bytes) {
        let again = Configuration::parse(&serde_json::to_vec(&config).unwrap());
        assert_eq!(again.unwrap(), config);
    }
});
