//! From an errno to a classified [`berth_contract::Error`].
//!
//! The functions of this crate return [`io::Result`]: they know the errno and nothing of the intent.
//! [`Explain`] adds the sentence where the intent is known.

use std::io;

use berth_contract::{Class, Error};
pub use rustix::io::Errno;

/// Turns a failed system call into an [`Error`] with a sentence.
pub trait Explain<T> {
    /// Puts a sentence in front of the failure; the class follows from the errno.
    ///
    /// # Errors
    /// The failure it was called on.
    fn explain(self, sentence: impl FnOnce() -> String) -> berth_contract::Result<T>;
}

impl<T> Explain<T> for io::Result<T> {
    fn explain(self, sentence: impl FnOnce() -> String) -> berth_contract::Result<T> {
        self.map_err(|error| Error::new(class(&error), sentence()).caused_by(error))
    }
}

/// The failure of the system that an error comes from; `None` when something was read, and was not what it
/// should be.
#[must_use]
pub fn io_cause(error: &Error) -> Option<&io::Error> {
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        next = cause.source();
    }
    None
}

/// The class an I/O error belongs to when nothing more is known.
#[must_use]
pub fn class(error: &io::Error) -> Class {
    let Some(errno) = Errno::from_io_error(error) else {
        return by_kind(error.kind());
    };
    match errno {
        Errno::NOENT => Class::NotFound,
        Errno::EXIST | Errno::BUSY | Errno::ADDRINUSE => Class::Conflict,
        Errno::PERM | Errno::ACCESS | Errno::ROFS => Class::Denied,
        Errno::NOSYS | Errno::OPNOTSUPP | Errno::NODEV => Class::Unsupported,
        Errno::AGAIN
        | Errno::NOMEM
        | Errno::NOSPC
        | Errno::DQUOT
        | Errno::MFILE
        | Errno::NFILE
        | Errno::TIMEDOUT
        | Errno::CONNREFUSED => Class::Unavailable,
        _ => Class::Internal,
    }
}

fn by_kind(kind: io::ErrorKind) -> Class {
    match kind {
        io::ErrorKind::NotFound => Class::NotFound,
        io::ErrorKind::PermissionDenied => Class::Denied,
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Class::Invalid,
        io::ErrorKind::Unsupported => Class::Unsupported,
        _ => Class::Internal,
    }
}

/// Whether an error is this errno.
#[must_use]
pub fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errnos_have_classes() {
        let of = |errno: Errno| class(&io::Error::from(errno));
        assert_eq!(of(Errno::NOENT), Class::NotFound);
        assert_eq!(of(Errno::PERM), Class::Denied);
        assert_eq!(of(Errno::NOSPC), Class::Unavailable);
        assert_eq!(of(Errno::NOSYS), Class::Unsupported);
        assert_eq!(class(&io::Error::other("x")), Class::Internal);
    }
}
