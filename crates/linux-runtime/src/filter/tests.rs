//! Filters, run as the kernel runs them.

use super::rules::{ENOSYS, EPERM, RETURN_ERRNO};
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
        let branch = |holds: bool| usize::from(if holds { one.jump_true } else { one.jump_false });
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
