//! Device access rules on cgroup2: a `BPF_PROG_TYPE_CGROUP_DEVICE` program, generated here.
//!
//! The kernel asks the program about one access (`struct bpf_cgroup_dev_ctx`): a set of access bits, a
//! kind, a major and a minor number. The program walks the rules from the last to the first, because
//! the last rule about an access bit decides it: an allowing rule strikes its bits from those still
//! undecided, a denying one that meets an undecided bit ends with 0. When none is left, 1.
//!
//! ```text
//! r2 kind   r3 bits still undecided   r4 major   r5 minor   r6 scratch
//! ```

use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::rules::{ANY, Kind, Rule};

const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;

// Opcodes of linux/bpf.h: class | source | operation.
const LOAD_WORD: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const MOVE_REGISTER: u8 = 0xbf; // BPF_ALU64 | BPF_MOV | BPF_X
const MOVE: u8 = 0xb7; // BPF_ALU64 | BPF_MOV | BPF_K
const AND: u8 = 0x57; // BPF_ALU64 | BPF_AND | BPF_K
const SHIFT_RIGHT: u8 = 0x77; // BPF_ALU64 | BPF_RSH | BPF_K
const JUMP_EQUAL: u8 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_UNEQUAL_32: u8 = 0x56; // BPF_JMP32 | BPF_JNE | BPF_K
const EXIT: u8 = 0x95; // BPF_JMP | BPF_EXIT

/// `struct bpf_insn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers: destination | source << 4,
        offset,
        immediate,
    }
}

/// Generates the program for the rules.
pub(super) fn generate(rules: &[Rule]) -> Vec<Instruction> {
    let mut program = vec![
        instruction(LOAD_WORD, 2, 1, 0, 0),
        instruction(MOVE_REGISTER, 3, 2, 0, 0),
        instruction(AND, 2, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, 3, 0, 0, 16),
        instruction(LOAD_WORD, 4, 1, 4, 0),
        instruction(LOAD_WORD, 5, 1, 8, 0),
    ];
    for rule in rules.iter().rev() {
        let body = decide(rule);
        let tests = conditions(rule);
        let unconditional = tests.is_empty() && rule.access == ANY;
        for (position, (register, value)) in tests.iter().enumerate() {
            // Over the remaining tests and the body: at most 2 + 5.
            let over = i16::try_from(tests.len() - position - 1 + body.len()).unwrap_or(i16::MAX);
            program.push(instruction(JUMP_UNEQUAL_32, *register, 0, over, *value));
        }
        program.extend(body);
        if unconditional {
            // The verifier refuses instructions that can never be reached.
            return program;
        }
    }
    program.extend(finish(1));
    program
}

/// What must hold for a rule to be about the access: (register, value).
fn conditions(rule: &Rule) -> Vec<(u8, i32)> {
    let mut tests = Vec::with_capacity(3);
    match rule.kind {
        Kind::All => {}
        Kind::Block => tests.push((2, BLOCK)),
        Kind::Character => tests.push((2, CHARACTER)),
    }
    // JMP32 compares the low 32 bits, so the cast to a signed immediate loses nothing.
    tests.extend(rule.major.map(|major| (4, major.cast_signed())));
    tests.extend(rule.minor.map(|minor| (5, minor.cast_signed())));
    tests
}

/// What a rule does with the access bits it is about.
fn decide(rule: &Rule) -> Vec<Instruction> {
    let access = i32::from(rule.access);
    match (rule.allow, rule.access == ANY) {
        (allow, true) => finish(i32::from(allow)).to_vec(),
        (true, false) => {
            let [set, exit] = finish(1);
            vec![
                instruction(AND, 3, 0, 0, !access & i32::from(ANY)),
                instruction(0x55, 3, 0, 2, 0), // BPF_JNE: something is still undecided
                set,
                exit,
            ]
        }
        (false, false) => {
            let [set, exit] = finish(0);
            vec![
                instruction(MOVE_REGISTER, 6, 3, 0, 0),
                instruction(AND, 6, 0, 0, access),
                instruction(JUMP_EQUAL, 6, 0, 2, 0),
                set,
                exit,
            ]
        }
    }
}

fn finish(verdict: i32) -> [Instruction; 2] {
    [
        instruction(MOVE, 0, 0, 0, verdict),
        instruction(EXIT, 0, 0, 0, 0),
    ]
}

// Commands and constants of bpf(2).
const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const PROG_QUERY: libc::c_int = 16;
const TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTIPLE: u32 = 2;
const REPLACE: u32 = 4;

#[derive(Debug, Default)]
#[repr(C)]
struct LoadAttributes {
    program_type: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
}

#[derive(Debug, Default)]
#[repr(C)]
struct AttachAttributes {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    replaced: u32,
}

#[derive(Debug, Default)]
#[repr(C)]
struct QueryAttributes {
    target: u32,
    kind: u32,
    query_flags: u32,
    attach_flags: u32,
    programs: u64,
    count: u32,
    padding: u32,
}

#[derive(Debug, Default)]
#[repr(C)]
struct IdAttributes {
    id: u32,
    next: u32,
    flags: u32,
}

/// Calls bpf(2) with attributes that hold no pointers but those the caller keeps alive.
fn bpf<T>(command: libc::c_int, attributes: &mut T) -> Result<i32, Errno> {
    let pointer: *mut T = attributes;
    // SAFETY: the pointer and the size describe one live, exclusively borrowed `repr(C)` struct that is
    // a prefix of `union bpf_attr`; pointers inside it refer to buffers its maker keeps alive.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, pointer, size_of::<T>()) };
    if result < 0 {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO));
    }
    i32::try_from(result).map_err(|_not_a_descriptor| Errno::OVERFLOW)
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// Takes a descriptor that bpf(2) has just returned.
fn own(number: i32) -> OwnedFd {
    #[expect(clippy::disallowed_types, reason = "bpf(2) returns a bare number")]
    use std::os::fd::FromRawFd as _;
    // SAFETY: the kernel has just returned this descriptor to us and nobody else knows its number.
    unsafe { OwnedFd::from_raw_fd(number) }
}

fn address<T>(slice: &[T]) -> u64 {
    slice.as_ptr().expose_provenance() as u64
}

/// Loads a program into the kernel.
pub(super) fn load(program: &[Instruction]) -> Result<OwnedFd, Errno> {
    let license = b"Apache-2.0\0";
    let mut attributes = LoadAttributes {
        program_type: TYPE_CGROUP_DEVICE,
        count: u32::try_from(program.len()).map_err(|_too_long| Errno::TOOBIG)?,
        instructions: address(program),
        license: address(license),
        name: *b"berth_devices\0\0\0",
        attach_type: ATTACH_CGROUP_DEVICE,
        ..LoadAttributes::default()
    };
    bpf(PROG_LOAD, &mut attributes).map(own)
}

/// Attaches a program to a cgroup in place of the one that is attached there, if any.
///
/// Every program attached to a cgroup and above it must allow an access, so a second one beside the old
/// one could only narrow it.
pub(super) fn attach(program: BorrowedFd<'_>, cgroup: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut ids = [0_u32; 8];
    let mut query = QueryAttributes {
        target: raw(cgroup),
        kind: ATTACH_CGROUP_DEVICE,
        programs: address(&ids),
        count: 8,
        ..QueryAttributes::default()
    };
    query.programs = ids.as_mut_ptr().expose_provenance() as u64;
    bpf(PROG_QUERY, &mut query)?;
    let old = match query.count {
        0 => None,
        _ => {
            let mut attributes = IdAttributes {
                id: ids[0],
                ..IdAttributes::default()
            };
            Some(bpf(PROG_GET_FD_BY_ID, &mut attributes).map(own)?)
        }
    };
    let mut attributes = AttachAttributes {
        target: raw(cgroup),
        program: raw(program),
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTIPLE,
        replaced: 0,
    };
    if let Some(old) = &old {
        use std::os::fd::AsFd as _;
        attributes.flags |= REPLACE; // Linux 5.6
        attributes.replaced = raw(old.as_fd());
    }
    bpf(PROG_ATTACH, &mut attributes).map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::rules::{MAKE, READ, WRITE, docker_rules};
    use super::*;

    /// Runs a program as the kernel would.
    fn run(program: &[Instruction], kind: i32, access: u8, major: u32, minor: u32) -> i64 {
        let mut registers = [0_i64; 11];
        let context = [
            i64::from(access) << 16 | i64::from(kind),
            major.into(),
            minor.into(),
        ];
        let mut at = 0_usize;
        for _ in 0..10_000 {
            let step = program[at];
            let to = usize::from(step.registers & 15);
            let from = usize::from(step.registers >> 4);
            let value = i64::from(step.immediate);
            at += 1;
            let jump = match step.code {
                LOAD_WORD => {
                    registers[to] = context[usize::try_from(step.offset).unwrap() / 4];
                    false
                }
                MOVE_REGISTER => {
                    registers[to] = registers[from];
                    false
                }
                MOVE => {
                    registers[to] = value;
                    false
                }
                AND => {
                    registers[to] &= value;
                    false
                }
                SHIFT_RIGHT => {
                    registers[to] >>= value;
                    false
                }
                JUMP_EQUAL => registers[to] == value,
                0x55 => registers[to] != value,
                JUMP_UNEQUAL_32 => registers[to] & 0xffff_ffff != value & 0xffff_ffff,
                EXIT => return registers[0],
                other => panic!("opcode {other:#x}"),
            };
            if jump {
                at += usize::try_from(step.offset).unwrap();
            }
        }
        panic!("the program does not end");
    }

    /// What the rules mean, said the slow way.
    fn allowed(rules: &[Rule], kind: i32, access: u8, major: u32, minor: u32) -> bool {
        [MAKE, READ, WRITE]
            .into_iter()
            .filter(|bit| access & bit != 0)
            .all(|bit| {
                let last = rules.iter().rev().find(|rule| {
                    let same_kind = match rule.kind {
                        Kind::All => true,
                        Kind::Block => kind == BLOCK,
                        Kind::Character => kind == CHARACTER,
                    };
                    same_kind
                        && rule.major.is_none_or(|own| own == major)
                        && rule.minor.is_none_or(|own| own == minor)
                        && rule.access & bit != 0
                });
                last.is_none_or(|rule| rule.allow)
            })
    }

    #[test]
    fn the_program_decides_as_the_rules_say() {
        let narrow = vec![Rule {
            allow: false,
            kind: Kind::All,
            major: Some(u32::MAX),
            minor: None,
            access: WRITE | MAKE,
        }];
        for rules in [docker_rules(), narrow, Vec::new()] {
            let program = generate(&rules);
            for kind in [BLOCK, CHARACTER] {
                for access in 1..=ANY {
                    for (major, minor) in
                        [(1, 3), (1, 4), (136, 9), (10, 229), (8, 0), (u32::MAX, 1)]
                    {
                        assert_eq!(
                            run(&program, kind, access, major, minor) == 1,
                            allowed(&rules, kind, access, major, minor),
                            "{rules:?} {kind} {access} {major}:{minor}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn privileged_the_kernel_accepts_the_programs() {
        for rules in [docker_rules(), Vec::new(), docker_rules()[1..].to_vec()] {
            load(&generate(&rules)).unwrap();
        }
    }
}
