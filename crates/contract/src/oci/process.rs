//! What a process is started as.

use std::path::PathBuf;

use super::object::object;
use super::word::words;
use super::{LinuxCapabilities, Present};

object! {
    /// A process.
    #[derive(Default)]
    Process {
        /// Whether it has a terminal.
        terminal: Option<bool> = "terminal",
        /// The terminal's size.
        console_size: Option<ConsoleSize> = "consoleSize",
        /// Who it runs as.
        user: User = "user",
        /// The program and its arguments.
        args: Option<Vec<String>> = "args",
        /// Its environment, `NAME=value` each.
        env: Option<Vec<String>> = "env",
        /// Its working directory.
        cwd: PathBuf = "cwd",
        /// Its capabilities.
        capabilities: Option<LinuxCapabilities> = "capabilities",
        /// Its resource limits.
        rlimits: Option<Vec<PosixRlimit>> = "rlimits",
        /// Whether programs it executes gain no privileges.
        no_new_privileges: Option<bool> = "noNewPrivileges",
        /// Its `AppArmor` profile.
        apparmor_profile: Option<String> = "apparmorProfile",
        /// How soon it is killed when memory is short, from -1000 to 1000.
        oom_score_adj: Option<i32> = "oomScoreAdj",
        /// Its `SELinux` label.
        selinux_label: Option<String> = "selinuxLabel",
        /// Its priority for input and output.
        io_priority: Option<LinuxIoPriority> = "ioPriority",
        /// How it is scheduled.
        scheduler: Option<Scheduler> = "scheduler",
        /// The CPUs of a process that joins the container.
        exec_cpu_affinity: Option<Present> = "execCPUAffinity",
    }
}

object! {
    /// A terminal's size in characters; `Box` in the specification.
    #[derive(Copy, Default)]
    ConsoleSize {
        /// Lines.
        height: u64 = "height",
        /// Characters per line.
        width: u64 = "width",
    }
}

object! {
    /// Who a process runs as.
    #[derive(Default)]
    User {
        /// The user.
        uid: u32 = "uid",
        /// The group.
        gid: u32 = "gid",
        /// The mode bits that new files do not get.
        umask: Option<u32> = "umask",
        /// Further groups.
        additional_gids: Option<Vec<u32>> = "additionalGids",
        /// The user's name.
        username: Option<String> = "username",
    }
}

object! {
    /// A resource limit.
    #[derive(Copy)]
    PosixRlimit {
        /// Of what.
        kind: PosixRlimitType = "type",
        /// What the soft limit can be raised to.
        hard: u64 = "hard",
        /// What holds.
        soft: u64 = "soft",
    }
}

words! {
    /// The resources a process is limited in, in the order of their numbers
    /// (`asm-generic/resource.h`, the same on x86 and arm).
    PosixRlimitType {
        Cpu = "RLIMIT_CPU",
        Fsize = "RLIMIT_FSIZE",
        Data = "RLIMIT_DATA",
        Stack = "RLIMIT_STACK",
        Core = "RLIMIT_CORE",
        Rss = "RLIMIT_RSS",
        Nproc = "RLIMIT_NPROC",
        Nofile = "RLIMIT_NOFILE",
        Memlock = "RLIMIT_MEMLOCK",
        As = "RLIMIT_AS",
        Locks = "RLIMIT_LOCKS",
        Sigpending = "RLIMIT_SIGPENDING",
        Msgqueue = "RLIMIT_MSGQUEUE",
        Nice = "RLIMIT_NICE",
        Rtprio = "RLIMIT_RTPRIO",
        Rttime = "RLIMIT_RTTIME",
    }
}

object! {
    /// The priority of a process's input and output (`ioprio_set(2)`).
    #[derive(Copy)]
    LinuxIoPriority {
        /// Before, among or after the others.
        class: LinuxIoPriorityClass = "class",
        /// Within its class, 0 to 7; 0 is served first.
        priority: i64 = "priority",
    }
}

words! {
    /// Classes of input and output.
    LinuxIoPriorityClass {
        RealTime = "IOPRIO_CLASS_RT",
        BestEffort = "IOPRIO_CLASS_BE",
        Idle = "IOPRIO_CLASS_IDLE",
    }
}

object! {
    /// How a process is scheduled (`sched_setattr(2)`).
    Scheduler {
        /// By which policy.
        policy: LinuxSchedulerPolicy = "policy",
        /// Its nice value, for `Other` and `Batch`.
        nice: Option<i32> = "nice",
        /// Its priority, for `Fifo` and `RoundRobin`.
        priority: Option<i32> = "priority",
        /// What else.
        flags: Option<Vec<LinuxSchedulerFlag>> = "flags",
        /// Nanoseconds it runs in each period, for `Deadline`.
        runtime: Option<u64> = "runtime",
        /// Nanoseconds within which it has to have run.
        deadline: Option<u64> = "deadline",
        /// The period in nanoseconds.
        period: Option<u64> = "period",
    }
}

words! {
    /// Scheduling policies.
    LinuxSchedulerPolicy {
        Other = "SCHED_OTHER",
        Fifo = "SCHED_FIFO",
        RoundRobin = "SCHED_RR",
        Batch = "SCHED_BATCH",
        Iso = "SCHED_ISO",
        Idle = "SCHED_IDLE",
        Deadline = "SCHED_DEADLINE",
    }
}

words! {
    /// Flags of a scheduling policy.
    LinuxSchedulerFlag {
        ResetOnFork = "SCHED_FLAG_RESET_ON_FORK",
        Reclaim = "SCHED_FLAG_RECLAIM",
        DeadlineOverrun = "SCHED_FLAG_DL_OVERRUN",
        KeepPolicy = "SCHED_FLAG_KEEP_POLICY",
        KeepParameters = "SCHED_FLAG_KEEP_PARAMS",
        UtilizationClampMinimum = "SCHED_FLAG_UTIL_CLAMP_MIN",
        UtilizationClampMaximum = "SCHED_FLAG_UTIL_CLAMP_MAX",
    }
}
