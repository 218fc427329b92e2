//! `--squash`: the layers a build has made become one, upon those of its base or, with `--squash-all`, with them.

use std::io;
use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, Result};
use berth_image::{Entry, History, Merged};
use berth_sys::error::Explain as _;
use berth_sys::file::{Directory, Kind, Links, Time};

use crate::build::builder::Build;
use crate::build::copy::{FileDigests, Manner, Origin, Place, Target, items, put};
use crate::build::ignore::Patterns;
use crate::build::request::Squash;
use crate::build::state::State;

/// Joins the layers of a stage: those that are not its base's, or all.
pub(super) fn squash(build: &Build<'_>, state: &State) -> Result<State> {
    let kept = match build.request.squash {
        Squash::All => 0,
        _ => state.inherited.min(state.layers.len()),
    };
    let (base, own) = state.layers.split_at(kept);
    if own.len() < 2 {
        return Ok(state.clone());
    }
    let missing = || Error::new(Class::Internal, "a layer of the image is missing");
    let all = build.store.extracted(&state.layers).ok_or_else(missing)?;
    let below = build.store.extracted(base).ok_or_else(missing)?;
    let own_tree = Merged::open(&all[..own.len()])?;
    // The layer is what it is whatever lies below: nothing of the base is followed or kept.
    let empty = Merged::open(&[build.assembly.directory()?])?;
    let directory = build.assembly.directory()?;
    let (nothing, unknown) = (Patterns::default(), FileDigests::none());
    let origin = Origin {
        tree: &own_tree,
        ignored: &nothing,
        digests: &unknown,
        guard: &build.guard,
    };
    let manner = Manner::default();
    let cannot = || "cannot join the layers".to_owned();
    let found = items(&origin, "/", &manner, false)
        .explain(cannot)?
        .unwrap_or_default();
    let place = Place {
        lower: &empty,
        layer: &directory,
        now: Time {
            seconds: 0,
            nanoseconds: 0,
        },
        scratch: &|| build.assembly.directory(),
    };
    own_attributes(&all[0], &directory).explain(cannot)?;
    put(&found, &Target::parse("/", "/"), &origin, &manner, &place).explain(cannot)?;
    let (base_root, full_root) = (root(&below)?, root(&all)?);
    let layer = Directory::open(&directory).explain(cannot)?;
    hide(&layer, &base_root, &full_root).explain(cannot)?;
    let latest = build.epoch.filter(|_| build.request.rewrite_timestamp);
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

fn root(layers: &[PathBuf]) -> Result<Entry> {
    let cannot = || "cannot look at the layers".to_owned();
    let place = Merged::open(layers)?.place(Path::new("/"), Links::Refused);
    let entry = place.explain(cannot)?.entry;
    entry.ok_or_else(|| Error::new(Class::Internal, cannot()))
}

/// Marks what the base has and the image has not, in every directory that the layer holds.
fn hide(layer: &Directory, base: &Entry, full: &Entry) -> io::Result<()> {
    let times = layer.own_metadata()?;
    for name in base.names()? {
        let Some(below) = base.child(&name)? else {
            continue;
        };
        let Some(now) = full.child(&name)? else {
            layer.create_node(&name, Kind::CharacterDevice(0, 0), 0)?;
            continue;
        };
        let own = layer.metadata(&name)?;
        let is_directory = own.is_some_and(|own| own.kind == Kind::Directory);
        if is_directory && below.is_directory() {
            let inner = layer.directory(Path::new(&name), Links::Refused)?;
            hide(&inner, &below, &now)?;
        }
    }
    berth_sys::file::set_times(layer, times.accessed, times.modified)
}
