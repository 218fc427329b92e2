//! Docker's default seccomp rules, as data (github.com/moby/profiles, Apache-2.0).
//!
//! An allow list: whatever is not named fails with `EPERM`. Some system calls are allowed only to
//! containers that hold a capability, because the kernel's own check alone has been too weak before.

use berth_contract::oci::{
    Arch, Capabilities, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg,
    LinuxSeccompOperator, LinuxSyscall,
};

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// Allowed to every container.
const ALLOWED: &str = "
accept accept4 access adjtimex alarm arch_prctl arm_fadvise64_64 arm_sync_file_range bind breakpoint brk
cachestat cacheflush capget capset chdir chmod chown chown32 clock_adjtime clock_adjtime64 clock_getres
clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range
connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait
epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2
fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat
fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64
fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv
futex_wake futimesat get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid getegid32
geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid
getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname
getsockopt gettid gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init
inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup
io_submit ioctl ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset
landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr listxattrat
llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier
memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 modify_ldt
mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap
name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause pidfd_open pidfd_send_signal
pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64
process_mrelease process_vm_readv process_vm_writev pselect6 pselect6_time64 ptrace pwrite64 pwritev
pwritev2 read readahead readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg
remap_file_pages removexattr removexattrat rename renameat renameat2 restart_syscall riscv_hwprobe rmdir
rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity
sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget
semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list
set_thread_area set_tid_address set_tls setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups
setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32
setreuid setreuid32 setrlimit setsid setsockopt setuid setuid32 setxattr setxattrat shmat shmctl shmdt
shmget shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn socketcall socketpair splice stat
stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range sync_file_range2 syncfs
sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64
timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime
utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev";

/// Allowed to containers that hold the capability.
const WITH_CAPABILITY: [(Capability, &str); 14] = [
    (Capability::DacReadSearch, "open_by_handle_at"),
    (
        Capability::SysAdmin,
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr \
         lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl \
         quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    (Capability::SysBoot, "reboot"),
    (Capability::SysChroot, "chroot"),
    (
        Capability::SysModule,
        "delete_module init_module finit_module",
    ),
    (Capability::SysPacct, "acct"),
    (Capability::SysPtrace, "kcmp pidfd_getfd process_madvise"),
    (Capability::SysRawio, "iopl ioperm"),
    (
        Capability::SysTime,
        "settimeofday stime clock_settime clock_settime64",
    ),
    (Capability::SysTtyConfig, "vhangup"),
    (
        Capability::SysNice,
        "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    ),
    (Capability::Syslog, "syslog"),
    (Capability::Bpf, "bpf"),
    (Capability::Perfmon, "perf_event_open"),
];

/// The execution domains that `personality` may choose or, with the last one, ask for.
const PERSONALITIES: [u64; 5] = [0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Socket families up to here (exclusive of the next one, `DECnet`) are allowed.
const SOCKETS_BELOW: u64 = 12;
/// Further allowed families. Missing among others are `AF_ALG` (38: the kernel's cryptography, no use
/// for it and much surface) and `AF_VSOCK` (40: not namespaced, reaches the hypervisor).
const SOCKETS: [u64; 25] = [
    13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36, 39, 41, 42, 43, 44,
    45,
];

/// Every flag of `clone` that makes a namespace: mount, cgroup, UTS, IPC, user, pid, network.
const CLONE_NAMESPACES: u64 = 0x7e02_0000;

/// The rules for a container with this bounding set, for the machine berth was built for.
#[must_use]
pub fn seccomp(capabilities: &Capabilities) -> LinuxSeccomp {
    let allow = LinuxSeccompAction::Allow;
    let mut names: Vec<&str> = ALLOWED.split_whitespace().collect();
    for (capability, more) in WITH_CAPABILITY {
        if capabilities.contains(&capability) {
            names.extend(more.split_whitespace());
        }
    }
    let mut rules = vec![rule(&names, allow, None)];
    let mut when = |name: &str, argument| rules.push(rule(&[name], allow, Some(argument)));
    when(
        "socket",
        argument(SOCKETS_BELOW, None, LinuxSeccompOperator::Lt),
    );
    for family in SOCKETS {
        when("socket", argument(family, None, LinuxSeccompOperator::Eq));
    }
    for domain in PERSONALITIES {
        when(
            "personality",
            argument(domain, None, LinuxSeccompOperator::Eq),
        );
    }
    if !capabilities.contains(&Capability::SysAdmin) {
        when(
            "clone",
            argument(CLONE_NAMESPACES, Some(0), LinuxSeccompOperator::MaskedEq),
        );
        // Its flags are behind a pointer, out of a filter's reach; ENOSYS makes libraries use clone.
        let mut clone3 = rule(&["clone3"], LinuxSeccompAction::Errno, None);
        clone3.errno_ret = Some(ENOSYS);
        rules.push(clone3);
    }
    LinuxSeccomp {
        default_action: LinuxSeccompAction::Errno,
        default_errno_ret: Some(EPERM),
        architectures: Some(architectures()),
        flags: None,
        listener_path: None,
        listener_metadata: None,
        syscalls: Some(rules),
    }
}

/// The machine's own system call numbers and those of its older modes.
fn architectures() -> Vec<Arch> {
    if cfg!(target_arch = "aarch64") {
        vec![Arch::Aarch64, Arch::Arm]
    } else {
        vec![Arch::X86_64, Arch::X86, Arch::X32]
    }
}

fn rule(
    names: &[&str],
    action: LinuxSeccompAction,
    argument: Option<LinuxSeccompArg>,
) -> LinuxSyscall {
    LinuxSyscall {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        action,
        errno_ret: None,
        args: argument.map(|argument| vec![argument]),
    }
}

/// A condition on the first argument.
fn argument(value: u64, second: Option<u64>, operator: LinuxSeccompOperator) -> LinuxSeccompArg {
    LinuxSeccompArg {
        index: 0,
        value,
        value_two: second,
        op: operator,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_open_system_calls() {
        let names = |capabilities: &Capabilities| -> Vec<String> {
            let profile = seccomp(capabilities);
            profile
                .syscalls
                .iter()
                .flatten()
                .flat_map(|rule| rule.names.clone())
                .collect()
        };
        let plain = names(&crate::defaults::capabilities());
        assert!(plain.iter().any(|name| name == "chroot"));
        assert!(!plain.iter().any(|name| name == "mount"));
        assert!(plain.iter().any(|name| name == "clone3"));
        let all = names(&crate::defaults::all_capabilities());
        assert!(all.iter().any(|name| name == "mount"));
    }
}
