//! OCI seccomp rules compiled to the classic packet filter, by us: no library, and microseconds.
//!
//! ```text
//! arch? ─┬─ x86-64 ─ bit 30? ─┬─ no ── search tree over system call numbers ─► action
//!        │                    └─ yes ─ the x32 tree
//!        ├─ x86 ──────────────────────── its tree
//!        └─ any other ─────────────────► kill the process
//! ```
//! Neighbouring numbers with the same answer become one leaf, so a tree of Docker's 400 rules is some
//! six comparisons deep. The kernel evaluates the filter once for every number when it is loaded (its
//! cache of always-allowed calls), so a short path is also a fast start.

mod machine;
mod rules;
mod table;
#[cfg(test)]
mod tests;
mod tree;

use berth_contract::oci::{self, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompFilterFlag};
use berth_contract::{Class, Error, Result};
use berth_sys::seccomp::{Flags, Instruction, Listen};

use self::machine::{AUDIT_AARCH64, AUDIT_ARM, AUDIT_I386, AUDIT_X86_64, Machine, X32_BIT};
use self::rules::{RETURN_KILL_PROCESS, action, segments};

/// A compiled filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    /// What the kernel runs for each system call.
    pub(crate) program: Vec<Instruction>,
    /// How it is loaded.
    pub(crate) flags: Flags,
}

/// The most instructions a filter may have (`BPF_MAXINSNS`).
const LONGEST: usize = 4096;

/// The system call by which a guest passes its listener on.
const HANDS_OVER: &str = "sendmsg";

/// Compiles a profile.
pub(crate) fn compile(profile: &LinuxSeccomp) -> Result<Filter> {
    check_notified(profile)?;
    let default = action(profile.default_action, profile.default_errno_ret)?;
    let wanted = profile.architectures.clone().unwrap_or_default();
    let machines: Vec<Machine> = if wanted.is_empty() {
        vec![Machine::native()]
    } else {
        wanted
            .iter()
            .filter_map(|arch| Machine::from_arch(*arch))
            .collect()
    };
    if machines.is_empty() {
        return Err(
            Error::new(Class::Unsupported, "cannot apply the seccomp profile")
                .caused_by("it names none of this machine's architectures"),
        );
    }
    let mut trees = Vec::with_capacity(machines.len());
    for machine in machines {
        trees.push((
            machine,
            tree::emit(&segments(profile, machine, default)?, default),
        ));
    }
    let program = assemble(&trees);
    if program.len() > LONGEST {
        return Err(
            Error::new(Class::Invalid, "cannot apply the seccomp profile").caused_by(format!(
                "it needs {} instructions; the kernel takes {LONGEST}",
                program.len()
            )),
        );
    }
    Ok(Filter {
        program,
        flags: flags(profile),
    })
}

fn flags(profile: &LinuxSeccomp) -> Flags {
    let has = |flag| profile.flags.iter().flatten().any(|own| *own == flag);
    Flags {
        log: has(LinuxSeccompFilterFlag::Log),
        allow_speculation: has(LinuxSeccompFilterFlag::SpecAllow),
        listen: match (
            notifies(profile),
            has(LinuxSeccompFilterFlag::WaitKillableRecv),
        ) {
            (false, _) => Listen::No,
            (true, false) => Listen::Interruptible,
            (true, true) => Listen::Killable,
        },
    }
}

/// Whether another program answers some system calls.
fn notifies(profile: &LinuxSeccomp) -> bool {
    let mut calls = profile.syscalls.iter().flatten();
    calls.any(|call| call.action == LinuxSeccompAction::Notify)
}

/// Refuses what would leave the guest waiting for an answer before anybody can give one.
fn check_notified(profile: &LinuxSeccomp) -> Result<()> {
    let refuse = |why: &str| {
        Err(
            Error::new(Class::Invalid, "cannot apply the seccomp profile")
                .caused_by(why.to_owned()),
        )
    };
    if profile.default_action == LinuxSeccompAction::Notify {
        return refuse("SCMP_ACT_NOTIFY cannot be its default action");
    }
    if !notifies(profile) {
        return Ok(());
    }
    if profile.listener_path.is_none() {
        return refuse("SCMP_ACT_NOTIFY needs an agent: listenerPath");
    }
    let mut calls = profile.syscalls.iter().flatten();
    let own = |call: &oci::LinuxSyscall| {
        call.action == LinuxSeccompAction::Notify
            && call.names.iter().any(|name| name == HANDS_OVER)
    };
    if calls.any(own) {
        return refuse("SCMP_ACT_NOTIFY cannot be for sendmsg, which hands the listener over");
    }
    Ok(())
}

/// Puts the choice of the machine in front of the trees.
fn assemble(trees: &[(Machine, Vec<Instruction>)]) -> Vec<Instruction> {
    let tree = |machine| {
        trees
            .iter()
            .find(|(own, _)| *own == machine)
            .map(|(_, code)| code.as_slice())
    };
    let mut program = vec![tree::load(4)];
    let mut section = |arch: u32, code: Vec<Instruction>| {
        program.push(tree::jump_equal(arch, 1, 0));
        program.push(tree::jump(code.len()));
        program.extend(code);
    };
    if let Some(code) = tree(Machine::X86_64) {
        let wide = match tree(Machine::X32) {
            Some(wide) => [&[tree::and(!X32_BIT)], wide].concat(),
            None => vec![tree::answer(RETURN_KILL_PROCESS)],
        };
        let choice = [
            tree::load(0),
            tree::jump_at_least(X32_BIT, 1, 0),
            tree::jump(wide.len()),
        ];
        section(AUDIT_X86_64, [&choice, wide.as_slice(), code].concat());
    }
    for (machine, arch) in [
        (Machine::X86, AUDIT_I386),
        (Machine::Aarch64, AUDIT_AARCH64),
        (Machine::Arm, AUDIT_ARM),
    ] {
        if let Some(code) = tree(machine) {
            section(arch, [&[tree::load(0)], code].concat());
        }
    }
    program.push(tree::answer(RETURN_KILL_PROCESS));
    program
}
