//! Who may come in: `htpasswd` files with bcrypt hashes, the only ones that are worth anything.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use berth_contract::{Class, Digest, Error, Result};
use berth_sys::error::Explain as _;

use crate::store::sha256;

/// More than anybody types wrongly; keeps memory bounded.
const PROVEN_LIMIT: usize = 1000;

/// Names and hashes.
#[derive(Debug)]
pub(super) struct Passwords {
    hashes: BTreeMap<String, String>,
    /// Digests of headers that were found right: bcrypt is slow on purpose, and asked for every request.
    proven: Mutex<Vec<Digest>>,
}

impl Passwords {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or has a hash that is not bcrypt.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).explain(|| format!("cannot read {}", path.display()))?;
        let mut hashes = BTreeMap::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, hash) = line.split_once(':').unwrap_or((line, ""));
            if !hash.starts_with("$2") {
                let message = format!("cannot use {}", path.display());
                return Err(Error::new(Class::Invalid, message)
                    .caused_by(format!("the password of {name} is not hashed with bcrypt"))
                    .hint(format!("htpasswd -B {} {name}", path.display())));
            }
            hashes.insert(name.to_owned(), hash.to_owned());
        }
        Ok(Self {
            hashes,
            proven: Mutex::default(),
        })
    }

    /// Whether an `Authorization` header proves that somebody of the file is there.
    pub(super) fn admit(&self, header: &str) -> bool {
        let digest = sha256(header.as_bytes());
        if self.proven().contains(&digest) {
            return true;
        }
        let right = self.check(header).unwrap_or(false);
        if right {
            let mut proven = self.proven();
            if proven.len() >= PROVEN_LIMIT {
                proven.clear();
            }
            proven.push(digest);
        }
        right
    }

    fn proven(&self) -> std::sync::MutexGuard<'_, Vec<Digest>> {
        self.proven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, header: &str) -> Option<bool> {
        let (scheme, encoded) = header.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
        let (name, password) = text.split_once(':')?;
        // Somebody unknown takes as long as a wrong password, so that names cannot be guessed by time.
        let unknown = "$2y$10$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW".to_owned();
        let hash = self.hashes.get(name);
        let matches = bcrypt::verify(password, hash.unwrap_or(&unknown)).unwrap_or(false);
        Some(matches && hash.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bcrypt_is_checked_and_nothing_else_is_taken() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("htpasswd");
        let hash = bcrypt::hash("salt and pepper", 4).unwrap();
        std::fs::write(&file, format!("# who\nsailor:{hash}\n\n")).unwrap();
        let passwords = Passwords::read(&file).unwrap();
        let header = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for _ in 0..2 {
            assert!(passwords.admit(&header("sailor:salt and pepper")));
            assert!(!passwords.admit(&header("sailor:sugar")));
            assert!(!passwords.admit(&header("captain:salt and pepper")));
            assert!(!passwords.admit("Bearer x"));
        }
        std::fs::write(&file, "sailor:{SHA}nope\n").unwrap();
        assert!(Passwords::read(&file).is_err());
    }
}
