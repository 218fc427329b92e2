//! A verb's clap command, and the failures of its usage in berth's words.
//!
//! Flags behave as in Docker: `--rm=false` works, a repeated flag takes its last value, a value may
//! begin with `-`, and the flags of `run`, `create` and `exec` end at the first positional argument.

use berth_contract::{Class, Error};
use clap::builder::ValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};

use super::nearest::nearest;
use super::parse::truth;
use super::verb::{FailureStatus, Verb};

/// The verb's command as its help shows it.
pub(super) fn bare_command(path: &str, verb: &Verb, arguments: fn(Command) -> Command) -> Command {
    let command = Command::new(verb.name)
        .no_binary_name(true)
        .bin_name(path)
        .override_usage(format!("{path} {}", verb.usage))
        .args_override_self(true)
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .disable_version_flag(true);
    let command = arguments(command);
    let help = Arg::new("help")
        .long("help")
        .action(ArgAction::Help)
        .help_heading(None::<&'static str>)
        .help("Print this help");
    let takes_h = command
        .get_arguments()
        .any(|argument| argument.get_short() == Some('h'));
    command.arg(if takes_h { help } else { help.short('h') })
}

/// The verb's command as it parses: every flag takes `=true` and `=false`, and values may begin with `-`.
pub(super) fn parsing_command(
    path: &str,
    verb: &Verb,
    arguments: fn(Command) -> Command,
) -> Command {
    bare_command(path, verb, arguments).mut_args(|argument| match argument.get_action() {
        ArgAction::SetTrue => switch(argument, "false"),
        ArgAction::SetFalse => switch(argument, "true"),
        ArgAction::Set | ArgAction::Append if !argument.is_positional() => {
            argument.allow_hyphen_values(true)
        }
        _ => argument,
    })
}

fn switch(argument: Arg, default: &'static str) -> Arg {
    argument
        .action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .default_value(default)
        .default_missing_value("true")
        .value_parser(ValueParser::new(truth))
}

/// What was wrong with the words of a verb, and the exit status for it.
pub(super) fn usage_failure(
    path: &str,
    verb: &Verb,
    command: &Command,
    error: &clap::Error,
) -> (Error, u8) {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(" "),
        _ => String::new(),
    };
    let argument = spelling(&text(ContextKind::InvalidArg));
    let value = text(ContextKind::InvalidValue);
    let invalid = |message: String| Error::new(Class::Invalid, message);
    let (failure, status) = match error.kind() {
        ErrorKind::UnknownArgument if refusal(verb, &argument).is_some() => {
            let sentence = format!("the flag {argument} is not supported");
            let failure = Error::new(Class::Unsupported, sentence);
            (
                failure.hint(refusal(verb, &argument).unwrap_or_default()),
                125,
            )
        }
        ErrorKind::UnknownArgument if argument.starts_with('-') => {
            let failure = invalid(format!("unknown flag {argument} of {path}"));
            let long = command.get_arguments().filter_map(Arg::get_long);
            let typed = argument.trim_start_matches('-');
            match nearest(typed, long).filter(|_| argument.starts_with("--")) {
                Some(known) => (failure.hint(format!("did you mean --{known}?")), 125),
                None => (failure.hint(format!("{path} --help lists the flags")), 125),
            }
        }
        ErrorKind::UnknownArgument | ErrorKind::TooManyValues => {
            let failure = invalid(format!("{path} takes no further argument {argument:?}"));
            (failure.hint(format!("usage: {path} {}", verb.usage)), 1)
        }
        ErrorKind::ArgumentConflict => {
            let other = spelling(&text(ContextKind::PriorArg));
            let failure = invalid(format!("{argument} and {other} cannot be used together"));
            let hint = format!("leave {argument} or {other} away");
            (failure.hint(hint), 125)
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = argument.split(' ').next().unwrap_or_default();
            let missing = missing.trim_end_matches('.');
            let failure = invalid(format!("{path} needs {missing}"));
            (failure.hint(format!("usage: {path} {}", verb.usage)), 1)
        }
        ErrorKind::InvalidValue | ErrorKind::NoEquals if value.is_empty() => {
            let failure = invalid(format!("the flag {argument} needs a value"));
            (failure.hint(format!("{path} --help explains it")), 125)
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let failure = invalid(format!("invalid value {value:?} for {argument}"));
            let known = text(ContextKind::ValidValue);
            let failure = match std::error::Error::source(error) {
                Some(cause) => explained(failure, cause),
                None if known.is_empty() => failure,
                None => failure.hint(format!("use one of: {known}")),
            };
            (failure, 125)
        }
        _ => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            (invalid(line.trim_start_matches("error: ").to_owned()), 125)
        }
    };
    let status = if verb.failure == FailureStatus::One {
        status
    } else {
        125
    };
    (failure, status)
}

/// Adds why a value is invalid; an error of our own says its cause and its hints itself.
fn explained(failure: Error, cause: &(dyn std::error::Error + 'static)) -> Error {
    if cause.is::<std::num::ParseIntError>() {
        return failure.caused_by("it must be a whole number");
    }
    let Some(error) = cause.downcast_ref::<Error>() else {
        return failure.caused_by(cause.to_string());
    };
    let reason = std::error::Error::source(error).map_or_else(String::new, ToString::to_string);
    let failure = if reason.is_empty() {
        failure
    } else {
        failure.caused_by(reason)
    };
    error
        .hints()
        .iter()
        .fold(failure, |failure, hint| failure.hint(hint))
}

fn refusal(verb: &Verb, flag: &str) -> Option<&'static str> {
    verb.refused
        .iter()
        .find(|(refused, _)| *refused == flag)
        .map(|(_, hint)| *hint)
}

/// An argument as clap names it, `--memory <BYTES>`, as a person types it.
fn spelling(argument: &str) -> String {
    let flag = argument.split([' ', '=']).next().unwrap_or_default();
    let flag = if argument.starts_with('-') {
        flag
    } else {
        argument
    };
    flag.replace(['<', '>', '['], "").replace(']', "")
}
