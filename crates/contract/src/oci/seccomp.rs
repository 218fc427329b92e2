//! Which system calls a container may make.

use std::path::PathBuf;

use super::object::object;
use super::word::words;

object! {
    /// A profile.
    LinuxSeccomp {
        /// What happens to a call that no rule names.
        default_action: LinuxSeccompAction = "defaultAction",
        /// The error that `Errno` and `Trace` give by default.
        default_errno_ret: Option<u32> = "defaultErrnoRet",
        /// The machines it is for; none is the one it runs on.
        architectures: Option<Vec<Arch>> = "architectures",
        /// How it is loaded.
        flags: Option<Vec<LinuxSeccompFilterFlag>> = "flags",
        /// The socket of the one who answers calls of `Notify`.
        listener_path: Option<PathBuf> = "listenerPath",
        /// What that one is told.
        listener_metadata: Option<String> = "listenerMetadata",
        /// The rules.
        syscalls: Option<Vec<LinuxSyscall>> = "syscalls",
    }
}

object! {
    /// A rule: what happens to these calls, if all conditions hold.
    LinuxSyscall {
        /// The calls.
        names: Vec<String> = "names",
        /// What happens.
        action: LinuxSeccompAction = "action",
        /// The error that `Errno` and `Trace` give.
        errno_ret: Option<u32> = "errnoRet",
        /// The conditions.
        args: Option<Vec<LinuxSeccompArg>> = "args",
    }
}

object! {
    /// A condition on one argument.
    #[derive(Copy)]
    LinuxSeccompArg {
        /// Which argument, from 0.
        index: usize = "index",
        /// What it is compared with; the mask, for `MaskedEq`.
        value: u64 = "value",
        /// What it is compared with, for `MaskedEq`.
        value_two: Option<u64> = "valueTwo",
        /// How.
        op: LinuxSeccompOperator = "op",
    }
}

words! {
    /// What happens to a system call.
    LinuxSeccompAction {
        Kill = "SCMP_ACT_KILL",
        KillThread = "SCMP_ACT_KILL_THREAD",
        KillProcess = "SCMP_ACT_KILL_PROCESS",
        Trap = "SCMP_ACT_TRAP",
        Errno = "SCMP_ACT_ERRNO",
        Notify = "SCMP_ACT_NOTIFY",
        Trace = "SCMP_ACT_TRACE",
        Log = "SCMP_ACT_LOG",
        Allow = "SCMP_ACT_ALLOW",
    }
}

words! {
    /// Comparisons.
    LinuxSeccompOperator {
        Ne = "SCMP_CMP_NE",
        Lt = "SCMP_CMP_LT",
        Le = "SCMP_CMP_LE",
        Eq = "SCMP_CMP_EQ",
        Ge = "SCMP_CMP_GE",
        Gt = "SCMP_CMP_GT",
        MaskedEq = "SCMP_CMP_MASKED_EQ",
    }
}

words! {
    /// Flags of seccomp(2).
    LinuxSeccompFilterFlag {
        Tsync = "SECCOMP_FILTER_FLAG_TSYNC",
        Log = "SECCOMP_FILTER_FLAG_LOG",
        SpecAllow = "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        WaitKillableRecv = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    }
}

words! {
    /// Machines.
    Arch {
        Native = "SCMP_ARCH_NATIVE",
        X86 = "SCMP_ARCH_X86",
        X86_64 = "SCMP_ARCH_X86_64",
        X32 = "SCMP_ARCH_X32",
        Arm = "SCMP_ARCH_ARM",
        Aarch64 = "SCMP_ARCH_AARCH64",
        Mips = "SCMP_ARCH_MIPS",
        Mips64 = "SCMP_ARCH_MIPS64",
        Mips64n32 = "SCMP_ARCH_MIPS64N32",
        Mipsel = "SCMP_ARCH_MIPSEL",
        Mipsel64 = "SCMP_ARCH_MIPSEL64",
        Mipsel64n32 = "SCMP_ARCH_MIPSEL64N32",
        Ppc = "SCMP_ARCH_PPC",
        Ppc64 = "SCMP_ARCH_PPC64",
        Ppc64le = "SCMP_ARCH_PPC64LE",
        S390 = "SCMP_ARCH_S390",
        S390x = "SCMP_ARCH_S390X",
        Parisc = "SCMP_ARCH_PARISC",
        Parisc64 = "SCMP_ARCH_PARISC64",
        Riscv64 = "SCMP_ARCH_RISCV64",
        Loongarch64 = "SCMP_ARCH_LOONGARCH64",
        M68k = "SCMP_ARCH_M68K",
        Sh = "SCMP_ARCH_SH",
        Sheb = "SCMP_ARCH_SHEB",
    }
}
