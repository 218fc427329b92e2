//! What a profile answers to each system call of one machine.

use std::collections::BTreeMap;

use berth_contract::oci::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator,
};
use berth_contract::{Class, Error, Result};

use super::machine::Machine;
use super::tree::{self, Answer, Condition, Segment};

pub(super) const RETURN_KILL_PROCESS: u32 = 0x8000_0000;
pub(super) const RETURN_ERRNO: u32 = 0x0005_0000;
pub(super) const EPERM: u32 = 1;
pub(super) const ENOSYS: u32 = 38;

/// What each named system call answers, in the order of their numbers.
pub(super) fn segments(
    profile: &LinuxSeccomp,
    machine: Machine,
    default: u32,
) -> Result<Vec<Segment>> {
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

/// The value that a filter returns for an action.
pub(super) fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<u32> {
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
