//! Pid 1 for programs that do not want to be one (`--init`): it forwards signals and reaps orphans.
//!
//! No program is executed for it. It stays a copy of the supervisor, so there is no file of the host a
//! guest could find behind `/proc/1/exe`, as long as it may not look: the process is not dumpable, and
//! looking needs `CAP_SYS_PTRACE` in the host's user namespace then. (The supervisor itself is started
//! through a read-only mount, which holds against a guest that was given that capability, too.)

use std::convert::Infallible;
use std::io;

use berth_contract::Result;
use berth_sys::capability::{self, Sets};
use berth_sys::channel::Channel;
use berth_sys::error::Explain as _;
use berth_sys::namespace::Namespaces;
use berth_sys::seccomp::{self, Flags, Listen};
use berth_sys::{clone, disposition, entry, fd, process};

use crate::filter::Filter;
use crate::message;
use crate::plan::process::ProcessPlan;

/// SIGCHLD, the same number on x86 and arm.
const CHILD: i32 = 17;

/// Runs `program` in a child, stays until it ends, and exits with its status as a shell shows it.
///
/// Returns only if the child cannot be made.
pub(crate) fn run(
    channel: &Channel,
    plan: &ProcessPlan,
    filter: Option<&Filter>,
    program: impl FnOnce() -> Result<Infallible>,
) -> Result<Infallible> {
    let sentence = || "cannot start the container's program".to_owned();
    // Before the child exists, so that none of its signals is lost; the child resets them.
    disposition::block_all();
    process::set_hidden(true).explain(sentence)?;
    let child = clone::spawn(Namespaces::empty(), None, || {
        let Err(error) = program();
        message::failed(channel, &error);
        error.class().exit_code()
    })
    .explain(sentence)?;
    let pid = child.pid;
    // Docker's words; the supervisor's own would tell of paths of the host.
    let words = ["/sbin/docker-init", "--"].into_iter();
    entry::show_as(words.chain(plan.arguments.iter().map(String::as_str)));
    drop(process::set_name(c"docker-init"));
    // The channel's last copy is the child's now: it closes when the program runs.
    if fd::close_all_but(&[]).is_err() || confine(plan.capabilities, filter).is_err() {
        clone::exit_now(125);
    }
    // Not by returning: what owns the descriptors closed above must not be dropped.
    clone::exit_now(serve(pid))
}

/// Behind the guest's filter, with the guest's capabilities: whoever may trace this process must gain nothing
/// by it. Programs of other users can be signalled with those.
fn confine(capabilities: Option<Sets>, filter: Option<&Filter>) -> io::Result<()> {
    if let Some(filter) = filter {
        // Whoever answers for the program need not answer for its parent.
        let flags = Flags {
            listen: Listen::No,
            ..filter.flags
        };
        seccomp::load(&filter.program, flags)?;
    }
    match capabilities {
        // Needed no longer: what was kept for loading the filter.
        Some(sets) => capability::set(sets.effective, sets.permitted, 0),
        None => Ok(()),
    }
}

fn serve(child: i32) -> u8 {
    loop {
        let Ok(signal) = disposition::next() else {
            return 125;
        };
        if signal != CHILD {
            // It may have ended just now; its SIGCHLD comes next then.
            drop(process::kill(child, signal));
            continue;
        }
        while let Some((pid, status)) = process::reap_any() {
            if pid == child {
                return status;
            }
        }
    }
}
