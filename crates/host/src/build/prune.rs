//! What the build cache holds, and taking things out of it.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use berth_contract::{Digest, Result};
use berth_sys::error::Explain as _;

use super::cache::{BuildCache, CachedStep};
use super::cache_mount::{About, remove_unused};
use crate::engine::Engine;

/// One thing in the build cache.
#[derive(Debug, Clone)]
pub struct CacheEntry {
    /// What it is called.
    pub id: String,
    /// `regular` for a step's layer, `exec.cachemount` for a cache mount, `source.local` for what is remembered of a
    /// context's files.
    pub kind: &'static str,
    /// What made it.
    pub description: String,
    /// Bytes.
    pub size: u64,
    /// When it was made: nanoseconds since the epoch.
    pub created: u64,
    /// When it was last used.
    pub used: u64,
    /// Whether an image has the same layer, so that removing it frees nothing.
    pub shared: bool,
    /// Whether a build uses it now.
    pub in_use: bool,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Step(Box<CachedStep>),
    Mount(PathBuf),
    Files(PathBuf),
}

/// What is to be taken out of the cache.
pub struct CachePruning<'a> {
    /// Layers too that images have.
    pub all: bool,
    /// Which entries may go.
    pub chosen: &'a dyn Fn(&CacheEntry) -> bool,
    /// How many bytes may stay; those that were used last stay.
    pub keep: Option<u64>,
}

impl std::fmt::Debug for CachePruning<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("CachePruning")
            .field("all", &self.all)
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// What the build cache holds, the last used first.
    ///
    /// # Errors
    /// The images cannot be listed.
    pub fn build_cache(&self) -> Result<Vec<CacheEntry>> {
        let store = self.store();
        let images = store.list()?.images;
        let shared: HashSet<PathBuf> = images.iter().flat_map(berth_image::Image::layers).collect();
        let cache = BuildCache::new(self.paths().data());
        let mut entries: Vec<CacheEntry> = cache
            .list()
            .into_iter()
            .map(|step| {
                let own = store
                    .extracted(&step.stack())
                    .and_then(|paths| paths.into_iter().next());
                CacheEntry {
                    id: step.key.hex().to_owned(),
                    kind: "regular",
                    description: step.about.clone(),
                    size: step.size,
                    created: step.made,
                    used: step.used,
                    shared: own.is_some_and(|path| shared.contains(&path)),
                    in_use: false,
                    what: What::Step(Box::new(step)),
                }
            })
            .collect();
        entries.extend(mounts(&cache));
        entries.extend(files(&cache));
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.used));
        Ok(entries)
    }

    /// Takes entries out of the cache; those that were, and the bytes that were set free.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn prune_build_cache(&self, pruning: &CachePruning<'_>) -> Result<(Vec<CacheEntry>, u64)> {
        self.require_root_for_build()?;
        super::memory::sweep(&self.paths().run().join("build"));
        self.clear_killed_builds()?;
        let cache = BuildCache::new(self.paths().data());
        let mut removed = Vec::new();
        let mut reclaimed = 0;
        let entries = self.build_cache()?;
        let stays = staying(&entries, pruning);
        for (entry, stays) in entries.into_iter().zip(stays) {
            if stays {
                continue;
            }
            match &entry.what {
                What::Step(step) => cache.forget(step)?,
                What::Mount(path) => {
                    if !remove_unused(path)? {
                        continue;
                    }
                    reclaimed += entry.size;
                }
                What::Files(path) => match fs::remove_file(path) {
                    // A build has just put another in its place, or another prune was faster.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    removed => {
                        removed.explain(|| format!("cannot remove {}", path.display()))?;
                        reclaimed += entry.size;
                    }
                },
            }
            removed.push(entry);
        }
        reclaimed += self.collect_unused_layers()?;
        Ok((removed, reclaimed))
    }
}

/// Which entries stay. What a step that stays was made upon stays with it: without that it would never be found
/// again.
fn staying(entries: &[CacheEntry], pruning: &CachePruning<'_>) -> Vec<bool> {
    let stack = |entry: &CacheEntry| match &entry.what {
        What::Step(step) => {
            let layers = step.stack().into_iter();
            layers.map(|layer| layer.diff_id).collect()
        }
        What::Mount(_) | What::Files(_) => Vec::new(),
    };
    let stacks: Vec<Vec<Digest>> = entries.iter().map(stack).collect();
    let mut above: HashMap<&[Digest], Vec<usize>> = HashMap::new();
    for (position, stack) in stacks.iter().enumerate() {
        above.entry(stack).or_default().push(position);
    }
    let mut stays = vec![false; entries.len()];
    let mut kept = 0;
    for (position, entry) in entries.iter().enumerate() {
        let own = &stacks[position];
        let lower = (1..own.len()).filter_map(|depth| above.get(&own[..depth]));
        let mut needed: Vec<usize> = lower.flatten().copied().chain([position]).collect();
        needed.retain(|needed| !stays[*needed]);
        let size: u64 = needed.iter().map(|needed| entries[*needed].size).sum();
        let is_kept = entry.in_use
            || (entry.shared && !pruning.all)
            || !(pruning.chosen)(entry)
            || pruning.keep.is_some_and(|keep| kept + size <= keep);
        if is_kept {
            kept += size;
            for needed in needed {
                stays[needed] = true;
            }
        }
    }
    stays
}

fn mounts(cache: &BuildCache) -> Vec<CacheEntry> {
    let directories = fs::read_dir(cache.mounts()).into_iter().flatten().flatten();
    directories
        .filter_map(|entry| {
            let path = entry.path();
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_dir)?;
            // Without a description it never came to be, or was not removed to the end.
            let (description, used) = match About::read(&path) {
                Some(about) => (format!("cache mount {}", about.id), about.used),
                None => ("unfinished cache mount".to_owned(), written(&metadata)?),
            };
            // Asked without taking it for long: a build that wants it tries again.
            let lock = fs::File::open(path.join("lock"));
            Some(CacheEntry {
                id: path.file_name()?.to_string_lossy().into_owned(),
                kind: "exec.cachemount",
                description,
                size: size(&path),
                created: used,
                used,
                shared: false,
                in_use: lock.is_ok_and(|lock| lock.try_lock().is_err()),
                what: What::Mount(path),
            })
        })
        .collect()
}

fn files(cache: &BuildCache) -> Vec<CacheEntry> {
    let found = fs::read_dir(cache.files()).into_iter().flatten().flatten();
    found
        .filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            let written = written(&metadata)?;
            Some(CacheEntry {
                id: entry.file_name().to_string_lossy().into_owned(),
                kind: "source.local",
                description: "digests of a context's files".to_owned(),
                size: metadata.len(),
                created: written,
                used: written,
                shared: false,
                in_use: false,
                what: What::Files(entry.path()),
            })
        })
        .collect()
}

/// Nanoseconds since the epoch.
fn written(metadata: &fs::Metadata) -> Option<u64> {
    let written = metadata.modified().ok()?;
    let since = written.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// Bytes of the files beneath a directory; what vanishes meanwhile counts nothing.
fn size(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}
