//! What a verb is: its words, its clap command, and the function that carries it out.

use berth_contract::{Class, Error, Result};
use clap::{ArgMatches, Command};

use super::Context;

/// How a verb ends: an exit status, or the failure that `dispatch` renders.
pub(crate) type Outcome = Result<u8>;

/// One verb, or one family of verbs (`container`, `image`, …).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verb {
    /// What is typed.
    pub(crate) name: &'static str,
    /// What may be typed instead.
    pub(crate) aliases: &'static [&'static str],
    /// Where `berth --help` lists it.
    pub(crate) group: Group,
    /// One line about it, imperative, without a full stop.
    pub(crate) about: &'static str,
    /// What follows the name in its usage line: `[OPTIONS] IMAGE [COMMAND] [ARG...]`.
    pub(crate) usage: &'static str,
    /// Lines of examples, shown first in its `--help`; each a command that can be pasted.
    pub(crate) examples: &'static str,
    /// The exit status when the engine fails.
    pub(crate) failure: FailureStatus,
    /// Flags of other engines it does not offer, and what to do instead.
    pub(crate) refused: &'static [(&'static str, &'static str)],
    /// What it does.
    pub(crate) action: Action,
}

/// What a verb does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Action {
    /// It parses its arguments and acts.
    Single {
        /// Adds the verb's arguments to a bare command.
        arguments: fn(Command) -> Command,
        /// Carries it out.
        run: fn(&Context, &ArgMatches) -> Outcome,
    },
    /// It is followed by a verb of its own.
    Family(&'static [Verb]),
}

impl Action {
    const fn of<A: Arguments>() -> Self {
        Self::Single {
            arguments: A::augment_args,
            run: parse_and_run::<A>,
        }
    }
}

/// The exit status of a verb whose engine operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureStatus {
    /// 1, whatever went wrong.
    One,
    /// 125, 126 or 127 by the class of the failure: `run`, `create`, `start`.
    OfClass,
    /// 126 or 127 when the program is at fault, else 1: `exec`.
    OfProgram,
}

/// The groups of `berth --help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// Making, running and watching containers.
    Run,
    /// Images.
    Images,
    /// Volumes and networks.
    VolumesAndNetworks,
    /// The engine itself.
    System,
    /// Not listed: spellings kept for scripts.
    Hidden,
}

/// The parsed arguments of one verb: a `#[derive(clap::Args)]` struct that knows what to do.
pub(crate) trait Arguments: clap::Args {
    /// Carries the verb out.
    fn run(self, context: &Context) -> Outcome;
}

impl Verb {
    /// A verb whose arguments are `A`.
    pub(crate) const fn new<A: Arguments>(
        name: &'static str,
        group: Group,
        about: &'static str,
        usage: &'static str,
    ) -> Self {
        Self {
            name,
            aliases: &[],
            group,
            about,
            usage,
            examples: "",
            failure: FailureStatus::One,
            refused: &[],
            action: Action::of::<A>(),
        }
    }

    /// A family: a word followed by one of `verbs`.
    pub(crate) const fn family(
        name: &'static str,
        group: Group,
        about: &'static str,
        verbs: &'static [Self],
    ) -> Self {
        Self {
            name,
            aliases: &[],
            group,
            about,
            usage: "COMMAND",
            examples: "",
            failure: FailureStatus::One,
            refused: &[],
            action: Action::Family(verbs),
        }
    }

    /// The same verb under another name, for families: `container ls` is `ps`.
    pub(crate) const fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self.aliases = &[];
        self
    }

    /// The same verb, which does what `A` does.
    pub(crate) const fn taking<A: Arguments>(mut self) -> Self {
        self.action = Action::of::<A>();
        self
    }

    /// The same verb with these other spellings.
    pub(crate) const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// The same verb with these examples.
    pub(crate) const fn examples(mut self, examples: &'static str) -> Self {
        self.examples = examples;
        self
    }

    /// The same verb, which refuses these flags with a sentence.
    pub(crate) const fn refusing(
        mut self,
        refused: &'static [(&'static str, &'static str)],
    ) -> Self {
        self.refused = refused;
        self
    }

    /// The same verb, whose engine failures end with 125, 126 or 127.
    pub(crate) const fn failing_by_class(mut self) -> Self {
        self.failure = FailureStatus::OfClass;
        self
    }

    /// The same verb, whose failures end with 126 or 127 when the guest's program is at fault.
    pub(crate) const fn failing_by_program(mut self) -> Self {
        self.failure = FailureStatus::OfProgram;
        self
    }

    /// Whether `word` is this verb.
    pub(crate) fn is(&self, word: &str) -> bool {
        self.name == word || self.aliases.contains(&word)
    }

    /// The exit status for a failure of this verb.
    pub(crate) fn failure_status(&self, error: &Error) -> u8 {
        match self.failure {
            FailureStatus::One => 1,
            FailureStatus::OfClass => error.class().exit_code(),
            FailureStatus::OfProgram => match error.class() {
                class @ (Class::CommandNotFound | Class::CannotInvoke) => class.exit_code(),
                _ => 1,
            },
        }
    }
}

fn parse_and_run<A: Arguments>(context: &Context, matches: &ArgMatches) -> Outcome {
    let arguments = A::from_arg_matches(matches).map_err(|error| {
        Error::new(Class::Invalid, error.kind().to_string()).caused_by(error.to_string())
    })?;
    arguments.run(context)
}
