//! Template text → tokens. Knows trimming, comments, quoting and numbers; not what they mean.

use serde_json::Number;

use super::TemplateError;

/// One token and where it begins (a byte offset in the template).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Text(String),
    Open,
    Close,
    LeftParenthesis,
    RightParenthesis,
    Pipe,
    Comma,
    Declare,
    Assign,
    Dot,
    /// `.Name`; `attached` when nothing separates it from the token before.
    Field {
        name: String,
        attached: bool,
    },
    Variable(String),
    Word(String),
    Number(Number),
    Quoted(String),
}

pub(super) fn error_at(text: &str, at: usize, message: &str) -> TemplateError {
    let line = text.as_bytes()[..at.min(text.len())]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count();
    TemplateError(format!("template: :{}: {message}", line + 1))
}

pub(super) fn lex(text: &str) -> Result<Vec<Token>, TemplateError> {
    Lexer {
        text,
        at: 0,
        tokens: Vec::new(),
    }
    .run()
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn run(mut self) -> Result<Vec<Token>, TemplateError> {
        let mut trim_start = false;
        while self.at < self.text.len() {
            let rest = &self.text[self.at..];
            let (literal, open) = match rest.find("{{") {
                Some(offset) => (&rest[..offset], Some(self.at + offset)),
                None => (rest, None),
            };
            let inside = open.map(|open| &self.text[open + 2..]);
            let trim_end = inside.is_some_and(begins_with_trim);
            let mut shown = literal;
            if trim_start {
                shown = shown.trim_start();
            }
            if trim_end {
                shown = shown.trim_end();
            }
            if !shown.is_empty() {
                self.push(Kind::Text(shown.to_owned()), self.at);
            }
            let Some(open) = open else { break };
            self.at = open + 2 + if trim_end { 2 } else { 0 };
            trim_start = self.action(open)?;
        }
        Ok(self.tokens)
    }

    fn push(&mut self, kind: Kind, at: usize) {
        self.tokens.push(Token { kind, at });
    }

    fn fail<T>(&self, at: usize, message: &str) -> Result<T, TemplateError> {
        Err(error_at(self.text, at, message))
    }

    /// Reads up to and including `}}`; says whether the text after it is trimmed.
    fn action(&mut self, open: usize) -> Result<bool, TemplateError> {
        if self.text[self.at..].starts_with("/*") {
            return self.comment(open);
        }
        self.push(Kind::Open, open);
        let mut spaced = true;
        loop {
            let rest = &self.text[self.at..];
            let Some(next) = rest.chars().next() else {
                return self.fail(open, "unclosed action");
            };
            if rest.starts_with("}}") {
                self.push(Kind::Close, self.at);
                self.at += 2;
                return Ok(false);
            }
            if spaced && rest.starts_with("-}}") && self.at > open + 2 {
                self.push(Kind::Close, self.at);
                self.at += 3;
                return Ok(true);
            }
            if next.is_whitespace() {
                self.at += next.len_utf8();
                spaced = true;
                continue;
            }
            self.token(next, spaced)?;
            spaced = false;
        }
    }

    fn comment(&mut self, open: usize) -> Result<bool, TemplateError> {
        let Some(end) = self.text[self.at..].find("*/") else {
            return self.fail(open, "unclosed comment");
        };
        self.at += end + 2;
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start();
        let trims = trimmed.len() < rest.len() && trimmed.starts_with("-}}");
        if trims {
            self.at += rest.len() - trimmed.len() + 3;
        } else if rest.starts_with("}}") {
            self.at += 2;
        } else {
            return self.fail(open, "comment ends before closing delimiter");
        }
        Ok(trims)
    }

    fn token(&mut self, next: char, spaced: bool) -> Result<(), TemplateError> {
        let at = self.at;
        let rest = &self.text[at..];
        let digit_follows = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        let simple = match next {
            '(' => Some(Kind::LeftParenthesis),
            ')' => Some(Kind::RightParenthesis),
            '|' => Some(Kind::Pipe),
            ',' => Some(Kind::Comma),
            '=' => Some(Kind::Assign),
            _ => None,
        };
        if let Some(kind) = simple {
            self.at += 1;
            self.push(kind, at);
            return Ok(());
        }
        match next {
            ':' if rest.starts_with(":=") => {
                self.at += 2;
                self.push(Kind::Declare, at);
            }
            '"' | '`' | '\'' => return self.quoted(next),
            '$' => {
                let name = word(&rest[1..]);
                self.at += 1 + name.len();
                self.push(Kind::Variable(name.to_owned()), at);
            }
            '.' if !digit_follows(&rest[1..]) => {
                let name = word(&rest[1..]);
                self.at += 1 + name.len();
                if name.is_empty() {
                    self.push(Kind::Dot, at);
                } else {
                    self.push(
                        Kind::Field {
                            name: name.to_owned(),
                            attached: !spaced,
                        },
                        at,
                    );
                }
            }
            '0'..='9' | '.' => return self.number(),
            '+' | '-' if rest[1..].starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
                return self.number();
            }
            _ if next.is_alphabetic() || next == '_' => {
                let name = word(rest);
                self.at += name.len();
                self.push(Kind::Word(name.to_owned()), at);
            }
            _ => return self.fail(at, &format!("unexpected {next:?} in command")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), TemplateError> {
        let at = self.at;
        let rest = &self.text[at..];
        let mut previous = ' ';
        let length = rest
            .find(|c: char| {
                let sign = (c == '+' || c == '-') && matches!(previous, ' ' | 'e' | 'E');
                previous = c;
                !(sign || c.is_ascii_alphanumeric() || c == '.' || c == '_')
            })
            .unwrap_or(rest.len());
        let written = &rest[..length];
        let plain = written.replace('_', "");
        let (negative, digits) = match plain.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, plain.strip_prefix('+').unwrap_or(&plain)),
        };
        let magnitude = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
            Some("0x") => i64::from_str_radix(&digits[2..], 16).ok(),
            Some("0b") => i64::from_str_radix(&digits[2..], 2).ok(),
            Some("0o") => i64::from_str_radix(&digits[2..], 8).ok(),
            _ => digits.parse().ok(),
        };
        let number = magnitude
            .map(|value: i64| {
                Number::from(if negative {
                    value.wrapping_neg()
                } else {
                    value
                })
            })
            .or_else(|| plain.parse().ok().and_then(Number::from_f64));
        let Some(number) = number else {
            return self.fail(at, &format!("bad number syntax: {written:?}"));
        };
        self.at += length;
        self.push(Kind::Number(number), at);
        Ok(())
    }

    fn quoted(&mut self, quote: char) -> Result<(), TemplateError> {
        let at = self.at;
        let mut value = String::new();
        let mut characters = self.text[at + 1..].char_indices();
        loop {
            let Some((offset, next)) = characters.next() else {
                return self.fail(at, "unterminated quoted string");
            };
            match next {
                _ if next == quote => {
                    self.at = at + 1 + offset + 1;
                    break;
                }
                '\n' if quote != '`' => return self.fail(at, "unterminated quoted string"),
                '\\' if quote != '`' => match escape(&mut characters) {
                    Some(escaped) => value.push(escaped),
                    None => return self.fail(at, "bad escape in quoted string"),
                },
                _ => value.push(next),
            }
        }
        let kind = if quote == '\'' {
            let mut all = value.chars();
            match (all.next(), all.next()) {
                (Some(character), None) => Kind::Number(Number::from(u32::from(character))),
                _ => return self.fail(at, "malformed character constant"),
            }
        } else {
            Kind::Quoted(value)
        };
        self.push(kind, at);
        Ok(())
    }
}

fn begins_with_trim(inside: &str) -> bool {
    inside
        .strip_prefix('-')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_whitespace()))
}

fn word(text: &str) -> &str {
    let end = text
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(text.len());
    &text[..end]
}

fn escape(characters: &mut std::str::CharIndices<'_>) -> Option<char> {
    match characters.next()?.1 {
        'n' => Some('\n'),
        't' => Some('\t'),
        'r' => Some('\r'),
        'a' => Some('\x07'),
        'b' => Some('\x08'),
        'f' => Some('\x0c'),
        'v' => Some('\x0b'),
        'x' => hexadecimal(characters, 2),
        'u' => hexadecimal(characters, 4),
        'U' => hexadecimal(characters, 8),
        same @ ('\\' | '"' | '\'') => Some(same),
        _ => None,
    }
}

fn hexadecimal(characters: &mut std::str::CharIndices<'_>, digits: usize) -> Option<char> {
    let mut value = 0_u32;
    for _ in 0..digits {
        value = value
            .checked_mul(16)?
            .checked_add(characters.next()?.1.to_digit(16)?)?;
    }
    char::from_u32(value)
}
