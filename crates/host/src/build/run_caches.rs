//! `RUN --mount=type=cache`: which directories they are, and who may use them meanwhile.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, Result};
use berth_sys::error::Explain as _;
use berth_sys::file::Directory;

use super::builder::{NOTICE, lock};
use super::cache::Key;
use super::cache_mount::{About, Hold, Use, remove_unused};
use super::dockerfile::{MountKind, Sharing};
use super::run_mounts::{Mounted, Wanted};
use super::run_step::Held;
use super::stage_builder::StageBuilder;

/// The directories of a command's cache mounts by their names, locked as they are shared.
#[derive(Debug, Default)]
pub(super) struct Caches(BTreeMap<String, PathBuf>);

impl StageBuilder<'_, '_> {
    /// What a cache mount is called: the same for all that say the same of it, what it begins with included.
    fn cache_name(&self, mount: &Wanted) -> Result<Option<String>> {
        let MountKind::Cache {
            target,
            id,
            from,
            mode,
            owner,
            ..
        } = &mount.kind
        else {
            return Ok(None);
        };
        let space = self.build.request.arguments.get("BUILDKIT_CACHE_MOUNT_NS");
        let mut key = Key::new("cache mount");
        key.text(space.map_or("", String::as_str));
        match id {
            Some(id) => key.text(id),
            None => key.text(&self.absolute(target)?),
        }
        // What begins otherwise is another one, as in BuildKit: whoever asks for an owner gets a directory of his.
        if from.is_some() || (*owner, *mode) != ((0, 0), 0o755) {
            key.text(&format!("{owner:?} {mode:o}"));
        }
        if let Some(seen) = &mount.seen {
            key.text(seen.content.as_str());
        }
        // Ids may be anything, paths above all: only their digest becomes a name (CVE-2024-9675).
        Ok(Some(key.finish().hex().to_owned()))
    }

    /// Waits for the cache mounts of a command. Each is locked once, however often it is mounted, and all commands lock
    /// them in the same order, so that none waits for another that waits for it.
    pub(super) fn lock_caches(&self, mounts: &[Wanted], held: &mut Held) -> Result<Caches> {
        let mut wanted: BTreeMap<String, Sharing> = BTreeMap::new();
        for mount in mounts {
            if let MountKind::Cache { sharing, .. } = mount.kind
                && let Some(name) = self.cache_name(mount)?
            {
                let strictest = wanted.entry(name).or_insert(sharing);
                *strictest = sharing.max(*strictest);
            }
        }
        let mut places = BTreeMap::new();
        for (name, sharing) in wanted {
            self.begin_anew(&name)?;
            let hold = self.lock_cache(&name, sharing)?;
            places.insert(name, hold.place().to_owned());
            held.locks.push(hold);
        }
        Ok(Caches(places))
    }

    /// Without the cache, cache mounts begin empty, too: each once in a build, unless another one uses it now.
    fn begin_anew(&self, name: &str) -> Result<()> {
        if !self.build.ignores_cache(self.stage.name.as_deref()) {
            return Ok(());
        }
        // Held meanwhile: whoever comes second finds what the first one has left.
        let mut begun = lock(&self.build.begun);
        if !begun.insert(name.to_owned()) {
            return Ok(());
        }
        let entries = std::fs::read_dir(self.build.cache.mounts());
        for entry in entries.into_iter().flatten().flatten() {
            let own = entry.file_name();
            let rest = own.to_str().and_then(|own| own.strip_prefix(name));
            // Those of commands that do not share it are numbered.
            if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-')) {
                remove_unused(&entry.path())?;
            }
        }
        Ok(())
    }

    fn lock_cache(&self, name: &str, sharing: Sharing) -> Result<Hold> {
        let mounts = self.build.cache.mounts();
        if sharing == Sharing::Private {
            for number in 0_u64.. {
                let place = mounts.join(format!("{name}-{number}"));
                if let Some(hold) = Hold::take(&place, Use::Alone, || false)? {
                    return Ok(hold);
                }
            }
        }
        let how = match sharing {
            Sharing::Locked => Use::Alone,
            _ => Use::Together,
        };
        let place = mounts.join(name);
        // Another build may have it for long, and this one may be over before.
        let interrupt = &self.build.request.pull_options.access.interrupt;
        Hold::take(&place, how, || !interrupt.wait(NOTICE))?.ok_or_else(super::run::cancelled)
    }

    pub(super) fn mount_cache(
        &self,
        mount: &Wanted,
        caches: &Caches,
        mounted: &mut Mounted,
    ) -> Result<()> {
        let MountKind::Cache {
            target,
            id,
            read_only,
            ..
        } = &mount.kind
        else {
            return Ok(());
        };
        let target = self.absolute(target)?;
        let called = id.as_deref().unwrap_or(&target).to_owned();
        let place = self
            .cache_name(mount)?
            .and_then(|name| caches.0.get(&name))
            .ok_or_else(|| Error::new(Class::Internal, "a cache mount was not locked"))?;
        let data = place.join("data");
        if !data.is_dir() {
            self.fill_cache(mount, place, mounted)
                .map_err(|error| error.context(format!("cannot make the cache mount {called}")))?;
        }
        let about = About {
            id: called,
            used: berth_sys::clock::realtime(),
        };
        about.write(place)?;
        // Only the directory itself is mounted, so nothing that commands put into it can replace it.
        let path = data.display().to_string();
        mounted.bind(path, target, *read_only);
        Ok(())
    }

    /// Makes the directory of a cache mount, aside; another command may be faster.
    fn fill_cache(&self, mount: &Wanted, place: &Path, mounted: &mut Mounted) -> Result<()> {
        let MountKind::Cache {
            source,
            from,
            mode,
            owner,
            ..
        } = &mount.kind
        else {
            return Ok(());
        };
        let made = match from {
            Some(from) => {
                let (copy, read) = self.copied(source, Some(from), mount.seen.as_ref())?;
                mounted.read = mounted.read.max(read);
                copy
            }
            None => self.build.assembly.directory()?,
        };
        if !made.is_dir() {
            return Err(Error::new(
                Class::Invalid,
                format!("{source} is not a directory"),
            ));
        }
        let fill = || {
            let directory = Directory::open(&made)?;
            berth_sys::file::set_owner_and_mode(&directory, owner.0, owner.1, *mode)?;
            let above = Directory::open(made.parent().unwrap_or(Path::new("/")))?;
            let name = made.file_name().unwrap_or_default();
            above.rename_new(name, &Directory::open(place)?, OsStr::new("data"))
        };
        fill().map(drop).explain(|| "cannot fill it".into())
    }
}
