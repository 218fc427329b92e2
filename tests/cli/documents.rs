//! The documents have the shape of Docker's: every key that Docker 28 writes is there, with its type, so
//! that templates and programs written for Docker find what they look for.

use std::collections::BTreeMap;

use berth_testkit::Sandbox;
use serde_json::Value;

/// What Docker 28 printed for one container, image, network, volume, host and version, reduced to keys
/// and types.
const DOCKER: &str = include_str!("docker.json");

/// Keys by path, each with its type; what lists hold is shown by their first element.
fn shape(value: &Value, path: &str, found: &mut BTreeMap<String, &'static str>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    found.insert(path.to_owned(), kind);
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                shape(value, &format!("{path}.{key}"), found);
            }
        }
        Value::Array(list) => {
            if let Some(first) = list.first() {
                shape(first, &format!("{path}[]"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn documents_have_dockers_keys() {
    let sandbox = Sandbox::with_busybox();
    let temporary = format!("{}:/t:ro", sandbox.path().display());
    let start = [
        "run",
        "-d",
        "--name",
        "web",
        "-p",
        "80",
        "-v",
        "vol:/data",
        "-v",
        &temporary,
        "-v",
        "/anonymous",
        "--tmpfs",
        "/x",
        "-l",
        "k=v",
        "-e",
        "A=1",
        "busybox",
        "sleep",
        "1000",
    ];
    sandbox.berth(&start).success();
    let docker: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_str(DOCKER).unwrap();
    let commands: [(&str, &[&str]); 6] = [
        ("container", &["inspect", "web"]),
        ("image", &["image", "inspect", "busybox"]),
        ("network", &["network", "inspect", "bridge", "host", "none"]),
        ("volume", &["volume", "inspect", "vol"]),
        ("info", &["info", "--format", "json"]),
        ("version", &["version", "--format", "json"]),
    ];
    let mut wrong = Vec::new();
    for (name, command) in commands {
        let document: Value = serde_json::from_str(&sandbox.berth(command).success()).unwrap();
        let mut found = BTreeMap::new();
        shape(&document, "", &mut found);
        for (path, kind) in &docker[name] {
            match found.get(path) {
                Some(own) if own == kind => {}
                other => wrong.push(format!("{name} {path}: {kind} in Docker, {other:?} here")),
            }
        }
    }
    sandbox.berth(&["rm", "-f", "web"]).success();
    sandbox.berth(&["network", "prune", "-f"]).success();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn templates_fail_as_dockers_do() {
    let sandbox = Sandbox::with_busybox();
    sandbox
        .berth(&["create", "--name", "c", "busybox", "true"])
        .success();
    for (arguments, status) in [
        (&["inspect", "-f", "{{.Id", "c"][..], 64),
        (&["inspect", "-f", "{{.Nope}}", "c"], 1),
        (
            &[
                "inspect",
                "-f",
                "{{.State.Health}} {{.HostConfig.Init}}",
                "c",
            ],
            0,
        ),
        (&["info", "-f", "{{.Runtimes.nvidia}}"], 0),
        (&["info", "-f", "{{"], 64),
        (&["version", "-f", "{{.Nope}}"], 1),
        (&["ps", "--format", "{{.ID"], 1),
    ] {
        let screen = sandbox.berth(arguments);
        assert_eq!(screen.status, status, "{arguments:?}: {screen}");
    }
}
