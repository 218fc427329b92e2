//! What the monitor waits for, as numbers for the poller and back.

/// One thing that can become ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// Signals to the monitor itself.
    Signals,
    /// New connections.
    Listener,
    /// The guest's end.
    Guest,
    /// The guest's standard input takes bytes.
    Stdin,
    /// The guest's standard output, or its terminal.
    Stdout,
    /// The guest's standard error.
    Stderr,
    /// A client's connection.
    Client(u32),
    /// An exec session's end.
    Exec(u32),
    /// What an exec session writes whose client left.
    ExecOutput(u32),
    /// Whoever receives the log takes more.
    Receiver,
}

impl Token {
    /// As the poller carries it: the kind above, the number below.
    pub(crate) fn number(self) -> u64 {
        let (kind, number) = match self {
            Self::Signals => (0, 0),
            Self::Listener => (1, 0),
            Self::Guest => (2, 0),
            Self::Stdin => (3, 0),
            Self::Stdout => (4, 0),
            Self::Stderr => (5, 0),
            Self::Client(number) => (6, number),
            Self::Exec(number) => (7, number),
            Self::ExecOutput(number) => (8, number),
            Self::Receiver => (9, 0),
        };
        (kind << 32) | u64::from(number)
    }

    /// The token of a number that [`Token::number`] made.
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        let index = u32::try_from(number & u64::from(u32::MAX)).ok()?;
        let token = match number >> 32 {
            0 => Self::Signals,
            1 => Self::Listener,
            2 => Self::Guest,
            3 => Self::Stdin,
            4 => Self::Stdout,
            5 => Self::Stderr,
            6 => Self::Client(index),
            7 => Self::Exec(index),
            8 => Self::ExecOutput(index),
            9 => Self::Receiver,
            _ => return None,
        };
        Some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_tokens_agree() {
        let tokens = [
            Token::Signals,
            Token::Listener,
            Token::Guest,
            Token::Stdin,
            Token::Stdout,
            Token::Stderr,
            Token::Client(7),
            Token::Exec(u32::MAX),
            Token::ExecOutput(0),
            Token::Receiver,
        ];
        for token in tokens {
            assert_eq!(Token::from_number(token.number()), Some(token));
        }
        assert_eq!(Token::from_number(u64::MAX), None);
    }
}
