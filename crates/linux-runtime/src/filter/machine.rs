//! The machines a filter tells apart, and their system call numbers.

use berth_contract::oci::Arch;

use super::table;

/// The bit that tells x32 from x86-64 system calls.
pub(super) const X32_BIT: u32 = 0x4000_0000;
// How the kernel names machines to a filter (linux/audit.h).
pub(super) const AUDIT_X86_64: u32 = 0xc000_003e;
pub(super) const AUDIT_I386: u32 = 0x4000_0003;
pub(super) const AUDIT_AARCH64: u32 = 0xc000_00b7;
pub(super) const AUDIT_ARM: u32 = 0x4000_0028;

/// A set of system call numbers; the discriminant is its column in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    X86_64 = 0,
    X86 = 1,
    X32 = 2,
    Aarch64 = 3,
    Arm = 4,
}

impl Machine {
    pub(super) fn native() -> Self {
        if cfg!(target_arch = "aarch64") {
            Self::Aarch64
        } else {
            Self::X86_64
        }
    }

    pub(super) fn from_arch(arch: Arch) -> Option<Self> {
        let machine = match arch {
            Arch::Native => Self::native(),
            Arch::X86_64 => Self::X86_64,
            Arch::X86 => Self::X86,
            Arch::X32 => Self::X32,
            Arch::Aarch64 => Self::Aarch64,
            Arch::Arm => Self::Arm,
            _ => return None,
        };
        Some(machine)
    }

    pub(super) fn number(self, name: &str) -> Option<u32> {
        let row = table::TABLE
            .binary_search_by(|(known, _)| (*known).cmp(name))
            .ok()?;
        let number = *table::TABLE.get(row)?.1.get(self as usize)?;
        (number != table::NO).then_some(number)
    }
}
