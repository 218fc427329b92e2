//! The flags that stand before the verb: `berth [GLOBALS] VERB …`.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use berth_contract::{Class, Error, Result};

/// The flags that stood before the verb.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Globals {
    /// `--root`: the data directory.
    pub(crate) root: Option<PathBuf>,
    /// `--runroot`: the run directory.
    pub(crate) runroot: Option<PathBuf>,
    /// `--config`: the directory of Docker's `config.json`, where registry logins are kept.
    pub(crate) config: Option<PathBuf>,
    /// `--offline`: no registry is asked.
    pub(crate) offline: bool,
    /// `--log-level`, or `debug` for `--debug`.
    pub(crate) log_level: LogLevel,
}

/// How much berth says beside its results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LogLevel {
    /// Failures alone.
    Error,
    /// Warnings as well.
    #[default]
    Warn,
    /// The same: berth has nothing at this level, the word is Docker's.
    Info,
    /// What is done, step by step.
    Debug,
}

/// What the words before the verb asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Front {
    /// A verb, which stands at this index.
    Verb(usize),
    /// `--help`, or nothing at all.
    Help,
    /// `--version`.
    Version,
}

/// Flags of Docker and Podman that stand before the verb, take a value, and mean nothing here.
const REFUSED: [(&str, &str); 14] = [
    (
        "--host",
        "berth has no daemon to connect to; leave --host away",
    ),
    ("--context", "berth has no contexts; leave --context away"),
    (
        "--tls",
        "berth has no daemon to connect to; leave the --tls flags away",
    ),
    (
        "--tlscacert",
        "berth has no daemon to connect to; leave the --tls flags away",
    ),
    (
        "--tlscert",
        "berth has no daemon to connect to; leave the --tls flags away",
    ),
    (
        "--tlskey",
        "berth has no daemon to connect to; leave the --tls flags away",
    ),
    (
        "--tlsverify",
        "berth has no daemon to connect to; leave the --tls flags away",
    ),
    (
        "--storage-driver",
        "overlay is the only storage; leave --storage-driver away",
    ),
    (
        "--storage-opt",
        "there are no storage options; leave --storage-opt away",
    ),
    (
        "--runtime",
        "the image decides its runtime; leave --runtime away",
    ),
    (
        "--cgroup-manager",
        "berth writes the cgroup files itself; leave --cgroup-manager away",
    ),
    (
        "--url",
        "berth has no daemon to connect to; leave --url away",
    ),
    (
        "--connection",
        "berth has no daemon to connect to; leave --connection away",
    ),
    (
        "--remote",
        "berth has no daemon to connect to; leave --remote away",
    ),
];

/// The flags themselves, for suggestions and completion.
pub(crate) const FLAGS: [&str; 9] = [
    "--root",
    "--runroot",
    "--config",
    "--offline",
    "--debug",
    "--log-level",
    "--host",
    "--version",
    "--help",
];

impl Globals {
    /// Reads the words before the verb.
    ///
    /// # Errors
    /// A flag that is unknown, refused, or lacks its value.
    pub(crate) fn parse(words: &[OsString]) -> Result<(Self, Front)> {
        let mut globals = Self::default();
        let mut index = 0;
        while let Some(word) = words.get(index) {
            index += 1;
            let text = word.to_str().unwrap_or_default();
            if text == "--" {
                break;
            }
            if !text.starts_with('-') || text == "-" {
                return Ok((globals, Front::Verb(index - 1)));
            }
            let (flag, attached) = split(text);
            let mut value = || -> Result<&OsStr> {
                match attached {
                    Some(value) => Ok(OsStr::new(value)),
                    None => {
                        let value = words.get(index).ok_or_else(|| lacks_value(flag))?;
                        index += 1;
                        Ok(value.as_os_str())
                    }
                }
            };
            match flag {
                "--root" => globals.root = Some(PathBuf::from(value()?)),
                "--runroot" => globals.runroot = Some(PathBuf::from(value()?)),
                "--config" => globals.config = Some(PathBuf::from(value()?)),
                "--offline" => globals.offline = true,
                "--log-level" | "-l" => {
                    globals.log_level = LogLevel::parse(value()?)?;
                }
                "--debug" | "-D" => globals.log_level = LogLevel::Debug,
                "--help" | "-h" => return Ok((globals, Front::Help)),
                "--version" | "-v" => return Ok((globals, Front::Version)),
                other => return Err(refuse(other)),
            }
        }
        let front = if index < words.len() {
            Front::Verb(index)
        } else {
            Front::Help
        };
        Ok((globals, front))
    }
}

impl LogLevel {
    fn parse(text: &OsStr) -> Result<Self> {
        match text.to_str() {
            Some("debug" | "trace") => Ok(Self::Debug),
            Some("info") => Ok(Self::Info),
            Some("warn" | "warning") => Ok(Self::Warn),
            Some("error" | "fatal" | "panic") => Ok(Self::Error),
            _ => Err(
                Error::new(Class::Invalid, format!("unknown log level {text:?}"))
                    .hint("use debug, info, warn or error"),
            ),
        }
    }
}

/// Splits `--flag=value`, and `-lvalue` of the one short flag that takes a value.
fn split(word: &str) -> (&str, Option<&str>) {
    if let Some((flag, value)) = word.split_once('=') {
        return (flag, Some(value));
    }
    match word.get(..2) {
        Some(flag @ ("-l" | "-H" | "-c")) if word.len() > 2 => (flag, Some(&word[2..])),
        _ => (word, None),
    }
}

fn lacks_value(flag: &str) -> Error {
    Error::new(Class::Invalid, format!("the flag {flag} needs a value"))
        .hint(format!("write {flag}=VALUE before the command"))
}

fn refuse(flag: &str) -> Error {
    let long = match flag {
        "-H" => "--host",
        "-c" => "--context",
        other => other,
    };
    if let Some((_, hint)) = REFUSED.iter().find(|(known, _)| *known == long) {
        return Error::new(
            Class::Unsupported,
            format!("the flag {flag} is not supported"),
        )
        .hint(*hint);
    }
    let error = Error::new(
        Class::Invalid,
        format!("unknown flag {flag} before the command"),
    );
    match super::nearest::nearest(flag, FLAGS) {
        Some(known) => error.hint(format!("did you mean {known}?")),
        None => {
            error.hint("berth --help lists the flags; a command's own flags follow the command")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<(Globals, Front)> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        Globals::parse(&words)
    }

    #[test]
    fn the_verb_is_the_first_word_that_is_no_flag() {
        let (globals, front) =
            parse(&["--root", "/a", "--runroot=/b", "-D", "run", "--root", "/c"]).unwrap();
        assert_eq!(globals.root, Some("/a".into()));
        assert_eq!(globals.runroot, Some("/b".into()));
        assert_eq!(globals.log_level, LogLevel::Debug);
        assert_eq!(front, Front::Verb(4));
        assert_eq!(parse(&[]).unwrap().1, Front::Help);
        assert_eq!(parse(&["-v", "run"]).unwrap().1, Front::Version);
        assert_eq!(parse(&["--", "run"]).unwrap().1, Front::Verb(1));
        assert_eq!(
            parse(&["-ldebug", "ps"]).unwrap().0.log_level,
            LogLevel::Debug
        );
    }

    #[test]
    fn wrong_flags_are_refused_with_a_hint() {
        for (words, sentence, hint) in [
            (
                &["--root"][..],
                "the flag --root needs a value",
                "write --root=VALUE before the command",
            ),
            (
                &["-H", "unix:///x", "ps"],
                "the flag -H is not supported",
                "berth has no daemon to connect to; leave --host away",
            ),
            (
                &["--debgu", "ps"],
                "unknown flag --debgu before the command",
                "did you mean --debug?",
            ),
            (
                &["-l", "loud"],
                "unknown log level \"loud\"",
                "use debug, info, warn or error",
            ),
        ] {
            let error = parse(words).unwrap_err();
            assert_eq!(error.to_string(), sentence);
            assert_eq!(error.hints(), [hint]);
        }
    }
}
