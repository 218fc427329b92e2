//! Signal names and numbers, as people and image configs write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Class, Error};

/// A Linux signal, 1 to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Signal(u8);

/// x86-64 and aarch64 share these numbers (`man 7 signal`).
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
/// glibc and musl keep 32 and 33 for themselves; the first real-time signal a program may use is 34.
const RTMIN: u8 = 34;
const RTMAX: u8 = 64;

impl Signal {
    /// Hang-up.
    pub const HUP: Self = Self(1);
    /// Interrupt, as from Ctrl-C.
    pub const INT: Self = Self(2);
    /// Quit, as from Ctrl-\.
    pub const QUIT: Self = Self(3);
    /// Kill; cannot be caught.
    pub const KILL: Self = Self(9);
    /// Terminate: the default stop signal.
    pub const TERM: Self = Self(15);
    /// Continue.
    pub const CONT: Self = Self(18);
    /// Stop; cannot be caught.
    pub const STOP: Self = Self(19);
    /// The terminal's size changed.
    pub const WINCH: Self = Self(28);

    /// The signal's number.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Signal {
    type Error = Error;

    fn try_from(number: u8) -> Result<Self, Error> {
        if (1..=RTMAX).contains(&number) {
            Ok(Self(number))
        } else {
            Err(invalid(&number.to_string()))
        }
    }
}

impl From<Signal> for u8 {
    fn from(signal: Signal) -> Self {
        signal.0
    }
}

impl FromStr for Signal {
    type Err = Error;

    /// Accepts `15`, `TERM`, `SIGTERM`, `sigterm`, `RTMIN+3` and `RTMAX-2`.
    fn from_str(text: &str) -> Result<Self, Error> {
        if let Ok(number) = text.parse::<u8>() {
            return Self::try_from(number);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let alias = match name {
            "IOT" => "ABRT",
            "POLL" => "IO",
            "CLD" => "CHLD",
            other => other,
        };
        if let Some(number) = (1_u8..).zip(NAMES).find(|(_, known)| *known == alias) {
            return Ok(Self(number.0));
        }
        real_time(name).ok_or_else(|| invalid(text))
    }
}

fn real_time(name: &str) -> Option<Signal> {
    let offset = |digits: &str| {
        digits
            .parse::<u8>()
            .ok()
            .filter(|value| *value <= RTMAX - RTMIN)
    };
    let number = match name {
        "RTMIN" => RTMIN,
        "RTMAX" => RTMAX,
        _ => match (name.strip_prefix("RTMIN+"), name.strip_prefix("RTMAX-")) {
            (Some(digits), _) => RTMIN + offset(digits)?,
            (_, Some(digits)) => RTMAX - offset(digits)?,
            (None, None) => return None,
        },
    };
    Some(Signal(number))
}

impl fmt::Display for Signal {
    /// `SIGTERM`, or `SIGRTMIN+3`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.get(usize::from(self.0) - 1) {
            Some(name) => write!(formatter, "SIG{name}"),
            None if self.0 >= RTMIN => write!(formatter, "SIGRTMIN+{}", self.0 - RTMIN),
            None => write!(formatter, "{}", self.0),
        }
    }
}

fn invalid(text: &str) -> Error {
    Error::new(Class::Invalid, format!("invalid signal {text:?}"))
        .hint("use a name such as SIGTERM or a number from 1 to 64")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_prefixes_parse() {
        for text in ["15", "TERM", "SIGTERM", "sigterm", "SigTerm"] {
            assert_eq!(text.parse::<Signal>().unwrap(), Signal::TERM, "{text}");
        }
        assert_eq!("RTMIN+3".parse::<Signal>().unwrap().number(), 37);
        assert_eq!("SIGRTMAX-1".parse::<Signal>().unwrap().number(), 63);
        for text in ["", "0", "65", "-1", "SIG", "FOO", "RTMIN+31", "RTMIN-1"] {
            assert!(text.parse::<Signal>().is_err(), "{text}");
        }
    }

    #[test]
    fn printing_and_parsing_agree() {
        for number in 1..=64 {
            let signal = Signal::try_from(number).unwrap();
            assert_eq!(signal.to_string().parse::<Signal>().unwrap(), signal);
        }
    }
}
