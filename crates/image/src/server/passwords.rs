//! Who may come in: `htpasswd` files with bcrypt hashes, the only ones that are worth anything.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use berth_contract::{Class, Digest, Error, Result};
use berth_sys::error::Explain as _;
use tokio::sync::Semaphore;

use crate::store::sha256;

/// More than anybody types wrongly; keeps memory bounded.
const PROVEN_LIMIT: usize = 1000;

/// Names and hashes.
#[derive(Debug)]
pub(super) struct Passwords {
    hashes: BTreeMap<String, String>,
    /// Digests of headers that were found right: bcrypt is slow on purpose, and asked for every request.
    proven: Mutex<Vec<Digest>>,
    /// How slow the hashes are to check, one of which is somebody unknown's.
    costs: Vec<u32>,
    random: RandomState,
    /// So many are checked at once: whoever guesses must not take the processors from everybody else.
    checks: Semaphore,
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
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            costs: hashes.values().filter_map(|hash| cost(hash)).collect(),
            hashes,
            proven: Mutex::default(),
            random: RandomState::new(),
            checks: Semaphore::new((processors / 2).max(1)),
        })
    }

    /// Whether an `Authorization` header proves that somebody of the file is there.
    pub(super) async fn admit(&self, header: &str) -> bool {
        let digest = sha256(header.as_bytes());
        if self.proven().contains(&digest) {
            return true;
        }
        let right = self.check(header).await.unwrap_or(false);
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

    async fn check(&self, header: &str) -> Option<bool> {
        let (scheme, encoded) = header.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
        let (name, password) = text.split_once(':')?;
        let known = self.hashes.get(name).cloned();
        let is_known = known.is_some();
        let hash = known.unwrap_or_else(|| self.stand_in(name));
        let password = password.to_owned();
        let _turn = self.checks.acquire().await.ok()?;
        let check = move || bcrypt::verify(password, &hash).unwrap_or(false);
        let matches = tokio::task::spawn_blocking(check).await.ok()?;
        Some(matches && is_known)
    }

    /// Nobody's hash, as slow as somebody's, the same one's each time: names cannot be guessed by time.
    fn stand_in(&self, name: &str) -> String {
        let number = usize::try_from(self.random.hash_one(name)).unwrap_or(0);
        let cost = number
            .checked_rem(self.costs.len())
            .map(|at| self.costs[at]);
        let cost = cost.unwrap_or(10);
        format!("$2y${cost:02}$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW")
    }
}

/// The power of two that a hash's rounds are: `$2y$12$…`.
fn cost(hash: &str) -> Option<u32> {
    hash.split('$').nth(2)?.parse().ok()
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
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let admit = |header: &str| runtime.block_on(passwords.admit(header));
        for _ in 0..2 {
            assert!(admit(&header("sailor:salt and pepper")));
            assert!(!admit(&header("sailor:sugar")));
            assert!(!admit(&header("captain:salt and pepper")));
            assert!(!admit("Bearer x"));
        }
        assert_eq!(cost(&passwords.stand_in("captain")), Some(4));
        // Others are served while a password is checked.
        let wrong = header("sailor:vinegar");
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = passwords.admit(&wrong) => panic!("it held up everybody"),
                () = std::future::ready(()) => {}
            }
        });
        std::fs::write(&file, "sailor:{SHA}nope\n").unwrap();
        assert!(Passwords::read(&file).is_err());
    }
}
