//! What the index of a composed image lists; pure.

use berth_contract::{Class, Error, Result};

use super::{Composed, Composition, Fetched};
use crate::documents::{Descriptor, Document, Index, media, to_json};
use crate::platform::Platform;
use crate::store::sha256;

/// What an attestation in an index is about, as `BuildKit` writes it.
const ABOUT: &str = "vnd.docker.reference.digest";

/// The document of the composed image: a source's own where nothing is to be changed.
pub(super) fn index(fetched: &[Fetched], composition: &Composition<'_>) -> Result<Composed> {
    let changed = !composition.platforms.is_empty()
        || !composition.annotations.is_empty()
        || !composition.entry_annotations.is_empty();
    if let [only] = fetched
        && !changed
        && only.source.descriptor.is_none()
        && (matches!(only.remote.document, Document::Index(_)) || !composition.prefer_index)
    {
        return Ok(Composed {
            descriptor: only.remote.descriptor.clone(),
            bytes: only.remote.bytes.clone(),
        });
    }
    let mut list = Index::new(Vec::new());
    for one in fetched {
        for entry in entries(one) {
            let known = list.manifests.iter_mut();
            match known.into_iter().find(|known| known.digest == entry.digest) {
                Some(known) => overwrite(known, &entry),
                None => list.manifests.push(entry),
            }
        }
        if let Document::Index(index) = &one.remote.document {
            list.annotations.extend(index.annotations.clone());
        }
    }
    retain(&mut list.manifests, composition.platforms);
    if list.manifests.is_empty() {
        let message = "nothing is left to make an image of";
        return Err(Error::new(Class::NotFound, message)
            .hint("berth buildx imagetools inspect tells the platforms of a source"));
    }
    for (platform, key, value) in composition.entry_annotations {
        let mut any = false;
        for entry in &mut list.manifests {
            if !entry.is_attestation() && is_for(entry, platform.as_ref()) {
                entry.annotations.insert(key.clone(), value.clone());
                any = true;
            }
        }
        if let (false, Some(platform)) = (any, platform) {
            let message = format!("cannot annotate the entry for {platform}");
            return Err(Error::new(Class::NotFound, message).caused_by("there is none"));
        }
    }
    list.annotations
        .extend(composition.annotations.iter().cloned());
    // Docker's list knows no annotations; else the sources' own kind is kept.
    let dockers = list
        .manifests
        .iter()
        .all(|entry| entry.media_type == media::DOCKER_MANIFEST && entry.annotations.is_empty());
    if dockers && list.annotations.is_empty() {
        list.media_type = media::DOCKER_LIST.to_owned();
    }
    let bytes = to_json(&list);
    let size = bytes.len() as u64;
    Ok(Composed {
        descriptor: Descriptor::new(&list.media_type, sha256(&bytes), size),
        bytes,
    })
}

/// What a source adds.
fn entries(one: &Fetched) -> Vec<Descriptor> {
    match &one.remote.document {
        Document::Index(index) => index.manifests.clone(),
        Document::Manifest(manifest) => {
            let mut entry = one.remote.descriptor.clone();
            entry.platform.clone_from(&one.platform);
            entry.artifact_type.clone_from(&manifest.artifact_type);
            if let Some(wanted) = &one.source.descriptor {
                overwrite(&mut entry, wanted);
            }
            vec![entry]
        }
    }
}

/// The later one counts, where it says anything.
fn overwrite(entry: &mut Descriptor, by: &Descriptor) {
    if by.platform.is_some() {
        entry.platform.clone_from(&by.platform);
    }
    if by.artifact_type.is_some() {
        entry.artifact_type.clone_from(&by.artifact_type);
    }
    entry.annotations.extend(by.annotations.clone());
}

/// Leaves the entries for some platforms, and what is said about those.
fn retain(entries: &mut Vec<Descriptor>, platforms: &[Platform]) {
    if platforms.is_empty() {
        return;
    }
    let wanted = |entry: &Descriptor| platforms.iter().any(|one| is_for(entry, Some(one)));
    let kept: Vec<String> = entries
        .iter()
        .filter(|entry| !entry.is_attestation() && wanted(entry))
        .map(|entry| entry.digest.to_string())
        .collect();
    entries.retain(|entry| {
        let about = entry.annotations.get(ABOUT);
        let known = |digest: &String| kept.contains(digest);
        match entry.is_attestation() {
            true => about.is_some_and(known),
            false => known(&entry.digest.to_string()),
        }
    });
}

fn is_for(entry: &Descriptor, platform: Option<&Platform>) -> bool {
    let Some(wanted) = platform else { return true };
    let Some(own) = &entry.platform else {
        return false;
    };
    own.os == wanted.os
        && own.architecture == wanted.architecture
        && (wanted.variant.is_none() || own.variant == wanted.variant)
}

#[cfg(test)]
mod tests {
    use super::super::Source;
    use super::*;
    use crate::reference::Reference;
    use crate::registry::{Access, RemoteDocument};

    fn fetched(document: &str, kind: &str, platform: Option<&str>) -> Fetched {
        let bytes = document.as_bytes().to_vec();
        let descriptor = Descriptor::new(kind, sha256(&bytes), bytes.len() as u64);
        Fetched {
            source: Source {
                reference: Reference::parse("a").unwrap(),
                descriptor: None,
            },
            remote: RemoteDocument {
                document: Document::parse(&bytes, Some(kind)).unwrap(),
                bytes,
                descriptor,
            },
            platform: platform.map(|text| text.parse().unwrap()),
        }
    }

    fn manifest(kind: &str, platform: &str, note: &str) -> Fetched {
        let digest = sha256(note.as_bytes());
        let document = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"x","digest":"{digest}","size":2}},"layers":[]}}"#
        );
        fetched(&document, kind, Some(platform))
    }

    fn planned<'a>(
        sources: &[Fetched],
        change: impl FnOnce(&mut Composition<'a>),
    ) -> Result<Composed> {
        // It has to live as long as whatever the change borrows.
        let access: &'a Access = Box::leak(Box::default());
        let mut composition = Composition {
            sources: &[],
            platforms: &[],
            annotations: &[],
            entry_annotations: &[],
            prefer_index: true,
            access,
        };
        change(&mut composition);
        index(sources, &composition)
    }

    fn list(composed: &Composed) -> Index {
        let kind = Some(composed.descriptor.media_type.as_str());
        match Document::parse(&composed.bytes, kind).unwrap() {
            Document::Index(index) => index,
            Document::Manifest(_) => panic!("no index"),
        }
    }

    #[test]
    fn a_single_source_is_copied_or_listed() {
        let one = [manifest(media::OCI_MANIFEST, "linux/amd64", "1")];
        let copied = planned(&one, |wish| wish.prefer_index = false).unwrap();
        assert_eq!(copied.bytes, one[0].remote.bytes);
        let listed = list(&planned(&one, |_| {}).unwrap());
        assert_eq!(listed.manifests[0].digest, one[0].remote.descriptor.digest);
        let platform = listed.manifests[0].platform.as_ref().unwrap();
        assert_eq!(platform.to_string(), "linux/amd64");
        let whole = planned(&one, |_| {}).unwrap();
        let text = String::from_utf8(whole.bytes.clone()).unwrap();
        let again = [fetched(&text, media::OCI_INDEX, None)];
        assert_eq!(planned(&again, |_| {}).unwrap().bytes, whole.bytes);
    }

    #[test]
    fn several_become_one_list_each_once() {
        let sources = [
            manifest(media::OCI_MANIFEST, "linux/amd64", "1"),
            manifest(media::OCI_MANIFEST, "wasi/wasm", "2"),
            manifest(media::OCI_MANIFEST, "linux/amd64", "1"),
        ];
        let note = [("k".to_owned(), "v".to_owned())];
        let entry = [(
            Some("wasi/wasm".parse().unwrap()),
            "e".to_owned(),
            "w".to_owned(),
        )];
        let composed = planned(&sources, |wish| {
            wish.annotations = &note;
            wish.entry_annotations = &entry;
        });
        let listed = list(&composed.unwrap());
        assert_eq!(listed.manifests.len(), 2);
        assert_eq!(listed.annotations["k"], "v");
        assert!(listed.manifests[0].annotations.is_empty());
        assert_eq!(listed.manifests[1].annotations["e"], "w");
        let only: [Platform; 1] = ["wasi/wasm".parse().unwrap()];
        let one = planned(&sources, |wish| wish.platforms = &only).unwrap();
        assert_eq!(list(&one).manifests.len(), 1);
        let none: [Platform; 1] = ["linux/arm64".parse().unwrap()];
        assert!(planned(&sources, |wish| wish.platforms = &none).is_err());
    }

    #[test]
    fn dockers_manifests_make_dockers_list() {
        let sources = [
            manifest(media::DOCKER_MANIFEST, "linux/amd64", "1"),
            manifest(media::DOCKER_MANIFEST, "linux/arm64", "2"),
        ];
        let composed = planned(&sources, |_| {}).unwrap();
        assert_eq!(composed.descriptor.media_type, media::DOCKER_LIST);
        let note = [("k".to_owned(), "v".to_owned())];
        let noted = planned(&sources, |wish| wish.annotations = &note).unwrap();
        assert_eq!(noted.descriptor.media_type, media::OCI_INDEX);
    }
}
