//! Pid 1 for programs that do not want to be one (`--init`): it forwards signals and reaps orphans.
//!
//! No program is executed for it. It stays a copy of the supervisor, so there is no file of the host a
//! guest could find behind `/proc/1/exe`, as long as it may not look: the process is not dumpable, and
//! looking needs `CAP_SYS_PTRACE` in the host's user namespace then. (The supervisor itself is started
//! through a read-only mount, which holds against a guest that was given that capability, too.)

use std::convert::Infallible;

use berth_contract::Result;
use berth_sys::capability::{self, Sets};
use berth_sys::channel::Channel;
use berth_sys::error::Explain as _;
use berth_sys::namespace::Namespaces;
use berth_sys::{clone, fd, process};

use crate::message;

/// SIGCHLD, the same number on x86 and arm.
const CHILD: i32 = 17;

/// Runs `program` in a child, stays until it ends, and exits with its status as a shell shows it.
///
/// Returns only if the child cannot be made.
pub(crate) fn run(
    channel: &Channel,
    capabilities: Option<Sets>,
    program: impl FnOnce() -> Result<Infallible>,
) -> Result<Infallible> {
    let sentence = || "cannot start the container's program".to_owned();
    // Before the child exists, so that none of its signals is lost; the child resets them.
    process::block_signals();
    process::set_hidden(true).explain(sentence)?;
    let child = clone::spawn(Namespaces::empty(), None, || {
        let Err(error) = program();
        message::failed(channel, &error);
        error.class().exit_code()
    })
    .explain(sentence)?;
    let pid = child.pid;
    if let Some(sets) = capabilities {
        // Needed no longer: what was kept for loading the filter. To signal programs of other users,
        // the guest's own capabilities are enough.
        drop(capability::set(sets.effective, sets.permitted, 0));
    }
    // The channel's last copy is the child's now: it closes when the program runs.
    fd::close_all_but(&[]).explain(sentence)?;
    // Not by returning: what owns the descriptors closed above must not be dropped.
    clone::exit_now(serve(pid))
}

fn serve(child: i32) -> u8 {
    loop {
        let Ok(signal) = process::next_signal() else {
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
