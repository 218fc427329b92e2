//! Documents and blobs of a place that need be no image: a repository of a registry, or an OCI layout.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use berth_contract::{Class, Digest, Error, Result};
use berth_sys::error::Explain as _;

use crate::archive::REF_NAME;
use crate::archive::layout::{self, put};
use crate::documents::{Descriptor, Document, Index, MANIFEST_LIMIT, media};
use crate::progress::Silent;
use crate::reference::Reference;
use crate::registry::{Access, Client, Documents, Download, Failure, Tail, Undone};
use crate::store::{Store, digest_of, digest_of_reader};

/// What could not be done when it was interrupted.
const CANNOT_READ: &str = "cannot read from the registry";

/// A place that content is fetched from, by digest.
#[derive(Debug, Clone)]
pub enum BlobSource {
    /// A repository, at a tag or digest.
    Repository {
        /// Which.
        reference: Reference,
        /// How its registry is reached.
        access: Box<Access>,
    },
    /// A directory that is an OCI image layout.
    Layout {
        /// Where it is.
        path: PathBuf,
        /// The entry of its index, by digest or else by tag.
        digest: Option<Digest>,
        /// `org.opencontainers.image.ref.name` of the entry.
        tag: String,
    },
}

impl BlobSource {
    /// The manifest or index that the place's name leads to.
    ///
    /// # Errors
    /// Class `NotFound` when there is none, `Unavailable` when the registry does not answer, `Invalid` for
    /// what is no such document.
    pub fn document(&self) -> Result<Document> {
        match self {
            Self::Repository { reference, access } => {
                Ok(crate::registry::remote_document(reference, access)?.document)
            }
            Self::Layout { path, digest, tag } => {
                let entry = entry(path, digest.as_ref(), tag)?;
                let bytes = self.blob(&entry.digest, MANIFEST_LIMIT)?;
                Document::parse(&bytes, Some(&entry.media_type))
            }
        }
    }

    /// The document that an entry of an index leads to.
    ///
    /// # Errors
    /// As for [`Self::document`].
    pub fn inner_document(&self, entry: &Descriptor) -> Result<Document> {
        let bytes = match self {
            Self::Repository { reference, access } => {
                let inner = reference.at(&entry.digest);
                crate::registry::remote_document(&inner, access)?.bytes
            }
            Self::Layout { .. } => self.blob(&entry.digest, MANIFEST_LIMIT)?,
        };
        Document::parse(&bytes, Some(&entry.media_type))
    }

    /// A small blob, verified.
    ///
    /// # Errors
    /// It is not there, is larger than `limit`, or is not what its digest says.
    pub fn blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        match self {
            Self::Repository { .. } => self.with_client(|client| {
                let small = client.small_blob(digest, limit);
                client.access.interrupt.block_on(CANNOT_READ, small)
            }),
            Self::Layout { path, .. } => {
                let path = blob_path(path, digest);
                let cannot = || format!("cannot read {}", path.display());
                let mut bytes = Vec::new();
                let file = File::open(&path).explain(cannot)?;
                file.take(limit + 1)
                    .read_to_end(&mut bytes)
                    .explain(cannot)?;
                if bytes.len() as u64 > limit || digest_of(digest, &bytes) != *digest {
                    return Err(damaged(&path));
                }
                Ok(bytes)
            }
        }
    }

    /// Copies a blob into a new file, verified.
    ///
    /// # Errors
    /// As for [`Self::blob`], or the file cannot be written.
    pub fn fetch(&self, blob: &Descriptor, into: &Path) -> Result<()> {
        let cannot = || format!("cannot write {}", into.display());
        let mut options = File::options();
        let file = options.read(true).write(true).create_new(true).open(into);
        let mut file = file.explain(cannot)?;
        match self {
            Self::Repository { .. } => {
                let tail = Tail::new(file.try_clone().explain(cannot)?, 0, false);
                self.with_client(|client| {
                    let download = Download {
                        blob,
                        tail: &tail,
                        progress: &Silent,
                        cancelled: &AtomicBool::new(false),
                    };
                    let interrupt = &client.access.interrupt;
                    match interrupt.block_on(CANNOT_READ, client.download(&download))? {
                        Err(Undone::Registry(failure)) => Ok(Err(failure)),
                        Err(Undone::Disk(error)) => Err(error).explain(cannot),
                        Ok(()) | Err(Undone::Cancelled) => Ok(Ok(())),
                    }
                })?;
            }
            Self::Layout { path, .. } => {
                let from = blob_path(path, &blob.digest);
                let mut from =
                    File::open(&from).explain(|| format!("cannot read {}", from.display()))?;
                io::copy(&mut from, &mut file).explain(cannot)?;
            }
        }
        io::Seek::rewind(&mut file).explain(cannot)?;
        let computed = digest_of_reader(&blob.digest, &mut file).explain(cannot)?;
        if computed == blob.digest {
            Ok(())
        } else {
            Err(damaged(into))
        }
    }

    fn with_client<T>(
        &self,
        ask: impl FnOnce(&Client<'_>) -> Result<std::result::Result<T, Failure>>,
    ) -> Result<T> {
        let Self::Repository { reference, access } = self else {
            return Err(Error::new(Class::Internal, "a directory is no registry"));
        };
        let endpoint = access.registries.own_endpoint(reference)?;
        let client = Client::new(&endpoint, access, &Silent)?;
        ask(&client)?.map_err(|failure| {
            failure.about_to("read", &reference.familiar(), reference.registry())
        })
    }
}

/// The entry of a layout's index that is meant.
fn entry(path: &Path, digest: Option<&Digest>, tag: &str) -> Result<Descriptor> {
    let index = path.join("index.json");
    let cannot = || format!("cannot read {}", index.display());
    let mut bytes = Vec::new();
    let file = File::open(&index).explain(cannot)?;
    file.take(MANIFEST_LIMIT)
        .read_to_end(&mut bytes)
        .explain(cannot)?;
    let Document::Index(index) = Document::parse(&bytes, Some(media::OCI_INDEX))? else {
        return Err(damaged(&index));
    };
    let Index { manifests, .. } = index;
    let is_meant = |entry: &&Descriptor| match digest {
        Some(digest) => entry.digest == *digest,
        None => entry
            .annotations
            .get(REF_NAME)
            .is_some_and(|name| name == tag),
    };
    let found = manifests.iter().find(is_meant).cloned();
    found.ok_or_else(|| {
        let what = digest.map_or(tag, Digest::as_str);
        Error::new(
            Class::NotFound,
            format!("{} has no entry {what}", path.display()),
        )
    })
}

fn blob_path(layout: &Path, digest: &Digest) -> PathBuf {
    layout
        .join("blobs")
        .join(digest.algorithm())
        .join(digest.hex())
}

fn damaged(path: &Path) -> Error {
    Error::new(Class::Invalid, format!("{} is damaged", path.display()))
        .caused_by("its content is not what its digest says")
}

/// Writes a manifest with everything it names into a directory that is, or becomes, an OCI layout; other
/// entries of it stay.
///
/// # Errors
/// The store lacks a blob, or the directory cannot be written.
pub fn write_layout(store: &Store, manifest: &Descriptor, path: &Path, tag: &str) -> Result<()> {
    let Documents {
        blobs, manifests, ..
    } = Documents::of_descriptor(store, manifest)?;
    let cannot = || format!("cannot write to {}", path.display());
    layout::listed(path)?;
    std::fs::create_dir_all(path.join("blobs/sha256")).explain(cannot)?;
    for (blob, from) in &blobs {
        let to = blob_path(path, &blob.digest);
        let there = std::fs::metadata(&to).is_ok_and(|found| found.len() == blob.size);
        if !there {
            put(&to, |aside| std::fs::copy(from, aside).map(drop)).explain(cannot)?;
        }
    }
    let write = |to: &Path, bytes: &[u8]| put(to, |aside| std::fs::write(aside, bytes));
    for (descriptor, bytes) in &manifests {
        write(&blob_path(path, &descriptor.digest), bytes).explain(cannot)?;
    }
    write(
        &path.join("oci-layout"),
        br#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .explain(cannot)?;
    layout::change(path, |index| {
        index.manifests.retain(|entry| {
            entry
                .annotations
                .get(REF_NAME)
                .is_none_or(|name| name != tag)
        });
        let mut entry = manifest.clone();
        entry
            .annotations
            .insert(REF_NAME.to_owned(), tag.to_owned());
        index.manifests.push(entry);
    })
}
