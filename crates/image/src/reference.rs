//! Image references as people write them, with Docker's defaulting rules.
//!
//! ```text
//!  [host[:port]/]path[:tag][@algorithm:hex]
//!
//!  busybox              docker.io/library/busybox:latest
//!  me/app:1             docker.io/me/app:1
//!  localhost/app        localhost/app:latest        (a first part with . or : or "localhost" is a host)
//!  ghcr.io/a/b@sha256:… ghcr.io/a/b@sha256:…        (a digest needs no tag)
//! ```
//!
//! Grammar: distribution/reference `reference.go`; the parts are checked before any of them can become
//! part of a path or a URL.

use std::fmt;
use std::str::FromStr;

use berth_contract::{Class, Digest, Error, Result};

const DEFAULT_REGISTRY: &str = "docker.io";
const OFFICIAL: &str = "library/";
const DEFAULT_TAG: &str = "latest";
/// Of host and path together, as distribution/reference has it.
const NAME_LIMIT: usize = 255;

/// A checked image reference; printing gives the full form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Reads a reference; without tag and digest it gets the tag `latest`.
    ///
    /// # Errors
    /// Class `Invalid`, naming the rule that was broken.
    pub fn parse(text: &str) -> Result<Self> {
        Self::read(text).map_err(|reason| {
            Error::new(Class::Invalid, format!("invalid image reference {text:?}"))
                .caused_by(reason)
        })
    }

    fn read(text: &str) -> Result<Self, String> {
        // The transport of registries, as skopeo and Podman spell it.
        let text = text.strip_prefix("docker://").unwrap_or(text);
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let digest = digest.parse().map_err(|error: Error| error.to_string())?;
                (rest, Some(digest))
            }
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(check_tag(tag)?.to_owned())),
            _ => (rest, None),
        };
        let (registry, path) = split_host(name);
        let plain = registry == DEFAULT_REGISTRY && !path.contains('/');
        let repository = if plain {
            format!("{OFFICIAL}{path}")
        } else {
            path.to_owned()
        };
        if registry != DEFAULT_REGISTRY || name.starts_with("docker.io/") {
            check_host(registry)?;
        }
        check_path(path)?;
        if path == name && path.len() == 64 && path.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("64 hexadecimal digits are an image id, not a name".into());
        }
        if registry.len() + 1 + repository.len() > NAME_LIMIT {
            return Err(format!(
                "host and path are longer than {NAME_LIMIT} characters"
            ));
        }
        let tag = tag.or_else(|| digest.is_none().then(|| DEFAULT_TAG.to_owned()));
        Ok(Self {
            registry: registry.to_owned(),
            repository,
            tag,
            digest,
        })
    }

    /// Whether a text names no registry, so that `docker.io` or a search list decides.
    #[must_use]
    pub fn is_short(text: &str) -> bool {
        let name = text.split_once('@').map_or(text, |(name, _)| name);
        let explicit = ["docker.io/", "index.docker.io/"];
        split_host(name).0 == DEFAULT_REGISTRY
            && !explicit.iter().any(|prefix| name.starts_with(prefix))
    }

    /// The registry's host and port: `docker.io`, `localhost:5000`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path within the registry: `library/busybox`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if there is one.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if there is one.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Registry and repository, in full.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The name as listings show it: `busybox`, `me/app`, `ghcr.io/a/b`.
    #[must_use]
    pub fn familiar_name(&self) -> String {
        if self.registry != DEFAULT_REGISTRY {
            return self.name();
        }
        let short = self.repository.strip_prefix(OFFICIAL);
        short
            .filter(|rest| !rest.contains('/'))
            .map_or_else(|| self.short_name(), str::to_owned)
    }

    /// A name without its registry, unless its first part would be taken for one.
    fn short_name(&self) -> String {
        match split_host(&self.repository) == (DEFAULT_REGISTRY, self.repository.as_str()) {
            true => self.repository.clone(),
            false => self.name(),
        }
    }

    /// The whole reference as listings show it: `busybox:latest`, `ghcr.io/a/b@sha256:…`.
    #[must_use]
    pub fn familiar(&self) -> String {
        self.with_suffix(self.familiar_name())
    }

    /// The same repository at this digest, without a tag.
    #[must_use]
    pub fn at(&self, digest: &Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest.clone()),
            ..self.clone()
        }
    }

    /// What it is kept as: with a digest the tag says nothing more, for Docker and Podman too.
    #[must_use]
    pub(crate) fn kept(&self) -> Self {
        match &self.digest {
            Some(digest) => self.at(digest),
            None => self.clone(),
        }
    }

    fn with_suffix(&self, mut text: String) -> String {
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(digest.as_str());
        }
        text
    }
}

/// A first component is a host only if it cannot be a path: it has a dot, a port, an upper-case letter,
/// or is `localhost`.
fn split_host(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some(("docker.io" | "index.docker.io", rest)) => (DEFAULT_REGISTRY, rest),
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_REGISTRY, name),
    }
}

fn check_tag(tag: &str) -> Result<&str, String> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut bytes = tag.bytes();
    let first = bytes.next().is_some_and(word);
    if first && tag.len() <= 128 && bytes.all(|byte| word(byte) || matches!(byte, b'.' | b'-')) {
        Ok(tag)
    } else {
        Err("a tag is a letter, digit or _, then up to 127 of them or . and -".into())
    }
}

fn check_host(host: &str) -> Result<(), String> {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            let valid = address.parse::<std::net::Ipv6Addr>().is_ok();
            (
                if valid { "v6" } else { "" },
                port.strip_prefix(':').or((!port.is_empty()).then_some("x")),
            )
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let port_fits = port
        .is_none_or(|port| port.parse::<u16>().is_ok() && port.bytes().all(|b| b.is_ascii_digit()));
    if name.split('.').all(label) && port_fits {
        Ok(())
    } else {
        Err(format!("{host:?} is not a host name with an optional port"))
    }
}

fn check_path(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("the repository's name is missing".into());
    }
    if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("a repository's name must be lower case".into());
    }
    if path.split('/').all(is_component) {
        Ok(())
    } else {
        Err("parts of a name are lower-case letters and digits, joined by . _ __ or dashes".into())
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(component: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut separator = String::new();
    for byte in component.bytes() {
        if !letter(byte) {
            separator.push(char::from(byte));
            continue;
        }
        let dashes = separator.bytes().all(|byte| byte == b'-');
        if !(dashes || matches!(separator.as_str(), "." | "_" | "__")) {
            return false;
        }
        separator.clear();
    }
    component.bytes().next().is_some_and(letter) && separator.is_empty()
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.with_suffix(self.name()))
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{ProptestConfig, prop_assert_eq, proptest};

    #[test]
    fn dockers_defaults_are_filled_in() {
        let hex = "a".repeat(64);
        let table = [
            (
                "busybox",
                "docker.io/library/busybox:latest",
                "busybox:latest",
            ),
            (
                "busybox:1.36",
                "docker.io/library/busybox:1.36",
                "busybox:1.36",
            ),
            ("me/app", "docker.io/me/app:latest", "me/app:latest"),
            (
                "docker.io/busybox",
                "docker.io/library/busybox:latest",
                "busybox:latest",
            ),
            ("index.docker.io/a/b", "docker.io/a/b:latest", "a/b:latest"),
            (
                "localhost/app",
                "localhost/app:latest",
                "localhost/app:latest",
            ),
            (
                "localhost:5000/a/b/c:x",
                "localhost:5000/a/b/c:x",
                "localhost:5000/a/b/c:x",
            ),
            (
                "127.0.0.1:5000/a",
                "127.0.0.1:5000/a:latest",
                "127.0.0.1:5000/a:latest",
            ),
            ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"),
            (
                "ghcr.io/a/b-c__d.e",
                "ghcr.io/a/b-c__d.e:latest",
                "ghcr.io/a/b-c__d.e:latest",
            ),
            (
                "localhost:5000",
                "docker.io/library/localhost:5000",
                "localhost:5000",
            ),
            ("Host/a", "Host/a:latest", "Host/a:latest"),
            (
                "docker.io/quay.io/a",
                "docker.io/quay.io/a:latest",
                "docker.io/quay.io/a:latest",
            ),
        ];
        for (text, full, familiar) in table {
            let reference = Reference::parse(text).unwrap();
            assert_eq!(reference.to_string(), full, "{text}");
            assert_eq!(reference.familiar(), familiar, "{text}");
        }
        let pinned = Reference::parse(&format!("a/b@sha256:{hex}")).unwrap();
        assert_eq!(pinned.tag(), None);
        assert_eq!(pinned.familiar(), format!("a/b@sha256:{hex}"));
        let both = Reference::parse(&format!("a/b:t@sha256:{hex}")).unwrap();
        assert_eq!((both.tag(), both.digest().is_some()), (Some("t"), true));
    }

    #[test]
    fn what_is_not_a_reference_is_refused() {
        let long = "a".repeat(256);
        let tag = format!("a:{}", "t".repeat(129));
        let id = "0".repeat(64);
        let bad = [
            "",
            ":",
            "@",
            "/",
            "a/",
            "/a",
            "a//b",
            "A",
            "a/B",
            "a:",
            "a:-x",
            "a b",
            "a\n",
            "../a",
            "a/../b",
            "a..b",
            "a___b",
            "-a",
            "a-",
            "_a",
            "a@sha256:12",
            "a@md5:0",
            "https://a.b/c",
            "a.b:x/c",
            "a.b:99999/c",
            "a.b:/c",
            "-a.b/c",
            "[::g]/a",
            "[::1]x/a",
            &long,
            &tag,
            &id,
            "a:b:c",
        ];
        for text in bad {
            assert!(Reference::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn parsing_never_panics_and_printing_is_stable(text in "[a-zA-Z0-9._:/@\\[\\]-]{0,40}") {
            if let Ok(reference) = Reference::parse(&text) {
                prop_assert_eq!(&Reference::parse(&reference.to_string()).unwrap(), &reference);
                prop_assert_eq!(&Reference::parse(&reference.familiar()).unwrap(), &reference);
            }
        }
    }
}
