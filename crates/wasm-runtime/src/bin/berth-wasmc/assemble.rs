//! Wasm in text form into a module or component.

use berth_contract::{Class, Error, Result};
use wast::Wat;
use wast::parser::{self, ParseBuffer};

/// Reads a text.
pub(crate) fn module(text: Vec<u8>) -> Result<Vec<u8>> {
    let text = String::from_utf8(text).map_err(|error| {
        Error::new(Class::CannotInvoke, "the file is no wasm in text form")
            .caused_by(error.utf8_error())
    })?;
    assembled(&text).map_err(|error| {
        let (line, column) = error.span().linecol_in(&text);
        let place = format!("line {}, column {}", line + 1, column + 1);
        Error::new(Class::CannotInvoke, "the wasm text is not valid")
            .caused_by(format!("{place}: {}", error.message()))
    })
}

fn assembled(text: &str) -> Result<Vec<u8>, wast::Error> {
    let buffer = ParseBuffer::new(text)?;
    parser::parse::<Wat<'_>>(&buffer)?.encode()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_modules_or_say_where_they_are_wrong() {
        let module = |text: &str| module(text.into());
        assert!(module("(module)").unwrap().starts_with(b"\0asm\x01\0"));
        assert!(module("(component)").unwrap().starts_with(b"\0asm\x0d\0"));
        let error = module("(module\n  (func (nonsense)))").unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.starts_with("line 2, column 10: "), "{cause}");
        assert!(super::module(vec![0xff]).is_err());
        // Depth is limited by the parser and not by the stack.
        assert!(module(&"(module ".repeat(1_000_000)).is_err());
    }
}
