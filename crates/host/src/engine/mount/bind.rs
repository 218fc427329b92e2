//! `-v`: `[SOURCE:]DESTINATION[:OPTIONS]`.

use std::path::PathBuf;

use berth_contract::{Error, Result};

use super::destination::destination_of;
use super::{New, Recursion, Source, Wish, refuse, volume_name};

/// `[SOURCE:]DESTINATION[:OPTIONS]`.
pub(super) fn parse(text: &str) -> Result<Wish> {
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
    let anonymous = Source::Anonymous(New::plain(true));
    let mut wish = Wish {
        mode: mode.to_owned(),
        ..Wish::new(destination_of(destination)?, anonymous)
    };
    let copy = apply_modes(&mut wish, mode).map_err(|reason| invalid_bind(text, &reason))?;
    wish.source = match source {
        None => Source::Anonymous(New::plain(copy)),
        Some(path) if path.starts_with('/') => Source::Host {
            path: PathBuf::from(path),
            create: true,
        },
        Some(name) => Source::Volume {
            name: volume_name(name)?,
            new: New::plain(copy),
        },
    };
    if let (Source::Volume { .. }, "") = (&wish.source, mode) {
        // Docker's default for named volumes: a label that all containers share, where there are labels.
        wish.mode = "z".to_owned();
    }
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
            other if wish.ownership.accept(other)? => {}
            other => return Err(format!("{other:?} is no option of a volume")),
        }
    }
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::bind_options;
    use super::*;

    #[test]
    fn binds_parse() {
        let host = parse("/src:/dst:ro,rslave").unwrap();
        assert_eq!(
            host.source,
            Source::Host {
                path: "/src".into(),
                create: true
            }
        );
        assert!(host.read_only);
        assert_eq!(bind_options(&host), ["rbind", "rslave", "rro"]);
        let volume = parse("data:/dst/../x:nocopy").unwrap();
        assert_eq!(volume.destination, Path::new("/x"));
        assert!(parse("/src:/dst:idmap").unwrap().ownership.map.is_some());
        assert!(matches!(volume.source, Source::Volume { new, .. } if !new.copy));
        let anonymous = parse("/only").unwrap();
        assert_eq!(anonymous.source, Source::Anonymous(New::plain(true)));
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
            "/a:/proc",
            "/a:/proc/self",
            "/a:/proc/sys/kernel/core_pattern",
            "/a:/x/../proc/1",
            "/a:/sys/kernel",
            "v:/x:rshared",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        for text in [
            "/a:/proc/meminfo",
            "/a:/sys/fs/cgroup:ro",
            "/a:/processes",
            "/sys:/sys:ro",
        ] {
            assert!(parse(text).is_ok(), "{text:?}");
        }
    }
}
