//! Programs that run beside a guest: hooks, and the one that answers its system calls.

use std::fs;
use std::path::Path;

use berth_contract::oci::{Hooks, LinuxSeccomp, Spec};
use berth_contract::{Class, Exit, Runtime as _};
use berth_sys::socket::{self, Listener, Wait};
use serde_json::json;

use crate::support::{self, Bench};

/// A hook that runs this script.
fn script(script: &str) -> serde_json::Value {
    json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]}])
}

fn with_hooks(spec: &mut Spec, hooks: serde_json::Value) {
    let hooks: Hooks = serde_json::from_value(hooks).unwrap();
    spec.hooks = Some(hooks);
}

fn state(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn privileged_hooks_run_where_and_when_they_should() {
    let Some(bench) = Bench::new("hooks") else {
        return;
    };
    let place = bench.scratch().display();
    let mut spec = bench.spec(&["sh", "-c", "echo program >> /order; cat /order /name"]);
    with_hooks(
        &mut spec,
        json!({
            "prestart": script(&format!("echo prestart > {place}/order")),
            "createRuntime": script(&format!(
                "cat > {place}/runtime; echo createRuntime >> {place}/order; hostname > {place}/host")),
            "createContainer": script(&format!(
                "cat > {place}/container; echo createContainer >> {place}/order; hostname > {place}/guest")),
            "startContainer": script("cat > /state; echo startContainer > /order; hostname > /name"),
            "poststart": script(&format!("cat > {place}/poststart")),
            "poststop": script(&format!("cat > {place}/poststop")),
        }),
    );
    let outcome = bench.run_spec(spec);
    assert_eq!(
        outcome.stdout, "startContainer\nprogram\nguest\n",
        "{outcome:?}"
    );
    let read = |name: &str| fs::read_to_string(bench.scratch().join(name)).unwrap();
    assert_eq!(read("order"), "prestart\ncreateRuntime\ncreateContainer\n");
    assert_ne!(read("host"), "guest\n");
    assert_eq!(read("guest"), "guest\n");
    for (name, status, pid) in [
        ("runtime", "creating", true),
        ("container", "creating", true),
        ("poststart", "running", true),
        ("poststop", "stopped", false),
    ] {
        let state = state(&bench.scratch().join(name));
        assert_eq!(state["status"], status, "{name}");
        assert_eq!(
            state["pid"].as_i64().is_some_and(|pid| pid > 0),
            pid,
            "{name}"
        );
        assert_eq!(state["bundle"], bench.scratch().to_str().unwrap());
    }
    let inside = state(&bench.upper().join("state"));
    assert_eq!(
        (&inside["status"], &inside["pid"]),
        (&json!("created"), &json!(1))
    );
}

#[test]
fn privileged_a_hook_that_fails_ends_the_guest() {
    let Some(bench) = Bench::new("hooks-fail") else {
        return;
    };
    for stage in [
        "prestart",
        "createRuntime",
        "createContainer",
        "startContainer",
        "poststart",
    ] {
        let stopped = bench.scratch().join(stage);
        let mut spec = bench.spec(&["sleep", "100"]);
        let stop = script("exit 1")
            .as_array()
            .unwrap()
            .iter()
            .chain(
                script(&format!("echo > {}", stopped.display()))
                    .as_array()
                    .unwrap(),
            )
            .cloned()
            .collect::<Vec<_>>();
        with_hooks(
            &mut spec,
            json!({ stage: script("echo because >&2; exit 3") }),
        );
        let report = bench.fails(spec.clone());
        assert_eq!(report.class, Class::Conflict, "{report:?}");
        assert!(report.causes[0].contains("status 3"), "{report:?}");
        assert!(report.hints[0].contains("because"), "{report:?}");
        // Whatever fails after the end, everything else is done.
        with_hooks(&mut spec, json!({ "poststop": stop }));
        let mut guest = bench.runtime().create(&spec, bench.slot().slot).unwrap();
        guest.start().unwrap();
        assert!(guest.destroy().is_err());
        assert!(stopped.exists());
        fs::remove_file(&stopped).unwrap();
        guest.destroy().unwrap();
        assert!(!stopped.exists(), "once is enough");
    }
    let mut spec = bench.spec(&["true"]);
    with_hooks(
        &mut spec,
        json!({"createContainer": [{"path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1}]}),
    );
    assert!(bench.fails(spec).causes[0].contains("timeout"));
    let mut spec = bench.spec(&["true"]);
    with_hooks(&mut spec, json!({"startContainer": [{"path": "/no/such"}]}));
    assert!(bench.fails(spec).hints[0].contains("No such file"));
}

#[test]
fn privileged_hooks_run_as_the_guests_own_root() {
    let Some(bench) = Bench::new("hooks-users") else {
        return;
    };
    let mut spec = bench.spec(&["cat", "/who"]);
    support::map_users(&mut spec, 100_000, 65_536);
    with_hooks(
        &mut spec,
        json!({
            "createContainer": script("test $(id -u) = 0 && ! mknod /tmp/never b 8 0"),
            "startContainer": script("id -u > /who"),
        }),
    );
    assert_eq!(bench.run_spec(spec).stdout, "0\n");
}

#[test]
fn privileged_another_program_answers_system_calls() {
    let Some(bench) = Bench::new("notify") else {
        return;
    };
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": bench.scratch().join("agent"),
        "listenerMetadata": "for you",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}],
    });
    let profile: LinuxSeccomp = serde_json::from_value(profile).unwrap();
    let mut spec = bench.spec(&["sh", "-c", "mkdir /new || echo refused; id -u"]);
    support::linux(&mut spec, |linux| {
        linux.seccomp = Some(profile.clone());
    });
    assert_eq!(
        bench.fails(spec.clone()).class,
        Class::NotFound,
        "nobody listens"
    );
    let directory = fs::File::open(bench.scratch()).unwrap();
    let agent = Listener::bind(&directory, "agent").unwrap();
    let (slot, streams) = bench.slot().into_parts();
    let mut guest = bench.runtime().create(&spec, slot).unwrap();
    guest.start().unwrap();
    let connection = agent.accept().unwrap().unwrap();
    let (mut document, mut files, mut buffer) = (Vec::new(), Vec::new(), [0; 4096]);
    loop {
        match socket::receive(&connection, &mut buffer, &mut files, Wait::Yes).unwrap() {
            0 => break,
            length => document.extend_from_slice(&buffer[..length]),
        }
    }
    let document: serde_json::Value = serde_json::from_slice(&document).unwrap();
    assert_eq!(document["fds"], json!(["seccompFd"]));
    assert_eq!(document["metadata"], "for you");
    assert_eq!(document["pid"], guest.pid());
    assert_eq!(document["state"]["status"], "created");
    assert_eq!(files.len(), 1);
    // An agent that goes away leaves the calls unanswered: they fail.
    drop(files);
    streams.await_line("0");
    assert_eq!(support::finish(guest), Exit::Code { code: 0 });

    for (place, value) in [
        ("defaultAction", json!("SCMP_ACT_NOTIFY")),
        ("listenerPath", json!(null)),
        (
            "syscalls",
            json!([{"names": ["sendmsg"], "action": "SCMP_ACT_NOTIFY"}]),
        ),
    ] {
        let mut wrong = serde_json::to_value(&profile).unwrap();
        wrong[place] = value;
        let wrong: LinuxSeccomp = serde_json::from_value(wrong).unwrap();
        support::linux(&mut spec, |linux| {
            linux.seccomp = Some(wrong);
        });
        assert_eq!(bench.fails(spec.clone()).class, Class::Invalid, "{place}");
    }
}
