//! What `ADD` fetches: files over HTTP, and repositories.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use berth_contract::{Class, Digest, Error, Result};
use berth_image::{PullOptions, is_archive, urls_without_secrets};
use berth_sys::error::Explain as _;
use berth_sys::file::Time;
use sha2::Digest as _;

use super::copy::Item;
use super::repository::{Repository, is_of_ssh, is_repository, unfit};

/// More than any file that belongs into an image.
const SIZE_LIMIT: u64 = 64 << 30;

/// How something is fetched.
#[derive(Debug)]
pub(super) struct Wish<'a> {
    /// What its content must be.
    pub(super) checksum: Option<&'a str>,
    /// Whether `.git` is kept, if it is said.
    pub(super) keep_git_directory: Option<bool>,
    /// Whether an archive is unpacked.
    pub(super) unpack: bool,
    /// Where it goes.
    pub(super) into: &'a Path,
    /// How the network is reached.
    pub(super) options: &'a PullOptions,
}

/// Whether a source is fetched.
#[must_use]
pub fn is_remote(source: &str) -> bool {
    let lower = source.to_ascii_lowercase();
    ["http://", "https://", "git://", "ssh://"]
        .iter()
        .any(|prefix| lower.starts_with(prefix))
        || is_of_ssh(source)
}

/// Fetches a source.
pub(super) fn fetch(source: &str, wish: &Wish<'_>) -> Result<Item> {
    if is_repository(source) {
        return clone(source, wish);
    }
    let shown = urls_without_secrets(source);
    let expected = match wish.checksum {
        Some(text) => Some(text.parse::<Digest>().map_err(|error| {
            let message = format!("cannot use the checksum {text:?}");
            Error::new(Class::Invalid, message).caused_by(error)
        })?),
        None => None,
    };
    let path = wish.into.join("fetched");
    let cannot = || format!("cannot write {}", path.display());
    let mut download = berth_image::download(source, wish.options)?;
    let time = download.modified().map_or(
        Time {
            seconds: 0,
            nanoseconds: 0,
        },
        |seconds| Time {
            seconds,
            nanoseconds: 0,
        },
    );
    let name = file_name(source);
    let mut file = File::create_new(&path).explain(cannot)?;
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0_u8; 128 << 10];
    let mut total = 0_u64;
    loop {
        let length = download
            .read(&mut buffer)
            .explain(|| format!("cannot fetch {shown}"))?;
        if length == 0 {
            break;
        }
        total += length as u64;
        if total > SIZE_LIMIT {
            return Err(Error::new(Class::Invalid, format!("{shown} is too large")));
        }
        hasher.update(&buffer[..length]);
        file.write_all(&buffer[..length]).explain(cannot)?;
    }
    if let Some(expected) = expected {
        let found = Digest::sha256(hasher.finalize().into());
        if found != expected {
            return Err(
                Error::new(Class::Invalid, format!("digest mismatch for {shown}")).caused_by(
                    format!("its content has the digest {found}, not {expected}"),
                ),
            );
        }
    }
    let unpack = wish.unpack && {
        let mut file = File::open(&path).explain(cannot)?;
        is_archive(&mut file).explain(|| format!("cannot read {}", path.display()))?
    };
    Ok(Item::Fetched {
        name,
        path,
        unpack,
        time,
    })
}

/// The last part of a URL's path, or what `BuildKit` calls a file without one.
fn file_name(source: &str) -> OsString {
    let path = source.split(['?', '#']).next().unwrap_or_default();
    let after = path.split_once("://").map_or("", |(_, after)| after);
    let path = after.split_once('/').map_or("", |(_, path)| path);
    let path = decoded_path(path);
    let name = path.trim_end_matches('/').rsplit('/').next();
    let name = name.filter(|name| !matches!(*name, "" | "." | "..") && !name.contains('\0'));
    OsString::from(name.unwrap_or("__unnamed__"))
}

/// A value of a URL's query.
pub(super) fn decoded(text: &str) -> String {
    decoded_path(&text.replace('+', " "))
}

/// A part of a URL's path: `%20` is a blank.
fn decoded_path(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        let code = others.get(..2).filter(|_| *first == b'%');
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &others[2..];
            }
            None => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn clone(source: &str, wish: &Wish<'_>) -> Result<Item> {
    let invalid = |reason: String| unfit(source, reason);
    let mut repository = Repository::parse(source).map_err(invalid)?;
    if let Some(checksum) = wish.checksum {
        let own = repository
            .checksum
            .get_or_insert_with(|| checksum.to_owned());
        if own != checksum {
            return Err(invalid(format!(
                "checksum mismatch {checksum:?} != {own:?}"
            )));
        }
    }
    if let Some(keep) = wish.keep_git_directory
        && *repository.keeps_git_directory.get_or_insert(keep) != keep
    {
        return Err(invalid(
            "inconsistent keep-git-dir configuration".to_owned(),
        ));
    }
    let interrupt = &wish.options.access.interrupt;
    let path = repository.check_out(source, wish.into, interrupt)?;
    Ok(Item::Directory(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_path() {
        for (source, name) in [
            ("https://a/b/c.txt?x=/y", "c.txt"),
            ("http://a/b/", "b"),
            ("http://a/b%20c%2", "b c%2"),
            ("http://a/b%2Fc", "c"),
            ("http://a", "__unnamed__"),
            ("http://a/", "__unnamed__"),
            ("http://a/..", "__unnamed__"),
            ("http://a/%00", "__unnamed__"),
        ] {
            assert_eq!(file_name(source), OsString::from(name), "{source}");
        }
        for (source, fetched, repository) in [
            ("HTTPS://a/b", true, false),
            ("https://a/b.git#c", true, true),
            ("https://a/b.tar", true, false),
            ("git@a:b", true, true),
            ("me-2@host.example:team/x#main:dir", true, true),
            ("ssh://me@host:22/x", true, true),
            ("a/b", false, false),
            ("a/me@host:x", false, false),
            ("me@host", false, false),
            ("@host:x", false, false),
            ("me@:x", false, false),
            ("host:x", false, false),
        ] {
            assert_eq!(is_remote(source), fetched, "{source}");
            assert_eq!(is_repository(source), repository, "{source}");
        }
    }
}
