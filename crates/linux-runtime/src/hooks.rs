//! OCI hooks: programs that run at points of a guest's life.
//!
//! ```text
//! hook                        when                                run by       its path and namespaces
//! prestart, createRuntime     the tree is made, not yet the root  supervisor   the host's
//! createContainer             next                                guest        the host's path, the guest's namespaces
//! startContainer              right before the program            guest        the guest's
//! poststart                   the program runs                    supervisor   the host's
//! poststop                    nothing is left                     supervisor   the host's
//! ```
//! A hook that fails ends the guest (runtime-spec 1.3, poststart included); after its end there is nothing to
//! end any more, so every poststop hook runs.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_contract::oci::{self, Hook};
use berth_contract::{Class, Error, Exit, Result, Rootfs, Slot};
use berth_sys::error::Explain as _;
use berth_sys::namespace::Namespaces;
use berth_sys::process::{self, Image};
use berth_sys::{clone, disposition, fd, memory_file, pidfd};
use serde_json::json;

/// How much of what a failed hook wrote is shown.
const SHOWN: usize = 2048;

/// The version of the runtime-spec whose state document hooks get.
const VERSION: &str = "1.3.0";

/// The hooks of one guest, and what they are told.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    id: String,
    bundle: PathBuf,
    annotations: serde_json::Value,
    create_runtime: Vec<Hook>,
    create_container: Vec<Hook>,
    start_container: Vec<Hook>,
    after: Vec<Hook>,
    stop: Vec<Hook>,
}

impl Stages {
    pub(crate) fn new(spec: &oci::Spec, slot: &Slot) -> Self {
        let list = |hooks: &Option<Vec<Hook>>| hooks.clone().unwrap_or_default();
        let mut stages = Self {
            id: slot.id.to_string(),
            bundle: bundle(&slot.rootfs),
            annotations: json!(spec.annotations.clone().unwrap_or_default()),
            ..Self::default()
        };
        if let Some(hooks) = &spec.hooks {
            stages.create_runtime = list(&hooks.prestart);
            stages.create_runtime.extend(list(&hooks.create_runtime));
            stages.create_container = list(&hooks.create_container);
            stages.start_container = list(&hooks.start_container);
            stages.after = list(&hooks.poststart);
            stages.stop = list(&hooks.poststop);
        }
        stages
    }

    /// Whether the guest waits for its supervisor once its tree is made.
    pub(crate) fn wait_for_supervisor(&self) -> bool {
        !self.create_runtime.is_empty()
    }

    /// The supervisor's hooks before the guest enters its root.
    pub(crate) fn create_runtime(&self, pid: i32) -> Result<()> {
        self.run(&self.create_runtime, "creating", Some(pid))
    }

    /// The guest's hooks before it enters its root.
    pub(crate) fn create_container(&self) -> Result<()> {
        self.run(&self.create_container, "creating", Some(process::id()))
    }

    /// The guest's hooks before its program.
    pub(crate) fn start_container(&self) -> Result<()> {
        self.run(&self.start_container, "created", Some(process::id()))
    }

    /// Runs what belongs after the program's start.
    pub(crate) fn after_start(&self, pid: i32) -> Result<()> {
        self.run(&self.after, "running", Some(pid))
    }

    /// Runs what belongs after the guest's end; the first failure is returned once all have run.
    pub(crate) fn after_stop(&self) -> Result<()> {
        let state = self.state("stopped", None).to_string();
        let mut results = self.stop.iter().map(|hook| run_one(hook, state.as_bytes()));
        let first = results.by_ref().find(Result::is_err);
        results.for_each(drop);
        first.unwrap_or(Ok(()))
    }

    /// The state document of the specification (`runtime.md`, "State").
    pub(crate) fn state(&self, status: &str, pid: Option<i32>) -> serde_json::Value {
        let mut state = json!({
            "ociVersion": VERSION,
            "id": self.id,
            "status": status,
            "bundle": self.bundle,
            "annotations": self.annotations,
        });
        if let (Some(pid), Some(object)) = (pid, state.as_object_mut()) {
            object.insert("pid".to_owned(), json!(pid));
        }
        state
    }

    fn run(&self, hooks: &[Hook], status: &str, pid: Option<i32>) -> Result<()> {
        if hooks.is_empty() {
            return Ok(());
        }
        let state = self.state(status, pid).to_string();
        hooks
            .iter()
            .try_for_each(|hook| run_one(hook, state.as_bytes()))
    }
}

/// Where the container's documents are.
fn bundle(rootfs: &Rootfs) -> PathBuf {
    let inner = match rootfs {
        Rootfs::Overlay { upper, .. } => upper,
        Rootfs::Directory(path) => path,
    };
    inner.parent().unwrap_or(Path::new("/")).to_owned()
}

/// The files a hook has: its state on standard input, and where it complains.
struct Streams {
    state: OwnedFd,
    null: OwnedFd,
    complaints: OwnedFd,
}

fn run_one(hook: &Hook, state: &[u8]) -> Result<()> {
    let sentence = || format!("cannot run the hook {}", hook.path.display());
    let path = hook.path.to_str().filter(|path| path.starts_with('/'));
    let path = path.ok_or_else(|| {
        Error::new(Class::Invalid, sentence()).caused_by("its path is not an absolute one")
    })?;
    let arguments = match hook.args.as_deref() {
        None | Some([]) => std::slice::from_ref(&hook.path)
            .iter()
            .filter_map(|path| path.to_str())
            .collect(),
        Some(arguments) => arguments.iter().map(String::as_str).collect::<Vec<_>>(),
    };
    let environment = hook.env.iter().flatten().map(String::as_str);
    let image = Image::new(arguments, environment).explain(sentence)?;
    let streams = Streams {
        state: memory_file::sealed("state", state).explain(sentence)?,
        null: fd::null().explain(sentence)?,
        complaints: memory_file::empty("complaints").explain(sentence)?,
    };
    let child = clone::spawn(Namespaces::empty(), None, || {
        become_hook(path, &image, &streams)
    })
    .explain(sentence)?;
    let timeout = hook
        .timeout
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map(Duration::from_secs);
    wait(&child, timeout).map_err(|why| {
        let error = Error::new(Class::Conflict, sentence()).caused_by(why);
        match memory_file::read(&streams.complaints, SHOWN) {
            Ok(said) if !said.is_empty() => {
                let said = String::from_utf8_lossy(&said);
                error.hint(format!("it said: {}", said.trim_end()))
            }
            _ => error,
        }
    })
}

/// The child's side; what it returns is a failure's status.
fn become_hook(path: &str, image: &Image, streams: &Streams) -> u8 {
    let Streams {
        state,
        null,
        complaints,
    } = streams;
    // Lifted first: one of them may be where another one belongs.
    let lifted = [state, null, complaints].map(|file| fd::duplicate_above(file, 3));
    for (file, number) in lifted.into_iter().zip(0..) {
        if file.and_then(|file| fd::place(&file, number)).is_err() {
            return 127;
        }
    }
    if fd::close_on_execute(3, u32::MAX).is_err() {
        return 127;
    }
    disposition::reset();
    let error = image.execute(path);
    drop(memory_file::append(
        complaints,
        error.to_string().as_bytes(),
    ));
    127
}

fn wait(child: &clone::Child, timeout: Option<Duration>) -> std::result::Result<(), String> {
    let pidfd = child.pidfd.as_fd();
    let ended = pidfd::wait_ended(pidfd, timeout).map_err(|error| error.to_string())?;
    if !ended {
        drop(pidfd::signal(pidfd, berth_contract::Signal::KILL));
    }
    let exit = pidfd::wait(pidfd).map_err(|error| error.to_string())?;
    match (ended, exit) {
        (false, _) => Err("it took longer than its timeout".to_owned()),
        (true, Exit::Code { code: 0 }) => Ok(()),
        (true, exit) => Err(format!("it failed with status {}", exit.status())),
    }
}
