//! What a program may still call, and with which arguments.

/// A system call that stays allowed.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    pub(super) number: i64,
    pub(super) conditions: &'static [Condition],
}

/// What an argument must be; all conditions of a rule must hold, any rule of a call suffices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The lower 32 bits, masked, are this: for flags and other arguments of type `int`.
    Bits {
        /// Which argument, 0 to 5.
        argument: u8,
        /// The bits that are looked at.
        mask: u32,
        /// What they must be.
        value: u32,
    },
    /// All 64 bits are zero: a null pointer.
    Null {
        /// Which argument, 0 to 5.
        argument: u8,
    },
}

/// Always allowed.
#[must_use]
pub const fn always(number: i64) -> Rule {
    Rule {
        number,
        conditions: &[],
    }
}

/// Allowed when the conditions hold.
#[must_use]
pub const fn when(number: i64, conditions: &'static [Condition]) -> Rule {
    Rule { number, conditions }
}

/// What maps or protects memory without `PROT_EXEC`, which is what turns data into code.
pub const NO_CODE: &[Condition] = &[Condition::Bits {
    argument: 2,
    mask: 4,
    value: 0,
}];

/// What a `clone` that makes a thread and nothing else sets: VM, FS, FILES, SIGHAND, THREAD.
const THREAD: u32 = 0x0001_0f00;
/// Every `CLONE_NEW…` flag.
const NAMESPACES: u32 = 0x7e02_0080;

/// Threads of this process and no other kind of `clone`; `clone3` hides its flags and is to be refused whole.
pub const A_THREAD: &[Condition] = &[Condition::Bits {
    argument: 0,
    mask: THREAD | NAMESPACES,
    value: THREAD,
}];

/// `prctl(PR_SET_NAME)`, which names threads.
pub const NAMING: &[Condition] = &[Condition::Bits {
    argument: 0,
    mask: u32::MAX,
    value: 15,
}];

/// A `prlimit64` that reads limits and sets none.
pub const READING_LIMITS: &[Condition] = &[Condition::Null { argument: 2 }];
