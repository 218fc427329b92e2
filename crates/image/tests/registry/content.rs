//! An image as an honest registry serves it, for others to lie about.

use std::collections::HashMap;

use berth_image::{
    FileEntry, ImageBuilder, Login, Platform, PullOptions, Reference, Silent, Store, install, pull,
};

use crate::closure::{Answer, Request};

/// An image's documents and blobs by digest.
pub(crate) struct Content {
    pub(crate) manifest: String,
    pub(crate) blobs: HashMap<String, Vec<u8>>,
}

impl Content {
    pub(crate) fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let store = Store::open(data.path());
        let mut image = ImageBuilder::new(Platform::host());
        let noise: Vec<u8> = (0_u32..60_000)
            .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        image.files = vec![FileEntry::File {
            path: "noise".into(),
            mode: 0o644,
            content: noise,
        }];
        install(&store, &Reference::parse("x").unwrap(), &[image]).unwrap();
        let manifest = store.find("x", None).unwrap().target().to_string();
        let blobs = std::fs::read_dir(data.path().join("oci/blobs/sha256"))
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let hex = path.file_name().unwrap().to_str().unwrap();
                (format!("sha256:{hex}"), std::fs::read(&path).unwrap())
            });
        Self {
            blobs: blobs.collect(),
            manifest,
        }
    }

    /// What an honest registry answers.
    pub(crate) fn answer(&self, request: &Request) -> Answer {
        let name = request.path.rsplit('/').next().unwrap();
        let name = if request.path.contains("/manifests/") && !name.contains(':') {
            &self.manifest
        } else {
            name
        };
        if request.path == "/v2/" {
            return Answer::new(200, b"{}");
        }
        let Some(body) = self.blobs.get(name) else {
            return Answer::new(
                404,
                br#"{"errors":[{"code":"BLOB_UNKNOWN","message":"no"}]}"#,
            );
        };
        let kind = if request.path.contains("/manifests/") {
            "application/vnd.oci.image.manifest.v1+json"
        } else {
            "application/octet-stream"
        };
        let from = request.headers.get("range").and_then(|range| {
            range
                .strip_prefix("bytes=")?
                .strip_suffix('-')?
                .parse::<usize>()
                .ok()
        });
        let answer = match from {
            Some(from) => Answer::new(206, &body[from..]).header(
                "content-range",
                format!("bytes {from}-{}/{}", body.len() - 1, body.len()),
            ),
            None => Answer::new(200, body),
        };
        answer
            .header("content-type", kind)
            .header("docker-content-digest", name)
    }

    pub(crate) fn largest(&self) -> String {
        self.blobs
            .iter()
            .max_by_key(|(_, body)| body.len())
            .unwrap()
            .0
            .clone()
    }
}

pub(crate) fn pull_from(
    address: &str,
    options: &PullOptions,
) -> berth_contract::Result<(tempfile::TempDir, bool)> {
    let data = tempfile::tempdir().unwrap();
    let reference = Reference::parse(&format!("{address}/team/app:1")).unwrap();
    let pulled = pull(&Store::open(data.path()), &reference, options, &Silent)?;
    Ok((data, pulled.updated))
}

pub(crate) fn me() -> Login {
    Login::Password {
        username: "me".into(),
        password: "secret".into(),
    }
}
