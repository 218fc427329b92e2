//! A bare wasm module or component as an OCI artifact (CNCF TAG-Runtime, `wasm/artifact`).

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use berth_contract::{Class, Error, Result};
use berth_sys::error::Explain as _;
use serde_json::json;

use super::documents::Documents;
use crate::documents::{Descriptor, Manifest, media, to_json};
use crate::image::Image;
use crate::layer::Hashing;
use crate::store::{Store, Transaction, sha256};

impl Documents {
    /// An artifact of one file, made for this push alone.
    pub(super) fn of_wasm(store: &Store, module: &Path, created: &str) -> Result<Self> {
        Self::of_module(store.transaction()?, module, created)
    }

    /// The same of a wasm image's program, whether it is a layer of its own or a file of the image.
    pub(super) fn of_wasm_image(store: &Store, image: &Image) -> Result<Self> {
        let refused = |reason: String| {
            let message = format!(
                "cannot make a wasm artifact of image {}",
                image.id().short()
            );
            Error::new(Class::Invalid, message).caused_by(reason)
        };
        if let Some(module) = image.module() {
            return Self::of_wasm(store, &module, image.created());
        }
        let path = image.config().config.program().ok_or_else(|| {
            refused("it names no program".into()).hint("ENTRYPOINT [\"/app.wasm\"] does")
        })?;
        image.ensure_unpacked()?;
        let file = image.files()?.open_file(Path::new(&path))?;
        let mut file = file.ok_or_else(|| refused(format!("{path} is not in it")))?;
        let transaction = store.transaction()?;
        let (mut staged, place) = transaction.new_file()?;
        std::io::copy(&mut file, &mut staged).explain(|| format!("cannot read {path}"))?;
        let documents = Self::of_module(transaction, &place, image.created());
        documents.map_err(|error| match error.class() {
            Class::Invalid => refused(format!("its program {path} is no wasm")),
            _ => error,
        })
    }

    fn of_module(transaction: Transaction, module: &Path, created: &str) -> Result<Self> {
        let cannot = || format!("cannot read {}", module.display());
        let mut file = File::open(module).explain(cannot)?;
        let mut head = [0; 8];
        let not_wasm = |reason: &str| {
            Error::new(
                Class::Invalid,
                format!("{} is no wasm file", module.display()),
            )
            .caused_by(reason.to_owned())
        };
        file.read_exact(&mut head)
            .map_err(|_short| not_wasm("it is shorter than its header"))?;
        // The version's second half is the layer: 0 for modules, 1 for components.
        let os = match head {
            [0, b'a', b's', b'm', 1, 0, 0, 0] => "wasip1",
            [0, b'a', b's', b'm', _, _, 1, 0] => "wasip2",
            _ => return Err(not_wasm("it begins like neither a module nor a component")),
        };
        let mut hashing = Hashing::new(File::open(module).explain(cannot)?);
        let sum = hashing.sum();
        std::io::copy(&mut hashing, &mut std::io::sink()).explain(cannot)?;
        let layer = Descriptor::new(media::WASM_LAYER, sum.digest(), sum.bytes());
        let config = to_json(&json!({
            "created": created,
            "architecture": "wasm",
            "os": os,
            "layerDigests": [layer.digest],
        }));
        let (mut staged, path) = transaction.new_file()?;
        std::io::Write::write_all(&mut staged, &config).explain(cannot)?;
        let config = Descriptor::new(media::WASM_CONFIG, sha256(&config), config.len() as u64);
        let manifest = to_json(&Manifest {
            schema_version: 2,
            media_type: media::OCI_MANIFEST.to_owned(),
            artifact_type: None,
            config: config.clone(),
            layers: vec![layer.clone()],
            subject: None,
            annotations: std::collections::BTreeMap::new(),
        });
        let descriptor = Descriptor::new(
            media::OCI_MANIFEST,
            sha256(&manifest),
            manifest.len() as u64,
        );
        let mut documents = Self::empty();
        documents.blobs = vec![(layer, module.to_owned()), (config, path)];
        documents.manifests = vec![(descriptor, manifest.into())];
        documents.scratch = Some(transaction);
        Ok(documents)
    }
}
