//! An OCI image layout in a tar, as buildx, skopeo, Podman and Docker from 25 on write it.

use berth_contract::{Class, Digest, Error, Result};

use super::{Files, Loader, Target, invalid};
use crate::documents::{
    CONFIG_LIMIT, Configuration, Descriptor, Document, Index, MANIFEST_LIMIT, Manifest,
};
use crate::platform::{Platform, choose};
use crate::reference::Reference;

const FULL_NAME: &str = "io.containerd.image.name";
const REF_NAME: &str = "org.opencontainers.image.ref.name";

impl Loader<'_> {
    /// Stages what `index.json` lists.
    pub(super) fn oci(&mut self, platform: Option<&Platform>) -> Result<Vec<Target>> {
        let bytes = self.files.read("index.json", MANIFEST_LIMIT)?;
        let index: Index = serde_json::from_slice(&bytes)
            .map_err(|error| invalid("its index.json does not read").context(error.to_string()))?;
        let mut targets: Vec<Target> = Vec::new();
        for entry in &index.manifests {
            if entry.is_attestation() {
                continue;
            }
            let Some((descriptor, id)) = self.entry(entry, platform)? else {
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
        if targets.iter().all(|target| target.names.is_empty()) && self.files.has("manifest.json") {
            for item in self.docker_items()? {
                let Ok((_, id, _)) = self.files.file(&item.config) else {
                    continue;
                };
                if let Some(target) = targets.iter_mut().find(|target| target.id == id) {
                    target.names.extend(item.names()?);
                }
            }
        }
        Ok(targets)
    }

    /// Stages what one entry leads to; nothing if none of it is in the archive.
    fn entry(
        &mut self,
        entry: &Descriptor,
        platform: Option<&Platform>,
    ) -> Result<Option<(Descriptor, Digest)>> {
        let Some(bytes) = self.document(entry)? else {
            return Ok(None);
        };
        let document = Document::parse(&bytes, Some(&entry.media_type))?;
        let mut ids = Vec::new();
        match &document {
            Document::Manifest(manifest) => {
                ids.push(self.manifest(manifest)?);
            }
            Document::Index(index) => {
                let host = Platform::host();
                let mut present = Vec::new();
                for (offered, inner) in index.images(&host) {
                    if platform.is_some_and(|wanted| wanted.served_by(offered).is_none()) {
                        continue;
                    }
                    if let Some(bytes) = self.document(inner)? {
                        present.push((offered, inner, bytes));
                    }
                }
                let preferred = choose(
                    platform,
                    &host,
                    present.iter().map(|(p, inner, _)| (*p, *inner)),
                );
                for (_, inner, bytes) in &present {
                    let Document::Manifest(manifest) =
                        Document::parse(bytes, Some(&inner.media_type))?
                    else {
                        return Err(invalid("its index leads to another index"));
                    };
                    let id = self.manifest(&manifest)?;
                    self.transaction.add_bytes(bytes, Some(&inner.digest))?;
                    if preferred.is_some_and(|preferred| preferred.digest == inner.digest) {
                        ids.insert(0, id);
                    } else {
                        ids.push(id);
                    }
                }
            }
        }
        let Some(id) = ids.into_iter().next() else {
            return Ok(None);
        };
        self.transaction.add_bytes(&bytes, Some(&entry.digest))?;
        let descriptor = Descriptor::new(
            document.media_type(),
            entry.digest.clone(),
            bytes.len() as u64,
        );
        Ok(Some((descriptor, id)))
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Option<Vec<u8>>> {
        let name = blob_name(&descriptor.digest);
        if !self.files.has(&name) {
            return Ok(None);
        }
        located(&self.files, descriptor)?;
        self.files.read(&name, MANIFEST_LIMIT).map(Some)
    }

    fn manifest(&mut self, manifest: &Manifest) -> Result<Digest> {
        let id = manifest.config.digest.clone();
        located(&self.files, &manifest.config)?;
        let bytes = self.files.read(&blob_name(&id), CONFIG_LIMIT)?;
        let config = Configuration::parse(&bytes)?;
        self.stage(manifest, &config, located)?;
        self.transaction.add_bytes(&bytes, Some(&id))?;
        Ok(id)
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

/// The file of a blob, if it is what its name says.
fn located(files: &Files, descriptor: &Descriptor) -> Result<(std::path::PathBuf, Digest, u64)> {
    let found = files.file(&blob_name(&descriptor.digest))?;
    if descriptor.digest.algorithm() == "sha256" && found.1 != descriptor.digest {
        let reason = format!("its content has the digest {}", found.1);
        return Err(Error::new(
            Class::Invalid,
            format!("blob {} of the archive is damaged", descriptor.digest),
        )
        .caused_by(reason));
    }
    Ok(found)
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
