//! A directory with a Dockerfile, beside a sandbox to build it in.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use berth_testkit::{Sandbox, Screen};

/// A context, and the sandbox its images are built in.
pub(crate) struct Project {
    pub(crate) sandbox: Sandbox,
    pub(crate) directory: PathBuf,
}

impl Project {
    /// An empty context, with `busybox` in the store.
    pub(crate) fn new() -> Self {
        let sandbox = Sandbox::with_busybox();
        let directory = sandbox.path().join("context");
        std::fs::create_dir(&directory).unwrap();
        Self { sandbox, directory }
    }

    /// With this Dockerfile.
    pub(crate) fn of(dockerfile: &str) -> Self {
        Self::new().file("Dockerfile", dockerfile)
    }

    /// With a file more.
    pub(crate) fn file(self, path: &str, content: &str) -> Self {
        self.write(path, content);
        self
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.directory.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(crate) fn mode(&self, path: &str, mode: u32) {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(self.directory.join(path), permissions).unwrap();
    }

    /// Runs `berth build -t t OPTIONS CONTEXT`.
    pub(crate) fn build(&self, options: &[&str]) -> Screen {
        let context = self.directory.to_str().unwrap();
        let all = [&["build", "-t", "t"], options, &[context]].concat();
        self.sandbox.berth(&all)
    }

    /// Builds the image `base` of the Dockerfile as it is now; others may then be written over it.
    pub(crate) fn build_base(&self) {
        let context = self.directory.to_str().unwrap();
        let words = ["build", "-t", "base", context];
        self.sandbox.berth(&words).success();
    }

    /// Builds, which must succeed, and runs a shell command in the image.
    pub(crate) fn sh(&self, command: &str) -> String {
        self.build(&[]).success();
        self.run(command)
    }

    /// Runs a shell command in the image.
    pub(crate) fn run(&self, command: &str) -> String {
        let words = [
            "run",
            "--rm",
            "--network",
            "none",
            "--entrypoint",
            "",
            "t",
            "sh",
            "-c",
            command,
        ];
        self.sandbox.berth(&words).success()
    }

    /// The files of the cache mount in which a command has made this one, once it has.
    pub(crate) fn cache_with(&self, name: &str) -> PathBuf {
        let mounts = self.sandbox.data().join("build/mounts");
        let mut found = None;
        wait_until("a command has its cache mount", || {
            let places = std::fs::read_dir(&mounts).into_iter().flatten().flatten();
            found = places
                .map(|place| place.path().join("data"))
                .find(|data| data.join(name).exists());
            found.is_some()
        });
        found.unwrap()
    }

    pub(crate) fn id(&self) -> String {
        self.config("{{.Id}}")
    }

    pub(crate) fn config(&self, template: &str) -> String {
        self.sandbox
            .berth(&["image", "inspect", "-f", template, "t"])
            .success()
    }
}

/// Waits for what is bound to come.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed().as_secs() < 60, "never: {what}");
        std::thread::yield_now();
    }
}

/// How many steps came out of the cache.
pub(crate) fn cached(screen: &Screen) -> usize {
    screen
        .stderr
        .lines()
        .filter(|line| line.ends_with(" CACHED"))
        .count()
}

/// The names beneath a directory, sorted.
pub(crate) fn tree(directory: &Path) -> Vec<String> {
    assert!(
        directory.is_dir(),
        "{} is no directory",
        directory.display()
    );
    tree_of_what_changes(directory)
}

/// The names beneath a directory; what vanishes meanwhile has none.
pub(crate) fn tree_of_what_changes(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                pending.push(entry.path());
            }
            let path = entry.path();
            names.push(
                path.strip_prefix(directory)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned(),
            );
        }
    }
    names.sort_unstable();
    names
}
