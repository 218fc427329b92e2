//! How berth-monitor is linked where a panic aborts: without what only unwinding needs.

#![expect(
    clippy::disallowed_methods,
    reason = "cargo speaks to a build script through its environment"
)]

fn main() {
    println!("cargo::rerun-if-changed=discard.ld");
    let set = |name: &str| std::env::var(name).unwrap_or_default();
    // Cargo tells a script of the profile, not of its panics: the release profiles abort.
    if set("PROFILE") != "release" {
        return;
    }
    let script = format!("{}/discard.ld", set("CARGO_MANIFEST_DIR"));
    // Our own answer to who called whom comes before the C compiler's (`berth_sys::entry`).
    let mut arguments = vec!["-Wl,-z,muldefs", "-Wl,--no-eh-frame-hdr", &script];
    // Rust links with lld here; others have no such option.
    if set("TARGET") == "x86_64-unknown-linux-gnu" {
        arguments.push("-Wl,--icf=all");
    }
    for argument in arguments {
        println!("cargo::rustc-link-arg-bin=berth-monitor={argument}");
    }
}
