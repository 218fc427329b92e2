//! The patterns of `${v#p}` and its kin: `*`, `?`, and characters; an escape makes a character of them.

/// One part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// This character.
    One(char),
    /// Any one character.
    Any,
    /// Any number of any characters.
    Star,
}

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Part>);

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            let part = match character {
                '*' => Part::Star,
                '?' => Part::Any,
                '\\' => match characters.next() {
                    // `}` and `/` are escaped for the sake of the braces.
                    Some(escaped @ ('*' | '?' | '\\' | '}' | '/')) => Part::One(escaped),
                    Some(other) => return Err(format!("invalid escape '\\{other}' in a pattern")),
                    None => return Err("a pattern ends with an escape".to_owned()),
                },
                other => Part::One(other),
            };
            if part != Part::Star || parts.last() != Some(&Part::Star) {
                parts.push(part);
            }
        }
        Ok(Self(parts))
    }

    /// The ends of all matches that begin at the start of `text`, by number of characters; each state is
    /// advanced by each character once, so that no pattern takes long.
    fn ends(&self, text: &[char]) -> Vec<usize> {
        let mut ends = Vec::new();
        let mut states = vec![false; self.0.len() + 1];
        states[0] = true;
        self.skip_stars(&mut states);
        if states[self.0.len()] {
            ends.push(0);
        }
        for (index, character) in text.iter().enumerate() {
            let mut next = vec![false; states.len()];
            for (state, part) in self
                .0
                .iter()
                .enumerate()
                .filter(|(state, _)| states[*state])
            {
                match part {
                    Part::Star => next[state] = true,
                    Part::Any => next[state + 1] = true,
                    Part::One(own) => next[state + 1] |= own == character,
                }
            }
            self.skip_stars(&mut next);
            states = next;
            if states[self.0.len()] {
                ends.push(index + 1);
            }
            if !states.contains(&true) {
                break;
            }
        }
        ends
    }

    fn skip_stars(&self, states: &mut [bool]) {
        for (state, part) in self.0.iter().enumerate() {
            if states[state] && *part == Part::Star {
                states[state + 1] = true;
            }
        }
    }

    pub(super) fn without_prefix(&self, value: &str, longest: bool) -> String {
        let characters: Vec<char> = value.chars().collect();
        let ends = self.ends(&characters);
        let end = if longest { ends.last() } else { ends.first() };
        characters[end.copied().unwrap_or(0)..].iter().collect()
    }

    pub(super) fn without_suffix(&self, value: &str, longest: bool) -> String {
        let reversed = Self(self.0.iter().rev().copied().collect());
        let characters: Vec<char> = value.chars().rev().collect();
        let ends = reversed.ends(&characters);
        let end = if longest { ends.last() } else { ends.first() };
        characters[end.copied().unwrap_or(0)..]
            .iter()
            .rev()
            .collect()
    }

    /// Replaces the longest match at the first place, or at every place.
    pub(super) fn replace(&self, value: &str, replacement: &str, all: bool) -> String {
        let characters: Vec<char> = value.chars().collect();
        let mut replaced = String::new();
        let mut position = 0;
        while position <= characters.len() {
            match self.ends(&characters[position..]).last() {
                Some(&length) if length > 0 || self.0.is_empty() || self.0 == [Part::Star] => {
                    replaced.push_str(replacement);
                    if length == 0 {
                        replaced.extend(characters.get(position));
                    }
                    position += length.max(1);
                    if !all {
                        break;
                    }
                    // A match up to the end is not followed by an empty one.
                    if length > 0 && position == characters.len() {
                        break;
                    }
                }
                _ => {
                    replaced.extend(characters.get(position));
                    position += 1;
                }
            }
        }
        replaced.extend(characters.iter().skip(position));
        replaced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacing_takes_the_longest_match() {
        for (pattern, value, all, expected) in [
            ("a*", "xabc", false, "x-"),
            ("b", "abcb", true, "a-c-"),
            ("?", "ab", true, "--"),
            ("", "ab", false, "-ab"),
            ("*", "ab", true, "-"),
            ("x", "ab", true, "ab"),
        ] {
            let pattern_parsed = Pattern::parse(pattern).unwrap();
            assert_eq!(
                pattern_parsed.replace(value, "-", all),
                expected,
                "{pattern} {value}"
            );
        }
    }
}
