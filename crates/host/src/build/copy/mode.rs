//! `--chmod`: octal, or symbolic as in `u=rwX,go=rX`.

/// A change of permission bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::build) enum ModeChange {
    /// To these.
    Exact(u32),
    /// Clause by clause.
    Symbolic(Vec<Clause>),
}

/// `u=rwX`
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a letter of its own")]
pub(in crate::build) struct Clause {
    /// Whose bits, as a mask of three bits each.
    who: u32,
    operation: char,
    /// Read, write, execute for one class.
    bits: u32,
    /// `X`: execute for directories and what somebody may execute already.
    conditional: bool,
    setid: bool,
    sticky: bool,
}

impl ModeChange {
    /// Reads one.
    pub(in crate::build) fn parse(text: &str) -> Result<Self, String> {
        let invalid = || {
            format!(
                "invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777, or symbolic"
            )
        };
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8)
                .ok()
                .filter(|mode| *mode <= 0o7777);
            return mode.map(Self::Exact).ok_or_else(invalid);
        }
        let mut clauses = Vec::new();
        for part in text.split(',') {
            clauses.extend(clause(part).ok_or_else(invalid)?);
        }
        Ok(Self::Symbolic(clauses))
    }

    /// The new mode of a file or directory.
    pub(in crate::build) fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        match self {
            Self::Exact(exact) => *exact,
            Self::Symbolic(clauses) => clauses
                .iter()
                .fold(mode, |mode, clause| clause.apply(mode, is_directory)),
        }
    }
}

impl Clause {
    fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        let mut bits = self.bits;
        if self.conditional && (is_directory || mode & 0o111 != 0) {
            bits |= 1;
        }
        let mut changed = (bits * 0o111) & self.who;
        let mut covered = self.who;
        if self.setid {
            changed |= setid(self.who);
        }
        if self.sticky {
            changed |= 0o1000;
        }
        // As chmod(1): `=` leaves the set-id bits of directories alone.
        if !is_directory {
            covered |= setid(self.who);
        }
        match self.operation {
            '+' => mode | changed,
            '-' => mode & !changed,
            _ => (mode & !covered) | changed,
        }
    }
}

fn setid(who: u32) -> u32 {
    let user = if who & 0o700 == 0 { 0 } else { 0o4000 };
    let group = if who & 0o070 == 0 { 0 } else { 0o2000 };
    user | group
}

/// `[ugoa…][+-=][rwxXst…]…`: several operations may follow one who.
fn clause(text: &str) -> Option<Vec<Clause>> {
    let who_end = text.find(|c: char| !"ugoa".contains(c))?;
    let mut who = text[..who_end].chars().fold(0, |who, class| {
        who | match class {
            'u' => 0o700,
            'g' => 0o070,
            'o' => 0o007,
            _ => 0o777,
        }
    });
    if who == 0 {
        who = 0o777;
    }
    let mut rest = &text[who_end..];
    let mut clauses = Vec::new();
    while let Some(operation) = rest.chars().next() {
        if !"+-=".contains(operation) {
            return None;
        }
        let end = rest[1..]
            .find(['+', '-', '='])
            .map_or(rest.len(), |end| end + 1);
        let mut clause = Clause {
            who,
            operation,
            bits: 0,
            conditional: false,
            setid: false,
            sticky: false,
        };
        for permission in rest[1..end].chars() {
            match permission {
                'r' => clause.bits |= 4,
                'w' => clause.bits |= 2,
                'x' => clause.bits |= 1,
                'X' => clause.conditional = true,
                's' => clause.setid = true,
                't' => clause.sticky = true,
                _ => return None,
            }
        }
        clauses.push(clause);
        rest = &rest[end..];
    }
    Some(clauses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal_or_symbolic() {
        for (text, mode, is_directory, expected) in [
            ("755", 0o600, false, 0o755),
            ("0644", 0o755, true, 0o644),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o700, true, 0o755),
            ("+x", 0o644, false, 0o755),
            ("a-w", 0o666, false, 0o444),
            ("g+w,o-rwx", 0o755, false, 0o770),
            ("u+s", 0o755, false, 0o4755),
            ("+t", 0o777, true, 0o1777),
            ("u=rw+x", 0o000, false, 0o700),
            ("go=", 0o777, false, 0o700),
            ("u=rwx", 0o4755, false, 0o755),
        ] {
            let change = ModeChange::parse(text).unwrap();
            assert_eq!(
                change.apply(mode, is_directory),
                expected,
                "{text} {mode:o}"
            );
        }
        for text in ["", "8", "77777", "u", "u=q", "z+x", "rwx", "u=r,,g=r"] {
            assert!(ModeChange::parse(text).is_err(), "{text}");
        }
    }
}
