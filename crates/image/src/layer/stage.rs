//! Layers on their way into the store: unpacked aside, then completed from the layers below.

use std::ffi::OsString;

use berth_contract::{Digest, Result};
use berth_sys::error::Explain as _;
use berth_sys::file::{Directory, Links, unique_name};

use super::{Expected, Unpacked, inherit, unpack};
use crate::artifact::Content;
use crate::store::{Store, Transaction, chain_ids};

/// Unpacks a stream into a new directory of the transaction.
pub(crate) fn unpack_new(
    source: impl std::io::Read,
    into: &Directory,
    expected: &Expected,
) -> Result<(OsString, Unpacked)> {
    let name = unique_name("layer-");
    let make = || {
        into.create_directory(&name, 0o755)?;
        into.set_mode(&name, 0o755)?;
        into.directory(std::path::Path::new(&name), Links::Refused)
    };
    let directory = make().explain(|| "cannot make a directory for a layer".into())?;
    let unpacked = unpack(source, &directory, expected)?;
    Ok((name, unpacked))
}

/// Stages one unpacked layer; `below` are the chain ids of the layers under it, bottom first.
pub(crate) fn stage_layer(
    store: &Store,
    transaction: &mut Transaction,
    (chain, name, unpacked): (Digest, OsString, Unpacked),
    below: &[Digest],
) -> Result<()> {
    if !unpacked.implied.is_empty() {
        let open = |chain: &Digest| match transaction.staged_layer(chain) {
            Some(staged) => transaction
                .directory()
                .directory(staged.as_ref(), Links::Refused),
            None => Directory::open(&store.layer_path(chain)),
        };
        let lowers: std::io::Result<Vec<Directory>> = below.iter().rev().map(open).collect();
        let lowers = lowers.explain(|| "cannot open the layers below".into())?;
        let own = transaction
            .directory()
            .directory(name.as_ref(), Links::Refused);
        let own = own.explain(|| "cannot open the unpacked layer".into())?;
        inherit(&own, &unpacked.implied, &lowers)?;
    }
    transaction.add_layer(name, chain, unpacked.size)
}

/// Unpacks those of an image's layers that the store has only as blobs.
pub(crate) fn unpack_missing(store: &Store, content: &Content<'_>) -> Result<()> {
    let diff_ids: Vec<Digest> = content
        .archives
        .iter()
        .map(|(_, diff)| diff.clone())
        .collect();
    let chains = chain_ids(&diff_ids);
    if chains.iter().all(|chain| store.layer_path(chain).exists()) {
        return Ok(());
    }
    let mut transaction = store.transaction()?;
    for (position, ((layer, diff_id), chain)) in content.archives.iter().zip(&chains).enumerate() {
        if store.layer_path(chain).exists() || transaction.staged_layer(chain).is_some() {
            continue;
        }
        let blob = std::fs::File::open(store.blob_path(&layer.digest))
            .explain(|| format!("cannot open layer {}", layer.digest))?;
        let expected = Expected {
            blob: Some(layer.digest.clone()),
            diff_id: Some(diff_id.clone()),
        };
        let (name, unpacked) = unpack_new(blob, transaction.directory(), &expected)?;
        let unpacked = (chain.clone(), name, unpacked);
        stage_layer(store, &mut transaction, unpacked, &chains[..position])?;
    }
    transaction.commit_unnamed()
}
