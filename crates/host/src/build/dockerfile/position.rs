//! Where something stands in a Dockerfile, and how that place is shown.

use berth_image::urls_without_secrets;

/// A range of lines, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lines {
    /// The first.
    pub first: usize,
    /// The last; the same for an instruction of one line.
    pub last: usize,
}

impl Lines {
    /// One line.
    #[must_use]
    pub fn one(line: usize) -> Self {
        Self {
            first: line,
            last: line,
        }
    }

    /// Them in buildx's documents.
    #[must_use]
    pub fn location(self) -> serde_json::Value {
        serde_json::json!({
            "ranges": [{"start": {"line": self.first}, "end": {"line": self.last}}]
        })
    }

    /// Whether a line is among them.
    #[must_use]
    pub fn contains(self, line: usize) -> bool {
        self.first <= line && line <= self.last
    }
}

impl serde::Serialize for Lines {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.location().serialize(serializer)
    }
}

/// The lines around a place with the place itself marked, in the form that `BuildKit` prints:
///
/// ```text
/// Dockerfile:2
/// --------------------
///    1 |     FROM busybox
///    2 | >>> RUN false
/// --------------------
/// ```
/// It ends up in logs that more people read than the Dockerfile, so its URLs are shown without their secrets.
#[must_use]
pub fn excerpt(name: &str, text: &str, lines: Lines) -> String {
    const RULE: &str = "--------------------";
    let all: Vec<&str> = text.split('\n').collect();
    let (mut start, mut end) = (lines.first, lines.last.min(all.len()));
    if start < 1 || start > all.len() {
        return String::new();
    }
    // One line is given four of context, several are given two.
    let padding = if start == end { 4 } else { 2 };
    let mut given = 0;
    while given < padding {
        if start > 1 {
            start -= 1;
            given += 1;
        }
        if end != all.len() {
            end += 1;
            given += 1;
        }
        given += 1;
    }
    let mut shown = format!("{name}:{}\n{RULE}\n", lines.first);
    for number in start..=end {
        let mark = if lines.contains(number) { ">>>" } else { "   " };
        let line = urls_without_secrets(all[number - 1].trim_end_matches('\r'));
        shown.push_str(&format!(" {number:3} | {mark} {line}\n"));
    }
    shown.push_str(RULE);
    shown.push('\n');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_marked_with_what_is_around_it() {
        let text = "FROM busybox\nRUN a\nRUN b\nRUN c\nRUN d\nRUN e\n";
        assert_eq!(
            excerpt("Dockerfile", text, Lines::one(3)),
            "Dockerfile:3\n--------------------\n   1 |     FROM busybox\n   2 |     RUN a\n   3 | >>> RUN b\n   4 |     RUN c\n   5 |     RUN d\n--------------------\n"
        );
        assert_eq!(
            excerpt("D", "RUN x", Lines::one(1)),
            "D:1\n--------------------\n   1 | >>> RUN x\n--------------------\n"
        );
        let two = Lines { first: 1, last: 2 };
        assert_eq!(
            excerpt("D", "RUN \\\r\n x\n", two),
            "D:1\n--------------------\n   1 | >>> RUN \\\n   2 | >>>  x\n   3 |     \n--------------------\n"
        );
        assert_eq!(excerpt("D", "x", Lines::one(9)), "");
    }

    #[test]
    fn secrets_of_urls_are_not_shown() {
        let text = "ADD https://me:secret@a/x?sig=secret /\nRUN curl \"http://me:secret@b\"\n";
        let shown = excerpt("D", text, Lines::one(2));
        assert!(shown.contains("   1 |     ADD https://a/x /\n"), "{shown}");
        assert!(
            shown.contains("   2 | >>> RUN curl \"http://b\"\n"),
            "{shown}"
        );
        assert!(!shown.contains("secret"), "{shown}");
    }
}
