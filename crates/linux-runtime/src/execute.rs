//! The last steps of a process of the guest, the first one or one of `exec`: who it is, what it may do,
//! which files it has, and the program it becomes.
//!
//! ```text
//! session, terminal, directory, limits, labels     (still privileged)
//! bounding set, groups, user, capabilities         CAP_SYS_ADMIN stays permitted for one more step
//! files at their numbers, all others closed
//! ── Prepared ──► … ◄── Go ──
//! filter, execve                                   the kernel drops what was kept: neither bounding
//!                                                  nor ambient has it
//! ```

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use berth_contract::{Class, Error, Inherited, Program, Result, Stdio};
use berth_sys::capability::{self, Sets};
use berth_sys::channel::Channel;
use berth_sys::error::{self, Errno, Explain as _};
use berth_sys::mount::{Attributes, FileSystem};
use berth_sys::path::{self, Directory};
use berth_sys::process::{self, Image};
use berth_sys::{disposition, fd, seccomp};

use crate::filter::Filter;
use crate::hooks::Stages;
use crate::plan::process::ProcessPlan;
use crate::user::{self, Identity};
use crate::{message, outside, reaper};

/// Everything a process needs for its last steps.
#[derive(Debug)]
pub(crate) struct Becoming<'a> {
    pub(crate) plan: &'a ProcessPlan,
    /// The guest's root, which is this process's root as well.
    pub(crate) root: &'a Directory,
    pub(crate) channel: &'a Channel,
    pub(crate) stdio: &'a Stdio,
    /// The slave of the process's terminal.
    pub(crate) terminal: Option<OwnedFd>,
    pub(crate) program: &'a Program,
    pub(crate) inherited: &'a [Inherited],
    /// This process stays, as pid 1, and a child becomes the program.
    pub(crate) reaper: bool,
    /// Its users are not the host's: what takes rights over the host is the supervisor's to do.
    pub(crate) own_users: bool,
    /// What runs before its program, for a first process: its working directory is made when it is missing.
    pub(crate) first: Option<&'a Stages>,
}

/// The descriptors that a process keeps from its supervisor.
pub(crate) fn kept(stdio: &Stdio, program: &Program, inherited: &[Inherited]) -> Vec<i32> {
    let mut keep = Vec::new();
    if let Stdio::Files {
        stdin,
        stdout,
        stderr,
    } = stdio
    {
        keep.extend([stdin, stdout, stderr].map(fd::number));
    }
    if let Program::File(file) = program {
        keep.push(fd::number(file));
    }
    keep.extend(
        inherited
            .iter()
            .map(|inherited| fd::number(&inherited.file)),
    );
    keep
}

/// Does the last steps; returns only an exit status, of a reaper or of an orphan.
pub(crate) fn become_and_execute(becoming: Becoming<'_>) -> Result<u8> {
    let plan = becoming.plan;
    drop(process::new_keyring());
    if !becoming.reaper {
        lead(becoming.terminal.as_ref().map(OwnedFd::as_fd))?;
    }
    enter_directory(becoming.root, &plan.directory, becoming.first.is_some())?;
    let with_home = !plan
        .environment
        .iter()
        .any(|variable| variable.starts_with("HOME="));
    let identity = user::identify(&plan.user, becoming.root, with_home)?;
    give_streams(&becoming, identity.user);
    if !becoming.own_users {
        outside::apply(plan, None)?;
    }
    apply_scheduling(plan)?;
    apply_labels(plan)?;
    drop_privileges(plan, &identity)?;
    process::die_with_parent().explain(|| "cannot tie the process to its supervisor".into())?;
    process::set_mask(plan.user.mask.unwrap_or(0o022));
    let image = image(plan, &identity, with_home)?;
    let files = place_files(&becoming)?;
    message::prepared(&files.channel)?;
    let Some(filter) = message::await_go(&files.channel)? else {
        return Ok(137);
    };
    if let Some(hooks) = becoming.first {
        hooks.start_container()?;
    }
    let filter = filter.as_ref();
    if becoming.reaper {
        let Err(error) = reaper::run(&files.channel, plan, filter, || {
            lead(files.terminal.then(fd::standard_input))?;
            process::die_with_parent()
                .explain(|| "cannot tie the process to its supervisor".into())?;
            Err(execute(plan, &image, &files, filter))
        });
        return Err(error);
    }
    Err(execute(plan, &image, &files, filter))
}

/// Begins a session, with a controlling terminal if there is one.
fn lead(terminal: Option<BorrowedFd<'_>>) -> Result<()> {
    process::new_session().explain(|| "cannot begin a session".into())?;
    match terminal {
        Some(terminal) => {
            process::control_terminal(terminal).explain(|| "cannot control the terminal".into())
        }
        None => Ok(()),
    }
}

/// Enters the working directory; a second process finds it or fails, as in Docker.
///
/// It is resolved without magic links, so `/proc/self/fd/N` cannot lead out of the root, and its name is
/// checked all the same (CVE-2024-21626).
fn enter_directory(root: &Directory, directory: &str, first: bool) -> Result<()> {
    let sentence = || format!("cannot use {directory} as the working directory");
    if !directory.starts_with('/') {
        return Err(Error::new(Class::Invalid, sentence()).caused_by("it is not an absolute path"));
    }
    let found = match first {
        true => root.make_directories(Path::new(directory), 0o755),
        false => root.resolve(Path::new(directory)),
    };
    let target = found.map_err(|error| {
        let class = match error::is(&error, Errno::NOENT) {
            true => Class::CommandNotFound,
            false => Class::CannotInvoke,
        };
        Error::new(class, sentence()).caused_by(error)
    })?;
    process::change_directory(target)
        .map_err(|error| Error::new(Class::CannotInvoke, sentence()).caused_by(error))?;
    let name = process::working_directory().explain(sentence)?;
    if name.to_bytes().starts_with(b"/") {
        Ok(())
    } else {
        Err(Error::new(Class::Denied, sentence()).caused_by("it lies outside the container's root"))
    }
}

/// Pipes and terminals belong to the process's user, so that `/dev/stdout` can be opened again.
fn give_streams(becoming: &Becoming<'_>, user: u32) {
    let give = |file: &OwnedFd| {
        let pipe =
            path::status(file).is_ok_and(|status| path::is_pipe(&status) && status.st_uid != user);
        if pipe {
            // An unmapped owner keeps it; then only reopening by name fails.
            drop(path::set_user(file, user));
        }
    };
    match becoming.stdio {
        Stdio::Files {
            stdin,
            stdout,
            stderr,
        } => [stdin, stdout, stderr].into_iter().for_each(give),
        Stdio::Terminal(_) => {
            if let Some(terminal) = &becoming.terminal {
                drop(path::set_user(terminal, user));
            }
        }
    }
}

fn apply_scheduling(plan: &ProcessPlan) -> Result<()> {
    if let Some(domain) = plan.personality {
        process::set_personality(domain).explain(|| "cannot set the execution domain".into())?;
    }
    if let Some((class, level)) = plan.io_priority {
        process::set_io_priority(class, level).explain(|| "cannot set the I/O priority".into())?;
    }
    if let Some(scheduling) = plan.scheduling {
        process::set_scheduling(scheduling)
            .explain(|| "cannot set the scheduling policy".into())?;
    }
    Ok(())
}

/// Security labels for the program; a kernel without the module has nothing to write them to.
fn apply_labels(plan: &ProcessPlan) -> Result<()> {
    for (label, path, prefix) in [
        (&plan.apparmor, "self/attr/apparmor/exec", "exec "),
        (&plan.selinux, "self/attr/exec", ""),
    ] {
        let Some(label) = label else { continue };
        let proc = private_proc()?;
        match path::write_proc(proc.as_fd(), path, format!("{prefix}{label}").as_bytes()) {
            // ENOENT: no such module; EINVAL: no module that takes this attribute.
            Err(error) if error::is(&error, Errno::NOENT) || error::is(&error, Errno::INVAL) => {}
            result => result.explain(|| format!("cannot apply the security label {label}"))?,
        }
    }
    Ok(())
}

/// A procfs of this process's pid namespace that nobody else can reach or cover (CVE-2025-52881).
///
/// With users of its own and the host's pid namespace a process may not make one; the host's is bound in
/// its root then.
pub(crate) fn private_proc() -> Result<OwnedFd> {
    let sentence = || "cannot mount a private procfs".to_owned();
    let made = FileSystem::new("proc").and_then(|proc| proc.mount(Attributes::empty()));
    match made {
        Err(error) if error::is(&error, Errno::PERM) => Directory::open(Path::new("/proc"))
            .map(Directory::into_fd)
            .explain(sentence),
        result => result.explain(sentence),
    }
}

fn drop_privileges(plan: &ProcessPlan, identity: &Identity) -> Result<()> {
    let sentence = || "cannot give up privileges".to_owned();
    let identity_sentence = || format!("cannot run as user {}:{}", identity.user, identity.group);
    if plan.no_new_privileges {
        process::forbid_new_privileges().explain(sentence)?;
    }
    let own = capability::permitted().explain(sentence)?;
    let wanted = plan
        .capabilities
        .unwrap_or_else(|| kept_by(identity.user, own));
    // What the supervisor does not have itself cannot be given: `--privileged` inside a container.
    let wanted = Sets {
        bounding: wanted.bounding & own,
        effective: wanted.effective & own,
        permitted: wanted.permitted & own,
        inheritable: wanted.inheritable & own,
        ambient: wanted.ambient & own,
    };
    capability::limit_bounding(wanted.bounding).explain(sentence)?;
    capability::keep_across_user_change(true).explain(sentence)?;
    become_user(identity).explain(identity_sentence)?;
    // Loading a filter needs no_new_privs or CAP_SYS_ADMIN; execve drops it again, for it is in neither
    // of the sets that survive.
    let extra = if plan.no_new_privileges {
        0
    } else {
        capability::SYS_ADMIN & own
    };
    capability::set(
        wanted.effective | extra,
        wanted.permitted | extra,
        wanted.inheritable,
    )
    .explain(sentence)?;
    capability::set_ambient(wanted.ambient).explain(sentence)
}

/// Without a word about capabilities, root keeps what there is and others have nothing.
fn kept_by(user: u32, own: u64) -> Sets {
    let held = if user == 0 { own } else { 0 };
    Sets {
        bounding: own,
        effective: held,
        permitted: held,
        inheritable: 0,
        ambient: 0,
    }
}

fn become_user(identity: &Identity) -> std::io::Result<()> {
    match process::set_groups(&identity.groups) {
        // A user namespace may have given setgroups up; no groups are wanted then anyway.
        Err(error) if error::is(&error, Errno::PERM) && identity.groups.is_empty() => {}
        result => result?,
    }
    process::set_user(identity.user, identity.group)
}

fn image(plan: &ProcessPlan, identity: &Identity, with_home: bool) -> Result<Image> {
    let home = with_home.then(|| format!("HOME={}", identity.home));
    let environment = plan
        .environment
        .iter()
        .map(String::as_str)
        .chain(home.as_deref());
    Image::new(plan.arguments.iter().map(String::as_str), environment)
        .explain(|| "cannot pass the arguments".into())
}

/// What is left after the files were put where the program expects them.
struct Files {
    channel: Channel,
    program: Option<OwnedFd>,
    terminal: bool,
}

/// Puts the standard streams and the inherited files at their numbers; everything else closes on execute.
fn place_files(becoming: &Becoming<'_>) -> Result<Files> {
    let sentence = || "cannot hand over the open files".to_owned();
    let inherited = becoming.inherited;
    let free = inherited
        .iter()
        .map(|inherited| inherited.number)
        .max()
        .unwrap_or(2)
        .max(2)
        + 1;
    // First everything goes out of the way of the numbers that will be taken.
    let lift = |file: BorrowedFd<'_>| fd::duplicate_above(file, free).explain(sentence);
    let channel = Channel::from_fd(lift(becoming.channel.as_fd())?);
    let program = match becoming.program {
        Program::Arguments => None,
        Program::File(file) => Some(lift(file.as_fd())?),
    };
    let mut placed = Vec::with_capacity(3 + inherited.len());
    match (becoming.stdio, &becoming.terminal) {
        (
            Stdio::Files {
                stdin,
                stdout,
                stderr,
            },
            _,
        ) => {
            for (number, file) in (0..).zip([stdin, stdout, stderr]) {
                placed.push((number, lift(file.as_fd())?));
            }
        }
        (Stdio::Terminal(_), Some(terminal)) => {
            for number in 0..3 {
                placed.push((number, lift(terminal.as_fd())?));
            }
        }
        (Stdio::Terminal(_), None) => {
            return Err(
                Error::new(Class::Internal, sentence()).caused_by("the terminal was not made")
            );
        }
    }
    for inherited in inherited {
        if inherited.number < 3 {
            return Err(Error::new(Class::Invalid, sentence())
                .caused_by(format!("{} is a standard stream", inherited.number)));
        }
        placed.push((inherited.number, lift(inherited.file.as_fd())?));
    }
    fd::close_on_execute(3, u32::MAX).explain(sentence)?;
    for (number, file) in placed {
        fd::place(&file, number).explain(sentence)?;
    }
    Ok(Files {
        channel,
        program,
        terminal: becoming.terminal.is_some(),
    })
}

/// Loads the filter and becomes the program; returns why it could not.
fn execute(plan: &ProcessPlan, image: &Image, files: &Files, filter: Option<&Filter>) -> Error {
    if files.program.is_some() {
        // An executor has handlers, but not from its first moment on; it unblocks once they are there.
        disposition::reset_actions();
        disposition::block_all();
    } else {
        disposition::reset();
    }
    if let Some(filter) = filter {
        let loaded = seccomp::load(&filter.program, filter.flags)
            .explain(|| "cannot load the system call filter".into());
        let handed = match loaded {
            Ok(Some(listener)) => message::listener(&files.channel, listener.as_fd()),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = handed {
            return error;
        }
    }
    let name = plan.arguments.first().map_or("", String::as_str);
    if let Some(file) = &files.program {
        let error = image.execute_file(file.as_fd());
        return Error::new(Class::CannotInvoke, format!("cannot run {name}")).caused_by(error);
    }
    if name.contains('/') {
        return failure(name, image.execute(name));
    }
    search(plan, name, image)
}

/// Tries each directory of `PATH`, as execvp does: a file that may not be executed is remembered, for a
/// later directory may have one that may.
fn search(plan: &ProcessPlan, name: &str, image: &Image) -> Error {
    let mut denied = None;
    for directory in plan.search.split(':') {
        let directory = if directory.is_empty() { "." } else { directory };
        let candidate = format!("{directory}/{name}");
        let error = image.execute(&candidate);
        let gone = [Errno::NOENT, Errno::NOTDIR, Errno::NODEV, Errno::TIMEDOUT];
        if error::is(&error, Errno::ACCESS) {
            denied.get_or_insert(error);
        } else if !gone.into_iter().any(|errno| error::is(&error, errno)) {
            return failure(name, error);
        }
    }
    match denied {
        Some(error) => failure(name, error),
        None => Error::new(Class::CommandNotFound, format!("cannot run {name}"))
            .caused_by("executable file not found in $PATH"),
    }
}

fn failure(name: &str, error: std::io::Error) -> Error {
    let missing = error::is(&error, Errno::NOENT) || error::is(&error, Errno::NOTDIR);
    let class = if missing {
        Class::CommandNotFound
    } else {
        Class::CannotInvoke
    };
    let format = error::is(&error, Errno::NOEXEC);
    let exists = missing && path::exists(Path::new(name));
    let failed = Error::new(class, format!("cannot run {name}")).caused_by(error);
    if format {
        failed.hint("it is neither a program for this machine nor a script with a #! line")
    } else if exists {
        failed.hint("the file exists: its interpreter or dynamic loader is missing from the image")
    } else {
        failed
    }
}
