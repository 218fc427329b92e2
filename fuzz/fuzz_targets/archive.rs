//! An archive of images loads, or nothing of it is kept; the store is whole either way.
#![no_main]

use berth_image::{CheckOptions, LoadOptions, Silent, Store, load};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let place = berth_fuzz::place();
    let store = Store::open(place.path());
    let loaded = load(&store, bytes, &LoadOptions::default(), &Silent);
    let listing = store.list().unwrap();
    assert!(listing.damaged.is_empty(), "{:?}", listing.damaged);
    if loaded.is_err() {
        assert!(listing.images.is_empty(), "{:?}", listing.images);
    }
    let findings = store.check(CheckOptions::default()).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
});
