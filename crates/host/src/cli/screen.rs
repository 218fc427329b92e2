//! The terminal's two sides: standard output is for data, standard error is for talk.
//!
//! Data goes through one held and buffered writer, so that a listing is one `write`. A reader that has
//! left (`berth ps | head -1`) ends the output without a complaint.

use std::io::{self, BufWriter, IsTerminal as _, StdoutLock, Write as _};

use berth_contract::{Class, Error, Result};

use super::Environment;

/// What is known about where output goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    allows_colour: bool,
    /// Whether the terminal is one whose cursor can be moved.
    knows_cursor: bool,
}

impl Screen {
    /// The screen of this process.
    pub(crate) fn new(environment: &Environment) -> Self {
        let dumb = environment.text("TERM") == Some("dumb");
        Self {
            allows_colour: !dumb && environment.text("NO_COLOR").is_none(),
            knows_cursor: !dumb,
        }
    }

    /// Whether what is said may be coloured; asks the kernel, so not at start-up.
    pub(crate) fn is_coloured(self) -> bool {
        self.allows_colour && self.talks_to_terminal()
    }

    /// Whether what is said is read on a terminal, where a line may be redrawn.
    pub(crate) fn talks_to_terminal(self) -> bool {
        io::stderr().is_terminal()
    }

    /// Whether a line that was said may be redrawn: a terminal that understands how.
    pub(crate) fn redraws(self) -> bool {
        self.knows_cursor && self.talks_to_terminal()
    }

    /// Writes data.
    ///
    /// # Errors
    /// Standard output takes no more, for another reason than that its reader has left.
    pub(crate) fn data(self, text: &str) -> Result<()> {
        self.bytes(text.as_bytes())
    }

    /// Writes data that need not be text.
    ///
    /// # Errors
    /// As for [`Screen::data`].
    pub(crate) fn bytes(self, bytes: &[u8]) -> Result<()> {
        let mut output = io::stdout().lock();
        let written = output.write_all(bytes).and_then(|()| output.flush());
        outcome(written)
    }

    /// A held and buffered standard output, for data that comes bit by bit.
    pub(crate) fn writer(self) -> BufWriter<StdoutLock<'static>> {
        BufWriter::with_capacity(64 * 1024, io::stdout().lock())
    }

    /// Says something that is not data.
    pub(crate) fn say(self, text: &str) {
        // Standard error may be closed; there is nobody to tell then.
        drop(
            io::stderr()
                .lock()
                .write_all(format!("{text}\n").as_bytes()),
        );
    }

    /// Says something without ending the line: the answer is typed beside it.
    pub(crate) fn ask(self, text: &str) {
        drop(io::stderr().lock().write_all(text.as_bytes()));
    }

    /// Says something that went differently from what was asked.
    pub(crate) fn warn(self, text: &str) {
        let label = if self.is_coloured() {
            "\x1b[1;33mwarning:\x1b[0m"
        } else {
            "warning:"
        };
        self.say(&format!("{label} {}", super::failure::escape(text)));
    }

    /// Says an error, its causes and its hints.
    pub(crate) fn fail(self, error: &Error) {
        let text = super::failure::render(error, self.is_coloured());
        drop(io::stderr().lock().write_all(text.as_bytes()));
    }
}

/// What a write to standard output came to: a reader that has left is no failure.
///
/// # Errors
/// Any other failure to write.
pub(crate) fn outcome(written: io::Result<()>) -> Result<()> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new(Class::Unavailable, "cannot write to standard output").caused_by(error))
        }
        _ => Ok(()),
    }
}
