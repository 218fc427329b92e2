//! A real registry on loopback, and another client beside berth.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use berth_testkit::{ImageArchive, Sandbox, available};

/// The name and password of a guarded registry; an open one ignores them.
const LOGIN: &str = "sailor:salt and pepper";

/// Debian's `docker-registry`, on a port of its own, ended with the test.
pub(crate) struct Registry {
    child: Child,
    pub(crate) port: u16,
}

impl Registry {
    /// Open to everybody.
    pub(crate) fn start(sandbox: &Sandbox) -> Self {
        Self::start_with(sandbox, "")
    }

    /// Open to [`LOGIN`] alone.
    pub(crate) fn start_guarded(sandbox: &Sandbox) -> Self {
        let file = sandbox.path().join("htpasswd");
        let (user, password) = LOGIN.split_once(':').unwrap();
        let output = Command::new("htpasswd")
            .args(["-nbB", "-C", "4", user, password])
            .output()
            .unwrap();
        std::fs::write(&file, output.stdout).unwrap();
        let rule = format!(
            "auth: {{htpasswd: {{realm: tests, path: {}}}}}\n",
            file.display()
        );
        Self::start_with(sandbox, &rule)
    }

    fn start_with(sandbox: &Sandbox, rule: &str) -> Self {
        let place = sandbox.path();
        // The registry cannot be asked for a free port, so one is found for it.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\n\
             storage: {{filesystem: {{rootdirectory: {}/registry}}, delete: {{enabled: true}}}}\n\
             http: {{addr: \"127.0.0.1:{port}\"}}\n{rule}",
            place.display()
        );
        let file = place.join("registry.yml");
        std::fs::write(&file, config).unwrap();
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "the registry ended");
        }
        // The rest of what it says has to go somewhere.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Self { child, port }
    }

    /// Pushes an archive with skopeo under this name.
    pub(crate) fn push(&self, sandbox: &Sandbox, archive: &ImageArchive, name: &str) {
        let file = sandbox.path().join("pushed.tar");
        std::fs::write(&file, archive.bytes()).unwrap();
        let output = Command::new("skopeo")
            .args([
                "copy",
                "--quiet",
                "--insecure-policy",
                "--dest-tls-verify=false",
                "--dest-creds",
                LOGIN,
            ])
            .arg(format!("docker-archive:{}", file.display()))
            .arg(format!("docker://127.0.0.1:{}/{name}", self.port))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn an_image_of_a_real_registry_is_pulled_and_run() {
    let test = "an_image_of_a_real_registry_is_pulled_and_run";
    if !available(test, "docker-registry") || !available(test, "skopeo") {
        return;
    }
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox);
    registry.push(&sandbox, &ImageArchive::busybox(), "tools/busybox:1.0");
    let name = format!("127.0.0.1:{}/tools/busybox:1.0", registry.port);
    let run = sandbox.berth(&["run", "--rm", "--quiet", &name, "echo", "pulled"]);
    assert_eq!(run.success(), "pulled");
    let again = sandbox.berth(&["pull", "--quiet", &name]);
    assert_eq!(again.success(), name);
    let listed = sandbox.berth(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    assert_eq!(listed.success(), name);
    let missing = format!("127.0.0.1:{}/tools/busybox:2.0", registry.port);
    let screen = sandbox.berth(&["pull", &missing]);
    let screen = screen
        .replace(&registry.port.to_string(), "[PORT]")
        .hide_ids();
    insta::assert_snapshot!(screen, @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such image: 127.0.0.1:[PORT]/tools/busybox:2.0
    caused by: GET http://127.0.0.1:[PORT]/v2/tools/busybox/manifests/2.0: 404 Not Found: manifest unknown (MANIFEST_UNKNOWN)
    ");
}

#[test]
fn two_pulls_at_once_both_succeed() {
    let test = "two_pulls_at_once_both_succeed";
    if !available(test, "docker-registry") || !available(test, "skopeo") {
        return;
    }
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox);
    registry.push(&sandbox, &ImageArchive::busybox(), "busybox");
    let name = format!("127.0.0.1:{}/busybox", registry.port);
    let pulls = [(); 4].map(|()| sandbox.start(&["pull", "--quiet", &name]));
    for pull in pulls {
        pull.finish().success();
    }
    assert_eq!(
        sandbox
            .berth(&["run", "--rm", &name, "echo", "whole"])
            .success(),
        "whole"
    );
}

#[test]
fn a_guarded_registry_opens_to_the_logins_of_config_json() {
    let test = "a_guarded_registry_opens_to_the_logins_of_config_json";
    if !["docker-registry", "skopeo", "htpasswd"]
        .iter()
        .all(|program| available(test, program))
    {
        return;
    }
    let sandbox = Sandbox::new();
    let registry = Registry::start_guarded(&sandbox);
    registry.push(&sandbox, &ImageArchive::busybox(), "private/busybox");
    let host = format!("127.0.0.1:{}", registry.port);
    let name = format!("{host}/private/busybox");
    let hidden = |arguments: &[&str]| {
        sandbox
            .berth(arguments)
            .replace(&registry.port.to_string(), "[PORT]")
            .hide_ids()
    };
    insta::assert_snapshot!(hidden(&["pull", &name]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: the registry denies access to 127.0.0.1:[PORT]/private/busybox:latest
    caused by: GET http://127.0.0.1:[PORT]/v2/private/busybox/manifests/latest: 401 Unauthorized: authentication required (UNAUTHORIZED)

    hint: check the name, or log in: berth login 127.0.0.1:[PORT]
    ");

    let folder = sandbox.path().join("logins");
    std::fs::create_dir(&folder).unwrap();
    let config = folder.to_str().unwrap();
    let write = |auth: &serde_json::Value| {
        let file = serde_json::json!({ "auths": { &host: auth } });
        std::fs::write(folder.join("config.json"), file.to_string()).unwrap();
    };
    write(&serde_json::json!({ "username": "sailor", "password": "sugar" }));
    insta::assert_snapshot!(hidden(&["--config", config, "pull", &name]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: the registry denies access to 127.0.0.1:[PORT]/private/busybox:latest
    caused by: GET http://127.0.0.1:[PORT]/v2/private/busybox/manifests/latest: 401 Unauthorized: authentication required (UNAUTHORIZED)

    hint: check the name, or log in: berth login 127.0.0.1:[PORT]
    ");

    // The base64 of LOGIN, as `docker login` writes it.
    write(&serde_json::json!({ "auth": "c2FpbG9yOnNhbHQgYW5kIHBlcHBlcg==" }));
    let run = [
        "--config",
        config,
        "run",
        "--rm",
        "--quiet",
        "--network",
        "none",
    ];
    let run = [&run[..], &[&name, "echo", "let in"]].concat();
    assert_eq!(sandbox.berth(&run).success(), "let in");
}

#[test]
fn a_list_of_images_is_pushed_with_them() {
    let test = "a_list_of_images_is_pushed_with_them";
    if !available(test, "docker-registry") || !available(test, "skopeo") {
        return;
    }
    let sandbox = Sandbox::with_busybox();
    let registry = Registry::start(&sandbox);
    let list = format!("127.0.0.1:{}/tools/box:1", registry.port);
    sandbox
        .berth(&["manifest", "create", &list, "busybox"])
        .success();
    let annotate = [
        "manifest",
        "annotate",
        "--os-version",
        "6",
        &list,
        "busybox",
    ];
    sandbox.berth(&annotate).success();
    sandbox
        .berth(&["manifest", "push", "--purge", &list])
        .success();
    assert_eq!(
        sandbox.berth(&["manifest", "exists", &list]).status,
        1,
        "it was purged"
    );
    let raw = Command::new("skopeo")
        .args(["inspect", "--raw", "--tls-verify=false"])
        .arg(format!("docker://{list}"))
        .output()
        .unwrap();
    let raw: serde_json::Value = serde_json::from_slice(&raw.stdout).unwrap();
    assert_eq!(raw["manifests"][0]["platform"]["os.version"], "6");
    let other = Sandbox::new();
    other.berth(&["pull", "--quiet", &list]).success();
    let ids = [&sandbox, &other].map(|one| one.berth(&["images", "-q", "--no-trunc"]).success());
    assert_eq!(ids[0], ids[1]);
    let refused = sandbox.berth(&["manifest", "push", "busybox"]);
    assert!(
        refused.stderr.contains("is an image, not a list"),
        "{}",
        refused.stderr
    );
}
