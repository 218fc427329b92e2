//! Which hosts stand for a registry: `registries.conf` and its drop-in files.
//!
//! The longest prefix of a reference decides. Its mirrors are asked in their order, the registry itself
//! last; a bare name goes through the aliases, then through the search list, else to `docker.io`.

mod file;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use berth_contract::{Class, Error, Result};

use self::file::{File, Registry, Source};
use crate::reference::Reference;

/// What the configuration says about registries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registries {
    registries: Vec<Registry>,
    search: Vec<String>,
    aliases: BTreeMap<String, String>,
    helpers: Vec<String>,
}

/// One host to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Host and port, as logins and certificates name it.
    pub(crate) registry: String,
    /// The repository's path there.
    pub(crate) repository: String,
    pub(crate) insecure: bool,
    pub(crate) mirror: bool,
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
    pub(super) fn is_insecure(&self, registry: &str) -> bool {
        let mut all = self.registries.iter();
        all.any(|known| known.insecure && (known.location == registry || known.prefix == registry))
    }

    /// The hosts to ask for a reference, in order.
    ///
    /// # Errors
    /// Class `Denied` if the configuration blocks it.
    pub(crate) fn endpoints(&self, reference: &Reference) -> Result<Vec<Endpoint>> {
        let plain = |registry: &str, repository: &str| Endpoint {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            insecure: false,
            mirror: false,
        };
        let Some((registry, rest)) = self.longest(reference) else {
            return Ok(vec![plain(reference.registry(), reference.repository())]);
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
                endpoints.push(endpoint);
            }
        }
        let mut own = if registry.location.is_empty() {
            plain(reference.registry(), reference.repository())
        } else {
            rewritten(&registry.location, &rest)?
        };
        own.insecure = registry.insecure;
        endpoints.push(own);
        Ok(endpoints)
    }

    /// The host to push to, or to ask about a registry as a whole: never a mirror.
    pub(crate) fn own_endpoint(&self, reference: &Reference) -> Result<Endpoint> {
        let endpoints = self.endpoints(reference)?;
        let own = endpoints.into_iter().find(|endpoint| !endpoint.mirror);
        own.ok_or_else(|| Error::new(Class::Internal, "a registry has mirrors only"))
    }

    /// Whether an entry speaks of a reference.
    pub(crate) fn names(&self, reference: &Reference) -> bool {
        self.longest(reference).is_some()
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
        registry: registry.to_owned(),
        repository: repository.to_owned(),
        insecure: false,
        mirror: false,
    })
}

#[cfg(test)]
mod tests;
