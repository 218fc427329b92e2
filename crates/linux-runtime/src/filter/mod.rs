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

mod table;
mod tree;

use std::collections::BTreeMap;

use berth_contract::oci::{
    self, Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag,
    LinuxSeccompOperator,
};
use berth_contract::{Class, Error, Result};
use berth_sys::seccomp::{Flags, Instruction, Listen};

use tree::{Answer, Condition, Segment};

/// A compiled filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    /// What the kernel runs for each system call.
    pub(crate) program: Vec<Instruction>,
    /// How it is loaded.
    pub(crate) flags: Flags,
}

/// The bit that tells x32 from x86-64 system calls.
const X32_BIT: u32 = 0x4000_0000;
const AUDIT_X86_64: u32 = 0xc000_003e;
const AUDIT_I386: u32 = 0x4000_0003;
const AUDIT_AARCH64: u32 = 0xc000_00b7;
const AUDIT_ARM: u32 = 0x4000_0028;

const RETURN_KILL_PROCESS: u32 = 0x8000_0000;
const RETURN_ERRNO: u32 = 0x0005_0000;
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

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

/// A set of system call numbers; the discriminant is its column in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Machine {
    X86_64 = 0,
    X86 = 1,
    X32 = 2,
    Aarch64 = 3,
    Arm = 4,
}

impl Machine {
    fn native() -> Self {
        if cfg!(target_arch = "aarch64") {
            Self::Aarch64
        } else {
            Self::X86_64
        }
    }

    fn from_arch(arch: Arch) -> Option<Self> {
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

    fn number(self, name: &str) -> Option<u32> {
        let row = table::TABLE
            .binary_search_by(|(known, _)| (*known).cmp(name))
            .ok()?;
        let number = *table::TABLE.get(row)?.1.get(self as usize)?;
        (number != table::NO).then_some(number)
    }
}

/// What each named system call answers, in the order of their numbers.
fn segments(profile: &LinuxSeccomp, machine: Machine, default: u32) -> Result<Vec<Segment>> {
    let mut calls: BTreeMap<u32, Answer> = BTreeMap::new();
    for rule in profile.syscalls.iter().flatten() {
        let answer = action(rule.action, rule.errno_ret)?;
        let conditions = conditions(rule.args.as_deref().unwrap_or_default())?;
        // A name this machine does not have is a rule for another one.
        for number in rule.names.iter().filter_map(|name| machine.number(name)) {
            let call = calls.entry(number).or_default();
            if conditions.is_empty() {
                call.otherwise.get_or_insert(answer);
            }
            for alternative in &conditions {
                call.when.push((alternative.clone(), answer));
            }
        }
    }
    // A call newer than the profile is unknown to it, not forbidden by it: with ENOSYS, libraries fall
    // back to an older one.
    let beyond = if default == (RETURN_ERRNO | EPERM) {
        RETURN_ERRNO | ENOSYS
    } else {
        default
    };
    Ok(tree::segments(calls, default, beyond))
}

/// The alternatives of one rule. Conditions on the same argument are alternatives, others hold
/// together, as in runc and crun.
fn conditions(arguments: &[LinuxSeccompArg]) -> Result<Vec<Vec<Condition>>> {
    let mut parsed = Vec::with_capacity(arguments.len());
    for argument in arguments {
        parsed.push(condition(argument)?);
    }
    let repeated = parsed.iter().enumerate().any(|(place, one)| {
        parsed
            .iter()
            .skip(place + 1)
            .any(|other| one.argument == other.argument)
    });
    if parsed.is_empty() {
        Ok(Vec::new())
    } else if repeated {
        Ok(parsed.into_iter().map(|one| vec![one]).collect())
    } else {
        Ok(vec![parsed])
    }
}

fn condition(argument: &LinuxSeccompArg) -> Result<Condition> {
    let index = u32::try_from(argument.index)
        .ok()
        .filter(|index| *index < 6)
        .ok_or_else(|| {
            Error::new(Class::Invalid, "cannot apply the seccomp profile").caused_by(format!(
                "it tests argument {}; there are 0 to 5",
                argument.index
            ))
        })?;
    let value = argument.value;
    let (mask, value) = match argument.op {
        // For a masked comparison the first value is the mask.
        LinuxSeccompOperator::MaskedEq => (value, argument.value_two.unwrap_or(0)),
        _ => (u64::MAX, value),
    };
    Ok(Condition {
        argument: index,
        operator: argument.op,
        mask,
        value,
    })
}

fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<u32> {
    Ok(match action {
        LinuxSeccompAction::Kill | LinuxSeccompAction::KillThread => 0,
        LinuxSeccompAction::KillProcess => RETURN_KILL_PROCESS,
        LinuxSeccompAction::Trap => 0x0003_0000,
        LinuxSeccompAction::Errno => RETURN_ERRNO | (errno.unwrap_or(EPERM) & 0xffff),
        LinuxSeccompAction::Trace => 0x7ff0_0000 | (errno.unwrap_or(EPERM) & 0xffff),
        LinuxSeccompAction::Log => 0x7ffc_0000,
        LinuxSeccompAction::Allow => 0x7fff_0000,
        LinuxSeccompAction::Notify => 0x7fc0_0000,
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use berth_contract::oci::Capability;

    /// What the kernel does with a filter, in as far as we use it.
    fn run(program: &[Instruction], arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let mut data = [0_u8; 64];
        data[..4].copy_from_slice(&number.to_le_bytes());
        data[4..8].copy_from_slice(&arch.to_le_bytes());
        for (place, argument) in arguments.iter().enumerate() {
            data[16 + place * 8..24 + place * 8].copy_from_slice(&argument.to_le_bytes());
        }
        let (mut at, mut word) = (0_usize, 0_u32);
        loop {
            let one = program[at];
            at += 1;
            let branch =
                |holds: bool| usize::from(if holds { one.jump_true } else { one.jump_false });
            match one.code {
                0x20 => {
                    let offset = one.operand as usize;
                    word = u32::from_le_bytes(data[offset..offset + 4].try_into().unwrap());
                }
                0x54 => word &= one.operand,
                0x05 => at += one.operand as usize,
                0x15 => at += branch(word == one.operand),
                0x25 => at += branch(word > one.operand),
                0x35 => at += branch(word >= one.operand),
                0x06 => return one.operand,
                other => panic!("unknown operation {other:#x}"),
            }
        }
    }

    const ALLOW: u32 = 0x7fff_0000;
    const DENY: u32 = RETURN_ERRNO | EPERM;
    const UNKNOWN: u32 = RETURN_ERRNO | ENOSYS;

    fn docker() -> Vec<Instruction> {
        compile(&crate::defaults::seccomp(&crate::defaults::capabilities()))
            .unwrap()
            .program
    }

    fn x86_64(program: &[Instruction], number: u32, first: u64) -> u32 {
        run(program, AUDIT_X86_64, number, [first, 0, 0, 0, 0, 0])
    }

    #[test]
    fn every_machine_gets_dockers_answers() {
        let program = docker();
        assert!(program.len() < 800, "{}", program.len());
        for (name, expected) in [
            ("read", ALLOW),
            ("mount", DENY),
            ("bpf", DENY),
            ("clone3", UNKNOWN),
            ("add_key", DENY),
            ("chroot", ALLOW),
            ("reboot", DENY),
            ("io_uring_setup", DENY),
        ] {
            for (machine, arch, bit) in [
                (Machine::X86_64, AUDIT_X86_64, 0),
                (Machine::X86, AUDIT_I386, 0),
                (Machine::X32, AUDIT_X86_64, X32_BIT),
            ] {
                let number = machine.number(name).unwrap();
                assert_eq!(
                    run(&program, arch, number | bit, [0; 6]),
                    expected,
                    "{name} {machine:?}"
                );
            }
        }
        assert_eq!(run(&program, 0x1234, 0, [0; 6]), RETURN_KILL_PROCESS);
    }

    #[test]
    fn arguments_decide_as_in_docker() {
        let program = docker();
        let clone = Machine::X86_64.number("clone").unwrap();
        assert_eq!(x86_64(&program, clone, 0x11), ALLOW);
        assert_eq!(x86_64(&program, clone, 0x1000_0011), DENY);
        assert_eq!(x86_64(&program, clone, 0x2_0011), DENY);
        let personality = Machine::X86_64.number("personality").unwrap();
        assert_eq!(x86_64(&program, personality, 0xffff_ffff), ALLOW);
        assert_eq!(x86_64(&program, personality, 8), ALLOW);
        assert_eq!(x86_64(&program, personality, 4), DENY);
        assert_eq!(x86_64(&program, personality, 1 << 32), DENY);
        let socket = Machine::X86_64.number("socket").unwrap();
        assert_eq!(x86_64(&program, socket, 2), ALLOW);
        assert_eq!(x86_64(&program, socket, 16), ALLOW);
        assert_eq!(x86_64(&program, socket, 38), DENY);
        assert_eq!(x86_64(&program, socket, 40), DENY);
        assert_eq!(x86_64(&program, 5000, 0), UNKNOWN);
    }

    #[test]
    fn capabilities_change_the_answers() {
        let mut capabilities = crate::defaults::capabilities();
        capabilities.insert(Capability::SysAdmin);
        let program = compile(&crate::defaults::seccomp(&capabilities))
            .unwrap()
            .program;
        for name in ["mount", "clone3", "unshare", "setns"] {
            assert_eq!(
                x86_64(&program, Machine::X86_64.number(name).unwrap(), 0),
                ALLOW,
                "{name}"
            );
        }
        assert_eq!(
            x86_64(
                &program,
                Machine::X86_64.number("clone").unwrap(),
                0x1000_0000
            ),
            ALLOW
        );
    }

    #[test]
    fn every_operator_compares_all_64_bits() {
        let values = [
            0,
            1,
            5,
            6,
            u64::from(u32::MAX),
            1 << 32,
            (1 << 32) + 5,
            (5 << 32) + 5,
            u64::MAX,
        ];
        type Holds = fn(u64, u64) -> bool;
        let operators: [(&str, Holds); 6] = [
            ("SCMP_CMP_NE", |a, b| a != b),
            ("SCMP_CMP_LT", |a, b| a < b),
            ("SCMP_CMP_LE", |a, b| a <= b),
            ("SCMP_CMP_EQ", |a, b| a == b),
            ("SCMP_CMP_GE", |a, b| a >= b),
            ("SCMP_CMP_GT", |a, b| a > b),
        ];
        for (operator, holds) in operators {
            for with in values {
                let json = format!(
                    r#"{{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"syscalls":[
                        {{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[
                            {{"index":2,"value":{with},"op":"{operator}"}},
                            {{"index":3,"value":7,"op":"SCMP_CMP_EQ"}}]}}]}}"#
                );
                let program = compile(&serde_json::from_str(&json).unwrap())
                    .unwrap()
                    .program;
                for argument in values {
                    let got = run(&program, AUDIT_X86_64, 0, [0, 0, argument, 7, 0, 0]);
                    let expected = if holds(argument, with) { ALLOW } else { DENY };
                    assert_eq!(got, expected, "{argument} {operator} {with}");
                    assert_eq!(
                        run(&program, AUDIT_X86_64, 0, [0, 0, argument, 8, 0, 0]),
                        DENY
                    );
                }
            }
        }
    }

    #[test]
    fn a_deny_list_and_errnos_work() {
        let json = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
            {"names":["mkdir","no_such_call"],"action":"SCMP_ACT_ERRNO","errnoRet":28},
            {"names":["kill"],"action":"SCMP_ACT_ERRNO","args":[
                {"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":0,"value":2,"op":"SCMP_CMP_EQ"}]}]}"#;
        let program = compile(&serde_json::from_str(json).unwrap())
            .unwrap()
            .program;
        let native = Machine::native();
        let arch = if native == Machine::Aarch64 {
            AUDIT_AARCH64
        } else {
            AUDIT_X86_64
        };
        let ask = |name: &str, first| {
            run(
                &program,
                arch,
                native.number(name).unwrap_or(83),
                [first, 0, 0, 0, 0, 0],
            )
        };
        assert_eq!(ask("kill", 1), DENY);
        assert_eq!(ask("kill", 2), DENY);
        assert_eq!(ask("kill", 3), ALLOW);
        assert_eq!(ask("read", 0), ALLOW);
        assert_eq!(run(&program, arch, 9999, [0; 6]), ALLOW);
    }
}
