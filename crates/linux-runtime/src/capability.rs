//! Capabilities in the order of their numbers.

use berth_contract::oci::{Capabilities, Capability};

/// Every capability; its place is its number (`linux/capability.h`).
pub(crate) const NUMBERED: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

/// A set as the kernel's bit mask.
pub(crate) fn mask(set: Option<&Capabilities>) -> u64 {
    let Some(set) = set else { return 0 };
    let mut mask = 0;
    for (number, capability) in NUMBERED.iter().enumerate() {
        if set.contains(capability) {
            mask |= 1 << number;
        }
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_kernels() {
        let one = |capability| mask(Some(&[capability].into_iter().collect()));
        assert_eq!(one(Capability::Chown), 1);
        assert_eq!(one(Capability::SysAdmin), 1 << 21);
        assert_eq!(one(Capability::CheckpointRestore), 1 << 40);
        // What Docker's containers show as CapBnd in /proc/self/status.
        assert_eq!(
            mask(Some(&crate::defaults::capabilities())),
            0x0000_0000_a804_25fb
        );
    }
}
