//! What is left of guests: nothing.

use crate::support::{self, Bench};
use berth_contract::{Exit, Runtime as _};

#[test]
fn privileged_a_hundred_starts_leave_nothing() {
    let Some(bench) = Bench::new("hundred") else {
        return;
    };
    let before = (support::open_files(), support::mounts());
    for _ in 0..100 {
        assert_eq!(bench.run(&["true"]).exit, Exit::Code { code: 0 });
    }
    assert_eq!((support::open_files(), support::mounts()), before);
    assert!(support::cgroups(&bench).is_empty());
}

#[test]
fn privileged_a_guest_that_is_dropped_is_gone() {
    let Some(bench) = Bench::new("dropped") else {
        return;
    };
    let guest = bench
        .runtime()
        .create(&bench.spec(&["sleep", "100"]), bench.slot().slot)
        .unwrap();
    let pid = guest.pid();
    drop(guest);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    assert!(support::cgroups(&bench).is_empty());
}
