//! A pull that is interrupted or killed goes on where it stopped.

use berth_testkit::{ImageArchive, Layer, Sandbox, Valve, available, noise};

use crate::registry::Registry;

/// So much of the layer passes at first, more than the kernel's buffers hold; then it stands still.
const LIMIT: u64 = 12 << 20;

#[test]
fn a_pull_goes_on_where_it_was_killed() {
    let test = "a_pull_goes_on_where_it_was_killed";
    if !available(test, "docker-registry") || !available(test, "skopeo") {
        return;
    }
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox);
    let noise = noise();
    let layer = Layer::new().file("noise", 0o644, &noise).finish();
    let config = serde_json::json!({});
    let image = ImageArchive::new("noise", ("linux", "amd64"), &config, &layer);
    registry.push(&sandbox, &image, "noise:1");

    for signal in ["KILL", "INT"] {
        let data = sandbox.path().join(signal);
        let root = data.to_str().unwrap();
        let first = Valve::before(registry.port, Some(LIMIT));
        let name = format!("127.0.0.1:{}/noise:1", first.port());
        let pull = sandbox.start(&["--root", root, "pull", "--quiet", &name]);
        first.wait_until_stuck();
        pull.signal(signal);
        drop(pull.finish());
        let kept: u64 = std::fs::read_dir(data.join("ingest"))
            .unwrap()
            .filter_map(|entry| entry.ok()?.metadata().ok())
            .filter(|metadata| metadata.is_file())
            .map(|metadata| metadata.len())
            .sum();
        assert!(kept > 0, "{kept} bytes were kept after {signal}");
        let second = Valve::before(registry.port, None);
        let name = format!("127.0.0.1:{}/noise:1", second.port());
        sandbox
            .berth(&["--root", root, "pull", "--quiet", &name])
            .success();
        let passed = second.passed();
        let whole = noise.len() as u64 + (100 << 10);
        assert!(
            passed + kept < whole * 105 / 100,
            "{passed} more after {kept} ({signal})"
        );
    }
}
