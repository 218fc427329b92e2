//! A list of the system calls a program still needs, as a filter for [`crate::seccomp`].
//!
//! ```text
//! wrong architecture, x32 → kill │ listed, conditions hold → allow │ listed as absent │ anything else → refuse
//! ```
//!
//! Everything else fails with ENOSYS, which C libraries take as "this kernel is older" and work around.

pub mod call;
mod rule;

use std::collections::BTreeMap;

pub use self::rule::{A_THREAD, Condition, NAMING, NO_CODE, READING_LIMITS, Rule, always, when};
use crate::seccomp::Instruction;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
/// x32 calls have this bit in their number (asm/unistd.h) and would slip past the list.
#[cfg(target_arch = "x86_64")]
const X32_BIT: u32 = 0x4000_0000;

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const IF_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

const KILL: u32 = 0x8000_0000; // SECCOMP_RET_KILL_PROCESS
const ALLOW: u32 = 0x7fff_0000; // SECCOMP_RET_ALLOW
const REFUSE: u32 = 0x0005_0000 | 38; // SECCOMP_RET_ERRNO, ENOSYS

// struct seccomp_data: nr, arch, instruction pointer, six arguments.
const NUMBER: u32 = 0;
const ARCHITECTURE_FIELD: u32 = 4;
const ARGUMENTS: u32 = 16;

const fn plain(code: u16, operand: u32) -> Instruction {
    Instruction {
        code,
        jump_true: 0,
        jump_false: 0,
        operand,
    }
}

const fn jump(code: u16, operand: u32, jump_true: u8, jump_false: u8) -> Instruction {
    Instruction {
        code,
        jump_true,
        jump_false,
        operand,
    }
}

/// The program for these rules.
///
/// When a filter is loaded the kernel runs it once for every system call there is, to learn which are always
/// allowed (Linux 5.11): a search that halves the list thrice costs it half the time that the list in order
/// does, which for short-lived programs is most of what a filter costs at all.
#[must_use]
pub fn program(rules: &[Rule]) -> Vec<Instruction> {
    let mut program = vec![
        plain(LOAD, ARCHITECTURE_FIELD),
        jump(IF_EQUAL, ARCHITECTURE, 1, 0),
        plain(RETURN, KILL),
        plain(LOAD, NUMBER),
    ];
    #[cfg(target_arch = "x86_64")]
    {
        program.push(jump(IF_AT_LEAST, X32_BIT, 0, 1));
        program.push(plain(RETURN, KILL));
    }
    program.extend(search(&calls(rules)));
    program
}

/// One system call: the conditions of each of its rules.
struct Call {
    number: u32,
    alternatives: Vec<&'static [Condition]>,
}

/// The calls of these rules in the order of their numbers.
fn calls(rules: &[Rule]) -> Vec<Call> {
    let mut calls: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for rule in rules {
        // A number that is none of the kernel's is nobody's.
        if let Ok(number) = u32::try_from(rule.number) {
            calls.entry(number).or_default().push(rule.conditions);
        }
    }
    let call = |(number, alternatives)| Call {
        number,
        alternatives,
    };
    calls.into_iter().map(call).collect()
}

/// As many calls are compared one by one: fewer make the program longer, more make it slower.
const BUCKET: usize = 12;

/// Leads from a loaded number to the answer.
fn search(calls: &[Call]) -> Vec<Instruction> {
    if calls.len() <= BUCKET
        && let Some(bucket) = bucket(calls)
    {
        return bucket;
    }
    let (below, [first, ..]) = calls.split_at(calls.len() / 2) else {
        return vec![plain(RETURN, REFUSE)];
    };
    if below.is_empty() {
        // More conditions than a jump can pass: what cannot be checked is refused.
        return vec![plain(RETURN, REFUSE)];
    }
    let (left, right) = (search(below), search(&calls[below.len()..]));
    let mut program = match (u8::try_from(left.len()), u32::try_from(left.len())) {
        (Ok(distance), _) => vec![jump(IF_AT_LEAST, first.number, distance, 0)],
        (_, distance) => vec![
            jump(IF_AT_LEAST, first.number, 0, 1),
            plain(JUMP, distance.unwrap_or(u32::MAX)),
        ],
    };
    program.extend(left);
    program.extend(right);
    program
}

/// `if number == a goto allow; if number == b goto b's conditions; …; refuse; allow: allow; b's conditions: …`;
/// nothing when a jump would have to go too far.
fn bucket(calls: &[Call]) -> Option<Vec<Instruction>> {
    let mut answers = vec![plain(RETURN, REFUSE), plain(RETURN, ALLOW)];
    let mut program = Vec::new();
    for (call, further) in calls.iter().zip((0..calls.len()).rev()) {
        let is_always = call.alternatives.iter().any(|rule| rule.is_empty());
        let place = if is_always { 1 } else { answers.len() };
        let distance = u8::try_from(further + place).ok()?;
        program.push(jump(IF_EQUAL, call.number, distance, 0));
        if !is_always {
            for conditions in &call.alternatives {
                answers.extend(alternative(conditions)?);
            }
            answers.push(plain(RETURN, REFUSE));
        }
    }
    program.extend(answers);
    Some(program)
}

/// Allows when these conditions hold, and goes on behind itself otherwise.
fn alternative(conditions: &[Condition]) -> Option<Vec<Instruction>> {
    let mut body = Vec::new();
    for condition in conditions {
        match *condition {
            Condition::Bits {
                argument,
                mask,
                value,
            } => {
                body.push(plain(LOAD, ARGUMENTS + 8 * u32::from(argument)));
                body.push(plain(AND, mask));
                body.push(plain(IF_EQUAL, value));
            }
            Condition::Null { argument } => {
                let low = ARGUMENTS + 8 * u32::from(argument);
                for half in [low, low + 4] {
                    body.push(plain(LOAD, half));
                    body.push(plain(IF_EQUAL, 0));
                }
            }
        }
    }
    let length = body.len();
    for (index, instruction) in body.iter_mut().enumerate() {
        if instruction.code == IF_EQUAL {
            instruction.jump_false = u8::try_from(length - index).ok()?;
        }
    }
    body.push(plain(RETURN, ALLOW));
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program as the kernel would, for one call.
    fn run(program: &[Instruction], number: i64, arguments: [u64; 6]) -> u32 {
        let word = |offset: u32| match offset {
            NUMBER => u32::try_from(number).unwrap(),
            ARCHITECTURE_FIELD => ARCHITECTURE,
            offset => {
                let argument = arguments[usize::try_from((offset - ARGUMENTS) / 8).unwrap()];
                let shifted = argument >> (8 * (offset % 8));
                u32::try_from(shifted & 0xffff_ffff).unwrap()
            }
        };
        let (mut accumulator, mut next) = (0, 0);
        loop {
            let instruction = program[next];
            next += 1;
            let hit = match instruction.code {
                LOAD => {
                    accumulator = word(instruction.operand);
                    continue;
                }
                AND => {
                    accumulator &= instruction.operand;
                    continue;
                }
                JUMP => {
                    next += usize::try_from(instruction.operand).unwrap();
                    continue;
                }
                RETURN => return instruction.operand,
                IF_EQUAL => accumulator == instruction.operand,
                _ => accumulator >= instruction.operand,
            };
            next += usize::from(if hit {
                instruction.jump_true
            } else {
                instruction.jump_false
            });
        }
    }

    const RULES: &[Rule] = &[
        always(call::SYS_read),
        when(call::SYS_mmap, NO_CODE),
        when(
            call::SYS_socket,
            &[Condition::Bits {
                argument: 0,
                mask: u32::MAX,
                value: 2,
            }],
        ),
        when(
            call::SYS_socket,
            &[Condition::Bits {
                argument: 0,
                mask: u32::MAX,
                value: 10,
            }],
        ),
        when(call::SYS_prlimit64, READING_LIMITS),
        always(call::SYS_write),
    ];

    #[test]
    fn rules_allow_and_everything_else_is_refused() {
        let program = program(RULES);
        let verdict = |number, arguments| run(&program, number, arguments);
        assert_eq!(verdict(call::SYS_read, [0; 6]), ALLOW);
        assert_eq!(verdict(call::SYS_write, [0; 6]), ALLOW);
        assert_eq!(verdict(libc::SYS_execve, [0; 6]), REFUSE);
        assert_eq!(verdict(libc::SYS_ptrace, [0; 6]), REFUSE);
        assert_eq!(verdict(call::SYS_mmap, [0, 0, 3, 0, 0, 0]), ALLOW);
        assert_eq!(verdict(call::SYS_mmap, [0, 0, 7, 0, 0, 0]), REFUSE);
        assert_eq!(verdict(call::SYS_socket, [2, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(verdict(call::SYS_socket, [10, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(verdict(call::SYS_socket, [16, 0, 0, 0, 0, 0]), REFUSE);
        assert_eq!(verdict(call::SYS_prlimit64, [0, 7, 0, 1, 0, 0]), ALLOW);
        assert_eq!(
            verdict(call::SYS_prlimit64, [0, 7, 1 << 40, 0, 0, 0]),
            REFUSE
        );
    }

    /// Many rules, of several searches deep, answer for every number as reading them one by one does.
    #[test]
    fn the_search_answers_as_the_list() {
        const FLAGS: &[Condition] = &[
            Condition::Bits {
                argument: 1,
                mask: 6,
                value: 4,
            },
            Condition::Null { argument: 3 },
        ];
        for count in [0, 1, 12, 13, 100, 700] {
            let rules: Vec<Rule> = (0..count)
                .flat_map(|index| match index % 5 {
                    0 => vec![when(index * 2, FLAGS), when(index * 2, RULES[1].conditions)],
                    1 => vec![when(index * 2, FLAGS), always(index * 2)],
                    _ => vec![always(index * 2)],
                })
                .rev()
                .collect();
            let program = program(&rules);
            for number in 0..count * 2 + 3 {
                for arguments in [[0; 6], [4; 6], [0, 4, 4, 0, 0, 0], [0, 4, 0, 0, 0, 0]] {
                    let holds = |condition: &Condition| match *condition {
                        Condition::Bits {
                            argument,
                            mask,
                            value,
                        } => arguments[usize::from(argument)] & u64::from(mask) == u64::from(value),
                        Condition::Null { argument } => arguments[usize::from(argument)] == 0,
                    };
                    let allows =
                        |rule: &Rule| rule.number == number && rule.conditions.iter().all(holds);
                    let expected = if rules.iter().any(allows) {
                        ALLOW
                    } else {
                        REFUSE
                    };
                    assert_eq!(run(&program, number, arguments), expected, "{number}");
                }
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn x32_calls_are_fatal() {
        assert_eq!(run(&program(RULES), i64::from(X32_BIT), [0; 6]), KILL);
    }

    #[test]
    fn the_kernel_takes_it() {
        let filter = program(&[
            always(call::SYS_exit),
            always(call::SYS_madvise),
            always(call::SYS_munmap),
            always(call::SYS_futex),
            always(call::SYS_write),
            always(call::SYS_sigaltstack),
            always(call::SYS_rt_sigprocmask),
            always(call::SYS_mmap),
        ]);
        let thread = std::thread::spawn(move || {
            rustix::thread::set_no_new_privs(true).unwrap();
            crate::seccomp::load(&filter, crate::seccomp::Flags::default()).unwrap();
            rustix::process::chdir("/").unwrap_err().raw_os_error()
        });
        assert_eq!(thread.join().unwrap(), 38);
    }
}
