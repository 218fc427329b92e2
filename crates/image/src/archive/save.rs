//! Writing images: one archive that Docker and OCI tools both read, or one of the other formats.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use berth_contract::{Class, Digest, Error, Result};
use berth_sys::error::Explain as _;
use serde::Serialize;

use super::directory::{VERSION, VERSION_FILE};
use super::select::{Chosen, choose};
use super::sink::Sink;
use super::{FULL_NAME, REF_NAME};
use crate::documents::{Descriptor, Index, media, to_json};
use crate::image::Image;
use crate::layer::{Hashing, decompress};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::{Hold, Store, Transaction};

/// How images lie in an archive or a directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// A tar that is an OCI layout and has Docker's `manifest.json`, as Docker from 25 on writes it.
    #[default]
    Combined,
    /// A tar with Docker's `manifest.json` and layers that are not compressed, for tools of any age.
    DockerArchive,
    /// A tar of an OCI layout.
    OciArchive,
    /// A directory with an OCI layout.
    OciDirectory,
    /// skopeo's `dir:`: one image's blobs in a directory.
    DockerDirectory,
}

impl ArchiveFormat {
    /// Whether it is a directory rather than a stream.
    #[must_use]
    pub fn is_directory(self) -> bool {
        matches!(self, Self::OciDirectory | Self::DockerDirectory)
    }
}

/// How to save.
#[derive(Debug, Clone, Default)]
pub struct SaveOptions {
    /// How the images lie there.
    pub format: ArchiveFormat,
    /// Of images for several platforms, take only these; all that are here if there are none.
    pub platforms: Vec<Platform>,
    /// Write layers without compression, which changes their digests and the manifest's.
    pub uncompressed: bool,
    /// What the one image is called there, in place of its own names.
    pub name: Option<String>,
}

/// Where images go.
pub enum Destination<'a> {
    /// A stream that takes a tar.
    Stream(&'a mut dyn Write),
    /// A directory that is made if it is not there.
    Directory(&'a Path),
}

impl std::fmt::Debug for Destination<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stream(_) => formatter.write_str("Stream"),
            Self::Directory(path) => write!(formatter, "Directory({})", path.display()),
        }
    }
}

/// Where blobs are read. Only what is converted is written down first, so that what cannot be written to can be
/// saved.
enum Source<'a> {
    Store { store: &'a Store, _hold: Hold },
    Staging(Transaction),
}

impl Source<'_> {
    fn locate(&self, digest: &Digest) -> PathBuf {
        match self {
            Self::Store { store, .. } => store.blob_path(digest),
            Self::Staging(staging) => staging.locate(digest),
        }
    }
}

/// An image of Docker's `manifest.json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Writes images; digests of manifests, configs and layers stay as they are.
///
/// # Errors
/// Class `NotFound` for images and platforms that are not here, `Invalid` for a format that cannot hold
/// them; a blob that is damaged; the destination cannot be written.
pub fn save(
    store: &Store,
    names: &[String],
    options: &SaveOptions,
    destination: Destination<'_>,
) -> Result<()> {
    let (mut chosen, source) = match options.uncompressed {
        false => {
            let _hold = store.hold()?;
            let chosen = choose(store, names, &options.platforms)?;
            (chosen, Source::Store { store, _hold })
        }
        true => {
            // It is never committed: room for what is converted, and a hold on the rest.
            let mut staging = store.transaction()?;
            let chosen = choose(store, names, &options.platforms)?;
            let chosen = crate::convert::without_compression(store, &mut staging, chosen)?;
            (chosen, Source::Staging(staging))
        }
    };
    let name = options.name.as_deref();
    if let (Some(name), [one]) = (name, chosen.as_mut_slice()) {
        // An OCI layout takes any text for a name, Docker's archive only a reference.
        one.names = match (options.format, Reference::parse(name)) {
            (_, Ok(name)) => vec![name],
            (ArchiveFormat::DockerArchive, Err(error)) => return Err(error),
            (_, Err(_)) => Vec::new(),
        };
    }
    let mut sink = match destination {
        Destination::Stream(stream) => Sink::tar(stream),
        Destination::Directory(path) => Sink::directory(path)?,
    };
    match options.format {
        ArchiveFormat::Combined => {
            layout(&mut sink, &source, &chosen, None)?;
            let items = items(
                &chosen,
                |image| blob_name(&image.manifest().config),
                layer_name,
            );
            docker_lists(&mut sink, &chosen, &items)?;
        }
        ArchiveFormat::OciArchive | ArchiveFormat::OciDirectory => {
            layout(&mut sink, &source, &chosen, name)?;
        }
        ArchiveFormat::DockerArchive => docker(&mut sink, &source, &chosen)?,
        ArchiveFormat::DockerDirectory => directory(&mut sink, &source, &chosen)?,
    }
    sink.finish()
}

fn blob_name(blob: &Descriptor) -> String {
    format!("blobs/{}/{}", blob.digest.algorithm(), blob.digest.hex())
}

fn layer_name((layer, _): &(&Descriptor, Digest)) -> String {
    blob_name(layer)
}

/// `oci-layout`, `index.json` and the blobs.
fn layout(
    sink: &mut Sink<'_>,
    source: &Source<'_>,
    chosen: &[Chosen],
    name: Option<&str>,
) -> Result<()> {
    let mut blobs: BTreeMap<String, &Descriptor> = BTreeMap::new();
    for blob in chosen.iter().flat_map(|one| &one.blobs) {
        blobs.insert(blob_name(blob), blob);
    }
    let index = index(chosen, name);
    let root = sink.root().map(Path::to_owned);
    if let Some(root) = &root {
        // What cannot be added to is not written to either.
        super::layout::listed(root)?;
    }
    sink.bytes("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    if root.is_none() {
        sink.bytes("index.json", &to_json(&index))?;
    }
    sink.folder("blobs")?;
    let folders: BTreeSet<&str> = blobs.values().map(|blob| blob.digest.algorithm()).collect();
    for folder in folders {
        sink.folder(&format!("blobs/{folder}"))?;
    }
    for (name, blob) in blobs {
        sink.blob(&name, &source.locate(&blob.digest), &blob.digest)?;
    }
    match root {
        Some(root) => super::layout::change(&root, |known| beside_others(known, index)),
        None => Ok(()),
    }
}

/// A layout that is there keeps what it has under other names.
fn beside_others(known: &mut Index, own: Index) {
    let name = |entry: &Descriptor| entry.annotations.get(REF_NAME).cloned();
    let replaced = |other: &Descriptor| {
        let mut own = own.manifests.iter();
        own.any(|entry| match name(entry) {
            None => entry.digest == other.digest && name(other).is_none(),
            called => called == name(other),
        })
    };
    known.manifests.retain(|entry| !replaced(entry));
    known.manifests.extend(own.manifests);
}

/// One entry for each name, and one for what has none; a given name is written as it was given.
fn index(chosen: &[Chosen], given: Option<&str>) -> Index {
    let mut entries = Vec::new();
    for one in chosen {
        if let Some(name) = given {
            let mut entry = one.target.clone();
            entry.annotations.insert(REF_NAME.into(), name.into());
            entries.push(entry);
            continue;
        }
        entries.extend(one.names.iter().map(|name| {
            let mut entry = one.target.clone();
            if let Some(tag) = name.tag() {
                entry.annotations.insert(REF_NAME.into(), tag.into());
            }
            entry.annotations.insert(FULL_NAME.into(), name.to_string());
            entry
        }));
        if one.names.is_empty() {
            entries.push(one.target.clone());
        }
    }
    Index::new(entries)
}

/// What `manifest.json` says: of each target the image for this host, since the list knows no platforms.
fn items(
    chosen: &[Chosen],
    config: impl Fn(&Image) -> String,
    layer: impl Fn(&(&Descriptor, Digest)) -> String,
) -> Vec<Item> {
    let images = chosen
        .iter()
        .filter_map(|one| Some((one, one.images.first()?)));
    // An artifact of one module has no archives that another engine could unpack.
    let images = images.filter(|(_, image)| image.module().is_none());
    let items = images.map(|(one, image)| Item {
        config: config(image),
        repo_tags: (!one.names.is_empty())
            .then(|| one.names.iter().map(Reference::familiar).collect()),
        layers: image.archives().iter().map(&layer).collect(),
    });
    items.collect()
}

/// `manifest.json`, and `repositories` for tools from before 2014.
fn docker_lists(sink: &mut Sink<'_>, chosen: &[Chosen], items: &[Item]) -> Result<()> {
    let mut repositories: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for one in chosen {
        let top = one.images.first().and_then(|image| {
            let archives = image.archives();
            archives.last().map(|(_, diff_id)| diff_id.hex().to_owned())
        });
        for name in &one.names {
            if let (Some(tag), Some(top)) = (name.tag(), &top) {
                let tags = repositories.entry(name.familiar_name()).or_default();
                tags.insert(tag.to_owned(), top.clone());
            }
        }
    }
    sink.bytes("manifest.json", &to_json(&items))?;
    sink.bytes("repositories", &to_json(&repositories))
}

/// A docker-archive: configs by their ids, layers by their diff ids.
fn docker(sink: &mut Sink<'_>, source: &Source<'_>, chosen: &[Chosen]) -> Result<()> {
    let mut written = BTreeSet::new();
    for image in chosen.iter().filter_map(|one| one.images.first()) {
        if image.module().is_some() {
            return Err(unfit(
                image,
                "it is a wasm artifact, which Docker's archives cannot hold",
            ));
        }
        let config = &image.manifest().config;
        if written.insert(config.digest.clone()) {
            let name = format!("{}.json", config.digest.hex());
            sink.blob(&name, &source.locate(&config.digest), &config.digest)?;
        }
        for (layer, diff_id) in image.archives() {
            if written.insert(diff_id.clone()) {
                let name = format!("{}.tar", diff_id.hex());
                if layer.digest == diff_id {
                    sink.blob(&name, &source.locate(&layer.digest), &diff_id)?;
                } else {
                    inflate(sink, source, &name, (layer, &diff_id))?;
                }
            }
        }
    }
    let config = |image: &Image| format!("{}.json", image.id().hex());
    let items = items(chosen, config, |(_, diff_id)| {
        format!("{}.tar", diff_id.hex())
    });
    docker_lists(sink, chosen, &items)
}

/// Writes a layer without its compression: it is read twice, since a tar wants to know the size first.
fn inflate(
    sink: &mut Sink<'_>,
    source: &Source<'_>,
    name: &str,
    (layer, diff_id): (&Descriptor, &Digest),
) -> Result<()> {
    let path = source.locate(&layer.digest);
    let cannot = || format!("cannot read layer {}", layer.digest);
    let open = || File::open(&path).and_then(decompress);
    let mut inflated = Hashing::like(Some(diff_id), open().explain(cannot)?);
    let sum = inflated.sum();
    io::copy(&mut inflated, &mut io::sink()).explain(cannot)?;
    if sum.digest() != *diff_id {
        return Err(Error::new(
            Class::Internal,
            format!("layer {} is damaged", layer.digest),
        )
        .hint("berth system check --repair"));
    }
    let plain = io::BufReader::with_capacity(256 << 10, open().explain(cannot)?);
    sink.stream(name, sum.bytes(), plain)
}

/// skopeo's `dir:`, which holds one image or one index.
fn directory(sink: &mut Sink<'_>, source: &Source<'_>, chosen: &[Chosen]) -> Result<()> {
    let [one] = chosen else {
        return Err(
            Error::new(Class::Invalid, "a directory of this format holds one image")
                .hint("save one image, or use --format oci-dir"),
        );
    };
    sink.bytes(VERSION_FILE, VERSION.as_bytes())?;
    for blob in &one.blobs {
        let hex = blob.digest.hex();
        let document = media::is_manifest(&blob.media_type) || media::is_index(&blob.media_type);
        let name = match document {
            _ if blob.digest == one.target.digest => "manifest.json".to_owned(),
            true => format!("{hex}.manifest.json"),
            false => hex.to_owned(),
        };
        sink.blob(&name, &source.locate(&blob.digest), &blob.digest)?;
    }
    Ok(())
}

fn unfit(image: &Image, reason: &str) -> Error {
    let name = image.names().first().map(Reference::familiar);
    let name = name.unwrap_or_else(|| image.id().short().to_owned());
    Error::new(Class::Invalid, format!("cannot save {name} in this format"))
        .caused_by(reason)
        .hint("leave --format away, or use --format oci-archive")
}
