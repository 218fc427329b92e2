//! Artifacts of files: made of them, added to, and taken apart again (Podman's `artifact`).
//!
//! ```text
//!  file ─► layer: its bytes as they are, its name as `title`     config: `{}`     manifest: the type
//! ```

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::{Component, Path, PathBuf};

use berth_contract::{Class, Digest, Error, Result};
use berth_sys::error::Explain as _;

use super::artifacts::{Artifact, is_listed, no_such_artifact};
use super::index::{is_named, replace_target, set_name};
use super::{Store, Transaction, digest_of_reader};
use crate::archive::layout::put;
use crate::documents::{Descriptor, Document, Manifest, media};
use crate::reference::Reference;

/// The name of a file.
const TITLE: &str = "org.opencontainers.image.title";
/// When an artifact was made.
const CREATED: &str = "org.opencontainers.image.created";
/// What ORAS calls an artifact whose type nobody said; image-spec wants one where the config is empty.
const UNKNOWN: &str = "application/vnd.unknown.artifact.v1";
/// A config that says nothing, and its bytes.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const EMPTY_BYTES: &[u8] = b"{}";
/// So many bytes tell what a file is.
const HEAD: u64 = 512;

/// How files become an artifact.
#[derive(Debug, Clone, Default)]
pub struct ArtifactWish {
    /// The artifact's type.
    pub kind: Option<String>,
    /// The media type of each file, instead of what its first bytes say.
    pub file_type: Option<String>,
    /// Notes on each file.
    pub annotations: BTreeMap<String, String>,
    /// Add to an artifact that is here.
    pub append: bool,
    /// Take the name of an artifact that is here.
    pub replace: bool,
    /// When it is made, in RFC 3339.
    pub created: String,
}

/// Which file of an artifact is meant.
#[derive(Debug, Clone, Copy)]
pub enum ArtifactFile<'a> {
    /// Each.
    All,
    /// The one with this digest.
    Digest(&'a str),
    /// The one of this name.
    Title(&'a str),
}

impl Artifact {
    /// When it was made, in RFC 3339, if it says so.
    #[must_use]
    pub fn created(&self) -> Option<&str> {
        self.manifest.annotations.get(CREATED).map(String::as_str)
    }
}

impl Store {
    /// Makes an artifact of files, or adds them to one; gives its digest.
    ///
    /// # Errors
    /// A file cannot be read; class `Conflict` if the name or a file's name is taken, `NotFound` if there is
    /// nothing to add to.
    pub fn add_artifact(
        &self,
        name: &Reference,
        files: &[PathBuf],
        wish: &ArtifactWish,
    ) -> Result<Digest> {
        if name.digest().is_some() {
            let message = format!("cannot call an artifact {}", name.familiar());
            return Err(
                Error::new(Class::Invalid, message).caused_by("a digest is computed, not given")
            );
        }
        // Looked at first: large files are not read for nothing.
        self.base(name, wish)?;
        let mut transaction = self.transaction()?;
        let added = files
            .iter()
            .map(|file| stage(&mut transaction, file, wish))
            .collect::<Result<Vec<_>>>()?;
        loop {
            let base = self.base(name, wish)?;
            let was = base.as_ref().map(|(entry, _)| entry.digest.clone());
            let mut manifest = match base {
                Some((_, manifest)) if wish.append => manifest,
                _ => fresh(&mut transaction, wish)?,
            };
            manifest.layers.extend(added.iter().cloned());
            check_titles(&manifest)?;
            let target = transaction.add_document(&manifest).map_err(|error| {
                let message = format!("cannot make the artifact {}", name.familiar());
                error.context(message)
            })?;
            transaction.publish()?;
            // Somebody else may have added something meanwhile: that must not be lost.
            if self.exchange(name, was.as_ref(), &target)? {
                return Ok(target.digest);
            }
        }
    }

    /// What the name leads to now, if that may go on with the wish.
    fn base(
        &self,
        name: &Reference,
        wish: &ArtifactWish,
    ) -> Result<Option<(Descriptor, Manifest)>> {
        let full = name.to_string();
        let index = self.index()?;
        let entry = index.manifests.iter().find(|entry| is_named(entry, &full));
        let Some(entry) = entry else {
            return match wish.append {
                true => Err(no_such_artifact(&name.familiar())),
                false => Ok(None),
            };
        };
        let taken = |reason: &str| {
            let message = format!("cannot make the artifact {}", name.familiar());
            Error::new(Class::Conflict, message).caused_by(reason.to_owned())
        };
        match self.document(entry)? {
            Some(Document::Manifest(manifest)) if is_listed(&manifest) => {
                if wish.append || wish.replace {
                    return Ok(Some((entry.clone(), manifest)));
                }
                Err(taken("an artifact has that name")
                    .hint("--append adds to it, --replace takes its name"))
            }
            _ => Err(taken("an image has that name").hint("choose another name")),
        }
    }

    /// Gives the name to a new target, unless it leads elsewhere than it did; says whether it has it.
    fn exchange(
        &self,
        name: &Reference,
        was: Option<&Digest>,
        target: &Descriptor,
    ) -> Result<bool> {
        let full = name.to_string();
        self.change_index(|index| {
            let mut entries = index.manifests.iter();
            let now = entries.find(|entry| is_named(entry, &full));
            if now.map(|entry| &entry.digest) != was {
                return Ok(false);
            }
            let runs = match now.map(|entry| self.document(entry)).transpose()? {
                Some(Some(Document::Manifest(manifest))) => !manifest.is_artifact(),
                _ => false,
            };
            // A wasm artifact may have containers: it stays, as an image that loses its name does.
            match runs {
                true => set_name(index, name, target),
                false => replace_target(index, name, target),
            }
            Ok(true)
        })
    }

    /// Copies files of an artifact out, each verified before anything is written. Into a directory all can
    /// go; to a file just one.
    ///
    /// # Errors
    /// Class `NotFound` if no file is so; `Invalid` if several would be one, or a name leads elsewhere.
    pub fn extract_artifact(
        &self,
        artifact: &Artifact,
        which: ArtifactFile<'_>,
        target: &Path,
    ) -> Result<()> {
        let _hold = self.hold()?;
        let chosen: Vec<&Descriptor> = artifact
            .manifest
            .layers
            .iter()
            .filter(|layer| is_meant(layer, which))
            .collect();
        let cannot = || format!("cannot extract to {}", target.display());
        let refuse = |class, reason: String| Err(Error::new(class, cannot()).caused_by(reason));
        let into = target.is_dir();
        match (chosen.len(), into) {
            (0, _) => return refuse(Class::NotFound, "the artifact has no such file".into()),
            (1, _) | (_, true) => {}
            (number, false) => {
                let files: Vec<String> = chosen.iter().map(|layer| file_name(layer)).collect();
                let reason = format!("{number} files cannot become one: {}", files.join(", "));
                return refuse(Class::Invalid, reason).map_err(|error| {
                    error.hint("name a directory, or choose one with --title or --digest")
                });
            }
        }
        let mut copies: Vec<(File, PathBuf)> = Vec::with_capacity(chosen.len());
        for layer in chosen {
            let place = match (into, which) {
                (false, _) => target.to_owned(),
                (true, ArtifactFile::Digest(_)) => target.join(by_digest(&layer.digest)),
                (true, _) => target.join(plain_name(layer)?),
            };
            if copies.iter().any(|(_, other)| *other == place) {
                let reason = format!("two of its files are called {}", file_name(layer));
                return refuse(Class::Invalid, reason)
                    .map_err(|error| error.hint("extract them one by one: --digest"));
            }
            copies.push((self.verified(layer)?, place));
        }
        for (mut file, place) in copies {
            let cannot = || format!("cannot write {}", place.display());
            let mut write = |place: &Path| io::copy(&mut file, &mut File::create(place)?);
            match into {
                // A link that lies there under the artifact's name for the file leads who knows where.
                true => put(&place, write),
                false => write(&place),
            }
            .explain(cannot)?;
        }
        Ok(())
    }

    /// A blob that is what its digest says.
    fn verified(&self, blob: &Descriptor) -> Result<File> {
        let mut file = self.open_blob(&blob.digest)?;
        let cannot = || format!("cannot read blob {}", blob.digest);
        let computed = digest_of_reader(&blob.digest, &mut file).explain(cannot)?;
        if computed != blob.digest {
            let what = format!("blob {}", blob.digest);
            return Err(self.quarantine(&self.blob_path(&blob.digest), &what));
        }
        file.rewind().explain(cannot)?;
        Ok(file)
    }
}

/// An artifact without files.
fn fresh(transaction: &mut Transaction, wish: &ArtifactWish) -> Result<Manifest> {
    let config = transaction.add_bytes(EMPTY_BYTES, None)?;
    let size = EMPTY_BYTES.len() as u64;
    Ok(Manifest {
        schema_version: 2,
        media_type: media::OCI_MANIFEST.to_owned(),
        artifact_type: Some(wish.kind.as_deref().unwrap_or(UNKNOWN).to_owned()),
        config: Descriptor::new(EMPTY, config, size),
        layers: Vec::new(),
        subject: None,
        annotations: [(CREATED.to_owned(), wish.created.clone())].into(),
    })
}

/// Copies a file aside, and describes it.
fn stage(transaction: &mut Transaction, path: &Path, wish: &ArtifactWish) -> Result<Descriptor> {
    let cannot = || format!("cannot read {}", path.display());
    let refuse =
        |reason: &str| Err(Error::new(Class::Invalid, cannot()).caused_by(reason.to_owned()));
    // Asked before it is opened: opening a pipe would wait for its writer.
    if !std::fs::metadata(path).explain(cannot)?.is_file() {
        return refuse("it is no file");
    }
    let Some(title) = path.file_name().and_then(|name| name.to_str()) else {
        return refuse("its name is no text, which a title has to be");
    };
    let mut file = File::open(path).explain(cannot)?;
    let mut head = Vec::new();
    let first = (&mut file).take(HEAD).read_to_end(&mut head);
    first.and_then(|_| file.rewind()).explain(cannot)?;
    let kind = wish.file_type.as_deref().unwrap_or_else(|| sniffed(&head));
    let unreadable =
        |error: io::Error| Error::new(berth_sys::error::class(&error), cannot()).caused_by(error);
    let spooled = transaction.spool(file, unreadable)?;
    let mut layer = Descriptor::new(kind, spooled.digest, spooled.size);
    layer.annotations = wish.annotations.clone();
    let titles = &mut layer.annotations;
    titles
        .entry(TITLE.to_owned())
        .or_insert_with(|| title.to_owned());
    transaction.add_file(spooled.path, layer.digest.clone());
    Ok(layer)
}

/// Two files of one name could not be told apart.
fn check_titles(manifest: &Manifest) -> Result<()> {
    let mut seen = HashSet::new();
    let mut titles = manifest.layers.iter().filter_map(title);
    match titles.find(|title| !seen.insert(*title)) {
        Some(title) => {
            let message = format!("the artifact would have two files called {title}");
            Err(Error::new(Class::Conflict, message)
                .hint(format!("--annotation {TITLE}=… gives a file another name")))
        }
        None => Ok(()),
    }
}

fn title(layer: &Descriptor) -> Option<&str> {
    layer.annotations.get(TITLE).map(String::as_str)
}

fn is_meant(layer: &Descriptor, which: ArtifactFile<'_>) -> bool {
    match which {
        ArtifactFile::All => true,
        ArtifactFile::Digest(digest) => {
            layer.digest.as_str() == digest || layer.digest.hex() == digest
        }
        ArtifactFile::Title(wanted) => title(layer) == Some(wanted),
    }
}

/// What a file is called where titles are only shown.
fn file_name(layer: &Descriptor) -> String {
    title(layer).map_or_else(|| by_digest(&layer.digest), str::to_owned)
}

/// What a file becomes in a directory: its title must not lead out of it.
fn plain_name(layer: &Descriptor) -> Result<String> {
    let name = file_name(layer);
    let mut parts = Path::new(&name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(only)), None) if only == name.as_str() => Ok(name),
        _ => {
            let message = format!("cannot extract the file {name:?}");
            Err(Error::new(Class::Invalid, message)
                .caused_by("its title is no plain file name")
                .hint("extract it to a file: --title chooses it, the target names it"))
        }
    }
}

fn by_digest(digest: &Digest) -> String {
    digest.as_str().replace(':', "-")
}

/// The media type of what begins so, as far as its first bytes tell (WHATWG MIME sniffing, section 7.1).
fn sniffed(head: &[u8]) -> &'static str {
    const KNOWN: [(&[u8], &str); 15] = [
        (b"\0asm", media::WASM_LAYER),
        (b"%PDF-", "application/pdf"),
        (b"%!PS-Adobe-", "application/postscript"),
        (b"\x1f\x8b\x08", "application/x-gzip"),
        (b"PK\x03\x04", "application/zip"),
        (b"Rar!\x1a\x07", "application/x-rar-compressed"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"OggS\0", "application/ogg"),
        (b"\x1a\x45\xdf\xa3", "video/webm"),
        (b"\xfe\xff", "text/plain; charset=utf-16be"),
        (b"\xff\xfe", "text/plain; charset=utf-16le"),
        (b"<?xml", "text/xml; charset=utf-8"),
    ];
    if let Some((_, kind)) = KNOWN.iter().find(|(begin, _)| head.starts_with(begin)) {
        return kind;
    }
    // Bytes that no text has.
    let binary = |byte: &u8| matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f);
    match head.iter().any(binary) {
        true => "application/octet-stream",
        false => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell_what_a_file_is() {
        assert_eq!(sniffed(b"\0asm\x01\0\0\0"), media::WASM_LAYER);
        assert_eq!(sniffed(b"\x1f\x8b\x08\0"), "application/x-gzip");
        assert_eq!(sniffed(b"a: 1\n"), "text/plain; charset=utf-8");
        assert_eq!(sniffed(b""), "text/plain; charset=utf-8");
        assert_eq!(sniffed(b"GGUF\x03\0"), "application/octet-stream");
    }

    #[test]
    fn titles_that_lead_elsewhere_are_no_names() {
        let titled = |title: &str| {
            let digest = crate::store::sha256(b"");
            let mut layer = Descriptor::new("", digest, 0);
            layer.annotations.insert(TITLE.to_owned(), title.to_owned());
            layer
        };
        assert_eq!(plain_name(&titled("a.txt")).unwrap(), "a.txt");
        for bad in ["", ".", "..", "/a", "a/b", "../a", "a/", "./a"] {
            assert!(plain_name(&titled(bad)).is_err(), "{bad:?}");
        }
    }
}
