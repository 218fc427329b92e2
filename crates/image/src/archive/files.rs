//! The files of an archive or of a directory by name, copied into the store's staging place and hashed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use berth_contract::{Class, Digest, Error, Result};
use berth_sys::error::Explain as _;
use berth_sys::file::{Directory, Kind, Links};

use super::invalid;
use crate::layer::{Sparse, Tape, decompress};
use crate::store::{Transaction, digest_of_reader};

/// More files than an archive of images has.
const FILES_LIMIT: usize = 100_000;
/// `PATH_MAX` of Linux.
const NAME_LIMIT: usize = 4096;
/// Links that lead to links; Docker writes none that do.
const LINK_LIMIT: usize = 16;
/// How deep a directory of images is: `blobs/sha256/<hex>`.
const DEPTH_LIMIT: usize = 3;

/// One file of the archive.
#[derive(Debug, Clone)]
enum Spooled {
    File {
        path: PathBuf,
        digest: Digest,
        size: u64,
    },
    Link(String),
}

/// The files of an archive by name.
#[derive(Debug)]
pub(super) struct Files(HashMap<String, Spooled>);

impl Files {
    /// Reads a tar, plain or compressed, once from its beginning to its end.
    pub(super) fn of_stream(source: impl Read, transaction: &Transaction) -> Result<Self> {
        let damaged = |error: io::Error| match error.raw_os_error() {
            Some(_) => Error::new(berth_sys::error::class(&error), "cannot read the archive")
                .caused_by(error),
            None => because("it is damaged or no tar archive", &error),
        };
        let tape = Tape::new(decompress(source).map_err(damaged)?);
        let mut archive = tar::Archive::new(tape.clone());
        let mut entries = archive.entries().map_err(damaged)?;
        let mut files = Self(HashMap::new());
        while let Some(entry) = tape.next(&mut entries) {
            let mut entry = entry.map_err(damaged)?;
            if entry.path_bytes().len() > NAME_LIMIT {
                return Err(invalid(format!(
                    "a name in it has more than {NAME_LIMIT} bytes"
                )));
            }
            let name = normal(&String::from_utf8_lossy(&entry.path_bytes()));
            let kind = entry.header().entry_type();
            if kind.is_symlink() || kind.is_hard_link() {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                if target.len() > NAME_LIMIT {
                    return Err(invalid(format!("the link {name} has an absurd target")));
                }
                let target = String::from_utf8_lossy(&target).into_owned();
                let from = if kind.is_symlink() {
                    name.rsplit_once('/').map_or("", |(dir, _)| dir)
                } else {
                    ""
                };
                let target = normal(&format!("{from}/{target}"));
                files.insert(name.clone(), Spooled::Link(target))?;
            }
            let map = tape.sparse_map(&entry).map_err(invalid)?;
            let stored = map.as_ref().map(Sparse::stored);
            let spooled = tape.with_content(&mut entry, stored, damaged, |mut content| {
                let is_file = kind.is_file();
                is_file
                    .then(|| spool(&mut content, transaction))
                    .transpose()
            })?;
            if let Some(spooled) = spooled {
                files.insert(name, spooled)?;
            }
        }
        Ok(files)
    }

    /// Reads a directory such as skopeo's `oci:` and `dir:` write; links within it are followed.
    pub(super) fn of_directory(path: &Path, transaction: &Transaction) -> Result<Self> {
        let explain = || format!("cannot read {}", path.display());
        let root = Directory::open(path).explain(explain)?;
        let mut files = Self(HashMap::new());
        let mut pending = vec![(PathBuf::new(), 0)];
        while let Some((folder, depth)) = pending.pop() {
            let at = if depth == 0 {
                Path::new(".")
            } else {
                folder.as_path()
            };
            let directory = root.directory(at, Links::InRoot).explain(explain)?;
            for name in directory.names().explain(explain)? {
                let inner = folder.join(&name);
                let kind = directory.metadata(&name).explain(explain)?;
                match kind.map(|metadata| metadata.kind) {
                    Some(Kind::Directory) if depth < DEPTH_LIMIT => {
                        pending.push((inner, depth + 1));
                    }
                    Some(Kind::File | Kind::Symlink) => {
                        let mut file = root.file(&inner, Links::InRoot).explain(explain)?;
                        let spooled = spool(&mut file, transaction)?;
                        files.insert(inner.to_string_lossy().into_owned(), spooled)?;
                    }
                    _ => {}
                }
            }
        }
        Ok(files)
    }

    fn insert(&mut self, name: String, file: Spooled) -> Result<()> {
        if self.0.len() >= FILES_LIMIT {
            return Err(invalid(format!("it has more than {FILES_LIMIT} files")));
        }
        self.0.insert(name, file);
        Ok(())
    }

    /// Gives a file a further name.
    pub(super) fn link(&mut self, name: &str, to: &str) -> Result<()> {
        self.insert(name.to_owned(), Spooled::Link(to.to_owned()))
    }

    /// Where an OCI layout keeps a blob.
    pub(super) fn blob_name(digest: &Digest) -> String {
        format!("blobs/{}/{}", digest.algorithm(), digest.hex())
    }

    /// A blob by its digest, as an OCI layout or as skopeo's `dir:` names it; `None` if it is not here.
    ///
    /// # Errors
    /// Its content is not what its name says.
    pub(super) fn blob(&self, digest: &Digest) -> Result<Option<(PathBuf, Digest, u64)>> {
        let hex = digest.hex();
        let names = [
            Self::blob_name(digest),
            hex.to_owned(),
            format!("{hex}.manifest.json"),
        ];
        let Some(name) = names.iter().find(|name| self.has(name)) else {
            return Ok(None);
        };
        let found = self.file(name)?;
        let actual = match digest.algorithm() {
            "sha256" => found.1.clone(),
            _ => digest_of_reader(digest, &mut open(&found.0)?)
                .explain(|| format!("cannot read {name} of the archive"))?,
        };
        if actual == *digest {
            return Ok(Some(found));
        }
        Err(Error::new(
            Class::Invalid,
            format!("blob {digest} of the archive is damaged"),
        )
        .caused_by(format!("its content has the digest {actual}")))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A file by name, links followed within the archive.
    pub(super) fn file(&self, name: &str) -> Result<(PathBuf, Digest, u64)> {
        let mut name = normal(name);
        for _ in 0..LINK_LIMIT {
            match self.0.get(&name) {
                Some(Spooled::File { path, digest, size }) => {
                    return Ok((path.clone(), digest.clone(), *size));
                }
                Some(Spooled::Link(target)) => name.clone_from(target),
                None => return Err(invalid(format!("it lacks {name}"))),
            }
        }
        Err(invalid(format!("{name} is a link that leads nowhere")))
    }

    /// A small file's content.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        let (path, _, size) = self.file(name)?;
        if size > limit {
            return Err(invalid(format!("{name} is larger than {limit} bytes")));
        }
        std::fs::read(&path).explain(|| format!("cannot read {}", path.display()))
    }
}

fn spool(source: &mut impl Read, transaction: &Transaction) -> Result<Spooled> {
    let unreadable = |error: io::Error| {
        let reason = "it ends too early, or its compression is damaged";
        Error::new(Class::Invalid, format!("{reason}: {error}"))
    };
    let spooled = transaction.spool(source, unreadable);
    let spooled = spooled.map_err(|error| error.context("cannot load the archive"))?;
    Ok(Spooled::File {
        path: spooled.path,
        digest: spooled.digest,
        size: spooled.size,
    })
}

/// A refusal with the reader's own words behind it.
fn because(reason: &str, error: &io::Error) -> Error {
    Error::new(Class::Invalid, "cannot load the archive").caused_by(format!("{reason}: {error}"))
}

/// `./a//b/../c` as `a/c`; a path never leads out of the archive since it is only a key.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Opens a staged or stored file.
pub(super) fn open(path: &Path) -> Result<File> {
    File::open(path).explain(|| format!("cannot open {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_within_the_archive_are_normalised() {
        assert_eq!(normal("./a//b/../c"), "a/c");
        assert_eq!(normal("../../etc/passwd"), "etc/passwd");
        assert_eq!(normal("abc/../def/layer.tar"), "def/layer.tar");
    }
}
