//! How a failure looks:
//!
//! ```text
//! error: cannot start web
//! caused by: port 8080 is already in use
//!
//! hint: use -p 8081:80
//! ```
//!
//! Names in messages may come from images and containers, so control characters are escaped: nobody
//! but berth draws on the terminal here (containers' own output is another matter and stays raw).

use std::error::Error as _;

use berth_contract::Error;

/// The text of a failure, with a line feed at its end.
pub(crate) fn render(error: &Error, coloured: bool) -> String {
    let label = |colour: &str, word: &str| {
        if coloured {
            format!("\x1b[1;{colour}m{word}:\x1b[0m")
        } else {
            format!("{word}:")
        }
    };
    let mut text = format!("{} {}\n", label("31", "error"), escape(&error.to_string()));
    let mut next = error.source();
    while let Some(cause) = next {
        // A cause of several lines (a compiler's report) stays readable: its lines are indented.
        let cause_text = cause.to_string();
        let mut lines = cause_text.trim_end().lines();
        let first = escape(without_errno(lines.next().unwrap_or_default()));
        text.push_str(&format!("{} {first}\n", label("31", "caused by")));
        for line in lines {
            text.push_str(&format!("  {}\n", escape(line)));
        }
        next = cause.source();
    }
    for (index, hint) in error.hints().iter().enumerate() {
        if index == 0 {
            text.push('\n');
        }
        text.push_str(&format!("{} {}\n", label("36", "hint"), escape(hint)));
    }
    text
}

/// The words of a failed system call without the number that the standard library adds to them.
fn without_errno(text: &str) -> &str {
    match text.rsplit_once(" (os error ") {
        Some((words, rest)) if rest.trim_end_matches(')').parse::<u32>().is_ok() => words,
        _ => text,
    }
}

/// A text with every character escaped that could move the cursor, start a line, or reverse reading.
pub(crate) fn escape(text: &str) -> String {
    escape_but(text, &[])
}

/// The same, but for what a whole text is laid out with.
pub(crate) fn escape_but(text: &str, layout: &[char]) -> String {
    let hostile = |character: char| {
        let moves = character.is_control()
            || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        moves && !layout.contains(&character)
    };
    if !text.contains(hostile) {
        return text.to_owned();
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if hostile(character) {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use berth_contract::Class;

    use super::*;

    #[test]
    fn a_failure_is_a_sentence_its_causes_and_hints() {
        let error = Error::new(Class::Internal, "bind 8080")
            .caused_by("address in use")
            .context("cannot start web")
            .hint("use -p 8081:80");
        assert_eq!(
            render(&error, false),
            "error: cannot start web\ncaused by: bind 8080\ncaused by: address in use\n\n\
             hint: use -p 8081:80\n"
        );
        assert!(render(&error, true).starts_with("\x1b[1;31merror:\x1b[0m cannot start web\n"));
    }

    #[test]
    fn a_failed_system_call_is_told_in_words() {
        let error = Error::new(Class::Internal, "cannot open x")
            .caused_by(std::io::Error::from_raw_os_error(2));
        assert_eq!(
            render(&error, false),
            "error: cannot open x\ncaused by: No such file or directory\n"
        );
    }

    #[test]
    fn what_images_call_themselves_cannot_draw_on_the_terminal() {
        let error = Error::new(
            Class::NotFound,
            "no image \x1b[2Jevil\nerror: fake\0\u{202e}",
        )
        .caused_by("one\n\x07two");
        assert_eq!(
            render(&error, false),
            "error: no image \\u{1b}[2Jevil\\nerror: fake\\u{0}\\u{202e}\ncaused by: one\n  \\u{7}two\n"
        );
    }
}
