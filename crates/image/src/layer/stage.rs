//! Layers on their way into the store: unpacked aside, then completed from the layers below.

use std::ffi::OsString;

use berth_contract::{Digest, Result};
use berth_sys::error::Explain as _;
use berth_sys::file::{Directory, Links, unique_name};

use super::{Expected, Unpacked, inherit, unpack};
use crate::store::{Store, Transaction};

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
