//! From the lines of a file to its statements: directives, comments, continuation, here-documents.

use super::directive::{Directives, Reader};
use super::heredoc::{Heredoc, opening};
use super::position::Lines;
use super::word;

/// Larger than any real Dockerfile, and quickly read.
pub const SIZE_LIMIT: usize = 4 << 20;

/// One instruction before its text is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    /// The instruction's name as it is written.
    pub(super) keyword: String,
    /// The flags before its arguments.
    pub(super) flags: Vec<String>,
    /// Its arguments, continuation lines joined.
    pub(super) arguments: String,
    /// The here-documents that its arguments open.
    pub(super) heredocs: Vec<Heredoc>,
    /// Where it stands, its here-documents included.
    pub(super) lines: Lines,
    /// The comment directly above it, line by line.
    pub(super) comments: Vec<String>,
}

/// A file taken apart into statements.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Statements {
    /// How it is to be read.
    pub(super) directives: Directives,
    /// Its instructions.
    pub(super) statements: Vec<Statement>,
    /// Statements with an empty line among their continuation lines: the last line of each.
    pub(super) empty_continuations: Vec<usize>,
}

/// Why a file cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misread {
    /// Why.
    pub reason: String,
    /// Where.
    pub lines: Lines,
}

impl Misread {
    /// A reason and its place.
    #[must_use]
    pub fn new(reason: impl Into<String>, lines: Lines) -> Self {
        Self {
            reason: reason.into(),
            lines,
        }
    }
}

/// Takes a file apart.
///
/// # Errors
/// A directive is wrong, a here-document has no end, the file is too large or holds no instruction.
pub(super) fn statements(text: &str) -> Result<Statements, Misread> {
    if text.len() > SIZE_LIMIT {
        let reason = format!("the file is larger than {} MiB", SIZE_LIMIT >> 20);
        return Err(Misread::new(reason, Lines::one(1)));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut source = Source {
        lines: text.split_inclusive('\n'),
        number: 0,
    };
    let mut reader = Reader::default();
    let mut found = Statements::default();
    let mut comments: Vec<String> = Vec::new();
    while let Some(line) = source.next() {
        let trimmed = line.trim_start();
        let at = source.number;
        let is_directive = reader
            .line(trimmed.trim_end())
            .map_err(|reason| Misread::new(reason, Lines::one(at)))?;
        if is_directive {
            continue;
        }
        if let Some(comment) = trimmed.strip_prefix('#') {
            comments.push(comment.trim().to_owned());
            continue;
        }
        if trimmed.trim_end().is_empty() {
            comments.clear();
            continue;
        }
        let escape = reader.directives.escape;
        let (logical, has_empty) = source.joined(trimmed, escape);
        if logical.trim().is_empty() {
            continue;
        }
        if has_empty {
            found.empty_continuations.push(source.number);
        }
        let mut statement = statement(&logical);
        let misread = |reason, last| Misread::new(reason, Lines { first: at, last });
        statement.heredocs =
            openings(&statement, escape).map_err(|reason| misread(reason, source.number))?;
        for document in &mut statement.heredocs {
            if !source.fill(document) {
                return Err(misread(
                    format!("the here-document {} has no end", document.name),
                    at,
                ));
            }
        }
        statement.lines = Lines {
            first: at,
            last: source.number,
        };
        statement.comments = std::mem::take(&mut comments);
        found.statements.push(statement);
    }
    if found.statements.is_empty() {
        return Err(Misread::new("the file holds no instruction", Lines::one(1)));
    }
    found.directives = reader.directives;
    Ok(found)
}

/// The lines of a file, counted.
struct Source<'a> {
    lines: std::str::SplitInclusive<'a, char>,
    number: usize,
}

impl<'a> Source<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let line = self.lines.next()?;
        self.number += 1;
        Some(line)
    }

    /// A line with its continuation lines; comments among them are left out, and so are empty lines, of
    /// which it is said whether there were any.
    fn joined(&mut self, head: &str, escape: char) -> (String, bool) {
        let (part, mut continues) = continuation(head, escape);
        let mut logical = part.to_owned();
        let mut has_empty = false;
        while continues {
            let Some(line) = self.next() else { break };
            let trimmed = line.trim_start();
            if trimmed.starts_with('#') {
                continue;
            }
            if trimmed.is_empty() {
                has_empty = true;
                continue;
            }
            let part;
            (part, continues) = continuation(line, escape);
            logical.push_str(part);
        }
        (logical, has_empty)
    }

    /// Reads a here-document's lines; says whether its terminator was found.
    fn fill(&mut self, document: &mut Heredoc) -> bool {
        while let Some(line) = self.next() {
            let mut bare = line.trim_end_matches(['\n', '\r']);
            if document.chomps {
                bare = bare.trim_start_matches('\t');
            }
            if bare == document.name {
                return true;
            }
            document.content.push_str(line);
        }
        false
    }
}

/// A line without its end, and whether the next one continues it: it ends in an escape character that is
/// not itself escaped.
fn continuation(line: &str, escape: char) -> (&str, bool) {
    let line = line.trim_end_matches(['\n', '\r']);
    match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
        Some(part) if !part.ends_with(escape) => (part, true),
        _ => (line, false),
    }
}

/// A logical line as a statement; where it stands and what it opens is added by the caller.
pub(super) fn statement(logical: &str) -> Statement {
    let (keyword, rest) = word::first(logical);
    let (flags, arguments) = word::flags(rest);
    Statement {
        keyword: keyword.to_owned(),
        flags,
        arguments: arguments.trim_end().to_owned(),
        heredocs: Vec::new(),
        lines: Lines::one(0),
        comments: Vec::new(),
    }
}

/// The here-documents a statement opens. Only files and commands can be given that way.
fn openings(statement: &Statement, escape: char) -> Result<Vec<Heredoc>, String> {
    let mut keyword = statement.keyword.to_ascii_uppercase();
    let mut arguments = statement.arguments.as_str();
    if keyword == "ONBUILD" {
        let (inner, rest) = word::first(arguments);
        keyword = inner.to_ascii_uppercase();
        arguments = word::flags(rest).1;
    }
    if !matches!(keyword.as_str(), "RUN" | "COPY" | "ADD") || !arguments.contains("<<") {
        return Ok(Vec::new());
    }
    if word::json(arguments)?.is_some() {
        return Ok(Vec::new());
    }
    let words = word::quoted(arguments, escape);
    let mut found = Vec::new();
    for word in words {
        found.extend(opening(&word)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logical(text: &str) -> Vec<(String, String, usize, usize)> {
        let found = statements(text).unwrap().statements.into_iter();
        found
            .map(|one| (one.keyword, one.arguments, one.lines.first, one.lines.last))
            .collect()
    }

    fn line(
        keyword: &str,
        arguments: &str,
        first: usize,
        last: usize,
    ) -> (String, String, usize, usize) {
        (keyword.to_owned(), arguments.to_owned(), first, last)
    }

    #[test]
    fn lines_are_joined_and_comments_left_out() {
        for (text, expected) in [
            (
                "FROM a\nRUN b",
                vec![line("FROM", "a", 1, 1), line("RUN", "b", 2, 2)],
            ),
            (
                "\u{feff}FROM a\r\nRUN b\r\n",
                vec![line("FROM", "a", 1, 1), line("RUN", "b", 2, 2)],
            ),
            ("# x\n\n  from  a  \n", vec![line("from", "a", 3, 3)]),
            (
                "RUN a \\\n  b \\  \n c\n",
                vec![line("RUN", "a   b  c", 1, 3)],
            ),
            (
                "RUN a \\\n# no\n  # no\n b",
                vec![line("RUN", "a  b", 1, 4)],
            ),
            (
                "RUN a \\\n\n\n b\nRUN c",
                vec![line("RUN", "a  b", 1, 4), line("RUN", "c", 5, 5)],
            ),
            (
                "RUN a\\\\\nRUN b",
                vec![line("RUN", "a\\\\", 1, 1), line("RUN", "b", 2, 2)],
            ),
            ("RUN a \\", vec![line("RUN", "a", 1, 1)]),
            (
                "# escape=`\nRUN a\\\nRUN b `\n c",
                vec![line("RUN", "a\\", 2, 2), line("RUN", "b  c", 3, 4)],
            ),
            ("RUN", vec![line("RUN", "", 1, 1)]),
            (
                "RUN echo # no comment",
                vec![line("RUN", "echo # no comment", 1, 1)],
            ),
        ] {
            assert_eq!(logical(text), expected, "{text:?}");
        }
        assert_eq!(
            statements("RUN a \\\n\n b").unwrap().empty_continuations,
            [3]
        );
        assert!(statements("").is_err() && statements("# x\n\n").is_err());
    }

    #[test]
    fn here_documents_belong_to_the_instruction_that_opens_them() {
        let text = "RUN <<A cat <<-'B'\na\n$x\nA\n\tb\n\tB\nCOPY <<c.txt <<d.txt /x/\n1\nc.txt\n2\nd.txt\nRUN e";
        let found = statements(text).unwrap().statements;
        let documents: Vec<(&str, &str, bool)> = found
            .iter()
            .flat_map(|one| &one.heredocs)
            .map(|one| (one.name.as_str(), one.content.as_str(), one.expands))
            .collect();
        assert_eq!(
            documents,
            [
                ("A", "a\n$x\n", true),
                ("B", "\tb\n", false),
                ("c.txt", "1\n", true),
                ("d.txt", "2\n", true)
            ]
        );
        assert_eq!(found[0].lines, Lines { first: 1, last: 6 });
        assert_eq!(found[2].lines, Lines::one(12));
        for text in [
            "RUN [\"<<EOF\"]\nRUN x",
            "RUN echo '<<EOF'\nRUN x",
            "RUN cat <<<EOF\nRUN x",
            "ENV a <<EOF\nRUN x",
        ] {
            assert_eq!(statements(text).unwrap().statements.len(), 2, "{text}");
        }
        assert_eq!(
            statements("ONBUILD RUN <<E\nx\nE\n").unwrap().statements[0]
                .heredocs
                .len(),
            1
        );
        let unended = statements("FROM a\nRUN <<E\nx\n").unwrap_err();
        assert_eq!(
            (unended.reason.as_str(), unended.lines.first),
            ("the here-document E has no end", 2)
        );
    }

    #[test]
    fn comments_stay_with_what_they_are_above() {
        let found = statements("# one\n# two\nFROM a\n# three\n\nRUN b\n")
            .unwrap()
            .statements;
        assert_eq!(found[0].comments, ["one", "two"]);
        assert!(found[1].comments.is_empty());
    }

    #[test]
    fn a_huge_file_is_refused_at_once() {
        assert!(statements(&"RUN x\n".repeat(2 << 20)).is_err());
        // Just below the limit, whatever its shape, it is read in linear time.
        assert!(statements(&"\\\n".repeat((SIZE_LIMIT / 2) - 1)).is_err());
        assert_eq!(
            statements(&"RUN x\n".repeat(100_000))
                .unwrap()
                .statements
                .len(),
            100_000
        );
    }
}
