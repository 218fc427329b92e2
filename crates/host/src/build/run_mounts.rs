//! `RUN --mount`: what each type is in a container.
//!
//! Sources are resolved beneath the root they belong to. What is mounted of the context or of a stage is
//! a copy that no command can have written to, so that nothing written meanwhile can lead it elsewhere
//! (CVE-2024-23651, CVE-2024-11218); what a command writes there is gone afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;

use berth_contract::{Class, Digest, Error, Result};
use berth_image::Merged;
use berth_sys::error::Explain as _;

use super::agent::Agent;
use super::builder::lock;
use super::cache::Key;
use super::copy::{
    FileDigests, Item, Look, Manner, Origin, Place, Read, Target, describe, items, look, put,
};
use super::dockerfile::MountKind;
use super::ignore::clean;
use super::request::Secret;
use super::run_caches::Caches;
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
    /// Whether what is mounted is what the step's key says.
    pub(super) read: Read,
}

/// Copies by what they are of: layers or context, the path in them, and what was there.
pub(super) type Copies = BTreeMap<(Vec<PathBuf>, String, Option<Digest>), PathBuf>;

/// A mount that a command wants.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) kind: MountKind,
    /// What its source was when it was looked up.
    pub(super) seen: Option<Seen>,
}

/// What a mount's source was at one moment.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) content: Digest,
    look: Look,
}

impl Mounted {
    pub(super) fn bind(&mut self, source: String, target: String, read_only: bool) {
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
    /// Looks a mount's source up, if it has one: stages that it needs are built now, before anything is locked.
    pub(super) fn wanted(&self, kind: MountKind) -> Result<Wanted> {
        let source = match &kind {
            MountKind::Bind { source, from, .. } => Some((source, from.as_deref())),
            MountKind::Cache {
                source,
                from: Some(from),
                ..
            } => Some((source, Some(from.as_str()))),
            _ => None,
        };
        let seen = match source {
            Some((source, from)) => Some(self.seen(source, from)?),
            None => None,
        };
        Ok(Wanted { kind, seen })
    }

    fn seen(&self, source: &str, from: Option<&str>) -> Result<Seen> {
        let mut key = Key::new("mounted");
        let look = self.with_source(source, from, |found, origin, manner| {
            describe(&mut key, found, origin, manner).explain(|| format!("cannot read {source}"))
        })?;
        let content = key.finish();
        Ok(Seen { content, look })
    }

    /// Adds what a mount means for the command's result to its key: content, never a secret's.
    pub(super) fn describe_mount(mount: &Wanted, key: &mut Key) {
        if let Some(seen) = &mount.seen {
            key.text(seen.content.as_str());
        }
        match &mount.kind {
            MountKind::Bind {
                target, writable, ..
            } => {
                key.text("bind");
                key.text(target);
                key.number(u64::from(*writable));
            }
            MountKind::Cache { target, id, .. } => {
                key.text("cache");
                key.text(target);
                key.text(id.as_deref().unwrap_or_default());
            }
            MountKind::Tmpfs { target, .. } => {
                key.text("tmpfs");
                key.text(target);
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
            }
            MountKind::Ssh { id, target, .. } => {
                key.text("ssh");
                key.text(id);
                key.text(&format!("{target:?}"));
            }
        }
    }

    /// Prepares a mount.
    pub(super) fn mount(
        &self,
        mount: &Wanted,
        confined: Confined,
        caches: &Caches,
        (mounted, held): (&mut Mounted, &mut Held),
    ) -> Result<()> {
        match &mount.kind {
            MountKind::Bind {
                target,
                source,
                from,
                writable,
            } => {
                let target = self.absolute(target)?;
                let (from, seen) = (from.as_deref(), mount.seen.as_ref());
                let (copy, read) = if *writable || confined == Confined::No {
                    self.copied(source, from, seen)?
                } else {
                    self.copied_once(source, from, seen)?
                };
                mounted.read = mounted.read.max(read);
                mounted.bind(copy.display().to_string(), target, !writable);
                Ok(())
            }
            MountKind::Cache { .. } => self.mount_cache(mount, caches, mounted),
            MountKind::Tmpfs { target, size } => {
                let target = self.absolute(target)?;
                let size = size.map_or_else(String::new, |size| format!(",size={size}"));
                mounted.targets.push(PathBuf::from(&target));
                mounted.tmpfs.insert(target, format!("exec{size}"));
                Ok(())
            }
            MountKind::Secret { .. } => self.mount_secret(&mount.kind, mounted, held),
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

    pub(super) fn absolute(&self, target: &str) -> Result<String> {
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
    fn copied_once(
        &self,
        source: &str,
        from: Option<&str>,
        seen: Option<&Seen>,
    ) -> Result<(PathBuf, Read)> {
        let layers = match from {
            Some(name) => self.source(name)?,
            None => vec![self.build.request.context.clone()],
        };
        // By its content too: a context may have changed since another command wanted it.
        let content = seen.map(|seen| seen.content.clone());
        let key = (layers, source.to_owned(), content);
        // Held while it is copied: another stage that wants the same waits for it.
        let mut known = lock(&self.build.mounted);
        if let Some(copy) = known.get(&key) {
            return Ok((copy.clone(), Read::AsKeyed));
        }
        let (copy, read) = self.copied(source, from, seen)?;
        if read == Read::AsKeyed {
            known.insert(key, copy.clone());
        }
        Ok((copy, read))
    }

    /// A copy of a mount's source: a directory, or a file in one.
    pub(super) fn copied(
        &self,
        source: &str,
        from: Option<&str>,
        seen: Option<&Seen>,
    ) -> Result<(PathBuf, Read)> {
        let scratch = self.build.assembly.directory()?;
        let copy = self.with_source(source, from, |found, origin, manner| {
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
        })?;
        let Some(seen) = seen.filter(|_| self.is_live(from)) else {
            return Ok((copy, Read::AsKeyed));
        };
        let again = self.with_source(source, from, |found, origin, manner| {
            look(found, origin, manner).explain(|| format!("cannot look at {source}"))
        });
        // What cannot be found any more has changed.
        let read = again.map_or(Read::Changed, |again| Read::between(seen.look, again));
        Ok((copy, read))
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
