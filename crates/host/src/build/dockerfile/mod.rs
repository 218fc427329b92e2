//! The language of Dockerfiles: from text to typed instructions and back, without doing anything.
//!
//! ```text
//!  text ─► line: statements ─► read: instructions ─► stage: a graph ─► (the build)
//!                │                   │                   │
//!                └───────────────────┴──────► check: 22 checks
//!  expand: variables, when the build knows them     print: back to text
//! ```

pub mod check;
mod directive;
pub mod expand;
mod flag;
mod heredoc;
pub mod instruction;
mod line;
mod mount;
pub mod outline;
mod position;
mod print;
mod read;
mod stage;
mod word;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use berth_contract::{Class, Error};

pub use directive::{CheckDirective, Directives, Skip, check as check_directive};
pub use heredoc::Heredoc;
pub use instruction::{Instruction, Located};
pub use line::{Misread, SIZE_LIMIT};
pub use mount::{Mount, MountKind, Sharing};
pub use position::{Lines, excerpt};
pub use stage::{Base, Stage, Stages, context_name};

/// A Dockerfile that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// What it is called in messages.
    pub name: String,
    /// Its text.
    pub text: String,
    /// How it is read.
    pub directives: Directives,
    /// What it says.
    pub instructions: Vec<Located>,
    /// The last lines of instructions that have an empty line within.
    pub empty_continuations: Vec<usize>,
}

impl Dockerfile {
    /// Reads a Dockerfile.
    ///
    /// # Errors
    /// Class `Invalid`, with the place marked.
    pub fn parse(name: &str, text: String) -> Result<Self, Error> {
        Self::read(name, &text).map_err(|misread| refused(name, &text, &misread))
    }

    /// Reads a Dockerfile.
    ///
    /// # Errors
    /// The reason and its place.
    pub fn read(name: &str, text: &str) -> Result<Self, Misread> {
        match Self::read_so_far(name, text) {
            (file, None) => Ok(file),
            (_, Some(misread)) => Err(misread),
        }
    }

    /// Reads a Dockerfile up to the first mistake, which is told beside what stands before it.
    #[must_use]
    pub fn read_so_far(name: &str, text: &str) -> (Self, Option<Misread>) {
        let mut file = Self {
            name: name.to_owned(),
            text: text.to_owned(),
            directives: Directives::default(),
            instructions: Vec::new(),
            empty_continuations: Vec::new(),
        };
        let found = match line::statements(text) {
            Ok(found) => found,
            Err(misread) => return (file, Some(misread)),
        };
        file.directives = found.directives;
        file.empty_continuations = found.empty_continuations;
        for statement in found.statements {
            match read::instruction(&statement, file.directives.escape) {
                Ok(instruction) => file.instructions.push(Located {
                    instruction,
                    keyword: statement.keyword,
                    lines: statement.lines,
                    comments: statement.comments,
                }),
                Err(reason) => return (file, Some(Misread::new(reason, statement.lines))),
            }
        }
        (file, None)
    }

    /// The same, beginning with another base if one is given.
    #[must_use]
    pub fn with_base(mut self, base: Option<&str>) -> Self {
        let mut all = self.instructions.iter_mut();
        let first = all.find_map(|one| match &mut one.instruction {
            Instruction::From(from) => Some(from),
            _ => None,
        });
        if let (Some(first), Some(base)) = (first, base) {
            base.clone_into(&mut first.base);
        }
        self
    }

    /// The names of the arguments that it declares, in stages that are built or not.
    pub fn arguments(&self) -> impl Iterator<Item = &str> {
        let declared = self.instructions.iter().map(|one| match &one.instruction {
            Instruction::Arg(arguments) => arguments.as_slice(),
            _ => &[],
        });
        declared.flatten().map(|argument| argument.name.as_str())
    }

    /// What the predefined argument `TARGETSTAGE` says: the stage that is asked for, else the last one.
    #[must_use]
    pub fn stage_name<'a>(&'a self, wanted: Option<&'a str>) -> &'a str {
        let last = self
            .instructions
            .iter()
            .rev()
            .find_map(|one| match &one.instruction {
                Instruction::From(from) => Some(from.alias.as_ref().map(|(name, _)| name.as_str())),
                _ => None,
            });
        let wanted = wanted.filter(|wanted| !wanted.is_empty());
        wanted.or(last.flatten()).unwrap_or("default")
    }

    /// Its text in base64, as buildx's documents hold it.
    #[must_use]
    pub fn encoded(&self) -> String {
        BASE64.encode(&self.text)
    }

    /// The failure of something that stands here.
    #[must_use]
    pub fn refuse(&self, reason: impl Into<String>, lines: Lines) -> Error {
        refused(&self.name, &self.text, &Misread::new(reason, lines))
    }
}

/// Reads one kept instruction (`ONBUILD`), which came with an image.
///
/// # Errors
/// It is none.
pub fn parse_one(text: &str) -> Result<Instruction, String> {
    let found = line::statements(text).map_err(|misread| misread.reason)?;
    match &found.statements[..] {
        [only] => read::instruction(only, found.directives.escape),
        _ => Err("it is not one instruction".to_owned()),
    }
}

fn refused(name: &str, text: &str, misread: &Misread) -> Error {
    let shown = excerpt(name, text, misread.lines);
    Error::new(Class::Invalid, format!("cannot use {name}")).caused_by(format!(
        "line {}: {}\n{shown}",
        misread.lines.first, misread.reason
    ))
}

/// `true`, `1`, `f`, …: what Go takes for a boolean.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "1" | "t" | "T" | "TRUE" | "True" => Some(true),
        "false" | "0" | "f" | "F" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// The edit distance (Levenshtein).
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, character) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(character != *other);
            diagonal = row[column + 1];
            row[column + 1] = substituted.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

/// The nearest of several names, if one is a slip away: two edits, and not of a word so short
/// that everything is near it.
fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let slip = |name: &&str| {
        let short = name.len().min(word.len()) < 3;
        *name != word && !short && edits(name, word) <= 2
    };
    let near = names.into_iter().filter(slip);
    near.min_by_key(|name| edits(name, word))
}
