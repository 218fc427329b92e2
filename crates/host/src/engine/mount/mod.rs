//! What the user wants mounted: `-v`, `--mount`, `--tmpfs`, `--volumes-from` and the image's volumes.
//!
//! Reading them is pure; making volumes and missing host directories happens in [`super::storage`].

mod bind;
mod destination;
mod structured;
mod tmpfs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, Result, VolumeName};

use self::destination::destination_of;
use super::id_maps::Maps;
use super::ownership::Ownership;
use super::spec::clean;
use crate::api::types::{HostConfig, MountPoint};

/// A mount as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) destination: PathBuf,
    pub(crate) source: Source,
    pub(crate) read_only: bool,
    pub(crate) propagation: Option<String>,
    pub(crate) recursion: Recursion,
    pub(crate) ownership: Ownership,
    /// Only what lies there in a volume or an image.
    pub(crate) subpath: Option<PathBuf>,
    /// The options as the user wrote them.
    pub(crate) mode: String,
}

impl Wish {
    /// A mount with nothing said about it but where and what.
    pub(crate) fn new(destination: PathBuf, source: Source) -> Self {
        Self {
            destination,
            source,
            read_only: false,
            propagation: None,
            recursion: Recursion::Full,
            ownership: Ownership::default(),
            subpath: None,
            mode: String::new(),
        }
    }
}

/// What a mount is made of, as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A path of the host; made as a directory when it is missing, or not.
    Host { path: PathBuf, create: bool },
    /// A volume.
    Volume { name: VolumeName, new: New },
    /// A volume without a name.
    Anonymous(New),
    /// A volume without a name that another container has.
    TakenOver { name: VolumeName },
    /// Memory, with these options.
    Tmpfs {
        options: Vec<String>,
        /// Whether `inspect` shows it as a mount: `--tmpfs` stands elsewhere there.
        listed: bool,
    },
    /// An image's files.
    Image { reference: String },
}

/// What a volume is made with when it is not there yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct New {
    /// Whether it is filled with what the image has at its place while it is empty.
    pub(crate) copy: bool,
    pub(crate) labels: BTreeMap<String, String>,
    /// The options of its own file system.
    pub(crate) options: BTreeMap<String, String>,
}

impl New {
    pub(crate) fn plain(copy: bool) -> Self {
        Self {
            copy,
            labels: BTreeMap::new(),
            options: BTreeMap::new(),
        }
    }
}

/// Which of the mounts below the source come along, and whether they become read-only as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Recursion {
    /// All of them, as read-only as the mount itself.
    #[default]
    Full,
    /// All of them, writable although the mount itself is not.
    Writable,
    /// None.
    None,
}

/// A mount that can be carried out.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) destination: PathBuf,
    pub(crate) material: Material,
    pub(crate) options: Vec<String>,
    pub(crate) ownership: Ownership,
    /// Ids of its files to ids of the host, where that is not the container's own map.
    pub(crate) mapping: Option<Maps>,
    /// What `inspect` shows of it.
    pub(crate) point: Option<MountPoint>,
}

/// What a mount is made of.
#[derive(Debug, Clone)]
pub(crate) enum Material {
    Path(PathBuf),
    Tmpfs,
    /// Topmost first.
    Layers(Vec<PathBuf>),
}

fn refuse(message: impl Into<String>) -> Error {
    Error::new(Class::Invalid, message)
}

/// All wishes of a request, without `--volumes-from` and the image's volumes.
pub(crate) fn wishes(host: &HostConfig) -> Result<Vec<Wish>> {
    let mut wishes = Vec::new();
    for bind in &host.binds {
        wishes.push(bind::parse(bind)?);
    }
    for mount in &host.mounts {
        wishes.push(structured::parse(mount)?);
    }
    for (destination, options) in &host.tmpfs {
        let options: Vec<&str> = options
            .split(',')
            .filter(|option| !option.is_empty())
            .collect();
        let destination = destination_of(destination)?;
        let source = Source::Tmpfs {
            options: tmpfs::options(&options)?,
            listed: false,
        };
        wishes.push(Wish {
            read_only: options.contains(&"ro"),
            mode: options.join(","),
            ..Wish::new(destination, source)
        });
    }
    let mut seen: Vec<&Path> = Vec::new();
    for wish in &wishes {
        if seen.contains(&wish.destination.as_path()) {
            return Err(refuse(format!(
                "duplicate mount point: {}",
                wish.destination.display()
            )));
        }
        seen.push(&wish.destination);
    }
    Ok(wishes)
}

fn volume_name(name: &str) -> Result<VolumeName> {
    name.parse().map_err(|error: Error| {
        error.hint("to mount a directory of the host, write its absolute path")
    })
}

/// There is one driver of volumes.
pub(crate) fn check_driver(driver: &str) -> Result<()> {
    if matches!(driver, "" | "local") {
        return Ok(());
    }
    Err(Error::new(
        Class::Unsupported,
        format!("cannot use the volume driver {driver:?}"),
    )
    .hint("only the driver local is there"))
}

/// The image's volume at a path, or `--volumes-from`'s.
pub(crate) fn image_volume(text: &str) -> Result<Wish> {
    // An image may write it relative or with `..` (CVE-2022-23648): read as seen from its root.
    let rooted = clean(text);
    let destination = destination_of(&rooted.display().to_string())?;
    if destination == Path::new("/") {
        return Err(refuse("the mount destination cannot be /"));
    }
    let source = Source::Anonymous(New::plain(true));
    Ok(Wish::new(destination, source))
}

/// The runtime-spec's options of a bind mount.
pub(crate) fn bind_options(wish: &Wish) -> Vec<String> {
    let recursive = wish.recursion != Recursion::None;
    let mut options = vec![
        if recursive { "rbind" } else { "bind" }.to_owned(),
        wish.propagation
            .clone()
            .unwrap_or_else(|| "rprivate".to_owned()),
    ];
    match (wish.read_only, wish.recursion) {
        (true, Recursion::Full) => options.push("rro".to_owned()),
        (true, _) => options.push("ro".to_owned()),
        (false, _) => {}
    }
    options.extend(subpath_option(wish));
    options
}

/// The runtime's word for a part of a source, which it resolves beneath that source.
pub(crate) fn subpath_option(wish: &Wish) -> Option<String> {
    let subpath = wish.subpath.as_ref()?;
    Some(format!("subpath={}", subpath.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_has_one_mount() {
        let twice = HostConfig {
            binds: vec!["/a:/x".into(), "v:/x/".into()],
            ..HostConfig::default()
        };
        assert!(wishes(&twice).is_err());
    }

    #[test]
    fn an_images_volume_stays_in_the_container() {
        assert_eq!(
            image_volume("/../../etc").unwrap().destination,
            Path::new("/etc")
        );
        assert_eq!(
            image_volume("data").unwrap().destination,
            Path::new("/data")
        );
        assert!(image_volume("/proc").is_err());
        assert!(image_volume("/").is_err());
    }
}
