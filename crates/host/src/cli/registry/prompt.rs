//! Asking a person for a name and, unseen, for a password.

use std::io::{self, IsTerminal as _, Read as _};

use berth_contract::{Class, Error, Result};
use berth_sys::terminal::RawMode;

use crate::cli::Screen;

/// Whether somebody is there to ask.
pub(super) fn is_possible() -> bool {
    io::stdin().is_terminal()
}

/// Asks for a line.
///
/// # Errors
/// The terminal is gone, or the answer is empty.
pub(super) fn line(screen: Screen, question: &str) -> Result<String> {
    screen.ask(question);
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(unreadable)?;
    given(answer.trim())
}

/// Asks for a line that is not shown while it is typed.
///
/// The terminal is in raw mode meanwhile, so that an interrupt ends the question here and not the
/// process, which would leave the terminal mute.
///
/// # Errors
/// The terminal is gone, the answer is empty, or Ctrl-C was typed.
pub(super) fn secret(screen: Screen, question: &str) -> Result<String> {
    screen.ask(question);
    let raw = RawMode::enter(io::stdin()).map_err(unreadable)?;
    let typed = type_secret(&mut io::stdin().lock());
    drop(raw);
    screen.say("");
    given(&typed?)
}

fn type_secret(input: &mut impl io::BufRead) -> Result<String> {
    let mut typed = Vec::new();
    for byte in input.bytes() {
        match byte.map_err(unreadable)? {
            b'\r' | b'\n' => break,
            // Ctrl-C, and Ctrl-D on an empty line.
            3 => return Err(Error::new(Class::Invalid, "the login was interrupted")),
            4 if typed.is_empty() => break,
            8 | 127 => drop(typed.pop()),
            // Ctrl-U takes everything back.
            21 => typed.clear(),
            other => typed.push(other),
        }
    }
    String::from_utf8(typed)
        .map_err(|error| Error::new(Class::Invalid, "the password is no text").caused_by(error))
}

fn given(answer: &str) -> Result<String> {
    if answer.is_empty() {
        return Err(Error::new(
            Class::Invalid,
            "cannot log in with an empty answer",
        ));
    }
    Ok(answer.to_owned())
}

fn unreadable(error: io::Error) -> Error {
    Error::new(Class::Unavailable, "cannot read the answer").caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_typed_with_mistakes() {
        let typed = |bytes: &[u8]| type_secret(&mut &bytes[..]);
        assert_eq!(typed(b"secrt\x7fet\r").unwrap(), "secret");
        assert_eq!(typed(b"wrong\x15right\nrest").unwrap(), "right");
        assert!(typed(b"abc\x03").is_err());
    }
}
