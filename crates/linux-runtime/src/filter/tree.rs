//! The code of one machine: a search tree over its system call numbers, with conditions at the leaves.

use std::collections::BTreeMap;

use berth_contract::oci::LinuxSeccompOperator;
use berth_sys::seccomp::Instruction;

// Operations of the classic packet filter (linux/bpf_common.h).
const LOAD_WORD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Where `struct seccomp_data` has the arguments, eight bytes each.
const ARGUMENTS: u32 = 16;

/// What a system call answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Answer {
    /// The first alternative whose conditions all hold decides.
    pub(super) when: Vec<(Vec<Condition>, u32)>,
    /// What is answered when none does; `None` is the profile's default.
    pub(super) otherwise: Option<u32>,
}

/// A test of one argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    /// Which argument.
    pub(super) argument: u32,
    /// How it is compared.
    pub(super) operator: LinuxSeccompOperator,
    /// What of it is compared.
    pub(super) mask: u64,
    /// With what.
    pub(super) value: u64,
}

/// Numbers from `first` up to the next segment's answer alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    first: u32,
    answer: Answer,
}

/// Divides all numbers into segments; `beyond` is the answer above the greatest number named.
pub(super) fn segments(calls: BTreeMap<u32, Answer>, default: u32, beyond: u32) -> Vec<Segment> {
    let plain = |answer| Answer {
        when: Vec::new(),
        otherwise: Some(answer),
    };
    let mut all: Vec<Segment> = Vec::with_capacity(calls.len());
    let mut push = |first: u32, answer: Answer| match all.last() {
        Some(last) if last.answer == answer => {}
        _ => all.push(Segment { first, answer }),
    };
    let mut next = 0;
    for (number, mut answer) in calls {
        if number > next {
            push(next, plain(default));
        }
        answer.otherwise.get_or_insert(default);
        push(number, answer);
        next = number + 1;
    }
    push(next, plain(beyond));
    all
}

/// The code that answers for the number in the accumulator.
pub(super) fn emit(segments: &[Segment], default: u32) -> Vec<Instruction> {
    match segments {
        [] => vec![answer(default)],
        [only] => leaf(&only.answer, default),
        _ => {
            let (low, high) = segments.split_at(segments.len() / 2);
            let first = high.first().map_or(0, |segment| segment.first);
            let low = emit(low, default);
            let high = emit(high, default);
            let mut code = Vec::with_capacity(low.len() + high.len() + 2);
            match u8::try_from(low.len()) {
                Ok(distance) => code.push(jump_at_least(first, distance, 0)),
                // A conditional jump reaches 255 instructions only.
                Err(_far) => code.extend([jump_at_least(first, 0, 1), jump(low.len())]),
            }
            code.extend(low);
            code.extend(high);
            code
        }
    }
}

/// Conditions, and the answer when they hold.
type Alternative = (Vec<Condition>, u32);

/// The jumps over a list must stay within 255 instructions.
const LONGEST_LIST: usize = 200;

/// Whether two alternatives compare the same word with one value each and answer alike: Docker's list
/// of socket families, say. They need one load together.
fn same_list(one: &Alternative, other: &Alternative) -> bool {
    match (one.0.as_slice(), other.0.as_slice()) {
        ([one_test], [other_test]) => {
            let plain = |test: &Condition| {
                test.operator == LinuxSeccompOperator::Eq && test.mask == u64::MAX
            };
            plain(one_test)
                && plain(other_test)
                && one_test.argument == other_test.argument
                && halves(one_test.value).0 == halves(other_test.value).0
                && one.1 == other.1
        }
        _ => false,
    }
}

/// The code for such a list.
fn one_of(list: &[Alternative], decided: u32) -> Vec<Instruction> {
    let values: Vec<&Condition> = list.iter().filter_map(|(tests, _)| tests.first()).collect();
    let Some(first) = values.first() else {
        return Vec::new();
    };
    let offset = ARGUMENTS + first.argument * 8;
    let distance = |count: usize| u8::try_from(count).unwrap_or(u8::MAX);
    let mut code = vec![
        load(offset + 4),
        jump_equal(halves(first.value).0, 0, distance(values.len() + 2)),
        load(offset),
    ];
    for (place, test) in values.iter().enumerate() {
        let after = values.len() - 1 - place;
        code.push(jump_equal(
            halves(test.value).1,
            distance(after),
            u8::from(after == 0),
        ));
    }
    code.push(answer(decided));
    code
}

fn leaf(answers: &Answer, default: u32) -> Vec<Instruction> {
    let mut code = Vec::new();
    let mut rest = answers.when.as_slice();
    while let Some((first, after)) = rest.split_first() {
        let (conditions, decided) = first;
        let alike = 1 + after
            .iter()
            .take_while(|other| same_list(first, other))
            .count();
        if alike > 1 {
            let (list, after) = rest.split_at(alike.min(LONGEST_LIST));
            code.extend(one_of(list, *decided));
            rest = after;
            continue;
        }
        let mut block = vec![answer(*decided)];
        for condition in conditions.iter().rev() {
            let mut test = test(condition, block.len());
            test.append(&mut block);
            block = test;
        }
        code.append(&mut block);
        rest = after;
    }
    code.push(answer(answers.otherwise.unwrap_or(default)));
    code
}

/// A test that falls through when it holds and else skips `rest` instructions after itself.
fn test(condition: &Condition, rest: usize) -> Vec<Instruction> {
    let offset = ARGUMENTS + condition.argument * 8;
    let (high, low) = halves(condition.value);
    let (mask_high, mask_low) = halves(condition.mask);
    // Six conditions of seven instructions are the most a rule can have.
    let rest = u8::try_from(rest).unwrap_or(u8::MAX);
    let mut code = vec![load(offset + 4)];
    if mask_high != u32::MAX {
        code.push(and(mask_high));
    }
    let mut tail = vec![load(offset)];
    if mask_low != u32::MAX {
        tail.push(and(mask_low));
    }
    let skip_tail = u8::try_from(tail.len() + 1).unwrap_or(u8::MAX);
    let fail = skip_tail + rest;
    match condition.operator {
        LinuxSeccompOperator::Eq | LinuxSeccompOperator::MaskedEq => {
            code.push(jump_equal(high, 0, fail));
            tail.push(jump_equal(low, 0, rest));
        }
        LinuxSeccompOperator::Ne => {
            code.push(jump_equal(high, 0, skip_tail));
            tail.push(jump_equal(low, rest, 0));
        }
        LinuxSeccompOperator::Ge | LinuxSeccompOperator::Gt => {
            code.push(jump_greater(high, skip_tail + 1, 0));
            code.push(jump_equal(high, 0, fail));
            tail.push(if condition.operator == LinuxSeccompOperator::Ge {
                jump_at_least(low, 0, rest)
            } else {
                jump_greater(low, 0, rest)
            });
        }
        LinuxSeccompOperator::Lt | LinuxSeccompOperator::Le => {
            code.push(jump_greater(high, fail + 1, 0));
            code.push(jump_equal(high, 0, skip_tail));
            tail.push(if condition.operator == LinuxSeccompOperator::Lt {
                jump_at_least(low, rest, 0)
            } else {
                jump_greater(low, rest, 0)
            });
        }
    }
    code.append(&mut tail);
    code
}

/// The high and the low word; both machines berth runs on are little-endian.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low word is what is wanted"
)]
fn halves(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
}

/// Loads a word of `struct seccomp_data`: 0 is the number, 4 the machine.
pub(super) fn load(offset: u32) -> Instruction {
    instruction(LOAD_WORD, 0, 0, offset)
}

/// Keeps these bits.
pub(super) fn and(mask: u32) -> Instruction {
    instruction(AND, 0, 0, mask)
}

/// Skips so many instructions.
pub(super) fn jump(distance: usize) -> Instruction {
    instruction(JUMP, 0, 0, u32::try_from(distance).unwrap_or(u32::MAX))
}

/// Skips one or the other number of instructions.
pub(super) fn jump_equal(value: u32, yes: u8, no: u8) -> Instruction {
    instruction(JUMP_EQUAL, yes, no, value)
}

/// Skips one or the other number of instructions.
pub(super) fn jump_at_least(value: u32, yes: u8, no: u8) -> Instruction {
    instruction(JUMP_AT_LEAST, yes, no, value)
}

fn jump_greater(value: u32, yes: u8, no: u8) -> Instruction {
    instruction(JUMP_GREATER, yes, no, value)
}

/// Ends with this answer.
pub(super) fn answer(value: u32) -> Instruction {
    instruction(RETURN, 0, 0, value)
}

fn instruction(code: u16, jump_true: u8, jump_false: u8, operand: u32) -> Instruction {
    Instruction {
        code,
        jump_true,
        jump_false,
        operand,
    }
}
