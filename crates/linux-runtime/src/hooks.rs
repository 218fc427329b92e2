//! OCI hooks: programs of the host that run at points of a guest's life.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use berth_contract::oci::{self, Hook};
use berth_contract::{Class, ContainerId, Error, Result};
use berth_sys::error::Explain as _;
use berth_sys::pidfd;
use serde_json::json;

/// The hooks of one guest, and what they are told.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    id: String,
    bundle: PathBuf,
    annotations: serde_json::Value,
    /// `prestart` and `createRuntime`: its namespaces exist, its program does not run yet.
    before: Vec<Hook>,
    after: Vec<Hook>,
    stop: Vec<Hook>,
}

impl Stages {
    pub(crate) fn new(spec: &oci::Spec, id: &ContainerId) -> Self {
        let Some(hooks) = &spec.hooks else {
            return Self::default();
        };
        let list = |hooks: &Option<Vec<Hook>>| hooks.clone().unwrap_or_default();
        let mut before = list(&hooks.prestart);
        before.extend(list(&hooks.create_runtime));
        Self {
            id: id.to_string(),
            bundle: spec
                .root
                .as_ref()
                .map(|root| root.path.clone())
                .unwrap_or_default(),
            annotations: json!(spec.annotations.clone().unwrap_or_default()),
            before,
            after: list(&hooks.poststart),
            stop: list(&hooks.poststop),
        }
    }

    /// Runs what belongs before the program; a failure keeps it from running.
    pub(crate) fn before_start(&self, pid: i32) -> Result<()> {
        self.run(&self.before, "created", Some(pid))
    }

    /// Runs what belongs after the program's start.
    pub(crate) fn after_start(&self, pid: i32) -> Result<()> {
        self.run(&self.after, "running", Some(pid))
    }

    /// Runs what belongs after the guest's end.
    pub(crate) fn after_stop(&self) -> Result<()> {
        self.run(&self.stop, "stopped", None)
    }

    fn run(&self, hooks: &[Hook], status: &str, pid: Option<i32>) -> Result<()> {
        for hook in hooks {
            let mut state = json!({
                "ociVersion": "1.2.0",
                "id": self.id,
                "status": status,
                "bundle": self.bundle,
                "annotations": self.annotations,
            });
            if let (Some(pid), Some(object)) = (pid, state.as_object_mut()) {
                object.insert("pid".to_owned(), json!(pid));
            }
            run_one(hook, state.to_string().as_bytes())?;
        }
        Ok(())
    }
}

fn run_one(hook: &Hook, state: &[u8]) -> Result<()> {
    let sentence = || format!("cannot run the hook {}", hook.path.display());
    let mut arguments = hook.args.iter().flatten();
    let mut command = Command::new(&hook.path);
    if let Some(name) = arguments.next() {
        std::os::unix::process::CommandExt::arg0(&mut command, name);
    }
    let environment = hook
        .env
        .iter()
        .flatten()
        .filter_map(|variable| variable.split_once('='));
    command
        .args(arguments)
        .env_clear()
        .envs(environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().explain(sentence)?;
    if let Some(mut input) = child.stdin.take() {
        // A hook need not read its input.
        drop(input.write_all(state));
    }
    let timeout = hook
        .timeout
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map(Duration::from_secs);
    wait(&mut child, timeout).map_err(|error| error.context(sentence()))
}

fn wait(child: &mut Child, timeout: Option<Duration>) -> Result<()> {
    let sentence = || "it cannot be waited for".to_owned();
    let pid = i32::try_from(child.id()).unwrap_or(-1);
    let pidfd = pidfd::open(pid).explain(sentence)?;
    let ended = pidfd::wait_ended(std::os::fd::AsFd::as_fd(&pidfd), timeout).explain(sentence)?;
    if !ended {
        child.kill().explain(sentence)?;
    }
    let status = child.wait().explain(sentence)?;
    match (ended, status.success()) {
        (true, true) => Ok(()),
        (true, false) => Err(Error::new(
            Class::Conflict,
            format!("it failed with {status}"),
        )),
        (false, _) => Err(Error::new(
            Class::Unavailable,
            "it took longer than its timeout",
        )),
    }
}
