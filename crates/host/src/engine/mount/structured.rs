//! `--mount`: the Engine API's structured mounts.

use std::path::{Component, Path, PathBuf};

use berth_contract::Result;

use super::destination::destination_of;
use super::{New, Recursion, Source, Wish, check_driver, refuse, tmpfs, volume_name};
use crate::api::types::{BindOptions, Mount, MountKind, TmpfsOptions, VolumeOptions};
use crate::engine::ownership::{IdMap, Ownership};
use crate::volume;

pub(super) fn parse(mount: &Mount) -> Result<Wish> {
    let destination = destination_of(&mount.target)?;
    let tmpfs = Source::Tmpfs {
        options: Vec::new(),
        listed: true,
    };
    let mut wish = Wish {
        read_only: mount.read_only,
        ownership: ownership(mount)?,
        ..Wish::new(destination, tmpfs)
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
            wish.subpath = subpath(&options.subpath, "volume")?;
            if wish.subpath.is_some() && mount.source.is_empty() {
                return Err(refuse("volume-subpath needs the name of a volume"));
            }
            wish.source = volume_source(&mount.source, options)?;
        }
        MountKind::Tmpfs => {
            if !mount.source.is_empty() {
                return Err(refuse("a tmpfs mount has no source"));
            }
            let options = mount.tmpfs_options.clone().unwrap_or_default();
            wish.source = Source::Tmpfs {
                options: structured_tmpfs(&options)?,
                listed: true,
            };
        }
        MountKind::Image => {
            let options = mount.image_options.clone().unwrap_or_default();
            wish.subpath = subpath(&options.subpath, "image")?;
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

/// A path within a source: relative, and without `..`, as in Docker.
fn subpath(text: &str, kind: &str) -> Result<Option<PathBuf>> {
    let path = Path::new(text);
    let local = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if path.components().all(local) && !text.contains('\0') {
        return Ok(Some(path.to_owned()).filter(|_| !text.is_empty()));
    }
    Err(refuse(format!(
        "{kind}-subpath {text:?} must be a relative path within the {kind}"
    )))
}

fn ownership(mount: &Mount) -> Result<Ownership> {
    let map = match mount.id_map.as_str() {
        "" => None,
        text => Some(IdMap::parse(text).map_err(|reason| {
            refuse(format!("cannot mount {}", mount.target)).caused_by(reason)
        })?),
    };
    let ownership = Ownership {
        map,
        give: mount.chown,
    };
    let files = matches!(mount.kind, MountKind::Bind | MountKind::Volume);
    if files || ownership == Ownership::default() {
        return Ok(ownership);
    }
    Err(refuse("only bind mounts and volumes can have idmap and U"))
}

fn volume_source(name: &str, options: VolumeOptions) -> Result<Source> {
    check_driver(&options.driver)?;
    volume::check_options(&options.driver_options)?;
    let new = New {
        copy: !options.no_copy,
        labels: options.labels,
        options: options.driver_options,
    };
    if name.is_empty() {
        return Ok(Source::Anonymous(new));
    }
    Ok(Source::Volume {
        name: volume_name(name)?,
        new,
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
    tmpfs::options(&list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structured_mounts() {
        let mut mount = Mount {
            kind: MountKind::Bind,
            source: "/s".into(),
            target: "/t".into(),
            ..Mount::default()
        };
        let wish = parse(&mount).unwrap();
        assert_eq!(
            wish.source,
            Source::Host {
                path: "/s".into(),
                create: false
            }
        );
        mount.source = "relative".into();
        assert!(parse(&mount).is_err());
        mount = Mount {
            kind: MountKind::Tmpfs,
            target: "/t".into(),
            source: "x".into(),
            ..Mount::default()
        };
        assert!(parse(&mount).is_err());
        mount.source.clear();
        mount.tmpfs_options = Some(TmpfsOptions {
            size_bytes: 4096,
            mode: 0o700,
        });
        let Source::Tmpfs { options, .. } = parse(&mount).unwrap().source else {
            panic!()
        };
        assert_eq!(
            options,
            ["noexec", "nosuid", "nodev", "size=4096", "mode=700"]
        );
    }
}
