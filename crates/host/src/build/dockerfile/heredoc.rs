//! Here-documents: `<<EOF`, `<<-EOF`, `<<"EOF"`, `3<<EOF`, several on one line.

/// One here-document of an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// Its terminator, which is also the name of the file it becomes.
    pub name: String,
    /// The file descriptor before `<<`, as it is written.
    pub descriptor: String,
    /// Whether variables in it are expanded: its terminator is not quoted.
    pub expands: bool,
    /// Whether leading tabs are taken off: `<<-`.
    pub chomps: bool,
    /// The lines up to the terminator, as they are written.
    pub content: String,
}

impl Heredoc {
    /// The content, leading tabs taken off if that was asked for.
    #[must_use]
    pub fn text(&self) -> String {
        if !self.chomps {
            return self.content.clone();
        }
        let lines = self.content.split_inclusive('\n');
        lines.map(|line| line.trim_start_matches('\t')).collect()
    }

    /// Its first line, and whether others follow.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut lines = self.content.trim().lines();
        let first = lines.next().unwrap_or_default();
        let more = if lines.next().is_some() { "..." } else { "" };
        format!("{first}{more}")
    }

    /// The word that opens it, if a whole line is nothing but that; else an empty text.
    #[must_use]
    pub fn opening_as_written<'a>(&self, line: &'a str) -> &'a str {
        let line = line.trim();
        match opening(line) {
            Ok(Some(found)) if found.name == self.name => line,
            _ => "",
        }
    }

    /// The word that opens it.
    #[must_use]
    pub fn opening(&self) -> String {
        let quote = if self.expands { "" } else { "\"" };
        let dash = if self.chomps { "-" } else { "" };
        format!("{}<<{dash}{quote}{}{quote}", self.descriptor, self.name)
    }
}

/// Reads a word as the opening of a here-document; `None` for any other word.
pub(super) fn opening(word: &str) -> Result<Option<Heredoc>, String> {
    let Some((descriptor, rest)) = word.split_once("<<") else {
        return Ok(None);
    };
    if !descriptor.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    let (chomps, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let rest = rest.trim_start();
    if rest.contains('<') || rest.is_empty() || rest.contains(char::is_whitespace) {
        return Ok(None);
    }
    let name = without_quotes(rest)
        .ok_or_else(|| format!("unexpected end of statement in the here-document {word:?}"))?;
    if name.is_empty() {
        return Ok(None);
    }
    Ok(Some(Heredoc {
        expands: !rest.contains(['"', '\'']),
        name,
        descriptor: descriptor.to_owned(),
        chomps,
        content: String::new(),
    }))
}

/// A word without its quotes; `None` when one is not closed.
fn without_quotes(word: &str) -> Option<String> {
    let mut plain = String::new();
    let mut quote = None;
    for character in word.chars() {
        match (quote, character) {
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), close) if open == close => quote = None,
            _ => plain.push(character),
        }
    }
    quote.is_none().then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openings_are_recognised() {
        for word in [
            "<<EOF",
            "<<'EOF'",
            "<<\"EOF\"",
            "<<-EOF",
            "<<-'EOF'",
            "<<EO\"F\"",
            "4<<EOF",
        ] {
            assert_eq!(opening(word).unwrap().unwrap().name, "EOF", "{word}");
        }
        for word in [
            "",
            "EOF",
            "<<",
            "<<-",
            "<EOF",
            "<<<EOF",
            "'<<EOF'",
            "\"<<EOF\"",
            "a<<EOF",
        ] {
            assert_eq!(opening(word), Ok(None), "{word}");
        }
        for word in ["<<'EOF", "<<\"EOF", "<<EOF'", "<<EOF\""] {
            assert!(opening(word).is_err(), "{word}");
        }
        let found = opening("3<<-\"END\"").unwrap().unwrap();
        assert!(found.chomps && !found.expands);
        assert_eq!(found.opening(), "3<<-\"END\"");
        assert!(opening("<<END").unwrap().unwrap().expands);
    }

    #[test]
    fn tabs_are_taken_off_each_line() {
        let document = Heredoc {
            content: "\t\ta\n b\n\tc\td\n".to_owned(),
            ..opening("<<-E").unwrap().unwrap()
        };
        assert_eq!(document.text(), "a\n b\nc\td\n");
    }
}
