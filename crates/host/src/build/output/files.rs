//! The files of a stage without an image around them: a directory of the host, or an archive.

use std::path::{Path, PathBuf};

use berth_contract::Result;
use berth_image::{Merged, write_archive};
use berth_sys::error::Explain as _;
use berth_sys::file::{Directory, Time};

use super::{Results, with_sink};
use crate::build::builder::Build;
use crate::build::copy::{FileDigests, Manner, Origin, Place, Target, items, put};
use crate::build::ignore::Patterns;
use crate::build::request::Destination;
use crate::build::state::State;

/// Puts the files into a directory; those of several platforms each into one of its own.
pub(super) fn directory(build: &Build<'_>, results: &Results, path: &Path) -> Result<()> {
    // They belong to whoever builds, as with every other program that writes files.
    let owner = (
        berth_sys::user::effective_id(),
        berth_sys::user::effective_group(),
    );
    fill(build, results, path, Some(owner))
}

/// Writes the files as an archive, those of several platforms likewise.
pub(super) fn archive(build: &Build<'_>, results: &Results, to: &Destination) -> Result<()> {
    let scratch = build.assembly.directory()?;
    fill(build, results, &scratch, None)?;
    with_sink(build, to, |sink| write_archive(&scratch, sink, build.epoch))
}

fn fill(
    build: &Build<'_>,
    results: &Results,
    path: &Path,
    owner: Option<(u32, u32)>,
) -> Result<()> {
    for (platform, state) in results {
        let into = if results.len() == 1 && !build.request.is_list {
            path.to_owned()
        } else {
            path.join(platform.to_string().replace('/', "_"))
        };
        std::fs::create_dir_all(&into).explain(|| format!("cannot make {}", into.display()))?;
        copy(build, state, &into, owner)?;
    }
    Ok(())
}

fn copy(build: &Build<'_>, state: &State, into: &Path, owner: Option<(u32, u32)>) -> Result<()> {
    let cannot = || format!("cannot write to {}", into.display());
    let layers: Vec<PathBuf> = build.store.extracted(&state.layers).unwrap_or_default();
    let tree = Merged::open(&layers)?;
    let (nothing, unknown) = (Patterns::default(), FileDigests::none());
    let origin = Origin {
        tree: &tree,
        ignored: &nothing,
        digests: &unknown,
        guard: &build.guard,
    };
    // Of an image's files that time is one of the layers, to rewrite or not; of files alone it is theirs.
    let time = build.epoch.map(|seconds| Time {
        seconds,
        nanoseconds: 0,
    });
    let manner = Manner {
        owner,
        time,
        ..Manner::default()
    };
    let found = items(&origin, "/", &manner, false)
        .explain(cannot)?
        .unwrap_or_default();
    let empty = Merged::open(&[build.assembly.directory()?])?;
    let place = Place {
        lower: &empty,
        layer: into,
        now: Time {
            seconds: 0,
            nanoseconds: 0,
        },
        scratch: &|| build.assembly.directory(),
    };
    Directory::open(into).explain(cannot)?;
    put(&found, &Target::parse("/", "/"), &origin, &manner, &place).explain(cannot)
}
