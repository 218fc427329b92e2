//! Variables: `$v ${v} ${v:-w} ${v-w} ${v:+w} ${v+w} ${v:?w} ${v?w} ${v#p} ${v##p} ${v%p} ${v%%p}
//! ${v/p/r} ${v//p/r}`, quotes and escapes, as `BuildKit`'s shell lexer reads them.

mod pattern;

use std::collections::BTreeSet;

use pattern::Pattern;

/// Deeper than anybody nests `${a:-${b:-…}}`; the stack is never in danger.
const DEPTH_LIMIT: usize = 64;
/// Variables made of variables double with each line; no real text comes near this.
const LENGTH_LIMIT: usize = 1 << 20;
/// Searching for a pattern at every place takes the square of the length.
const SEARCH_LIMIT: usize = 16 << 10;

/// Where values come from.
pub trait Variables {
    /// The value of a variable; `None` when it is not set.
    fn value(&self, name: &str) -> Option<String>;
}

impl Variables for std::collections::BTreeMap<String, String> {
    fn value(&self, name: &str) -> Option<String> {
        self.get(name).cloned()
    }
}

/// No variable is set.
#[derive(Debug, Clone, Copy)]
pub struct NoVariables;

impl Variables for NoVariables {
    fn value(&self, _name: &str) -> Option<String> {
        None
    }
}

/// What an expansion came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The text, in one piece.
    pub text: String,
    /// The text split at white space that is neither quoted nor escaped.
    pub words: Vec<String>,
    /// Variables that were asked for and are not set.
    pub missing: BTreeSet<String>,
}

/// What is done with quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quotes {
    /// They quote, and are taken off.
    Removed,
    /// They are characters like any other: within here-documents.
    Plain,
}

/// Expands the variables of a text and takes its quotes off.
///
/// # Errors
/// A quote or brace is not closed, a modifier is unknown, or `:?` is not satisfied.
pub fn expand(text: &str, escape: char, variables: &dyn Variables) -> Result<Expanded, String> {
    run(text, escape, variables, Quotes::Removed)
}

/// Expands the variables of a here-document, where quotes mean nothing.
///
/// # Errors
/// As for [`expand`].
pub fn expand_raw(text: &str, variables: &dyn Variables) -> Result<Expanded, String> {
    run(text, '\\', variables, Quotes::Plain)
}

/// The text of a step as it is shown: what variables hold stands in their place, and everything else, those that are
/// not set included, is as it is written.
#[must_use]
pub fn expand_shown(text: &str, escape: char, variables: &dyn Variables) -> String {
    let mut lexer = Lexer {
        characters: text.chars().collect(),
        position: 0,
        escape,
        quotes: Quotes::Plain,
        variables,
        missing: BTreeSet::new(),
    };
    let mut shown = String::new();
    let mut quote = None;
    while let Some(character) = lexer.peek() {
        if character == '$' && quote != Some('\'') {
            shown.push_str(&lexer.dollar_shown());
            continue;
        }
        lexer.position += 1;
        shown.push(character);
        match (quote, character) {
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), close) if open == close => quote = None,
            (open, found) if found == escape && open != Some('\'') => shown.extend(lexer.next()),
            _ => {}
        }
    }
    shown
}

fn run(
    text: &str,
    escape: char,
    variables: &dyn Variables,
    quotes: Quotes,
) -> Result<Expanded, String> {
    let mut lexer = Lexer {
        characters: text.chars().collect(),
        position: 0,
        escape,
        quotes,
        variables,
        missing: BTreeSet::new(),
    };
    let piece = lexer
        .until(None, false, 0)
        .map_err(|reason| format!("failed to process {:?}: {reason}", shortened(text)))?;
    Ok(Expanded {
        text: piece.text,
        words: piece.words.finish(),
        missing: lexer.missing,
    })
}

/// A text that is short enough for a message.
fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(200).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// Words that grow.
#[derive(Default)]
struct Words {
    done: Vec<String>,
    current: String,
}

impl Words {
    fn add(&mut self, character: char) {
        if !character.is_whitespace() {
            self.current.push(character);
        } else if !self.current.is_empty() {
            self.done.push(std::mem::take(&mut self.current));
        }
    }

    fn finish(mut self) -> Vec<String> {
        if !self.current.is_empty() {
            self.done.push(self.current);
        }
        self.done
    }
}

#[derive(Default)]
struct Piece {
    text: String,
    words: Words,
}

struct Lexer<'a> {
    characters: Vec<char>,
    position: usize,
    escape: char,
    quotes: Quotes,
    variables: &'a dyn Variables,
    missing: BTreeSet<String>,
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.position).copied()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek();
        self.position += usize::from(next.is_some());
        next
    }

    /// Reads up to `stop`, which is consumed, or to the end. With `raw`, escapes stay in the text: it is
    /// a pattern.
    fn until(&mut self, stop: Option<char>, raw: bool, depth: usize) -> Result<Piece, String> {
        if depth > DEPTH_LIMIT {
            return Err("variables are nested too deeply".to_owned());
        }
        let mut piece = Piece::default();
        while let Some(character) = self.peek() {
            if Some(character) == stop {
                self.position += 1;
                return Ok(piece);
            }
            if piece.text.len() > LENGTH_LIMIT {
                return Err("it becomes longer than 1 MiB".to_owned());
            }
            match character {
                '$' => {
                    let value = self.dollar(depth)?;
                    value.chars().for_each(|one| piece.words.add(one));
                    piece.text.push_str(&value);
                }
                '\'' | '"' if self.quotes == Quotes::Removed => {
                    self.position += 1;
                    let inner = if character == '\'' {
                        self.single_quoted()?
                    } else {
                        self.double_quoted(raw, depth)?
                    };
                    piece.words.current.push_str(&inner);
                    piece.text.push_str(&inner);
                }
                _ => self.plain(&mut piece, raw),
            }
        }
        match stop {
            None => Ok(piece),
            Some('/') => Err("syntax error: missing '/' in ${}".to_owned()),
            Some(_) => Err("syntax error: missing '}'".to_owned()),
        }
    }

    /// A character, or an escape and what it escapes.
    fn plain(&mut self, piece: &mut Piece, raw: bool) {
        let Some(character) = self.next() else { return };
        if character != self.escape {
            piece.words.add(character);
            piece.text.push(character);
            return;
        }
        if raw {
            piece.words.current.push(character);
            piece.text.push(character);
        }
        if let Some(escaped) = self.next() {
            piece.words.current.push(escaped);
            piece.text.push(escaped);
        }
    }

    fn single_quoted(&mut self) -> Result<String, String> {
        let mut inner = String::new();
        loop {
            match self.next() {
                Some('\'') => return Ok(inner),
                Some(character) => inner.push(character),
                None => return Err(unclosed("single-quote")),
            }
        }
    }

    fn double_quoted(&mut self, raw: bool, depth: usize) -> Result<String, String> {
        let mut inner = String::new();
        loop {
            match self.peek() {
                None => return Err(unclosed("double-quote")),
                Some('"') => {
                    self.position += 1;
                    return Ok(inner);
                }
                Some('$') => inner.push_str(&self.dollar(depth)?),
                Some(character) => {
                    self.position += 1;
                    if character == self.escape {
                        if raw {
                            inner.push(character);
                        }
                        match self.peek() {
                            None => continue,
                            Some(next) if next == '"' || next == '$' || next == self.escape => {
                                self.position += 1;
                                inner.push(next);
                                continue;
                            }
                            // Any other escape stays as it is.
                            Some(_) if raw => continue,
                            Some(_) => {}
                        }
                    }
                    inner.push(character);
                }
            }
        }
    }

    fn value(&mut self, name: &str) -> Option<String> {
        let value = self.variables.value(name);
        if value.is_none() {
            self.missing.insert(name.to_owned());
        }
        value
    }

    fn dollar(&mut self, depth: usize) -> Result<String, String> {
        self.position += 1;
        if self.peek() != Some('{') {
            let name = self.name();
            return Ok(if name.is_empty() {
                "$".to_owned()
            } else {
                self.value(&name).unwrap_or_default()
            });
        }
        self.position += 1;
        match self.peek() {
            None => return Err("syntax error: missing '}'".to_owned()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".to_owned()),
            Some(_) => {}
        }
        let name = self.name();
        match self.next() {
            Some('}') => Ok(self.value(&name).unwrap_or_default()),
            Some(':') => match self.next() {
                Some(sign @ ('-' | '+' | '?')) => self.conditional(&name, sign, true, depth),
                Some(sign @ ('#' | '%')) => self.trimmed(&name, sign, depth),
                Some(other) => Err(format!("unsupported modifier (:{other}) in substitution")),
                None => Err("syntax error: missing '}'".to_owned()),
            },
            Some(sign @ ('-' | '+' | '?')) => self.conditional(&name, sign, false, depth),
            Some(sign @ ('#' | '%')) => self.trimmed(&name, sign, depth),
            Some('/') => self.replaced(&name, depth),
            Some(other) => Err(format!("unsupported modifier ({other}) in substitution")),
            None => Err("syntax error: missing '}'".to_owned()),
        }
    }

    /// A variable's value, or how it is written when it has none.
    fn dollar_shown(&mut self) -> String {
        let start = self.position;
        self.missing.clear();
        let value = self.dollar(0);
        let written: String = self.characters[start..self.position].iter().collect();
        let has_modifier =
            written.starts_with("${") && written.contains([':', '-', '+', '?', '#', '%', '/']);
        match value {
            Ok(value) if self.missing.is_empty() || has_modifier => value,
            Ok(_) => written,
            Err(_) => {
                self.position = start + 1;
                "$".to_owned()
            }
        }
    }

    /// Letters, digits and `_`; a number; or one of the shell's special parameters.
    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(character) = self.peek() {
            if name.is_empty() && "@*#?-$!".contains(character) {
                self.position += 1;
                return character.to_string();
            }
            let is_number = name.starts_with(|first: char| first.is_ascii_digit());
            let fits = if is_number {
                character.is_ascii_digit()
            } else {
                character.is_alphanumeric() || character == '_'
            };
            if !fits {
                break;
            }
            name.push(character);
            self.position += 1;
        }
        name
    }

    fn conditional(
        &mut self,
        name: &str,
        sign: char,
        empty_is_unset: bool,
        depth: usize,
    ) -> Result<String, String> {
        let word = self.until(Some('}'), false, depth + 1)?.text;
        let value = self.value(name);
        let usable = value
            .clone()
            .filter(|value| !(empty_is_unset && value.is_empty()));
        match (sign, usable) {
            ('-', Some(value)) | ('?', Some(value)) => Ok(value),
            ('-', None) => Ok(word),
            ('+', Some(_)) => Ok(word),
            ('+', None) => Ok(String::new()),
            (_, _) => {
                let state = if value.is_none() { "unset" } else { "empty" };
                let fallback = format!("is not allowed to be {state}");
                let message = if word.is_empty() { fallback } else { word };
                Err(format!("{name}: {message}"))
            }
        }
    }

    fn trimmed(&mut self, name: &str, sign: char, depth: usize) -> Result<String, String> {
        let word = self.until(Some('}'), true, depth + 1)?.text;
        let (word, longest) = match word.strip_prefix(sign) {
            Some(rest) => (rest, true),
            None => (word.as_str(), false),
        };
        let value = self.value(name).unwrap_or_default();
        let pattern = Pattern::parse(word)?;
        Ok(if sign == '#' {
            pattern.without_prefix(&value, longest)
        } else {
            pattern.without_suffix(&value, longest)
        })
    }

    fn replaced(&mut self, name: &str, depth: usize) -> Result<String, String> {
        let all = self.peek() == Some('/');
        self.position += usize::from(all);
        let word = self.until(Some('/'), true, depth + 1)?.text;
        let replacement = self.until(Some('}'), true, depth + 1)?.text;
        let value = self.value(name).unwrap_or_default();
        if value.len() > SEARCH_LIMIT {
            return Err(format!("the value of {name} is too long to search"));
        }
        Ok(Pattern::parse(&word)?.replace(&value, &replacement, all))
    }
}

fn unclosed(what: &str) -> String {
    format!("unexpected end of statement while looking for matching {what}")
}

#[cfg(test)]
mod tests;
