//! Dockerfiles as real projects write them (`corpus/`), built here and by buildah: the same files, the same config.
//!
//! buildah runs with chroot isolation, which works where its runtimes do not. Each difference that is its own or
//! is meant stands below with its reason; any other fails the test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use berth_testkit::{Sandbox, available, debian_root};
use serde_json::Value;

use crate::tree::{differences, listing};

/// What the bases of the corpus are called; all are busybox with stand-ins for the tools they are known for.
const BASES: [&str; 9] = [
    "node:20-alpine",
    "python:3.12-slim",
    "golang:1.22",
    "rust:1.78",
    "debian:bookworm-slim",
    "maven:3.9-eclipse-temurin-21",
    "eclipse-temurin:21-jre",
    "nginx:1.27-alpine",
    "alpine:3.20",
];

const CASES: [&str; 11] = [
    "node",
    "python",
    "go",
    "rust",
    "java",
    "nginx",
    "postgres",
    "alpine",
    "copies",
    "variables",
    "mounts",
];

/// Paths in which the images may differ: the case (or all), the path, and why.
const PATHS: [(&str, &str, &str); 10] = [
    (
        "",
        "etc/hosts",
        "chroot isolation leaves the file it mounts upon; it is empty",
    ),
    ("", "etc/hostname", "as etc/hosts"),
    ("", "etc/resolv.conf", "as etc/hosts"),
    (
        "",
        "run",
        "chroot isolation makes it for its secrets and leaves it",
    ),
    (
        "mounts",
        "mnt",
        "buildah leaves directories it made above a mount's target, BuildKit and berth do not",
    ),
    ("mounts", "var/cache", "as mnt"),
    (
        "copies",
        "modes/m2755",
        "buildah drops the setgid bit while copying, BuildKit and berth keep it",
    ),
    ("copies", "everything/modes/m2755", "as modes/m2755"),
    ("debian", "packages", "as mnt"),
    (
        "variables",
        "child",
        "an argument after ENV counts with BuildKit and berth, not with buildah",
    ),
];

/// Fields of the config in which they may differ.
const FIELDS: [(&str, &str, &str); 2] = [
    (
        "nginx",
        "ExposedPorts",
        "buildah keeps a range as it is written, BuildKit and berth write each port",
    ),
    (
        "variables",
        "Entrypoint",
        "buildah forgets SHELL here; the reference says that ENTRYPOINT uses it",
    ),
];

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/build/corpus")
}

/// A case's context, with what a repository cannot hold made by its script.
fn context(sandbox: &Sandbox, case: &str) -> PathBuf {
    let directory = sandbox.path().join("contexts").join(case);
    std::fs::create_dir_all(directory.parent().unwrap()).unwrap();
    let made = Command::new("sh")
        .args([
            "-c",
            "umask 022; cp -r \"$1\" \"$2\" && cd \"$2\" && chmod -R go-w . && if [ -e context.sh ]; then sh context.sh && rm context.sh; fi",
            "sh",
        ])
        .arg(corpus().join(case))
        .arg(&directory)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{case}: {}",
        String::from_utf8_lossy(&made.stderr)
    );
    directory
}

/// buildah on directories of its own.
struct Buildah<'a>(&'a Sandbox);

impl<'a> Buildah<'a> {
    fn new(sandbox: &'a Sandbox) -> Self {
        let place = sandbox.path().join("buildah");
        std::fs::create_dir(&place).unwrap();
        let at = place.display();
        let storage = format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = \"{at}/root\"\nrunroot = \"{at}/run\"\n"
        );
        std::fs::write(place.join("storage.conf"), storage).unwrap();
        std::fs::write(
            place.join("containers.conf"),
            "[containers]\ndefault_ulimits = []\n",
        )
        .unwrap();
        let policy = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;
        std::fs::write(place.join("policy.json"), policy).unwrap();
        Self(sandbox)
    }

    /// Runs it, which must succeed; the last line it says.
    fn run(&self, arguments: &[&str]) -> String {
        let place = self.0.path().join("buildah");
        let output = Command::new("buildah")
            .args(arguments)
            .env("CONTAINERS_STORAGE_CONF", place.join("storage.conf"))
            .env("CONTAINERS_CONF", place.join("containers.conf"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "buildah {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn policy(&self) -> String {
        let path = self.0.path().join("buildah/policy.json");
        format!("--signature-policy={}", path.display())
    }

    /// Takes an image over, under these names.
    fn import(&self, image: &str, names: &[&str]) {
        let archive = self.0.path().join("base.tar");
        let archive = archive.to_str().unwrap();
        let save = ["save", "--format", "docker-archive", "-o", archive, image];
        self.0.berth(&save).success();
        let source = format!("docker-archive:{archive}");
        let id = self.run(&["pull", &self.policy(), "-q", &source]);
        for name in names {
            self.run(&["tag", &id, &format!("docker.io/library/{name}")]);
        }
        std::fs::remove_file(archive).unwrap();
    }

    /// Builds, and gives the root and the config to `look`.
    fn build(&self, context: &Path, look: impl FnOnce(&Path, Value)) {
        let context = context.to_str().unwrap();
        let policy = self.policy();
        let flags = [
            "-q",
            "--pull-never",
            "--isolation",
            "chroot",
            "--format",
            "docker",
        ];
        self.run(
            &[
                &["build", &policy, "-t", "localhost/case"],
                &flags[..],
                &[context],
            ]
            .concat(),
        );
        let about = self.run(&["inspect", "--type", "image", "localhost/case"]);
        let about: Value = serde_json::from_str(&about).unwrap();
        let container = self.run(&["from", &policy, "--pull-never", "localhost/case"]);
        let root = self.run(&["mount", &container]);
        look(Path::new(&root), about["Docker"]["config"].clone());
        self.run(&["umount", &container]);
        self.run(&["rm", &container]);
        self.run(&["rmi", "localhost/case"]);
    }
}

/// The fields of a config that say something about the image; absent, null and empty are the same.
fn fields(config: &Value) -> BTreeMap<String, Value> {
    let mut fields = BTreeMap::new();
    for name in [
        "User",
        "Env",
        "Entrypoint",
        "Cmd",
        "WorkingDir",
        "Labels",
        "ExposedPorts",
        "Volumes",
        "StopSignal",
        "OnBuild",
        "Shell",
        "Healthcheck",
    ] {
        let mut value = config[name].clone();
        match &mut value {
            // buildah moves a variable that is set again to the end, Docker leaves it where it was.
            Value::Array(list) if name == "Env" => list.sort_by_key(ToString::to_string),
            // Where nothing says it, commands begin there anyway; BuildKit writes it down.
            Value::String(path) if name == "WorkingDir" && path == "/" => path.clear(),
            Value::Object(map) => {
                map.remove("io.buildah.version");
                // Durations that were not given.
                map.retain(|_, value| *value != 0);
            }
            _ => {}
        }
        let is_empty = match &value {
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            Value::String(text) => text.is_empty(),
            other => other.is_null(),
        };
        if !is_empty {
            fields.insert(name.to_owned(), value);
        }
    }
    fields
}

/// Builds a case with both and compares.
fn compare(sandbox: &Sandbox, buildah: Option<&Buildah<'_>>, case: &str) {
    let context = context(sandbox, case);
    let place = context.to_str().unwrap();
    sandbox
        .berth(&["build", "--network", "none", "-t", "case", place])
        .success();
    let Some(buildah) = buildah else { return };
    let root = sandbox.berth(&["image", "mount", "case"]).success();
    let own = listing(Path::new(
        &root.replace("[SANDBOX]", &sandbox.path().display().to_string()),
    ));
    sandbox.berth(&["image", "unmount", "case"]).success();
    let config = sandbox
        .berth(&["image", "inspect", "-f", "{{json .Config}}", "case"])
        .success();
    let config = fields(&serde_json::from_str(&config).unwrap());
    buildah.build(&context, |root, other| {
        let is_known = |line: &String| {
            let path = line.split(": ").next().unwrap_or_default();
            PATHS
                .iter()
                .any(|(of, known, _)| *known == path && (of.is_empty() || *of == case))
        };
        let mut found = differences(&own, &listing(root));
        found.retain(|line| !is_known(line));
        let other = fields(&other);
        for name in config.keys().chain(other.keys()) {
            let is_known = FIELDS
                .iter()
                .any(|(of, known, _)| of == &case && known == name);
            if config.get(name) != other.get(name) && !is_known {
                found.push(format!(
                    "{name}: {:?} | {:?}",
                    config.get(name),
                    other.get(name)
                ));
            }
        }
        assert!(
            found.is_empty(),
            "{case}: berth | buildah\n{}",
            found.join("\n")
        );
    });
}

#[test]
fn real_dockerfiles_come_out_as_with_buildah() {
    let test = "real_dockerfiles_come_out_as_with_buildah";
    let sandbox = Sandbox::with_busybox();
    let base = context(&sandbox, "base");
    sandbox
        .berth(&["build", "-t", "base", base.to_str().unwrap()])
        .success();
    for name in BASES.iter().chain(&["php:8.3-apache"]) {
        sandbox.berth(&["tag", "base", name]).success();
    }
    let buildah = (available(test, "buildah") && available(test, "getfattr")).then(|| {
        let buildah = Buildah::new(&sandbox);
        buildah.import("base", &[&BASES[..], &["php:8.3-apache"]].concat());
        buildah
    });
    for case in CASES.iter().chain(&["php"]) {
        compare(&sandbox, buildah.as_ref(), case);
    }
    sandbox.assert_nothing_left();
}

/// The same upon a real Debian, with its own dpkg, useradd and bash.
#[test]
fn a_debian_comes_out_as_with_buildah() {
    let test = "a_debian_comes_out_as_with_buildah";
    let Some(root) = debian_root(test) else {
        return;
    };
    let sandbox = Sandbox::new();
    sandbox
        .berth(&["import", root.to_str().unwrap(), "debian:bookworm"])
        .success();
    let buildah = (available(test, "buildah") && available(test, "getfattr")).then(|| {
        let buildah = Buildah::new(&sandbox);
        buildah.import("debian:bookworm", &["debian:bookworm"]);
        buildah
    });
    compare(&sandbox, buildah.as_ref(), "debian");
    sandbox.assert_nothing_left();
}
