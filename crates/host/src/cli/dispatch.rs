//! From the words on the command line to a verb's `run`, and from its outcome to an exit status.
//!
//! Flags behave as in Docker: `--rm=false` works, a repeated flag takes its last value, a value may
//! begin with `-`, and the flags of `run`, `create` and `exec` end at the first positional argument.

use std::ffi::OsString;
use std::io::Write as _;

use berth_contract::{Class, Error};
use clap::builder::ValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::globals::Front;
use super::nearest::nearest;
use super::verb::{Action, FailureStatus, Verb};
use super::{Context, Environment, Globals, Screen, VERBS, help};

/// A failure and the exit status it ends with.
struct Failed {
    error: Error,
    status: u8,
}

/// What the words before a verb's own arguments led to.
enum Found<'verb> {
    /// A verb that acts, spelled as in `path`; its arguments begin at `rest`.
    Verb {
        path: String,
        verb: &'verb Verb,
        rest: usize,
    },
    /// A text to print.
    Text(String),
}

/// Runs the command line and answers with the exit status of the process.
pub(crate) fn run(environment: Environment, words: Vec<OsString>) -> u8 {
    let screen = Screen::new(&environment);
    match carry_out(environment, words) {
        Ok(status) => status,
        Err(failed) => {
            screen.fail(&failed.error);
            failed.status
        }
    }
}

fn carry_out(environment: Environment, mut words: Vec<OsString>) -> Result<u8, Failed> {
    let with = |status| move |error| Failed { error, status };
    let (globals, front) = Globals::parse(&words).map_err(with(125))?;
    let start = match front {
        Front::Help => return Ok(print(&help::overview(VERBS))),
        Front::Version => match VERBS.iter().position(|verb| verb.is("version")) {
            Some(_) => {
                words.truncate(0);
                words.push("version".into());
                0
            }
            None => return Ok(print(concat!("berth ", env!("CARGO_PKG_VERSION"), "\n"))),
        },
        Front::Verb(index) => index,
    };
    let (path, verb, rest) = match find(&words, start).map_err(with(1))? {
        Found::Text(text) => return Ok(print(&text)),
        Found::Verb { path, verb, rest } => (path, verb, rest),
    };
    let Action::Single { arguments, run } = verb.action else {
        return Ok(print(&help::overview(VERBS)));
    };
    let mut command = parsing_command(&path, verb, arguments);
    let matches = match command.try_get_matches_from_mut(words.drain(rest..)) {
        Ok(matches) => matches,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            return Ok(print(&help::single(&path, verb, arguments)));
        }
        Err(error) => return Err(usage_failure(&path, verb, &command, &error)),
    };
    execute(
        verb,
        run,
        &Context {
            screen: Screen::new(&environment),
            environment,
            globals,
        },
        &matches,
    )
}

fn execute(
    verb: &Verb,
    run: fn(&Context, &ArgMatches) -> super::Outcome,
    context: &Context,
    matches: &ArgMatches,
) -> Result<u8, Failed> {
    run(context, matches).map_err(|error| Failed {
        status: verb.failure_status(&error),
        error,
    })
}

/// Follows the words from `index` through the families to a verb.
fn find(words: &[OsString], mut index: usize) -> Result<Found<'static>, Error> {
    let mut verbs = VERBS;
    let mut path = String::from("berth");
    let mut holder: Option<&Verb> = None;
    let mut help_wanted = false;
    loop {
        let word = words
            .get(index)
            .map_or_else(String::new, |word| word.to_string_lossy().into());
        let asks_help = matches!(word.as_str(), "" | "--help" | "-h");
        match holder {
            Some(family) if asks_help => {
                return Ok(Found::Text(help::family(&path, family, verbs)));
            }
            None if asks_help => return Ok(Found::Text(help::overview(verbs))),
            _ => {}
        }
        index += 1;
        let Some(verb) = verbs.iter().find(|verb| verb.is(&word)) else {
            if word == "help" {
                help_wanted = true;
                continue;
            }
            return Err(unknown_verb(&path, &word, verbs));
        };
        path.push(' ');
        path.push_str(verb.name);
        match verb.action {
            Action::Family(inner) => {
                verbs = inner;
                holder = Some(verb);
            }
            Action::Single { arguments, .. } if help_wanted => {
                return Ok(Found::Text(help::single(&path, verb, arguments)));
            }
            Action::Single { .. } => {
                return Ok(Found::Verb {
                    path,
                    verb,
                    rest: index,
                });
            }
        }
    }
}

fn unknown_verb(path: &str, word: &str, verbs: &'static [Verb]) -> Error {
    let spellings = verbs
        .iter()
        .flat_map(|verb| std::iter::once(&verb.name).chain(verb.aliases))
        .copied();
    let error = if word.starts_with('-') {
        Error::new(Class::Invalid, format!("unknown flag {word} of {path}"))
    } else {
        Error::new(Class::Invalid, format!("unknown command {path} {word}"))
    };
    match nearest(word, spellings) {
        Some(known) => error.hint(format!("did you mean {path} {known}?")),
        None => error.hint(format!("{path} --help lists the commands")),
    }
}

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
fn parsing_command(path: &str, verb: &Verb, arguments: fn(Command) -> Command) -> Command {
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
        .value_parser(ValueParser::new(parse_switch))
}

/// Go's spellings of a truth value.
fn parse_switch(text: &str) -> Result<bool, &'static str> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("it must be true or false"),
    }
}

fn usage_failure(path: &str, verb: &Verb, command: &Command, error: &clap::Error) -> Failed {
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
        ErrorKind::MissingRequiredArgument => {
            let missing = argument.split(' ').next().unwrap_or_default();
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
    let status = if verb.failure == FailureStatus::OfClass {
        125
    } else {
        status
    };
    Failed {
        error: failure,
        status,
    }
}

/// Adds why a value is invalid; an error of our own says its cause and its hints itself.
fn explained(failure: Error, cause: &(dyn std::error::Error + 'static)) -> Error {
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

/// Prints a text that was asked for; a reader that left is no failure.
fn print(text: &str) -> u8 {
    let mut output = std::io::stdout().lock();
    u8::from(
        output
            .write_all(text.as_bytes())
            .and_then(|()| output.flush())
            .is_err(),
    )
}
