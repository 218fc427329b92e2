//! `RUN --mount`: what each type is in a container.
//!
//! Sources are resolved beneath the root they belong to. What is mounted of the context or of a stage is
//! a copy that no command can have written to, so that nothing written meanwhile can lead it elsewhere
//! (CVE-2024-23651, CVE-2024-11218); what a command writes there is gone afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;

use berth_contract::{Class, Error, Result};
use berth_image::Merged;
use berth_sys::error::Explain as _;
use berth_sys::file::Directory;

use super::agent::Agent;
use super::builder::{NOTICE, lock};
use super::cache::{Key, make_private};
use super::cache_mount::About;
use super::copy::{FileDigests, Item, Manner, Origin, Place, Target, describe, items, put};
use super::dockerfile::{MountKind, Sharing};
use super::ignore::clean;
use super::request::Secret;
use super::run_step::{Held, SCRIPTS, Scratch};
use super::stage_builder::StageBuilder;
use crate::api::types::{BindOptions, Mount, MountKind as HostMountKind};

/// Whether a command is: one that is not could write to what is mounted read-only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Confined {
    Yes,
    No,
}

/// What is mounted.
#[derive(Debug, Default)]
pub(super) struct Mounted {
    pub(super) mounts: Vec<Mount>,
    pub(super) tmpfs: BTreeMap<String, String>,
    pub(super) environment: Vec<String>,
    /// Variables that are to be written nowhere.
    pub(super) secrets: Vec<String>,
    pub(super) targets: Vec<PathBuf>,
}

impl Mounted {
    fn bind(&mut self, source: String, target: String, read_only: bool) {
        self.targets.push(PathBuf::from(&target));
        self.mounts.push(Mount {
            kind: HostMountKind::Bind,
            source,
            target,
            read_only,
            bind_options: Some(BindOptions::default()),
            ..Mount::default()
        });
    }
}

impl StageBuilder<'_, '_> {
    /// Adds what a mount means for the command's result to its key: content, never a secret's.
    pub(super) fn describe_mount(&self, mount: &MountKind, key: &mut Key) -> Result<()> {
        match mount {
            MountKind::Bind {
                target,
                source,
                from,
                writable,
            } => {
                key.text("bind");
                key.text(target);
                key.number(u64::from(*writable));
                self.with_source(source, from.as_deref(), |found, origin, manner| {
                    describe(key, found, origin, manner).explain(|| format!("cannot read {source}"))
                })
            }
            MountKind::Cache { target, id, .. } => {
                key.text("cache");
                key.text(target);
                key.text(id.as_deref().unwrap_or_default());
                Ok(())
            }
            MountKind::Tmpfs { target, .. } => {
                key.text("tmpfs");
                key.text(target);
                Ok(())
            }
            MountKind::Secret {
                id,
                target,
                variable,
                ..
            } => {
                key.text("secret");
                key.text(id);
                key.text(&format!("{target:?} {variable:?}"));
                Ok(())
            }
            MountKind::Ssh { id, target, .. } => {
                key.text("ssh");
                key.text(id);
                key.text(&format!("{target:?}"));
                Ok(())
            }
        }
    }

    /// Prepares a mount.
    pub(super) fn mount(
        &self,
        mount: &MountKind,
        confined: Confined,
        (mounted, held): (&mut Mounted, &mut Held),
    ) -> Result<()> {
        match mount {
            MountKind::Bind {
                target,
                source,
                from,
                writable,
            } => {
                let target = self.absolute(target)?;
                let copy = if *writable || confined == Confined::No {
                    self.copied(source, from.as_deref())?
                } else {
                    self.copied_once(source, from.as_deref())?
                };
                mounted.bind(copy.display().to_string(), target, !writable);
                Ok(())
            }
            MountKind::Cache { .. } => self.mount_cache(mount, mounted, held),
            MountKind::Tmpfs { target, size } => {
                let target = self.absolute(target)?;
                let size = size.map_or_else(String::new, |size| format!(",size={size}"));
                mounted.targets.push(PathBuf::from(&target));
                mounted.tmpfs.insert(target, format!("exec{size}"));
                Ok(())
            }
            MountKind::Secret { .. } => self.mount_secret(mount, mounted, held),
            MountKind::Ssh {
                id,
                target,
                required,
                mode,
                owner,
            } => {
                let Some(socket) = self.build.request.ssh.get(id) else {
                    return absent(*required, &format!("ssh agent {id}"), "--ssh default");
                };
                let target = match target {
                    Some(target) => self.absolute(target)?,
                    None => format!("/run/buildkit/ssh_agent.{}", mounted.mounts.len()),
                };
                mounted.environment.push(format!("SSH_AUTH_SOCK={target}"));
                // The agent's own socket belongs to whoever builds; this one to whom the mount says.
                let directory = self.in_memory_directory(held)?;
                let agent = Agent::start(&directory.join("agent"), socket, (*mode, *owner))?;
                mounted.bind(agent.path().display().to_string(), target, false);
                held.agents.push(agent);
                Ok(())
            }
        }
    }

    fn absolute(&self, target: &str) -> Result<String> {
        let base = match self.state.config.working_dir.as_str() {
            "" => "/",
            base => base,
        };
        let joined = if target.starts_with('/') {
            target.to_owned()
        } else {
            format!("{base}/{target}")
        };
        let cleaned = clean(&joined);
        if cleaned == "/" {
            return Err(Error::new(
                Class::Invalid,
                "cannot mount over the root of the stage",
            ));
        }
        Ok(cleaned)
    }

    /// Looks a mount's source up.
    fn with_source<T>(
        &self,
        source: &str,
        from: Option<&str>,
        act: impl FnOnce(&[Item], &Origin<'_>, &Manner) -> Result<T>,
    ) -> Result<T> {
        let unknown = FileDigests::none();
        let layers = match from {
            Some(name) => self.source(name)?,
            None => vec![self.build.request.context.clone()],
        };
        let tree = Merged::open(&layers)?;
        let origin = Origin {
            tree: &tree,
            ignored: self.build.ignored(from),
            digests: if from.is_none() {
                &self.build.digests
            } else {
                &unknown
            },
            guard: &self.build.guard,
        };
        // What comes from outside belongs to root, as with COPY.
        let manner = Manner {
            owner: from
                .is_none_or(|from| self.is_directory(from))
                .then_some((0, 0)),
            is_mount: true,
            ..Manner::default()
        };
        let literal: String = source
            .chars()
            .flat_map(|one| {
                if "*?[\\".contains(one) {
                    vec!['\\', one]
                } else {
                    vec![one]
                }
            })
            .collect();
        let found = items(&origin, &literal, &manner, false)
            .explain(|| format!("cannot look for {source}"))?;
        let found = found.filter(|found| !found.is_empty()).ok_or_else(|| {
            Error::new(Class::NotFound, format!("{source:?} not found")).caused_by(format!(
                "it is not in {}",
                from.unwrap_or("the build context")
            ))
        })?;
        act(&found, &origin, &manner)
    }

    /// A copy that no command can write to, made once for all of them.
    fn copied_once(&self, source: &str, from: Option<&str>) -> Result<PathBuf> {
        let layers = match from {
            Some(name) => self.source(name)?,
            None => vec![self.build.request.context.clone()],
        };
        let key = (layers, source.to_owned());
        // Held while it is copied: another stage that wants the same waits for it.
        let mut known = lock(&self.build.mounted);
        if let Some(copy) = known.get(&key) {
            return Ok(copy.clone());
        }
        let copy = self.copied(source, from)?;
        known.insert(key, copy.clone());
        Ok(copy)
    }

    /// A copy of a mount's source: a directory, or a file in one.
    fn copied(&self, source: &str, from: Option<&str>) -> Result<PathBuf> {
        let scratch = self.build.assembly.directory()?;
        self.with_source(source, from, |found, origin, manner| {
            let empty = Merged::open(&[self.build.assembly.directory()?])?;
            let is_file = matches!(found, [one] if !one.is_directory());
            let target = if is_file { "/file" } else { "/root/" };
            let place = Place {
                lower: &empty,
                layer: &scratch,
                now: self.file_time(),
                scratch: &|| self.build.assembly.directory(),
            };
            put(found, &Target::parse(target, "/"), origin, manner, &place)
                .explain(|| format!("cannot copy {source} to mount it"))?;
            Ok(scratch.join(target.trim_matches('/')))
        })
    }

    fn mount_cache(&self, mount: &MountKind, mounted: &mut Mounted, held: &mut Held) -> Result<()> {
        let MountKind::Cache {
            target,
            id,
            source,
            from,
            read_only,
            sharing,
            mode,
            owner,
        } = mount
        else {
            return Ok(());
        };
        let target = self.absolute(target)?;
        let space = self.build.request.arguments.get("BUILDKIT_CACHE_MOUNT_NS");
        let mut key = Key::new("cache mount");
        key.text(space.map_or("", String::as_str));
        key.text(id.as_deref().unwrap_or(&target));
        // What begins otherwise is another one, as in BuildKit: whoever asks for an owner gets a directory of his.
        if from.is_some() || (*owner, *mode) != ((0, 0), 0o755) {
            key.text(&format!("{from:?} {source} {owner:?} {mode:o}"));
        }
        // Ids may be anything, paths above all: only their digest becomes a name (CVE-2024-9675).
        let name = key.finish().hex().to_owned();
        let place = self.locked(&name, *sharing, held)?;
        let data = place.join("data");
        if !data.is_dir() {
            let aside = place.join(berth_sys::file::unique_name("."));
            match from {
                Some(from) => {
                    let copy = self.copied(source, Some(from))?;
                    fs::rename(&copy, &aside).explain(|| "cannot fill a cache mount".into())?;
                }
                None => fs::create_dir(&aside).explain(|| "cannot make a cache mount".into())?,
            }
            let directory =
                Directory::open(&aside).explain(|| "cannot open a cache mount".into())?;
            berth_sys::file::set_owner_and_mode(&directory, owner.0, owner.1, *mode)
                .explain(|| "cannot prepare a cache mount".into())?;
            fs::rename(&aside, &data).explain(|| "cannot make a cache mount".into())?;
        }
        let about = About {
            id: id.as_deref().unwrap_or(&target).to_owned(),
            used: berth_sys::clock::realtime(),
        };
        about.write(&place)?;
        // Only the directory itself is mounted, so nothing that commands put into it can replace it.
        let path = data.display().to_string();
        mounted.bind(path, target, *read_only);
        Ok(())
    }

    /// The directory of a cache mount, locked as it is shared.
    fn locked(&self, name: &str, sharing: Sharing, held: &mut Held) -> Result<PathBuf> {
        let mounts = self.build.cache.mounts();
        let open = |name: &str| {
            let place = mounts.join(name);
            make_private(&place)?;
            let path = place.join("lock");
            let file = fs::File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .open(&path);
            Ok::<_, Error>((
                place,
                file.explain(|| format!("cannot open {}", path.display()))?,
            ))
        };
        let locking = || "cannot lock a cache mount".to_owned();
        if sharing == Sharing::Private {
            for number in 0.. {
                let (place, lock) = open(&format!("{name}-{number}"))?;
                match lock.try_lock() {
                    Ok(()) => {
                        held.locks.push(lock);
                        return Ok(place);
                    }
                    Err(fs::TryLockError::WouldBlock) => {}
                    Err(fs::TryLockError::Error(error)) => return Err(error).explain(locking),
                }
            }
        }
        let (place, lock) = open(name)?;
        // Another build may have it for long, and this one may be over before.
        let interrupt = &self.build.request.pull_options.access.interrupt;
        loop {
            let tried = match sharing {
                Sharing::Locked => lock.try_lock(),
                _ => lock.try_lock_shared(),
            };
            match tried {
                Ok(()) => break,
                Err(fs::TryLockError::Error(error)) => return Err(error).explain(locking),
                Err(fs::TryLockError::WouldBlock) if interrupt.wait(NOTICE) => {
                    return Err(super::run::cancelled());
                }
                Err(fs::TryLockError::WouldBlock) => {}
            }
        }
        held.locks.push(lock);
        Ok(place)
    }

    fn mount_secret(
        &self,
        mount: &MountKind,
        mounted: &mut Mounted,
        held: &mut Held,
    ) -> Result<()> {
        let MountKind::Secret {
            id,
            target,
            variable,
            required,
            mode,
            owner,
        } = mount
        else {
            return Ok(());
        };
        let content = match self.build.request.secrets.get(id) {
            None => {
                return absent(
                    *required,
                    &format!("secret {id}"),
                    &format!("--secret id={id},src=FILE"),
                );
            }
            Some(Secret::Value(value)) => value.clone(),
            Some(Secret::File(path)) => {
                fs::read(path).explain(|| format!("cannot read the secret {id}"))?
            }
        };
        if let Some(variable) = variable {
            let text = String::from_utf8(content.clone()).map_err(|error| {
                Error::new(
                    Class::Invalid,
                    format!("the secret {id} cannot be a variable"),
                )
                .caused_by(error)
            })?;
            mounted.secrets.push(format!("{variable}={text}"));
        }
        let Some(target) = target else { return Ok(()) };
        let target = self.absolute(target)?;
        let path = self.in_memory("secret", &content, (*mode, *owner), held)?;
        mounted.bind(path, target, true);
        Ok(())
    }

    /// A here-document that is executed as a file.
    pub(super) fn mount_script(
        &self,
        name: &str,
        content: &str,
        mounted: &mut Mounted,
        held: &mut Held,
    ) -> Result<()> {
        let path = self.in_memory("script", content.as_bytes(), (0o755, (0, 0)), held)?;
        mounted.bind(path, format!("{SCRIPTS}/{name}"), true);
        Ok(())
    }

    /// The variables that are secret, in a file that the monitor reads.
    pub(super) fn secret_variables(
        &self,
        variables: &[String],
        held: &mut Held,
    ) -> Result<Option<PathBuf>> {
        if variables.is_empty() {
            return Ok(None);
        }
        // A list of texts cannot fail to become JSON.
        let content = serde_json::to_vec(variables).unwrap_or_default();
        let path = self.in_memory("variables", &content, (0o600, (0, 0)), held)?;
        Ok(Some(PathBuf::from(path)))
    }

    /// A directory of this build's in the run directory.
    fn in_memory_directory(&self, held: &mut Held) -> Result<PathBuf> {
        let directory = self.build.memory.directory()?;
        held.secrets.push(Scratch(directory.clone()));
        Ok(directory)
    }

    /// A file in the run directory, which is memory, gone when the command has ended.
    fn in_memory(
        &self,
        name: &str,
        content: &[u8],
        (mode, owner): (u32, (u32, u32)),
        held: &mut Held,
    ) -> Result<String> {
        let path = self.in_memory_directory(held)?.join(name);
        let cannot = || format!("cannot write {}", path.display());
        let write = || {
            let mut file = fs::File::options()
                .create_new(true)
                .write(true)
                .mode(0o600)
                .open(&path)?;
            std::io::Write::write_all(&mut file, content)?;
            std::os::unix::fs::fchown(&file, Some(owner.0), Some(owner.1))?;
            file.set_permissions(fs::Permissions::from_mode(mode))
        };
        write().explain(cannot)?;
        Ok(path.display().to_string())
    }
}

fn absent(required: bool, what: &str, flag: &str) -> Result<()> {
    if required {
        return Err(Error::new(Class::NotFound, format!("{what}: not found"))
            .caused_by("the step requires it")
            .hint(format!("berth build {flag}")));
    }
    Ok(())
}
