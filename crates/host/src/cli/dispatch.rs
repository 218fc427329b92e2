//! From the words on the command line to a verb's `run`, and from its outcome to an exit status.

use std::ffi::OsString;
use std::io::Write as _;

use berth_contract::{Class, Error};
use clap::ArgMatches;
use clap::error::ErrorKind;

use super::command::{parsing_command, usage_failure};
use super::globals::Front;
use super::nearest::nearest;
use super::verb::{Action, Verb};
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
        Front::Version => {
            return Ok(print(concat!(
                "berth version ",
                env!("CARGO_PKG_VERSION"),
                "\n"
            )));
        }
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
        Err(error) => {
            let (error, status) = usage_failure(&path, verb, &command, &error);
            return Err(Failed { error, status });
        }
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

/// Verbs of Docker's that berth does not mean to have, and why.
const ABSENT: [(&[&str], &str); 2] = [
    (
        &["swarm", "node", "service", "stack", "config"],
        "it runs the containers of one host; clusters are the business of others",
    ),
    (
        &["plugin"],
        "there is no daemon that could load plugins: volumes and networks are built in",
    ),
];

fn unknown_verb(path: &str, word: &str, verbs: &'static [Verb]) -> Error {
    let spellings = verbs
        .iter()
        .flat_map(|verb| std::iter::once(&verb.name).chain(verb.aliases))
        .copied();
    let absent = ABSENT.iter().find(|(verbs, _)| verbs.contains(&word));
    if let (Some((_, reason)), "berth") = (absent, path) {
        return Error::new(Class::Unsupported, format!("berth has no {word}")).caused_by(*reason);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(verb: &str, words: &[&str]) -> Result<ArgMatches, (String, Vec<String>, u8)> {
        let all: Vec<OsString> = std::iter::once(&verb)
            .chain(words)
            .map(OsString::from)
            .collect();
        let Ok(Found::Verb { path, verb, rest }) = find(&all, 0) else {
            panic!("{verb} is a verb");
        };
        let Action::Single { arguments, .. } = verb.action else {
            panic!("{path} acts");
        };
        let mut command = parsing_command(&path, verb, arguments);
        command
            .try_get_matches_from_mut(&all[rest..])
            .map_err(|error| {
                let (failure, status) = usage_failure(&path, verb, &command, &error);
                (failure.to_string(), failure.hints().to_vec(), status)
            })
    }

    fn words(matches: &ArgMatches) -> Vec<&str> {
        matches
            .get_many::<String>("words")
            .unwrap()
            .map(String::as_str)
            .collect()
    }

    #[test]
    fn every_command_is_well_formed() {
        help::tree(VERBS).debug_assert();
    }

    #[test]
    fn no_spelling_is_taken_twice() {
        let mut known: Vec<&str> = Vec::new();
        for verb in VERBS {
            for spelling in std::iter::once(&verb.name).chain(verb.aliases) {
                assert!(!known.contains(spelling), "{spelling}");
                known.push(spelling);
            }
        }
    }

    #[test]
    fn the_flags_of_run_end_at_the_image() {
        let matches = parse(
            "run",
            &[
                "-itd",
                "--rm=false",
                "--name",
                "a",
                "busybox",
                "--rm",
                "-x",
                "--",
                "y",
            ],
        );
        let matches = matches.unwrap();
        assert_eq!(words(&matches), ["busybox", "--rm", "-x", "--", "y"]);
        assert!(!matches.get_flag("auto_remove"));
        assert!(matches.get_flag("interactive") && matches.get_flag("tty"));
        assert!(matches.get_flag("detach") && matches.get_flag("sig_proxy"));
        let matches = parse("run", &["--", "busybox", "-v"]).unwrap();
        assert_eq!(words(&matches), ["busybox", "-v"]);
    }

    #[test]
    fn values_may_begin_with_a_hyphen_and_the_last_one_counts() {
        let matches = parse(
            "run",
            &[
                "--memory-swap",
                "-1",
                "--pids-limit=-1",
                "-w",
                "/a",
                "-w",
                "/b",
                "--rm",
                "--rm",
                "x",
            ],
        );
        let matches = matches.unwrap();
        assert_eq!(matches.get_one::<i64>("memory_swap"), Some(&-1));
        assert_eq!(
            matches.get_one::<String>("workdir").map(String::as_str),
            Some("/b")
        );
        assert!(matches.get_flag("auto_remove"));
        assert!(parse("stop", &["-t", "-1", "web"]).is_ok());
        assert!(
            parse("stop", &["web", "-t", "5"]).is_ok(),
            "flags may follow names"
        );
    }

    #[test]
    fn wrong_usage_is_told_with_what_to_do() {
        let told = |message: &str, hint: &str, status| {
            Some((message.to_owned(), vec![hint.to_owned()], status))
        };
        for (verb, words, expected) in [
            (
                "run",
                &["--memroy", "1g", "x"][..],
                told(
                    "unknown flag --memroy of berth run",
                    "did you mean --memory?",
                    125,
                ),
            ),
            (
                "run",
                &["--use-api-socket", "x"],
                told(
                    "the flag --use-api-socket is not supported",
                    "there is no API socket; leave it away",
                    125,
                ),
            ),
            (
                "run",
                &[],
                told(
                    "berth run needs IMAGE",
                    "usage: berth run [OPTIONS] IMAGE [COMMAND] [ARG...]",
                    125,
                ),
            ),
            (
                "run",
                &["-e"],
                told(
                    "the flag --env needs a value",
                    "berth run --help explains it",
                    125,
                ),
            ),
            // It is told per container when it is sent, as Docker does.
            ("kill", &["-s", "FOO", "x"], None),
            (
                "rename",
                &["a", "b", "c"],
                told(
                    "berth rename takes no further argument \"c\"",
                    "usage: berth rename CONTAINER NAME",
                    1,
                ),
            ),
            (
                "rename",
                &["a"],
                told(
                    "berth rename needs NAME",
                    "usage: berth rename CONTAINER NAME",
                    1,
                ),
            ),
        ] {
            assert_eq!(parse(verb, words).err(), expected, "{verb} {words:?}");
        }
        assert_eq!(
            unknown_verb("berth", "rnu", VERBS).hints(),
            ["did you mean berth run?"]
        );
    }
}
