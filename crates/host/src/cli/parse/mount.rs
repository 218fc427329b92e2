//! `--mount`, `--tmpfs` and the parts of `-v` that the command line settles.

use berth_host::api::types::{
    BindOptions, ImageOptions, Mount, MountKind, TmpfsOptions, VolumeOptions,
};

use super::{Parsed, environment, fields, size, truth};

const PROPAGATIONS: [&str; 6] = [
    "private", "rprivate", "shared", "rshared", "slave", "rslave",
];

/// One `--mount`: comma-separated `key=value` fields as in Docker.
pub(crate) fn mount(text: &str) -> Parsed<Mount> {
    let fields = fields(text)?;
    let mut mount = Mount {
        kind: kind_of(&fields)?,
        ..Mount::default()
    };
    for field in &fields {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
            None => (field.to_ascii_lowercase(), None),
        };
        set(&mut mount, &key, value).map_err(|reason| format!("{key}: {reason}"))?;
    }
    if mount.target.is_empty() {
        return Err("the field target is missing".into());
    }
    if !mount.target.starts_with('/') {
        return Err(format!(
            "the target {:?} is not an absolute path",
            mount.target
        ));
    }
    let sourceless = mount.source.is_empty();
    match mount.kind {
        MountKind::Bind | MountKind::Image if sourceless => {
            Err("the field source is missing".into())
        }
        MountKind::Tmpfs if !sourceless => Err("a tmpfs has no source".into()),
        _ => Ok(mount),
    }
}

fn kind_of(fields: &[String]) -> Parsed<MountKind> {
    let kinds = fields.iter().filter_map(|field| field.split_once('='));
    let mut kinds = kinds.filter(|(key, _)| key.eq_ignore_ascii_case("type"));
    match kinds.next_back().map(|(_, kind)| kind) {
        None | Some("volume") => Ok(MountKind::Volume),
        Some("bind") => Ok(MountKind::Bind),
        Some("tmpfs") => Ok(MountKind::Tmpfs),
        Some("image") => Ok(MountKind::Image),
        Some(other) => Err(format!(
            "type {other:?} is none of bind, volume, tmpfs and image"
        )),
    }
}

fn set(mount: &mut Mount, key: &str, value: Option<&str>) -> Parsed<()> {
    let needed = || value.ok_or_else(|| "it needs a value".to_owned());
    // A bare key is a switch that is on.
    let switch = || value.map_or(Ok(true), truth);
    match key {
        "type" => {}
        "source" | "src" => mount.source = needed()?.to_owned(),
        "target" | "destination" | "dst" => mount.target = needed()?.to_owned(),
        "readonly" | "ro" => mount.read_only = switch()?,
        "rw" | "readwrite" => mount.read_only = !switch()?,
        "consistency" => mount.consistency = needed()?.to_owned(),
        "idmap" => value.unwrap_or("true").clone_into(&mut mount.id_map),
        "u" | "chown" => mount.chown = switch()?,
        "bind-nonrecursive" => bind(mount)?.non_recursive = switch()?,
        "bind-create-src" => bind(mount)?.create_mountpoint = switch()?,
        "bind-propagation" => {
            let value = needed()?;
            if !PROPAGATIONS.contains(&value) {
                return Err(format!("it must be one of {}", PROPAGATIONS.join(", ")));
            }
            value.clone_into(&mut bind(mount)?.propagation);
        }
        "bind-recursive" => recursive(bind(mount)?, needed()?)?,
        "volume-nocopy" => volume(mount)?.no_copy = switch()?,
        "volume-subpath" => needed()?.clone_into(&mut volume(mount)?.subpath),
        "volume-driver" => needed()?.clone_into(&mut volume(mount)?.driver),
        "volume-label" => {
            let (name, value) = environment::entry(needed()?)?;
            volume(mount)?
                .labels
                .insert(name, value.unwrap_or_default());
        }
        "volume-opt" => {
            let (name, value) = environment::pair(needed()?)?;
            volume(mount)?.driver_options.insert(name, value);
        }
        "image-subpath" | "image-path" => needed()?.clone_into(&mut image(mount)?.subpath),
        "tmpfs-size" => tmpfs(mount)?.size_bytes = size::bytes(needed()?)?,
        "tmpfs-mode" => tmpfs(mount)?.mode = mode(needed()?)?,
        _ => return Err("it is no field of a mount".into()),
    }
    Ok(())
}

fn recursive(options: &mut BindOptions, value: &str) -> Parsed<()> {
    match value {
        "enabled" => {}
        "disabled" => options.non_recursive = true,
        "writable" => options.read_only_non_recursive = true,
        "readonly" => options.read_only_force_recursive = true,
        _ => return Err("it must be enabled, disabled, writable or readonly".into()),
    }
    Ok(())
}

fn mode(text: &str) -> Parsed<u32> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o7777 => Ok(mode),
        _ => Err("it must be an octal number such as 1777".into()),
    }
}

fn bind(mount: &mut Mount) -> Parsed<&mut BindOptions> {
    only(mount.kind, MountKind::Bind, "a bind mount")?;
    Ok(mount.bind_options.get_or_insert_default())
}

fn volume(mount: &mut Mount) -> Parsed<&mut VolumeOptions> {
    only(mount.kind, MountKind::Volume, "a volume")?;
    Ok(mount.volume_options.get_or_insert_default())
}

fn image(mount: &mut Mount) -> Parsed<&mut ImageOptions> {
    only(mount.kind, MountKind::Image, "an image mount")?;
    Ok(mount.image_options.get_or_insert_default())
}

fn tmpfs(mount: &mut Mount) -> Parsed<&mut TmpfsOptions> {
    only(mount.kind, MountKind::Tmpfs, "a tmpfs")?;
    Ok(mount.tmpfs_options.get_or_insert_default())
}

fn only(kind: MountKind, wanted: MountKind, what: &str) -> Parsed<()> {
    if kind == wanted {
        Ok(())
    } else {
        Err(format!("only {what} has this field"))
    }
}

/// `PATH[:OPTIONS]` of `--tmpfs`.
pub(crate) fn tmpfs_path(text: &str) -> Parsed<(String, String)> {
    let (path, options) = text.split_once(':').unwrap_or((text, ""));
    if !path.starts_with('/') {
        return Err(format!("{path:?} is not an absolute path"));
    }
    Ok((path.to_owned(), options.to_owned()))
}

/// `CONTAINER[:ro|rw|z|Z]` of `--volumes-from`.
pub(crate) fn volumes_from(text: &str) -> Parsed<String> {
    let (container, mode) = text.split_once(':').unwrap_or((text, "rw"));
    if container.is_empty() {
        return Err("it names no container".into());
    }
    if mode
        .split(',')
        .all(|word| matches!(word, "ro" | "rw" | "z" | "Z"))
    {
        Ok(text.to_owned())
    } else {
        Err(format!("{mode:?} is neither ro nor rw"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds() {
        let parsed = mount(
            "type=bind,src=/a,\"dst=/b,c\",ro,bind-propagation=rslave,bind-recursive=readonly",
        );
        let expected = Mount {
            kind: MountKind::Bind,
            source: "/a".into(),
            target: "/b,c".into(),
            read_only: true,
            bind_options: Some(BindOptions {
                propagation: "rslave".into(),
                read_only_force_recursive: true,
                ..BindOptions::default()
            }),
            ..Mount::default()
        };
        assert_eq!(parsed, Ok(expected));
        assert!(
            !mount("type=bind,source=/a,target=/b,readonly=false")
                .unwrap()
                .read_only
        );
    }

    #[test]
    fn volumes_images_and_tmpfs() {
        let volume = mount(
            "source=v,destination=/b,volume-nocopy,volume-label=a=b,volume-label=c,\
             volume-opt=type=tmpfs,volume-subpath=x",
        );
        let options = volume.unwrap().volume_options.unwrap();
        assert!(options.no_copy);
        assert_eq!(options.labels.len(), 2);
        assert_eq!(options.driver_options["type"], "tmpfs");
        assert_eq!(options.subpath, "x");
        let tmpfs = mount("type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=1770").unwrap();
        assert_eq!(
            tmpfs.tmpfs_options,
            Some(TmpfsOptions {
                size_bytes: 64 << 20,
                mode: 0o1770
            })
        );
        let image = mount("type=image,source=busybox,target=/i,image-subpath=bin").unwrap();
        assert_eq!(image.image_options.unwrap().subpath, "bin");
        assert_eq!(mount("target=/anonymous").unwrap().kind, MountKind::Volume);
    }

    #[test]
    fn wrong_mounts_are_refused() {
        for (text, reason) in [
            ("type=bind,target=/b", "the field source is missing"),
            ("type=bind,source=/a", "the field target is missing"),
            (
                "type=bind,source=/a,target=b",
                "the target \"b\" is not an absolute path",
            ),
            (
                "type=nfs,target=/b",
                "type \"nfs\" is none of bind, volume, tmpfs and image",
            ),
            ("type=tmpfs,source=/a,target=/b", "a tmpfs has no source"),
            (
                "type=bind,src=/a,dst=/b,tmpfs-size=1",
                "tmpfs-size: only a tmpfs has this field",
            ),
            ("target=/b,size=1", "size: it is no field of a mount"),
            ("target", "target: it needs a value"),
            ("target=/b,ro=perhaps", "ro: it must be true or false"),
            (
                "type=tmpfs,dst=/t,tmpfs-mode=9",
                "tmpfs-mode: it must be an octal number such as 1777",
            ),
        ] {
            assert_eq!(mount(text).unwrap_err(), reason, "{text}");
        }
    }

    #[test]
    fn short_forms() {
        assert_eq!(
            tmpfs_path("/run:rw,size=1m"),
            Ok(("/run".into(), "rw,size=1m".into()))
        );
        assert_eq!(tmpfs_path("/run"), Ok(("/run".into(), String::new())));
        assert!(tmpfs_path("run").is_err());
        assert!(volumes_from("web:ro").is_ok());
        assert!(volumes_from("web:rx").is_err());
        assert!(volumes_from(":ro").is_err());
    }
}
