//! An OCI image layout, as buildx, skopeo, Podman and Docker from 25 on write it.

use std::path::PathBuf;

use berth_contract::{Digest, Result};

use super::files::Files;
use super::load::{Loader, Target};
use super::{FULL_NAME, REF_NAME, invalid};
use crate::documents::{
    CONFIG_LIMIT, Configuration, Descriptor, Document, Index, MANIFEST_LIMIT, Manifest,
};
use crate::platform::{Platform, choose};
use crate::reference::Reference;

/// The manifest that an attestation speaks about (`BuildKit`, `docs/attestations/attestation-storage.md`).
const ABOUT: &str = "vnd.docker.reference.digest";

impl Loader<'_> {
    /// Stages what `index.json` lists.
    pub(super) fn layout(&mut self) -> Result<Vec<Target>> {
        let bytes = self.files.read("index.json", MANIFEST_LIMIT)?;
        let index: Index = serde_json::from_slice(&bytes)
            .map_err(|error| invalid(format!("its index.json does not read: {error}")))?;
        self.oci(&index)
    }

    /// Stages what a list of entries leads to.
    pub(super) fn oci(&mut self, index: &Index) -> Result<Vec<Target>> {
        let mut targets: Vec<Target> = Vec::new();
        for (position, entry) in index.manifests.iter().enumerate() {
            let selected = |selector: &super::Selector| {
                selector.chooses(position, entry.annotations.get(FULL_NAME))
                    || selector.chooses(position, entry.annotations.get(REF_NAME))
                    || *selector == super::Selector::Digest(entry.digest.clone())
            };
            if entry.is_attestation() || !self.options.select.as_ref().is_none_or(selected) {
                continue;
            }
            let Some((descriptor, id)) = self.entry(entry)? else {
                continue;
            };
            let names: Vec<Reference> = name(entry).into_iter().collect();
            match targets
                .iter_mut()
                .find(|target| target.descriptor.digest == descriptor.digest)
            {
                Some(known) => known.names.extend(names),
                None => targets.push(Target {
                    names,
                    descriptor,
                    id,
                }),
            }
        }
        // Docker writes both lists; of skopeo's archives only manifest.json may know the names.
        if targets.iter().all(|target| target.names.is_empty()) && self.files.has("oci-layout") {
            self.names_of_docker(&mut targets)?;
        }
        Ok(targets)
    }

    fn names_of_docker(&self, targets: &mut [Target]) -> Result<()> {
        if !self.files.has("manifest.json") {
            return Ok(());
        }
        for item in self.docker_items()? {
            let Ok((_, id, _)) = self.files.file(&item.config) else {
                continue;
            };
            if let Some(target) = targets.iter_mut().find(|target| target.id == id) {
                target.names.extend(item.names()?);
            }
        }
        Ok(())
    }

    /// Stages what one entry leads to; nothing if none of it is in the archive.
    fn entry(&mut self, entry: &Descriptor) -> Result<Option<(Descriptor, Digest)>> {
        let Some(bytes) = self.document(entry)? else {
            return Ok(None);
        };
        let document = Document::parse(&bytes, Some(&entry.media_type))?;
        let id = match &document {
            Document::Manifest(manifest) => {
                let config = self.config(manifest)?;
                let takes = config.platform().is_none_or(|own| self.options.takes(&own));
                if !takes {
                    return Ok(None);
                }
                Some(self.manifest(manifest, &config)?)
            }
            Document::Index(index) => self.index(index)?,
        };
        let Some(id) = id else { return Ok(None) };
        self.transaction.add_bytes(&bytes, Some(&entry.digest))?;
        let descriptor = Descriptor::new(
            document.media_type(),
            entry.digest.clone(),
            bytes.len() as u64,
        );
        Ok(Some((descriptor, id)))
    }

    /// Stages the images of an index and what attests them; the id of the one this host would run.
    fn index(&mut self, index: &Index) -> Result<Option<Digest>> {
        let host = Platform::host();
        let mut present = Vec::new();
        for (offered, inner) in index.images(&host) {
            if !self.options.takes(offered) {
                continue;
            }
            let Some(bytes) = self.document(inner)? else {
                continue;
            };
            let Document::Manifest(manifest) = Document::parse(&bytes, Some(&inner.media_type))?
            else {
                return Err(invalid("its index leads to another index"));
            };
            let config = self.config(&manifest)?;
            let id = self.manifest(&manifest, &config)?;
            self.transaction.add_bytes(&bytes, Some(&inner.digest))?;
            present.push((offered, inner.digest.clone(), id));
        }
        for entry in index
            .manifests
            .iter()
            .filter(|entry| entry.is_attestation())
        {
            let about = |digest: &String| present.iter().any(|(_, own, _)| own.as_str() == digest);
            if entry.annotations.get(ABOUT).is_none_or(about) {
                self.attestation(entry)?;
            }
        }
        let wanted = self.options.platforms.first();
        let offered = present.iter().map(|(platform, _, id)| (*platform, id));
        let preferred = choose(wanted, &host, offered).or(present.first().map(|(_, _, id)| id));
        Ok(preferred.cloned())
    }

    /// Keeps a statement about an image as it is, if all of it is in the archive.
    fn attestation(&mut self, entry: &Descriptor) -> Result<()> {
        let Some(bytes) = self.document(entry)? else {
            return Ok(());
        };
        let Document::Manifest(manifest) = Document::parse(&bytes, Some(&entry.media_type))? else {
            return Ok(());
        };
        let mut parts = Vec::new();
        for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
            match self.files.blob(&blob.digest)? {
                Some((path, ..)) => parts.push((path, blob.digest.clone())),
                None => return Ok(()),
            }
        }
        for (path, digest) in parts {
            if !self.store.has_blob(&digest) {
                self.transaction.add_file(path, digest);
            }
        }
        self.transaction.add_bytes(&bytes, Some(&entry.digest))?;
        Ok(())
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Option<Vec<u8>>> {
        if self.files.blob(&descriptor.digest)?.is_none() {
            return Ok(None);
        }
        self.read(descriptor, MANIFEST_LIMIT).map(Some)
    }

    fn config(&self, manifest: &Manifest) -> Result<Configuration> {
        Configuration::parse(&self.read(&manifest.config, CONFIG_LIMIT)?)
    }

    fn read(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>> {
        use berth_sys::error::Explain as _;
        let (path, _, size) = located(&self.files, descriptor)?;
        if size > limit {
            let reason = format!("{} is larger than {limit} bytes", descriptor.digest);
            return Err(invalid(reason));
        }
        std::fs::read(&path).explain(|| format!("cannot read {}", path.display()))
    }

    fn manifest(&mut self, manifest: &Manifest, config: &Configuration) -> Result<Digest> {
        let id = manifest.config.digest.clone();
        self.stage(manifest, config, located)?;
        let bytes = self.read(&manifest.config, CONFIG_LIMIT)?;
        self.transaction.add_bytes(&bytes, Some(&id))?;
        Ok(id)
    }
}

/// The file of a blob.
fn located(files: &Files, descriptor: &Descriptor) -> Result<(PathBuf, Digest, u64)> {
    files
        .blob(&descriptor.digest)?
        .ok_or_else(|| invalid(format!("it lacks blob {}", descriptor.digest)))
}

/// The name of an entry: a full reference, or nothing. A bare tag (`latest`) names no repository.
fn name(entry: &Descriptor) -> Option<Reference> {
    if let Some(name) = entry.annotations.get(FULL_NAME) {
        return Reference::parse(name).ok();
    }
    let name = entry.annotations.get(REF_NAME)?;
    name.contains(['/', ':'])
        .then(|| Reference::parse(name).ok())?
}
