//! Places for images that are no registry, as containers-transports(5) spells them.
//!
//! ```text
//!  docker-archive:PATH[:NAME[:TAG]|:@POSITION]    oci-archive:PATH[:TAG|:@POSITION]
//!  oci:PATH[:TAG|:@POSITION|:@DIGEST]             dir:PATH
//! ```

use std::fmt;
use std::path::{Path, PathBuf};

use berth_contract::{Class, Digest, Error, Result};

use super::save::ArchiveFormat;
use crate::reference::Reference;

/// Which image of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The one of this name or tag.
    Name(String),
    /// The one at this place in the list, from 0.
    Position(usize),
    /// The one that its index lists with this digest.
    Digest(Digest),
}

impl Selector {
    /// Whether an image at a place, with a name or without, is meant.
    pub(super) fn chooses(&self, position: usize, name: Option<&String>) -> bool {
        match self {
            Self::Position(wanted) => *wanted == position,
            Self::Digest(_) => false,
            Self::Name(wanted) => name.is_some_and(|name| {
                let same = |name: &Reference| Reference::parse(wanted).is_ok_and(|w| w == *name);
                name == wanted || Reference::parse(name).is_ok_and(|name| same(&name))
            }),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(name),
            Self::Position(position) => write!(formatter, "@{position}"),
            Self::Digest(digest) => write!(formatter, "@{digest}"),
        }
    }
}

/// A place for images that is no registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transport {
    /// How images lie there.
    pub format: ArchiveFormat,
    /// Where it is.
    pub path: PathBuf,
    /// Which image of several.
    pub select: Option<Selector>,
}

impl Transport {
    /// Reads `TRANSPORT:PATH[:NAME]`; `None` for what is a reference to a registry.
    ///
    /// # Errors
    /// Class `Unsupported` for transports of other engines' stores.
    pub fn parse(text: &str) -> Result<Option<Self>> {
        // `oci:1.0` is a repository called oci; a place has a path.
        Self::read(text, |rest| {
            let first = rest.split(':').next().unwrap_or(rest);
            rest.starts_with(['/', '.']) || rest.contains('/') || Path::new(first).exists()
        })
    }

    /// As [`Transport::parse`], for a place that need not be there yet.
    ///
    /// # Errors
    /// As for [`Transport::parse`]; class `Invalid` when an image is chosen by its place in a list.
    pub fn parse_target(text: &str) -> Result<Option<Self>> {
        let target = Self::read(text, |_| true)?;
        if let Some(Self {
            select: Some(Selector::Position(_) | Selector::Digest(_)),
            ..
        }) = &target
        {
            let message = format!("cannot write an image to {text}");
            return Err(Error::new(Class::Invalid, message).caused_by(
                "an image is read by its place in a list or its digest, and written by a name",
            ));
        }
        Ok(target)
    }

    fn read(text: &str, is_place: impl FnOnce(&str) -> bool) -> Result<Option<Self>> {
        let Some((name, rest)) = text.split_once(':') else {
            return Ok(None);
        };
        let format = match name {
            "docker-archive" => ArchiveFormat::DockerArchive,
            "oci-archive" => ArchiveFormat::OciArchive,
            "oci" => ArchiveFormat::OciDirectory,
            "dir" => ArchiveFormat::DockerDirectory,
            "containers-storage" | "docker-daemon" | "sif" | "ostree" | "tarball" => {
                return Err(Error::new(
                    Class::Unsupported,
                    format!("the transport {name}: is not supported"),
                )
                .hint("save the image there as an archive, then: berth load -i FILE"));
            }
            _ => return Ok(None),
        };
        if rest.is_empty() || !is_place(rest) {
            return Ok(None);
        }
        let (path, select) = match format {
            // A directory's name may have colons (containers-transports(5)).
            ArchiveFormat::DockerDirectory => (rest, None),
            _ => match rest.split_once(':') {
                Some((path, select)) => (path, Some(select)),
                None => (rest, None),
            },
        };
        let select = select.filter(|select| !select.is_empty());
        let select = select.map(|select| {
            let Some(at) = select.strip_prefix('@') else {
                return Selector::Name(select.to_owned());
            };
            match (at.parse(), at.parse()) {
                (Ok(position), _) => Selector::Position(position),
                (_, Ok(digest)) => Selector::Digest(digest),
                _ => Selector::Name(select.to_owned()),
            }
        });
        Ok(Some(Self {
            format,
            path: PathBuf::from(path),
            select,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transports_are_told_from_references() {
        let parse = |text: &str| Transport::parse(text).unwrap();
        for reference in [
            "busybox",
            "busybox:1",
            "oci:1.0",
            "localhost:5000/a",
            "dir:latest",
        ] {
            assert_eq!(parse(reference), None, "{reference}");
        }
        let found = parse("oci-archive:/tmp/a.tar:v1").unwrap();
        assert_eq!(found.path, Path::new("/tmp/a.tar"));
        assert_eq!(found.select, Some(Selector::Name("v1".into())));
        let found = parse("docker-archive:./a.tar:@2").unwrap();
        assert_eq!(found.select, Some(Selector::Position(2)));
        let found = parse("docker-archive:./a.tar:me/app:1").unwrap();
        assert_eq!(found.select, Some(Selector::Name("me/app:1".into())));
        let found = parse("dir:/a:b").unwrap();
        assert_eq!(
            (found.path.as_path(), found.select),
            (Path::new("/a:b"), None)
        );
        assert!(Transport::parse("containers-storage:x").is_err());
        let target = |text: &str| {
            Transport::parse_target(text)
                .unwrap()
                .map(|found| found.path)
        };
        assert_eq!(target("oci:new:v1"), Some("new".into()));
        assert_eq!(target("docker.io/team/app:1"), None);
        assert!(Transport::parse_target("oci:new:@1").is_err());
    }

    #[test]
    fn names_select_in_any_spelling() {
        let name = "docker.io/library/busybox:latest".to_owned();
        for wanted in [
            "busybox",
            "busybox:latest",
            "docker.io/library/busybox:latest",
        ] {
            assert!(
                Selector::Name(wanted.into()).chooses(0, Some(&name)),
                "{wanted}"
            );
        }
        assert!(!Selector::Name("busybox:1".into()).chooses(0, Some(&name)));
        assert!(!Selector::Name("busybox".into()).chooses(0, None));
        let tag = "v1".to_owned();
        assert!(Selector::Name("v1".into()).chooses(7, Some(&tag)));
    }
}
