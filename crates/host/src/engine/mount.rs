//! What the user wants mounted: `-v`, `--mount`, `--tmpfs`, `--volumes-from` and the image's volumes.
//!
//! Reading them is pure; making volumes and missing host directories happens in [`super::storage`].

use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, Result, VolumeName};

use super::spec::clean;
use crate::api::types::{
    BindOptions, HostConfig, Mount, MountKind, MountPoint, TmpfsOptions, VolumeOptions,
};

/// A mount as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) destination: PathBuf,
    pub(crate) source: Source,
    pub(crate) read_only: bool,
    pub(crate) propagation: Option<String>,
    pub(crate) recursion: Recursion,
    /// The options as the user wrote them.
    pub(crate) mode: String,
}

/// What a mount is made of, as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A path of the host; made as a directory when it is missing, or not.
    Host { path: PathBuf, create: bool },
    /// A volume.
    Volume {
        name: VolumeName,
        copy: bool,
        labels: Vec<(String, String)>,
    },
    /// A volume without a name.
    Anonymous {
        copy: bool,
        labels: Vec<(String, String)>,
    },
    /// Memory, with these options.
    Tmpfs { options: Vec<String> },
    /// An image's files.
    Image { reference: String },
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
        wishes.push(parse_bind(bind)?);
    }
    for mount in &host.mounts {
        wishes.push(parse_mount(mount)?);
    }
    for (destination, options) in &host.tmpfs {
        let options: Vec<&str> = options
            .split(',')
            .filter(|option| !option.is_empty())
            .collect();
        wishes.push(Wish {
            destination: destination_of(destination)?,
            source: Source::Tmpfs {
                options: tmpfs_options(&options)?,
            },
            read_only: options.contains(&"ro"),
            propagation: None,
            recursion: Recursion::Full,
            mode: options.join(","),
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

/// `[SOURCE:]DESTINATION[:OPTIONS]`.
pub(crate) fn parse_bind(text: &str) -> Result<Wish> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, destination, mode) = match parts[..] {
        [destination] => (None, destination, ""),
        // `-v /data:ro` does not exist: two parts are always source and destination.
        [source, destination] => (Some(source), destination, ""),
        [source, destination, mode] => (Some(source), destination, mode),
        _ => return Err(invalid_bind(text, "it has too many colons")),
    };
    if source.is_some_and(str::is_empty) {
        return Err(invalid_bind(text, "its source is empty"));
    }
    let mut wish = Wish {
        destination: destination_of(destination)?,
        source: Source::Anonymous {
            copy: true,
            labels: Vec::new(),
        },
        read_only: false,
        propagation: None,
        recursion: Recursion::Full,
        mode: mode.to_owned(),
    };
    let copy = apply_modes(&mut wish, mode).map_err(|reason| invalid_bind(text, &reason))?;
    wish.source = match source {
        None => Source::Anonymous {
            copy,
            labels: Vec::new(),
        },
        Some(path) if path.starts_with('/') => Source::Host {
            path: PathBuf::from(path),
            create: true,
        },
        Some(name) => Source::Volume {
            name: volume_name(name)?,
            copy,
            labels: Vec::new(),
        },
    };
    if wish.propagation.is_some() && !matches!(wish.source, Source::Host { .. }) {
        return Err(invalid_bind(
            text,
            "only a directory of the host can have a propagation mode",
        ));
    }
    Ok(wish)
}

fn invalid_bind(text: &str, reason: &str) -> Error {
    refuse(format!("invalid volume {text:?}"))
        .caused_by(reason.to_owned())
        .hint("write it as [SOURCE:]DESTINATION[:OPTIONS]")
}

/// Applies comma-separated options; says whether an empty volume is filled from the image.
fn apply_modes(wish: &mut Wish, mode: &str) -> Result<bool, String> {
    let mut copy = true;
    for option in mode.split(',').filter(|option| !option.is_empty()) {
        match option {
            "rw" | "rbind" => {}
            "ro" | "rro" => wish.read_only = true,
            "bind" => wish.recursion = Recursion::None,
            "nocopy" => copy = false,
            // SELinux relabelling: without SELinux there is nothing to do, and Docker's scripts pass it.
            "z" | "Z" => {}
            "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => {
                wish.propagation = Some(option.to_owned());
            }
            "cached" | "delegated" | "consistent" => {}
            other => return Err(format!("{other:?} is no option of a volume")),
        }
    }
    Ok(copy)
}

fn parse_mount(mount: &Mount) -> Result<Wish> {
    let destination = destination_of(&mount.target)?;
    let mut wish = Wish {
        destination,
        source: Source::Tmpfs {
            options: Vec::new(),
        },
        read_only: mount.read_only,
        propagation: None,
        recursion: Recursion::Full,
        mode: String::new(),
    };
    match mount.kind {
        MountKind::Bind => {
            if !mount.source.starts_with('/') {
                return Err(refuse(format!(
                    "the source of a bind mount must be an absolute path: {:?}",
                    mount.source
                )));
            }
            let options = mount.bind_options.clone().unwrap_or_default();
            let path = PathBuf::from(&mount.source);
            wish.source = Source::Host {
                path,
                create: options.create_mountpoint,
            };
            wish.recursion = recursion(&options)?;
            wish.propagation = propagation(&options.propagation)?;
        }
        MountKind::Volume => {
            let options = mount.volume_options.clone().unwrap_or_default();
            wish.source = volume_source(&mount.source, options)?;
        }
        MountKind::Tmpfs => {
            if !mount.source.is_empty() {
                return Err(refuse("a tmpfs mount has no source"));
            }
            let options = mount.tmpfs_options.clone().unwrap_or_default();
            wish.source = Source::Tmpfs {
                options: structured_tmpfs(&options)?,
            };
        }
        MountKind::Image => {
            if mount
                .image_options
                .as_ref()
                .is_some_and(|options| !options.subpath.is_empty())
            {
                return Err(unsupported("image-subpath"));
            }
            if mount.source.is_empty() {
                return Err(refuse("an image mount needs a source"));
            }
            wish.read_only = true;
            wish.source = Source::Image {
                reference: mount.source.clone(),
            };
        }
    }
    Ok(wish)
}

fn unsupported(option: &str) -> Error {
    Error::new(
        Class::Unsupported,
        format!("cannot use the mount option {option}"),
    )
    .caused_by("it is not supported yet")
    .hint("mount the whole and use the directory inside")
}

fn volume_source(name: &str, options: VolumeOptions) -> Result<Source> {
    if !options.subpath.is_empty() {
        return Err(unsupported("volume-subpath"));
    }
    if !matches!(options.driver.as_str(), "" | "local") || !options.driver_options.is_empty() {
        return Err(Error::new(
            Class::Unsupported,
            format!("cannot use the volume driver {:?}", options.driver),
        )
        .hint("only the driver local, without options, is there"));
    }
    let (copy, labels) = (!options.no_copy, options.labels.into_iter().collect());
    if name.is_empty() {
        return Ok(Source::Anonymous { copy, labels });
    }
    Ok(Source::Volume {
        name: volume_name(name)?,
        copy,
        labels,
    })
}

fn volume_name(name: &str) -> Result<VolumeName> {
    name.parse().map_err(|error: Error| {
        error.hint("to mount a directory of the host, write its absolute path")
    })
}

fn recursion(options: &BindOptions) -> Result<Recursion> {
    match (options.non_recursive, options.read_only_non_recursive) {
        (true, _) => Ok(Recursion::None),
        (false, true) if options.read_only_force_recursive => Err(refuse(
            "a bind mount cannot be both recursively and not recursively read-only",
        )),
        (false, true) => Ok(Recursion::Writable),
        (false, false) => Ok(Recursion::Full),
    }
}

fn propagation(text: &str) -> Result<Option<String>> {
    match text {
        "" => Ok(None),
        "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => {
            Ok(Some(text.to_owned()))
        }
        other => Err(refuse(format!("invalid bind-propagation {other:?}"))),
    }
}

fn structured_tmpfs(options: &TmpfsOptions) -> Result<Vec<String>> {
    let mut list = Vec::new();
    if options.size_bytes < 0 {
        return Err(refuse("the size of a tmpfs cannot be negative"));
    }
    if options.size_bytes > 0 {
        list.push(format!("size={}", options.size_bytes));
    }
    if options.mode != 0 {
        list.push(format!("mode={:o}", options.mode));
    }
    let list: Vec<&str> = list.iter().map(String::as_str).collect();
    tmpfs_options(&list)
}

/// Docker's defaults (`noexec,nosuid,nodev`) with what the user says laid over them.
fn tmpfs_options(asked: &[&str]) -> Result<Vec<String>> {
    const FLAGS: [(&str, &str); 6] = [
        ("noexec", "exec"),
        ("nosuid", "suid"),
        ("nodev", "dev"),
        ("noatime", "atime"),
        ("nodiratime", "diratime"),
        ("ro", "rw"),
    ];
    const KEYS: [&str; 6] = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks"];
    let mut options: Vec<String> = Vec::new();
    for (off, on) in &FLAGS[..3] {
        let last = asked
            .iter()
            .rev()
            .find(|option| *option == off || *option == on);
        options.push((*last.unwrap_or(off)).to_owned());
    }
    for option in asked {
        let key = option.split_once('=').map(|(key, _)| key);
        let flag = FLAGS.iter().any(|(off, on)| option == off || option == on);
        if !flag && !key.is_some_and(|key| KEYS.contains(&key)) {
            return Err(refuse(format!("{option:?} is no option of a tmpfs")));
        }
        if !options.iter().any(|known| known == option) {
            options.push((*option).to_owned());
        }
    }
    Ok(options)
}

/// Paths below `/proc` that tools such as lxcfs may replace (the list of runc and containerd).
const ALLOWED_BELOW_PROC: [&str; 10] = [
    "cpuinfo",
    "diskstats",
    "meminfo",
    "stat",
    "swaps",
    "uptime",
    "loadavg",
    "slabinfo",
    "sys/kernel/ns_last_pid",
    "sys/crypto/fips_enabled",
];

/// An absolute destination, out of the kernel's own directories (CVE-2019-16884, CVE-2025-52881).
fn destination_of(text: &str) -> Result<PathBuf> {
    if !text.starts_with('/') {
        return Err(refuse(format!(
            "the mount destination {text:?} is not an absolute path"
        )));
    }
    if text.contains('\0') {
        return Err(refuse("a mount destination has a NUL byte in it"));
    }
    let path = clean(text);
    if path == Path::new("/") {
        return Err(refuse("the mount destination cannot be /"));
    }
    let internal = match (path.strip_prefix("/proc"), path.strip_prefix("/sys")) {
        (Ok(below), _) => !ALLOWED_BELOW_PROC
            .iter()
            .any(|allowed| below == Path::new(allowed)),
        (_, Ok(below)) => !matches!(below.to_str(), Some("" | "fs/cgroup")),
        _ => false,
    };
    if internal {
        return Err(refuse(format!("cannot mount over {}", path.display()))
            .caused_by("what the kernel shows there protects the host"));
    }
    Ok(path)
}

/// The image's volume at a path, or `--volumes-from`'s.
pub(crate) fn image_volume(text: &str) -> Result<Wish> {
    // An image may write it relative or with `..` (CVE-2022-23648): read as seen from its root.
    let rooted = clean(text);
    Ok(Wish {
        destination: destination_of(&rooted.display().to_string())?,
        source: Source::Anonymous {
            copy: true,
            labels: Vec::new(),
        },
        read_only: false,
        propagation: None,
        recursion: Recursion::Full,
        mode: String::new(),
    })
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
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_parse() {
        let host = parse_bind("/src:/dst:ro,rslave").unwrap();
        assert_eq!(
            host.source,
            Source::Host {
                path: "/src".into(),
                create: true
            }
        );
        assert!(host.read_only);
        assert_eq!(bind_options(&host), ["rbind", "rslave", "rro"]);
        let volume = parse_bind("data:/dst/../x:nocopy").unwrap();
        assert_eq!(volume.destination, Path::new("/x"));
        assert!(matches!(volume.source, Source::Volume { copy: false, .. }));
        let anonymous = parse_bind("/only").unwrap();
        assert!(matches!(
            anonymous.source,
            Source::Anonymous { copy: true, .. }
        ));
        assert_eq!(bind_options(&anonymous), ["rbind", "rprivate"]);
    }

    #[test]
    fn bad_binds_are_refused() {
        for text in [
            "",
            ":",
            "a:",
            ":/a",
            "/a:b",
            "/a:/b:c:d",
            "/a:/b:sometimes",
            "./x:/y",
            "a/b:/c",
            "/a:/",
            "/a:/proc",
            "/a:/proc/self",
            "/a:/proc/sys/kernel/core_pattern",
            "/a:/x/../proc/1",
            "/a:/sys/kernel",
            "v:/x:rshared",
        ] {
            assert!(parse_bind(text).is_err(), "{text:?}");
        }
        for text in [
            "/a:/proc/meminfo",
            "/a:/sys/fs/cgroup:ro",
            "/a:/processes",
            "/sys:/sys:ro",
        ] {
            assert!(parse_bind(text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn tmpfs_options_are_checked() {
        assert_eq!(tmpfs_options(&[]).unwrap(), ["noexec", "nosuid", "nodev"]);
        assert_eq!(
            tmpfs_options(&["exec", "size=64k"]).unwrap(),
            ["exec", "nosuid", "nodev", "size=64k"]
        );
        for bad in ["size", "lowerdir=/", "sync=1", "mode"] {
            assert!(tmpfs_options(&[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn structured_mounts() {
        let mut mount = Mount {
            kind: MountKind::Bind,
            source: "/s".into(),
            target: "/t".into(),
            ..Mount::default()
        };
        let wish = parse_mount(&mount).unwrap();
        assert_eq!(
            wish.source,
            Source::Host {
                path: "/s".into(),
                create: false
            }
        );
        mount.source = "relative".into();
        assert!(parse_mount(&mount).is_err());
        mount = Mount {
            kind: MountKind::Tmpfs,
            target: "/t".into(),
            source: "x".into(),
            ..Mount::default()
        };
        assert!(parse_mount(&mount).is_err());
        mount.source.clear();
        mount.tmpfs_options = Some(TmpfsOptions {
            size_bytes: 4096,
            mode: 0o700,
        });
        let Source::Tmpfs { options } = parse_mount(&mount).unwrap().source else {
            panic!()
        };
        assert_eq!(
            options,
            ["noexec", "nosuid", "nodev", "size=4096", "mode=700"]
        );
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
