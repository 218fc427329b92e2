//! Images out of archives: `docker save`, OCI layouts in a tar, and bare root file systems.
//!
//! ```text
//!  outer tar ─► every file into the staging directory, hashed ─► index.json?    OCI layout
//!                                                             └► manifest.json? docker-archive
//! ```
//!
//! An archive is read once, front to back, so it may come from a pipe; which file is what is only known
//! at its end, where both formats keep their list.

mod docker;
mod import;
mod oci;

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

use berth_contract::{Class, Digest, Error, Result};
use berth_sys::error::Explain as _;

pub use import::{ImportOptions, import};

use crate::artifact::{Content, check_manifest};
use crate::documents::{Configuration, Descriptor, Manifest};
use crate::layer::{Expected, Hashing, decompress, stage_layer, unpack_new};
use crate::platform::Platform;
use crate::progress::{Event, Progress};
use crate::reference::Reference;
use crate::store::{Store, Transaction, chain_ids};

/// More files than an archive of images has.
const FILES_LIMIT: usize = 100_000;
/// Links that lead to links; Docker writes none that do.
const LINK_LIMIT: usize = 16;

/// How to load.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Of images for several platforms, take only this one.
    pub platform: Option<Platform>,
}

/// An image that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The names it got; none for an archive that has none for it.
    pub names: Vec<Reference>,
    /// Its id.
    pub id: Digest,
}

/// Loads the images of a docker-archive or OCI archive, plain or compressed.
///
/// # Errors
/// Class `Invalid` for what is no such archive or holds content that is not what its digest says; nothing
/// is kept then.
pub fn load(
    store: &Store,
    source: impl Read,
    options: &LoadOptions,
    progress: &dyn Progress,
) -> Result<Vec<Loaded>> {
    let mut transaction = store.transaction()?;
    let files = Files::spool(source, &transaction)?;
    if files.0.is_empty() {
        return Err(invalid("it is empty").hint("berth load -i FILE"));
    }
    let mut loader = Loader {
        store,
        transaction: &mut transaction,
        files,
        progress,
    };
    let targets = if loader.files.has("index.json") && loader.files.has("oci-layout") {
        loader.oci(options.platform.as_ref())?
    } else if loader.files.has("manifest.json") {
        loader.docker(options.platform.as_ref())?
    } else {
        return Err(invalid("it has neither manifest.json nor index.json")
            .hint("for a tar of a root file system use berth import"));
    };
    if targets.is_empty() {
        return Err(invalid("it holds no image for this platform"));
    }
    let commits: Vec<(Vec<Reference>, Descriptor)> = targets
        .iter()
        .map(|target| (target.names.clone(), target.descriptor.clone()))
        .collect();
    transaction.commit_all(&commits)?;
    let loaded = targets.into_iter().map(|target| Loaded {
        names: target.names,
        id: target.id,
    });
    Ok(loaded.collect())
}

fn invalid(reason: impl Into<String>) -> Error {
    Error::new(Class::Invalid, "cannot load the archive").caused_by(reason.into())
}

/// A name to be and what it leads to.
struct Target {
    names: Vec<Reference>,
    descriptor: Descriptor,
    id: Digest,
}

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

/// The files of the archive by name.
struct Files(HashMap<String, Spooled>);

impl Files {
    fn spool(source: impl Read, transaction: &Transaction) -> Result<Self> {
        let damaged = |error: std::io::Error| match error.raw_os_error() {
            Some(_) => Error::new(berth_sys::error::class(&error), "cannot read the archive")
                .caused_by(error),
            None => invalid("it is damaged or no tar archive").context_io(&error),
        };
        let mut archive = tar::Archive::new(decompress(source).map_err(damaged)?);
        let mut files = HashMap::new();
        for entry in archive.entries().map_err(damaged)? {
            let mut entry = entry.map_err(damaged)?;
            let name = normal(&String::from_utf8_lossy(&entry.path_bytes()));
            if files.len() >= FILES_LIMIT {
                return Err(invalid(format!("it has more than {FILES_LIMIT} files")));
            }
            let kind = entry.header().entry_type();
            if kind.is_symlink() || kind.is_hard_link() {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                let target = String::from_utf8_lossy(&target).into_owned();
                let from = if kind.is_symlink() {
                    name.rsplit_once('/').map_or("", |(dir, _)| dir)
                } else {
                    ""
                };
                files.insert(
                    name.clone(),
                    Spooled::Link(normal(&format!("{from}/{target}"))),
                );
            } else if kind.is_file() {
                let spooled = spool_file(&mut entry, transaction)?;
                files.insert(name, spooled);
            }
        }
        Ok(Self(files))
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A file by name, links followed within the archive.
    fn file(&self, name: &str) -> Result<(PathBuf, Digest, u64)> {
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

    fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        let (path, _, size) = self.file(name)?;
        if size > limit {
            return Err(invalid(format!("{name} is larger than {limit} bytes")));
        }
        std::fs::read(&path).explain(|| format!("cannot read {}", path.display()))
    }
}

fn spool_file(entry: &mut impl Read, transaction: &Transaction) -> Result<Spooled> {
    let (mut file, path) = transaction.new_file()?;
    let mut hashing = Hashing::new(entry);
    let sum = hashing.sum();
    let mut buffer = vec![0_u8; 128 << 10];
    loop {
        let length = match hashing.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) => {
                return Err(
                    invalid("it ends too early, or its compression is damaged").context_io(&error)
                );
            }
        };
        file.write_all(&buffer[..length])
            .map_err(|error| unwritable(&path, error))?;
    }
    Ok(Spooled::File {
        path,
        digest: sum.digest(),
        size: sum.bytes(),
    })
}

/// What keeps a staged file from being written is told of the data directory, which the user knows.
fn unwritable(path: &Path, error: std::io::Error) -> Error {
    let data = path.ancestors().nth(3).unwrap_or(path);
    let is_full = error.kind() == std::io::ErrorKind::StorageFull;
    let failure = Error::new(
        berth_sys::error::class(&error),
        format!("cannot write to {}", data.display()),
    );
    let failure = failure.caused_by(error).context("cannot load the archive");
    match is_full {
        true => failure.hint("berth image prune"),
        false => failure,
    }
}

/// Keeps the reader's own words as the cause.
trait ContextIo {
    fn context_io(self, error: &std::io::Error) -> Self;
}

impl ContextIo for Error {
    fn context_io(self, error: &std::io::Error) -> Self {
        let reason = std::error::Error::source(&self).map_or_else(String::new, ToString::to_string);
        Self::new(self.class(), self.to_string()).caused_by(format!("{reason}: {error}"))
    }
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

/// Turns spooled files into staged images.
struct Loader<'a> {
    store: &'a Store,
    transaction: &'a mut Transaction,
    files: Files,
    progress: &'a dyn Progress,
}

impl Loader<'_> {
    /// Stages one image; `locate` finds the files of its layers.
    fn stage(
        &mut self,
        manifest: &Manifest,
        config: &Configuration,
        locate: impl Fn(&Files, &Descriptor) -> Result<(PathBuf, Digest, u64)>,
    ) -> Result<()> {
        check_manifest(manifest, "the archive")?;
        let sizes: Vec<(Digest, u64)> = manifest
            .layers
            .iter()
            .map(|layer| (layer.digest.clone(), layer.size))
            .collect();
        self.progress.event(&Event::Layers { layers: &sizes });
        let content = Content::of(manifest, config);
        let diff_ids: Vec<Digest> = content
            .archives
            .iter()
            .map(|(_, diff)| diff.clone())
            .collect();
        if diff_ids.len() != config.rootfs.diff_ids.len() && content.module.is_none() {
            let reason = "its config names another number of layers than its manifest";
            return Err(invalid(reason));
        }
        let chains = chain_ids(&diff_ids);
        for layer in &manifest.layers {
            if !self.store.has_blob(&layer.digest) {
                let (path, ..) = locate(&self.files, layer)?;
                self.transaction.add_file(path, layer.digest.clone());
            }
        }
        for (position, (layer, diff_id)) in content.archives.iter().enumerate() {
            let chain = &chains[position];
            let existed = self.store.layer_path(chain).exists()
                || self.transaction.staged_layer(chain).is_some();
            if !existed {
                let path = match self.store.has_blob(&layer.digest) {
                    true => self.store.blob_path(&layer.digest),
                    false => locate(&self.files, layer)?.0,
                };
                let file =
                    File::open(&path).explain(|| format!("cannot open {}", path.display()))?;
                let expected = Expected {
                    blob: Some(layer.digest.clone()),
                    diff_id: Some(diff_id.clone()),
                };
                let (name, unpacked) = unpack_new(file, self.transaction.directory(), &expected)
                    .map_err(|error| error.context("cannot load the archive"))?;
                stage_layer(
                    self.store,
                    self.transaction,
                    (chain.clone(), name, unpacked),
                    &chains[..position],
                )?;
            }
            self.progress.event(&Event::LayerDone {
                layer: &layer.digest,
                existed,
            });
        }
        Ok(())
    }
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
