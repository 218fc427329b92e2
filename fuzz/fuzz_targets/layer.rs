//! A layer's archive stays inside the directory that it is unpacked into.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let place = berth_fuzz::place();
    let inside = place.path().join("inside");
    std::fs::create_dir(&inside).unwrap();
    drop(berth_image::fuzzing::unpack(bytes, &inside));
    let names = std::fs::read_dir(place.path()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["inside"]);
});
