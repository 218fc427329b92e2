//! One pattern of paths, matched without ever trying a place twice.

/// One part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// This character.
    One(char),
    /// Any character but a slash.
    Any,
    /// Any number of characters but slashes.
    Star,
    /// The start of `**/`: it may match nothing, so what follows [`Part::Inside`] is reached too.
    Directories,
    /// Within `**/`: anything, left at a slash only.
    Inside,
    /// Anything: `**` at an end.
    All,
    /// One of these ranges, or none of them; never a slash.
    Class(bool, Vec<(char, char)>),
}

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    parts: Vec<Part>,
    /// What every match begins with.
    prefix: String,
    /// Whether the prefix is all of it.
    literal: bool,
}

impl Glob {
    /// Reads a cleaned pattern.
    ///
    /// # Errors
    /// A bracket is not closed or empty, or nothing follows the last `\`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let malformed = || format!("syntax error in pattern {text:?}");
        let characters: Vec<char> = text.chars().collect();
        let mut parts = Vec::new();
        let mut position = 0;
        while let Some(&character) = characters.get(position) {
            position += 1;
            match character {
                '*' if characters.get(position) == Some(&'*') => {
                    position += 1;
                    let at_start = parts.is_empty();
                    let slash = characters.get(position) == Some(&'/');
                    position += usize::from(slash);
                    let at_end = position == characters.len();
                    // `**name` matches any path that ends so, as moby's matcher has it.
                    let suffix = at_start && !slash && !characters[position..].contains(&'*');
                    if at_end || suffix {
                        parts.push(Part::All);
                    } else {
                        parts.extend([Part::Directories, Part::Inside]);
                    }
                }
                '*' => parts.push(Part::Star),
                '?' => parts.push(Part::Any),
                '[' => {
                    let (class, end) = class(&characters, position).ok_or_else(malformed)?;
                    parts.push(class);
                    position = end;
                }
                '\\' => {
                    let escaped = characters.get(position).copied();
                    parts.push(Part::One(escaped.ok_or_else(malformed)?));
                    position += 1;
                }
                other => parts.push(Part::One(other)),
            }
        }
        let literals = parts.iter().map_while(|part| match part {
            Part::One(character) => Some(*character),
            _ => None,
        });
        let prefix: String = literals.collect();
        let literal = prefix.chars().count() == parts.len();
        Ok(Self {
            parts,
            prefix,
            literal,
        })
    }

    /// What every match begins with.
    #[must_use]
    pub fn literal_prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether it is a name and no pattern.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.literal
    }

    /// Whether every name at the top matches: `*`, `**` or `**/*`.
    #[must_use]
    pub fn matches_every_name(&self) -> bool {
        matches!(
            self.parts[..],
            [Part::Star] | [Part::All] | [Part::Directories, Part::Inside, Part::Star]
        )
    }

    /// Whether all of a path matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        if self.literal {
            return path == self.prefix;
        }
        if !path.starts_with(&self.prefix) {
            return false;
        }
        let end = self.parts.len();
        let mut states = vec![false; end + 1];
        states[0] = true;
        self.pass(&mut states);
        for character in path.chars() {
            let mut next = vec![false; end + 1];
            for (state, part) in self
                .parts
                .iter()
                .enumerate()
                .filter(|(state, _)| states[*state])
            {
                match part {
                    Part::One(own) => next[state + 1] |= *own == character,
                    Part::Any => next[state + 1] |= character != '/',
                    Part::Star => next[state] |= character != '/',
                    Part::All => next[state] = true,
                    Part::Directories => {}
                    Part::Inside => {
                        next[state] = true;
                        next[state + 1] |= character == '/';
                    }
                    Part::Class(negated, ranges) => {
                        let within = ranges
                            .iter()
                            .any(|(low, high)| (*low..=*high).contains(&character));
                        next[state + 1] |= character != '/' && within != *negated;
                    }
                }
            }
            self.pass(&mut next);
            states = next;
            if !states.contains(&true) {
                return false;
            }
        }
        states[end]
    }

    /// Goes on from parts that may match nothing.
    fn pass(&self, states: &mut [bool]) {
        for (state, part) in self
            .parts
            .iter()
            .enumerate()
            .filter(|(_, part)| part.may_be_nothing())
        {
            if states[state] {
                states[state + 1] = true;
                if *part == Part::Directories {
                    states[state + 2] = true;
                }
            }
        }
    }
}

impl Part {
    fn may_be_nothing(&self) -> bool {
        matches!(self, Self::Star | Self::All | Self::Directories)
    }
}

fn class(characters: &[char], start: usize) -> Option<(Part, usize)> {
    let mut position = start;
    let negated = characters.get(position) == Some(&'^');
    position += usize::from(negated);
    let mut ranges = Vec::new();
    loop {
        let one = |position: &mut usize| {
            let mut character = *characters.get(*position)?;
            *position += 1;
            if character == '\\' {
                character = *characters.get(*position)?;
                *position += 1;
            }
            Some(character)
        };
        if characters.get(position) == Some(&']') && !ranges.is_empty() {
            return Some((Part::Class(negated, ranges), position + 1));
        }
        if matches!(characters.get(position), Some(']' | '-') | None) {
            return None;
        }
        let low = one(&mut position)?;
        let mut high = low;
        if characters.get(position) == Some(&'-') {
            position += 1;
            if characters.get(position) == Some(&']') {
                return None;
            }
            high = one(&mut position)?;
        }
        ranges.push((low, high));
    }
}
