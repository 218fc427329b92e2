//! Base images on their way: a build that ends meanwhile ends at once, and what is here is not fetched again.

use berth_testkit::{ImageArchive, Layer, Sandbox, Valve, noise};

use crate::project::Project;
use crate::remote_cache::Registry;

/// So much of the layer passes at first, more than the kernel's buffers hold; then it stands still.
const LIMIT: u64 = 12 << 20;

/// A registry with an image of sixteen megabytes; its port.
fn registry(noise: &[u8]) -> (Registry, u16) {
    let registry = Registry::start();
    let layer = Layer::new().file("noise", 0o644, noise).finish();
    let config = serde_json::json!({});
    let sandbox = Sandbox::new();
    sandbox.load(&ImageArchive::new(
        "noise",
        ("linux", "amd64"),
        &config,
        &layer,
    ));
    let name = format!("{}/noise:1", registry.address);
    sandbox.berth(&["push", "noise", &name]).success();
    let port = registry
        .address
        .rsplit(':')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    (registry, port)
}

fn partial(project: &Project) -> u64 {
    let ingest = std::fs::read_dir(project.sandbox.data().join("ingest")).unwrap();
    let found: Vec<_> = ingest.flatten().collect();
    let partial = |entry: &&std::fs::DirEntry| entry.path().extension() == Some("partial".as_ref());
    assert_eq!(
        found.iter().filter(partial).count(),
        found.len(),
        "{found:?}"
    );
    found
        .iter()
        .map(|entry| entry.metadata().unwrap().len())
        .sum()
}

#[test]
fn an_interrupt_ends_a_pull_at_once_and_the_next_one_goes_on() {
    let noise = noise();
    let (_registry, port) = registry(&noise);
    for signal in ["INT", "TERM"] {
        let project = Project::new();
        let context = project.directory.to_str().unwrap();
        let dockerfile = |valve: &Valve| {
            let name = format!("127.0.0.1:{}/noise:1", valve.port());
            project.write("Dockerfile", &format!("FROM {name}\nCOPY Dockerfile /\n"));
        };
        let first = Valve::before(port, Some(LIMIT));
        dockerfile(&first);
        let words = ["build", "--progress", "plain", context];
        let build = project.sandbox.start(&words);
        first.wait_until_stuck();
        let begun = std::time::Instant::now();
        build.signal(signal);
        let screen = build.finish();
        let took = begun.elapsed().as_secs();
        assert!(took < 10, "the registry's silence is not waited for");
        assert_eq!(screen.status, 1, "{screen}");
        for part in ["CANCELED", "the build was cancelled"] {
            assert!(screen.stderr.contains(part), "{screen}");
        }
        let kept = partial(&project);
        assert!(kept > 0, "what came is kept");
        project.sandbox.assert_nothing_left();
        let second = Valve::before(port, None);
        dockerfile(&second);
        project.build(&[]).success();
        let (whole, passed) = (noise.len() as u64 + (100 << 10), second.passed());
        assert!(
            passed + kept < whole * 105 / 100,
            "{passed} more after {kept}"
        );
    }
}

/// A stage that fails does not wait for what another one fetches, nor for another build that fetches the same.
#[test]
fn nobody_waits_for_a_pull_that_nobody_needs_any_more() {
    let noise = noise();
    let (_registry, port) = registry(&noise);
    let valve = Valve::before(port, Some(LIMIT));
    let name = format!("127.0.0.1:{}/noise:1", valve.port());
    let project = Project::of(&format!("FROM {name}\nCOPY Dockerfile /\n"));
    let context = project.directory.to_str().unwrap();
    let first = project
        .sandbox
        .start(&["build", "--progress", "plain", context]);
    valve.wait_until_stuck();
    // Another name for the same image: its layer is waited for.
    let open = Valve::before(port, None);
    let dockerfile = format!(
        "FROM 127.0.0.1:{}/noise:1\nCOPY Dockerfile /\n",
        open.port()
    );
    project.write("Dockerfile", &dockerfile);
    let second = project
        .sandbox
        .start(&["build", "--progress", "rawjson", context]);
    wait_for_lock(second.pid());
    second.signal("INT");
    assert_eq!(second.finish().status, 1);
    first.signal("INT");
    drop(first.finish());

    let valve = Valve::before(port, Some(1 << 20));
    let name = format!("127.0.0.1:{}/noise:1", valve.port());
    project.write(
        "Dockerfile",
        &format!("FROM {name} AS a\nFROM busybox AS b\nRUN exit 3\nFROM busybox\nCOPY --from=a /x /\nCOPY --from=b /x /\n"),
    );
    let failed = project.build(&[]).status(1);
    assert!(failed.stderr.contains("exit code: 3"), "{failed}");
}

/// Waits until a process has a partial file open, which it then finds locked.
fn wait_for_lock(pid: u32) {
    let begun = std::time::Instant::now();
    let opened = || {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten();
        files
            .filter_map(|file| std::fs::read_link(file.path()).ok())
            .any(|path| path.extension() == Some("partial".as_ref()))
    };
    while !opened() {
        assert!(
            begun.elapsed().as_secs() < 60,
            "it never opened the partial file"
        );
        std::thread::yield_now();
    }
}
