//! One module, compiled and run by the built programs.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use berth_wasm_runtime::Cache;
use berth_wasm_runtime::configuration::{Configuration, Ending};
use tempfile::TempDir;

/// The folder of the built programs; `None`, loudly, where they are missing.
pub(crate) fn programs() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let folder = match std::env::var_os("BERTH_PROGRAMS") {
        Some(folder) => PathBuf::from(folder),
        None => own.ancestors().nth(3)?.join("release"),
    };
    let is_there = ["berth-wasm", "berth-wasmc"]
        .iter()
        .all(|name| folder.join(name).exists());
    if !is_there {
        eprintln!(
            "SKIPPED: no berth-wasm and berth-wasmc in {}",
            folder.display()
        );
    }
    is_there.then_some(folder)
}

/// One module, compiled, and how it is run.
pub(crate) struct Run {
    directory: TempDir,
    executor: PathBuf,
    compiled: PathBuf,
    pub(crate) configuration: Configuration,
}

impl Run {
    pub(crate) fn new(text: &str) -> Option<Self> {
        let programs = programs()?;
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(
            &directory.path().join("cache"),
            &programs.join("berth-wasmc"),
        )
        .unwrap();
        let compiled = cache
            .compiled_bytes(&wat::parse_str(text).unwrap())
            .unwrap();
        let configuration = Configuration {
            arguments: vec!["guest".to_owned()],
            working_directory: "/".to_owned(),
            ..Configuration::default()
        };
        Some(Self {
            directory,
            executor: programs.join("berth-wasm"),
            compiled,
            configuration,
        })
    }

    fn report(&self) -> PathBuf {
        self.directory.path().join("report")
    }

    /// The shell places the files at their numbers, which needs no unsafe code here.
    pub(crate) fn command(&self, wrapper: &[&str]) -> Command {
        let configuration = self.directory.path().join("configuration");
        std::fs::write(
            &configuration,
            serde_json::to_vec(&self.configuration).unwrap(),
        )
        .unwrap();
        let mut words: Vec<OsString> = wrapper.iter().map(OsString::from).collect();
        let script = r#"exec "$0" 3<"$1" 4<"$2" 5>"$3""#;
        words.extend(["/bin/sh", "-c", script].map(OsString::from));
        words.extend(
            [
                &self.executor,
                &configuration,
                &self.compiled,
                &self.report(),
            ]
            .map(|path| path.clone().into()),
        );
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear().stdin(Stdio::null());
        command
    }

    pub(crate) fn output(&self) -> Output {
        self.command(&[]).output().unwrap()
    }

    pub(crate) fn status(&self) -> Option<i32> {
        self.output().status.code()
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        serde_json::from_slice(&std::fs::read(self.report()).unwrap()).ok()
    }
}

/// A guest that goes on beside its test, and ends with it whatever happens.
pub(crate) struct Guest(Child);

impl Guest {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn stdout(&mut self) -> &mut ChildStdout {
        self.0.stdout.as_mut().unwrap()
    }

    /// Waits for its end.
    pub(crate) fn status(mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Asks a process to end.
pub(crate) fn terminate(pid: &str) {
    let kill = Command::new("kill").args(["-TERM", pid]).status();
    assert!(kill.unwrap().success());
}
