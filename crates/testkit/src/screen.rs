//! What a person saw: exit code, standard output and standard error, with what differs between runs
//! replaced by names.

use std::fmt;
use std::process::Output;

/// The outcome of one command, ready for a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "either snapshot the screen or assert the exit status"]
pub struct Screen {
    /// The exit code; a signal counts as 128 and its number.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Screen {
    /// Takes a finished command's output.
    pub fn new(output: &Output) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        let status = output
            .status
            .code()
            .unwrap_or_else(|| 128 + output.status.signal().unwrap_or_default());
        Self {
            status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Fails the test unless the command ended with 0; returns its trimmed standard output.
    #[track_caller]
    pub fn success(&self) -> String {
        assert_eq!(self.status, 0, "the command failed:\n{self}");
        self.stdout.trim_end().to_owned()
    }

    /// Fails the test unless the command ended with this status.
    #[track_caller]
    pub fn status(self, status: i32) -> Self {
        assert_eq!(self.status, status, "another status was expected:\n{self}");
        self
    }

    /// Replaces every occurrence of a text: a path, an id, a port.
    pub fn replace(mut self, text: &str, name: &str) -> Self {
        self.stdout = self.stdout.replace(text, name);
        self.stderr = self.stderr.replace(text, name);
        self
    }

    /// Replaces every run of 64, or standing alone of 12, hexadecimal digits by `[ID]`.
    pub fn hide_ids(mut self) -> Self {
        self.stdout = hide_ids(&self.stdout);
        self.stderr = hide_ids(&self.stderr);
        self
    }
}

fn hide_ids(text: &str) -> String {
    let mut hidden = String::with_capacity(text.len());
    let mut run = String::new();
    let flush = |run: &mut String, hidden: &mut String| {
        let is_id = (run.len() == 64 || run.len() == 12) && run.bytes().any(|b| b.is_ascii_digit());
        hidden.push_str(if is_id { "[ID]" } else { run });
        run.clear();
    };
    for character in text.chars() {
        if character.is_ascii_digit() || ('a'..='f').contains(&character) {
            run.push(character);
        } else {
            flush(&mut run, &mut hidden);
            hidden.push(character);
        }
    }
    flush(&mut run, &mut hidden);
    hidden
}

impl fmt::Display for Screen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "exit: {}", self.status)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            writeln!(formatter, "--- {name} ---")?;
            if !text.is_empty() {
                writeln!(formatter, "{}", text.trim_end_matches('\n'))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::hide_ids;

    #[test]
    fn ids_are_hidden_and_words_are_not() {
        let id = "0123456789ab".repeat(5) + "cdef";
        assert_eq!(hide_ids(&format!("id {id}!")), "id [ID]!");
        assert_eq!(hide_ids("0123456789ab"), "[ID]");
        assert_eq!(
            hide_ids("decade facade 127.0.0.1"),
            "decade facade 127.0.0.1"
        );
    }
}
