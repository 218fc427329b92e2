//! `--squash`: the layers a build has made become one, upon those of its base.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use berth_contract::{Class, Error, Result};
use berth_image::{Entry, History, Merged};
use berth_sys::error::Explain as _;
use berth_sys::file::{Directory, Kind, Links, Time};

use crate::build::builder::Build;
use crate::build::copy::{FileDigests, Manner, Origin, Place, Target, items, put};
use crate::build::ignore::Patterns;
use crate::build::state::State;

/// Joins the layers of a stage that are not its base's.
pub(super) fn squash(build: &Build<'_>, state: &State) -> Result<State> {
    let (base, own) = state
        .layers
        .split_at(state.inherited.min(state.layers.len()));
    if own.len() < 2 {
        return Ok(state.clone());
    }
    let missing = || Error::new(Class::Internal, "a layer of the image is missing");
    let all = build.store.extracted(&state.layers).ok_or_else(missing)?;
    let below = build.store.extracted(base).ok_or_else(missing)?;
    let (own_tree, base_tree) = (Merged::open(&all[..own.len()])?, Merged::open(&below)?);
    let full_tree = Merged::open(&all)?;
    let directory = build.assembly.directory()?;
    let (nothing, unknown) = (Patterns::default(), FileDigests::none());
    let origin = Origin {
        tree: &own_tree,
        ignored: &nothing,
        digests: &unknown,
    };
    let manner = Manner::default();
    let cannot = || "cannot join the layers".to_owned();
    let found = items(&origin, "/", &manner, false)
        .explain(cannot)?
        .unwrap_or_default();
    let place = Place {
        lower: &base_tree,
        layer: &directory,
        now: Time {
            seconds: 0,
            nanoseconds: 0,
        },
        scratch: &|| build.assembly.directory(),
    };
    own_attributes(&all[0], &directory).explain(cannot)?;
    put(&found, &Target::parse("/", "/"), &origin, &manner, &place).explain(cannot)?;
    let layer = Directory::open(&directory).explain(cannot)?;
    hide(&layer, Path::new(""), &base_tree, &full_tree).explain(cannot)?;
    let latest = build
        .request
        .epoch
        .filter(|_| build.request.rewrite_timestamp);
    let layer = build.assembly.layer(&directory, base, latest)?;
    let mut squashed = state.clone();
    squashed.layers = base.to_vec();
    squashed.layers.push(layer);
    let mut layers = 0;
    for step in &mut squashed.history {
        if !step.empty_layer {
            layers += 1;
            step.empty_layer = layers > base.len();
        }
    }
    squashed.history.push(History {
        created: state.created.clone(),
        comment: Some(format!("merge of {} layers", own.len())),
        ..History::default()
    });
    Ok(squashed)
}

fn own_attributes(from: &Path, to: &Path) -> io::Result<()> {
    let own = Directory::open(from)?.own_metadata()?;
    berth_sys::file::set_owner_and_mode(&Directory::open(to)?, own.uid, own.gid, own.mode)
}

/// Marks what the base has and the image has not, in every directory that the layer holds.
fn hide(layer: &Directory, path: &Path, base: &Merged, full: &Merged) -> io::Result<()> {
    let at = |tree: &Merged, path: &Path| -> io::Result<Option<Entry>> {
        Ok(tree
            .place(&Path::new("/").join(path), Links::Refused)?
            .entry)
    };
    if let Some(below) = at(base, path)?.filter(Entry::is_directory) {
        for name in below.names()? {
            let exists = below.child(&name)?.is_some();
            if exists && at(full, &path.join(&name))?.is_none() {
                layer.create_node(&name, Kind::CharacterDevice(0, 0), 0)?;
            }
        }
    }
    for name in layer.names()? {
        let is_directory = layer
            .metadata(&name)?
            .is_some_and(|metadata| metadata.kind == Kind::Directory);
        if is_directory {
            let inner = layer.directory(Path::new(OsStr::new(&name)), Links::Refused)?;
            hide(&inner, &path.join(&name), base, full)?;
        }
    }
    Ok(())
}
