//! Bytes as a JSON string, exactly as Docker's json-file driver writes them.
//!
//! Go's encoder with HTML escaping: `"` and `\` get a backslash, newline and carriage return are `\n` and
//! `\r`, other control characters and `<`, `>`, `&` are `\u00xx`, U+2028 and U+2029 are `\u2028` and
//! `\u2029`, and each byte that is not part of valid UTF-8 is `\ufffd`.

const HEX: &[u8; 16] = b"0123456789abcdef";
/// How many bytes are looked at together: the compiler turns the test into vector instructions.
const TOGETHER: usize = 32;

/// Appends the inside of the string.
pub(super) fn escape(out: &mut Vec<u8>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let (plain, rest) = bytes.split_at(plain_prefix(bytes));
        out.extend_from_slice(plain);
        let Some(first) = rest.first() else { return };
        if first.is_ascii() {
            special(out, *first);
            bytes = &rest[1..];
        } else {
            let end = rest.iter().position(u8::is_ascii).unwrap_or(rest.len());
            text(out, &rest[..end]);
            bytes = &rest[end..];
        }
    }
}

fn is_plain(byte: u8) -> bool {
    let control = byte < 0x20;
    let quoted = (byte == b'"') | (byte == b'\\');
    let markup = (byte == b'<') | (byte == b'>') | (byte == b'&');
    !(control | quoted | markup | (byte >= 0x80))
}

fn plain_prefix(bytes: &[u8]) -> usize {
    let mut length = 0;
    for chunk in bytes.chunks_exact(TOGETHER) {
        // No early exit within a chunk: that is what keeps it vectorised.
        if !chunk
            .iter()
            .fold(true, |plain, byte| plain & is_plain(*byte))
        {
            break;
        }
        length += TOGETHER;
    }
    let rest = &bytes[length..];
    length
        + rest
            .iter()
            .position(|byte| !is_plain(*byte))
            .unwrap_or(rest.len())
}

fn special(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' | b'\\' => out.extend([b'\\', byte]),
        b'\n' => out.extend(b"\\n"),
        b'\r' => out.extend(b"\\r"),
        _ => {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            out.extend([b'\\', b'u', b'0', b'0', HEX[high], HEX[low]]);
        }
    }
}

/// Bytes of 0x80 and above: valid characters stay, except the two separators; the rest is replaced.
fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    for piece in bytes.utf8_chunks() {
        let mut valid = piece.valid().as_bytes();
        while let Some(at) = memchr::memchr(0xe2, valid) {
            let (before, rest) = valid.split_at(at);
            out.extend_from_slice(before);
            let (character, after) = rest.split_at(3);
            match character {
                [_, 0x80, 0xa8] => out.extend(b"\\u2028"),
                [_, 0x80, 0xa9] => out.extend(b"\\u2029"),
                _ => out.extend_from_slice(character),
            }
            valid = after;
        }
        out.extend_from_slice(valid);
        for _ in piece.invalid() {
            out.extend(b"\\ufffd");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    fn escaped(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        escape(&mut out, bytes);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn escapes_are_gos() {
        for (bytes, expected) in [
            (
                &b"plain text, long enough to be looked at in one piece: 0123456789"[..],
                "plain text, long enough to be looked at in one piece: 0123456789",
            ),
            (b"tab\there", "tab\\u0009here"),
            (b"cr\r\n", "cr\\r\\n"),
            (b"\"quoted\\\"", "\\\"quoted\\\\\\\""),
            (
                b"<a href=x>&</a>",
                "\\u003ca href=x\\u003e\\u0026\\u003c/a\\u003e",
            ),
            (b"\x00\x1b[1m\x7f", "\\u0000\\u001b[1m\x7f"),
            ("grün 漢字 🎉".as_bytes(), "grün 漢字 🎉"),
            (
                "a\u{2028}b\u{2029}c\u{2030}d\u{20ac}".as_bytes(),
                "a\\u2028b\\u2029c‰d€",
            ),
            (b"\xff\xfe", "\\ufffd\\ufffd"),
            (b"\xe2\x82A", "\\ufffd\\ufffdA"),
            (b"\xf0\x9f\x8e", "\\ufffd\\ufffd\\ufffd"),
            (b"\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd"),
        ] {
            assert_eq!(escaped(bytes), expected, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn valid_text_reads_back_as_it_was(text in any::<String>()) {
            let json = format!("\"{}\"", escaped(text.as_bytes()));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }

        #[test]
        fn any_bytes_give_valid_json(bytes in vec(any::<u8>(), 0..200)) {
            let json = format!("\"{}\"", escaped(&bytes));
            serde_json::from_str::<String>(&json).unwrap();
        }
    }
}
