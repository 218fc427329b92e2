//! What the compiler gives up before it reads a module.
//!
//! Compilers are large, and their input is anybody's. A bug in this one costs the process its result
//! and nothing else: it has no files but its three streams, no network, no user, little memory and time.

use std::io;

use berth_contract::{Class, Error, Result};
use berth_sys::filter::call::{
    SYS_brk, SYS_clock_gettime, SYS_clone, SYS_close, SYS_exit, SYS_exit_group, SYS_fstat,
    SYS_futex, SYS_getpid, SYS_getrandom, SYS_gettid, SYS_lseek, SYS_madvise, SYS_mmap,
    SYS_mprotect, SYS_mremap, SYS_munmap, SYS_prctl, SYS_prlimit64, SYS_read, SYS_rseq,
    SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sched_getaffinity, SYS_sched_yield,
    SYS_set_robust_list, SYS_sigaltstack, SYS_statx, SYS_tgkill, SYS_write,
};
use berth_sys::filter::{A_THREAD, NAMING, NO_CODE, READING_LIMITS, Rule, always, when};
use berth_sys::namespace::{self, Namespaces};
use berth_sys::process::Limit;
use berth_sys::{filter, landlock, process, seccomp, user};

/// The user and group of nobody, who owns no file.
const NOBODY: u32 = 65534;

/// `RLIMIT_CPU` seconds over all threads; the slowest module known (Ruby, 17 MB) takes 35.
const PROCESSOR_TIME: (u32, u64) = (0, 300);
/// `RLIMIT_FSIZE`: the artefact.
const OUTPUT: (u32, u64) = (1, 2 << 30);
/// `RLIMIT_CORE`.
const CORE: (u32, u64) = (4, 0);
/// `RLIMIT_NOFILE`.
const FILES: (u32, u64) = (7, 64);
/// `RLIMIT_AS`: every thread's arena reserves address space it never touches.
const ADDRESSES: (u32, u64) = (9, 16 << 30);

/// Gives up everything a compiler does not need.
pub(crate) fn confine() -> Result<()> {
    process::die_with_parent().map_err(failed)?;
    if user::is_root() {
        become_nobody().map_err(failed)?;
        // A change of user clears it (man 2 prctl).
        process::die_with_parent().map_err(failed)?;
    }
    process::set_hidden(true).map_err(failed)?;
    process::forbid_new_privileges().map_err(failed)?;
    for (resource, most) in [PROCESSOR_TIME, OUTPUT, CORE, FILES, ADDRESSES] {
        lower(resource, most).map_err(failed)?;
    }
    landlock::restrict(&[]).map_err(failed)?;
    seccomp::load(&filter::program(RULES), seccomp::Flags::default())
        .map(drop)
        .map_err(failed)
}

fn failed(error: io::Error) -> Error {
    Error::new(
        Class::Unsupported,
        "the wasm compiler cannot confine itself",
    )
    .caused_by(error)
}

fn become_nobody() -> io::Result<()> {
    let own = Namespaces::NETWORK
        .with(Namespaces::IPC)
        .with(Namespaces::MOUNT)
        .with(Namespaces::UTS);
    namespace::unshare(own)?;
    process::set_groups(&[])?;
    process::set_user(NOBODY, NOBODY)
}

/// Lowers a limit and never raises it, which would need a capability.
fn lower(resource: u32, most: u64) -> io::Result<()> {
    let now = process::limit(resource)?;
    let hard = now.hard.min(most);
    process::set_limit(Limit {
        resource,
        soft: now.soft.min(hard),
        hard,
    })
}

/// Reading, writing, memory and threads.
const RULES: &[Rule] = &[
    always(SYS_futex),
    when(SYS_mmap, NO_CODE),
    when(SYS_mprotect, NO_CODE),
    always(SYS_munmap),
    always(SYS_madvise),
    always(SYS_mremap),
    always(SYS_brk),
    always(SYS_read),
    always(SYS_write),
    always(SYS_lseek),
    always(SYS_fstat),
    always(SYS_statx),
    always(SYS_close),
    always(SYS_sched_yield),
    always(SYS_sched_getaffinity),
    always(SYS_clock_gettime),
    always(SYS_getrandom),
    always(SYS_gettid),
    always(SYS_getpid),
    always(SYS_tgkill),
    always(SYS_rt_sigaction),
    always(SYS_rt_sigprocmask),
    always(SYS_rt_sigreturn),
    always(SYS_sigaltstack),
    when(SYS_clone, A_THREAD),
    always(SYS_set_robust_list),
    always(SYS_rseq),
    when(SYS_prctl, NAMING),
    when(SYS_prlimit64, READING_LIMITS),
    always(SYS_exit),
    always(SYS_exit_group),
];
