//! Which hosts stand for a registry: `registries.conf` and its drop-in files.
//!
//! The longest prefix of a reference decides. Its mirrors are asked in their order, the registry itself
//! last; a bare name goes through the aliases, then through the search list, else to `docker.io`. Of what no
//! prefix speaks, containerd's `hosts.toml` does.

mod file;
mod hosts;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, Result};

use self::file::{File, Registry, Source};
pub(crate) use self::hosts::{Host, Scheme};
use crate::reference::Reference;

/// What the configuration says about registries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registries {
    registries: Vec<Registry>,
    search: Vec<String>,
    aliases: BTreeMap<String, String>,
    helpers: Vec<String>,
    /// Directories with one for each registry, as containerd has them.
    hosts: Vec<PathBuf>,
}

/// One host to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what it may be asked for, each by itself"
)]
pub(crate) struct Endpoint {
    /// Host and port, as logins and certificates name it.
    pub(crate) registry: String,
    /// The repository's path there.
    pub(crate) repository: String,
    pub(crate) insecure: bool,
    pub(crate) mirror: bool,
    /// Whether it may be asked for content.
    pulls: bool,
    /// Whether it may tell what a tag leads to.
    pub(crate) resolves: bool,
    /// Whether images go there.
    pushes: bool,
    /// Whether somebody named it here, rather than a reference alone.
    pub(crate) configured: bool,
    /// What `hosts.toml` says of it.
    pub(crate) host: Option<Box<Host>>,
}

impl Endpoint {
    /// A registry of which nothing is said.
    fn new(registry: &str, repository: &str) -> Self {
        Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            insecure: false,
            mirror: false,
            pulls: true,
            resolves: true,
            pushes: true,
            configured: false,
            host: None,
        }
    }
}

/// The registry that is meant where none is named.
#[must_use]
pub fn default_registry() -> &'static str {
    "docker.io"
}

impl Registries {
    /// Adds a file: its registries replace those with the same prefix, its search list the one before.
    ///
    /// # Errors
    /// It is there and cannot be read, or is not such a file.
    pub fn add_file(&mut self, path: &Path) -> Result<()> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                let message = format!("cannot read {}", path.display());
                return Err(Error::new(Class::Denied, message).caused_by(error));
            }
        };
        let file = File::parse(&text)
            .map_err(|error| error.context(format!("cannot use {}", path.display())))?;
        self.add(file);
        Ok(())
    }

    /// Adds the `*.conf` of a drop-in directory in the order of their names.
    ///
    /// # Errors
    /// As for [`Registries::add_file`].
    pub fn add_directory(&mut self, directory: &Path) -> Result<()> {
        let Ok(entries) = std::fs::read_dir(directory) else {
            return Ok(());
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut paths: Vec<_> = paths
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "conf")
            })
            .collect();
        paths.sort();
        paths.iter().try_for_each(|path| self.add_file(path))
    }

    /// Adds a directory with one for each registry, in which containerd's `hosts.toml` lies (or certificates, as
    /// Docker has them). It counts where no registry of the files has the reference.
    pub fn add_hosts(&mut self, directory: PathBuf) {
        self.hosts.push(directory);
    }

    fn add(&mut self, file: File) {
        for registry in file.registry {
            self.registries
                .retain(|known| known.prefix != registry.prefix);
            self.registries.push(registry);
        }
        if let Some(search) = file.unqualified_search_registries {
            self.search = search;
        }
        if let Some(helpers) = file.credential_helpers {
            self.helpers = helpers;
        }
        self.aliases.extend(file.aliases);
    }

    /// Credential helpers for every registry, by the end of their program's name.
    #[must_use]
    pub fn credential_helpers(&self) -> &[String] {
        &self.helpers
    }

    /// What a name may mean, most likely first.
    pub(super) fn candidates(&self, text: &str) -> Result<Vec<Reference>> {
        let parsed = Reference::parse(text)?;
        if !Reference::is_short(text) {
            return Ok(vec![parsed]);
        }
        let name = parsed.familiar_name();
        let suffix = &text[name.len().min(text.len())..];
        if let Some(target) = self.aliases.get(&name).filter(|target| !target.is_empty()) {
            return Ok(vec![Reference::parse(&format!("{target}{suffix}"))?]);
        }
        if self.search.is_empty() {
            return Ok(vec![parsed]);
        }
        self.search
            .iter()
            .map(|registry| Reference::parse(&format!("{registry}/{text}")))
            .collect()
    }

    /// The registries a bare name is searched in.
    pub(super) fn searched(&self) -> Vec<String> {
        match self.search.is_empty() {
            true => vec![default_registry().to_owned()],
            false => self.search.clone(),
        }
    }

    /// Whether plain HTTP and any certificate do for a registry.
    fn is_insecure(&self, registry: &str) -> bool {
        let mut all = self.registries.iter();
        all.any(|known| known.insecure && (known.location == registry || known.prefix == registry))
    }

    /// The hosts to ask for a reference, in order.
    ///
    /// # Errors
    /// Class `Denied` if the configuration blocks it; `Invalid` for a `hosts.toml` that cannot be used.
    pub(crate) fn endpoints(&self, reference: &Reference) -> Result<Vec<Endpoint>> {
        let mut endpoints = self.all_endpoints(reference)?;
        endpoints.retain(|endpoint| endpoint.pulls);
        if endpoints.is_empty() {
            let what = format!("cannot pull {}", reference.familiar());
            return Err(Error::new(Class::Denied, what)
                .caused_by("hosts.toml lets no host be asked for it (capabilities)"));
        }
        Ok(endpoints)
    }

    fn all_endpoints(&self, reference: &Reference) -> Result<Vec<Endpoint>> {
        let plain = Endpoint::new;
        let Some((registry, rest)) = self.longest(reference) else {
            let (registry, repository) = (reference.registry(), reference.repository());
            let known = hosts::endpoints(&self.hosts, registry, repository)?;
            return Ok(known.unwrap_or_else(|| vec![plain(registry, repository)]));
        };
        if registry.blocked {
            return Err(Error::new(
                Class::Denied,
                format!("the registry of {} is blocked", reference.familiar()),
            )
            .caused_by(format!(
                "registries.conf blocks everything at {}",
                registry.prefix
            )));
        }
        let serves = |source: Source| match source {
            Source::All => !registry.mirror_by_digest_only || reference.digest().is_some(),
            Source::DigestOnly => reference.digest().is_some(),
            Source::TagOnly => reference.digest().is_none(),
        };
        let mut endpoints = Vec::new();
        for mirror in &registry.mirror {
            if serves(mirror.pull_from_mirror) {
                let mut endpoint = rewritten(&mirror.location, &rest)?;
                endpoint.insecure = mirror.insecure;
                endpoint.mirror = true;
                endpoint.pushes = false;
                endpoints.push(endpoint);
            }
        }
        let mut own = if registry.location.is_empty() {
            plain(reference.registry(), reference.repository())
        } else {
            rewritten(&registry.location, &rest)?
        };
        own.insecure = registry.insecure;
        own.configured = true;
        endpoints.push(own);
        Ok(endpoints)
    }

    /// The host to ask about a registry as a whole: never a mirror.
    pub(crate) fn own_endpoint(&self, reference: &Reference) -> Result<Endpoint> {
        let endpoints = self.all_endpoints(reference)?;
        let own = endpoints.into_iter().find(|endpoint| !endpoint.mirror);
        own.ok_or_else(|| Error::new(Class::Internal, "a registry has mirrors only"))
    }

    /// The host to push to.
    ///
    /// # Errors
    /// As for [`Registries::endpoints`].
    pub(crate) fn push_endpoint(&self, reference: &Reference) -> Result<Endpoint> {
        let endpoints = self.all_endpoints(reference)?;
        let first = endpoints.into_iter().find(|endpoint| endpoint.pushes);
        first.ok_or_else(|| {
            let message = format!("cannot push to {}", reference.familiar());
            Error::new(Class::Denied, message)
                .caused_by("hosts.toml lets no host be pushed to (capabilities)")
        })
    }

    /// A registry as a whole, for logins and searches.
    ///
    /// # Errors
    /// A `hosts.toml` cannot be used.
    pub(super) fn whole_registry(&self, registry: &str) -> Result<Endpoint> {
        let plain = Endpoint {
            insecure: self.is_insecure(registry),
            ..Endpoint::new(registry, "")
        };
        let mut known = self.registries.iter();
        if known.any(|known| known.location == registry || known.prefix == registry) {
            return Ok(plain);
        }
        let endpoints = hosts::endpoints(&self.hosts, registry, "")?.unwrap_or_default();
        // A login is for this host, and no other one sees it.
        let mut own = endpoints.into_iter();
        let own = own.find(|one| !one.mirror && one.registry == registry);
        Ok(own.unwrap_or(plain))
    }

    /// The entry with the longest matching prefix, and what of the name is behind it.
    fn longest<'a>(&'a self, reference: &'a Reference) -> Option<(&'a Registry, String)> {
        let name = reference.name();
        let matching = self.registries.iter().filter_map(|registry| {
            let rest = if let Some(domain) = registry.prefix.strip_prefix('*') {
                reference
                    .registry()
                    .ends_with(domain)
                    .then(|| format!("/{}", reference.repository()))?
            } else {
                behind(&name, &registry.prefix)?.to_owned()
            };
            Some((registry, rest))
        });
        matching.max_by_key(|(registry, _)| registry.prefix.len())
    }
}

/// What is behind a prefix that ends at a border of the name.
fn behind<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = name.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// A location with the rest of a name behind it, as a host and a path.
fn rewritten(location: &str, rest: &str) -> Result<Endpoint> {
    let name = format!("{location}{rest}");
    let Some((registry, repository)) = name.split_once('/') else {
        let message = format!("registries.conf leads to {name}, which names no repository");
        return Err(Error::new(Class::Invalid, message));
    };
    // What a file says becomes part of URLs and paths: it has to be a reference like any other.
    Reference::parse(&name)?;
    Ok(Endpoint {
        configured: true,
        ..Endpoint::new(registry, repository)
    })
}

#[cfg(test)]
mod tests;
