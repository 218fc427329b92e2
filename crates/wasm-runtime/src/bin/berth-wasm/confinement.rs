//! What the executor gives up: before it looks at the module, and before guest code runs.
//!
//! Its namespaces, root, user and cgroup are the native runtime's work. This is the second wall, around
//! the engine itself: should guest code ever break out of its sandbox, it finds a process that can
//! neither execute a program nor make memory executable, and whose files are those it could open anyway.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;

use berth_contract::{Class, Error, Result, Signal};
use berth_sys::filter::call::{
    SYS_accept, SYS_accept4, SYS_bind, SYS_brk, SYS_clock_getres, SYS_clock_gettime,
    SYS_clock_nanosleep, SYS_clone, SYS_close, SYS_connect, SYS_dup, SYS_epoll_create1,
    SYS_epoll_ctl, SYS_epoll_pwait, SYS_eventfd2, SYS_exit, SYS_exit_group, SYS_fadvise64,
    SYS_fallocate, SYS_fchmod, SYS_fcntl, SYS_fdatasync, SYS_fstat, SYS_fsync, SYS_ftruncate,
    SYS_futex, SYS_getdents64, SYS_getpeername, SYS_getpid, SYS_getrandom, SYS_getsockname,
    SYS_getsockopt, SYS_gettid, SYS_gettimeofday, SYS_ioctl, SYS_linkat, SYS_listen, SYS_lseek,
    SYS_madvise, SYS_membarrier, SYS_mkdirat, SYS_mmap, SYS_mprotect, SYS_mremap, SYS_munmap,
    SYS_nanosleep, SYS_newfstatat, SYS_openat, SYS_openat2, SYS_ppoll, SYS_prctl, SYS_pread64,
    SYS_preadv, SYS_preadv2, SYS_prlimit64, SYS_pwrite64, SYS_pwritev, SYS_pwritev2, SYS_read,
    SYS_readlinkat, SYS_readv, SYS_recvfrom, SYS_recvmsg, SYS_renameat, SYS_renameat2,
    SYS_restart_syscall, SYS_rseq, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn,
    SYS_sched_getaffinity, SYS_sched_yield, SYS_sendmsg, SYS_sendto, SYS_set_robust_list,
    SYS_setsockopt, SYS_shutdown, SYS_sigaltstack, SYS_socket, SYS_statfs, SYS_statx,
    SYS_symlinkat, SYS_tgkill, SYS_unlinkat, SYS_utimensat, SYS_write, SYS_writev,
};
#[cfg(target_arch = "x86_64")]
use berth_sys::filter::call::{SYS_epoll_wait, SYS_poll, SYS_readlink};
use berth_sys::filter::{A_THREAD, Condition, NAMING, NO_CODE, READING_LIMITS, Rule, always, when};
use berth_sys::landlock::{self, Access};
use berth_sys::{disposition, filter, process, seccomp, termination};

/// What happens to a signal that asks the guest to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signals {
    /// It ends the process at once, as it would end any program without handlers.
    End,
    /// The guest is a server: the event loop takes them and drains.
    Drain,
}

/// What a server's event loop takes.
pub(crate) const DRAINING: [Signal; 4] = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP];

/// Gives up everything guest code cannot need; from here on nothing can be executed.
pub(crate) fn confine(signals: Signals) -> Result<()> {
    if signals == Signals::End && termination::is_first_process() {
        // Elsewhere the default action does the same without us.
        termination::on_default_signals().map_err(failed)?;
    }
    // All were blocked at the start: what came before there were handlers strikes now.
    disposition::unblock_all_but(match signals {
        Signals::End => &[],
        Signals::Drain => &DRAINING,
    });
    process::set_hidden(true).map_err(failed)?;
    process::forbid_new_privileges().map_err(failed)?;
    restrict_files().map_err(failed)?;
    let flags = seccomp::Flags {
        allow_speculation: true,
        ..seccomp::Flags::default()
    };
    seccomp::load(&filter::program(RULES), flags)
        .map(drop)
        .map_err(failed)
}

fn failed(error: io::Error) -> Error {
    Error::new(
        Class::Unsupported,
        "the wasm executor cannot confine itself",
    )
    .caused_by(error)
}

/// Kernels without Landlock (before 5.13, or with it switched off) still have all the other walls.
fn restrict_files() -> io::Result<()> {
    let root = File::open("/")?;
    landlock::restrict(&[(root.as_fd(), Access::ReadWrite)])?;
    Ok(())
}

const fn family(value: u32) -> Condition {
    Condition::Bits {
        argument: 0,
        mask: u32::MAX,
        value,
    }
}

/// `AF_INET`, `AF_INET6`; everything else (netlink, packet, unix, vsock) is closed to the engine.
const IPV4: &[Condition] = &[family(2)];
const IPV6: &[Condition] = &[family(10)];
const fn request(value: u32) -> Condition {
    Condition::Bits {
        argument: 1,
        mask: u32::MAX,
        value,
    }
}

/// The calls the engine makes for guests, the frequent ones first.
const RULES: &[Rule] = &[
    always(SYS_read),
    always(SYS_write),
    always(SYS_futex),
    #[cfg(target_arch = "x86_64")]
    always(SYS_epoll_wait),
    always(SYS_epoll_pwait),
    always(SYS_epoll_ctl),
    #[cfg(target_arch = "x86_64")]
    always(SYS_poll),
    always(SYS_ppoll),
    when(SYS_mprotect, NO_CODE),
    when(SYS_mmap, NO_CODE),
    always(SYS_munmap),
    always(SYS_madvise),
    always(SYS_mremap),
    always(SYS_brk),
    always(SYS_pread64),
    always(SYS_pwrite64),
    always(SYS_preadv),
    always(SYS_pwritev),
    always(SYS_preadv2),
    always(SYS_pwritev2),
    always(SYS_readv),
    always(SYS_writev),
    always(SYS_lseek),
    always(SYS_close),
    always(SYS_fstat),
    always(SYS_newfstatat),
    always(SYS_statx),
    always(SYS_statfs),
    always(SYS_openat),
    always(SYS_openat2),
    always(SYS_getdents64),
    always(SYS_readlinkat),
    #[cfg(target_arch = "x86_64")]
    always(SYS_readlink),
    always(SYS_mkdirat),
    always(SYS_unlinkat),
    always(SYS_renameat),
    always(SYS_renameat2),
    always(SYS_linkat),
    always(SYS_symlinkat),
    always(SYS_fchmod),
    always(SYS_utimensat),
    always(SYS_ftruncate),
    always(SYS_fallocate),
    always(SYS_fadvise64),
    always(SYS_fsync),
    always(SYS_fdatasync),
    always(SYS_fcntl),
    always(SYS_dup),
    // TCGETS, TIOCGWINSZ (what isatty asks), FIONREAD, FIONBIO.
    when(SYS_ioctl, &[request(0x5401)]),
    when(SYS_ioctl, &[request(0x5413)]),
    when(SYS_ioctl, &[request(0x541b)]),
    when(SYS_ioctl, &[request(0x5421)]),
    when(SYS_socket, IPV4),
    when(SYS_socket, IPV6),
    always(SYS_bind),
    always(SYS_connect),
    always(SYS_listen),
    always(SYS_accept),
    always(SYS_accept4),
    always(SYS_getsockname),
    always(SYS_getpeername),
    always(SYS_setsockopt),
    always(SYS_getsockopt),
    always(SYS_sendto),
    always(SYS_sendmsg),
    always(SYS_recvfrom),
    always(SYS_recvmsg),
    always(SYS_shutdown),
    always(SYS_epoll_create1),
    always(SYS_eventfd2),
    always(SYS_clock_gettime),
    always(SYS_clock_getres),
    always(SYS_clock_nanosleep),
    always(SYS_nanosleep),
    always(SYS_gettimeofday),
    always(SYS_getrandom),
    always(SYS_sched_yield),
    always(SYS_sched_getaffinity),
    always(SYS_membarrier),
    always(SYS_getpid),
    always(SYS_gettid),
    always(SYS_rt_sigaction),
    always(SYS_rt_sigprocmask),
    always(SYS_rt_sigreturn),
    always(SYS_sigaltstack),
    always(SYS_restart_syscall),
    always(SYS_tgkill),
    when(SYS_clone, A_THREAD),
    always(SYS_set_robust_list),
    always(SYS_rseq),
    when(SYS_prctl, NAMING),
    when(SYS_prlimit64, READING_LIMITS),
    always(SYS_exit),
    always(SYS_exit_group),
];
