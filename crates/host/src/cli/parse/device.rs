//! `--device` and `--device-cgroup-rule`.

use berth_host::api::types::DeviceMapping;

use super::Parsed;

/// `HOST[:CONTAINER][:PERMISSIONS]`, permissions being some of `rwm`.
pub(crate) fn device(text: &str) -> Parsed<DeviceMapping> {
    if !text.starts_with('/') && text.contains('=') {
        return Err("devices by name (CDI) are not supported: use a path below /dev".into());
    }
    let parts: Vec<&str> = text.split(':').collect();
    let (host, container, permissions) = match parts[..] {
        [host] => (host, host, "rwm"),
        [host, second] if are_permissions(second) => (host, host, second),
        [host, second] => (host, second, "rwm"),
        [host, container, permissions] if are_permissions(permissions) => {
            (host, container, permissions)
        }
        [_, _, permissions] => {
            return Err(format!(
                "the permissions {permissions:?} are none of r, w and m"
            ));
        }
        _ => return Err("it must be HOST[:CONTAINER][:PERMISSIONS]".into()),
    };
    for path in [host, container] {
        if !path.starts_with('/') {
            return Err(format!("{path:?} is not an absolute path"));
        }
    }
    Ok(DeviceMapping {
        path_on_host: host.to_owned(),
        path_in_container: container.to_owned(),
        cgroup_permissions: permissions.to_owned(),
    })
}

/// `TYPE MAJOR:MINOR PERMISSIONS`: `c 1:3 rwm`, `b 8:* r`.
pub(crate) fn cgroup_rule(text: &str) -> Parsed<String> {
    let reason = || "it must be TYPE MAJOR:MINOR PERMISSIONS, such as 'c 1:3 rwm'".to_owned();
    let mut words = text.split_ascii_whitespace();
    let (Some(kind), Some(numbers), Some(permissions), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(reason());
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(reason)?;
    let number = |text: &str| text == "*" || text.parse::<u32>().is_ok();
    let valid = matches!(kind, "a" | "b" | "c")
        && number(major)
        && number(minor)
        && are_permissions(permissions);
    if valid {
        Ok(text.to_owned())
    } else {
        Err(reason())
    }
}

fn are_permissions(text: &str) -> bool {
    let once = |letter| text.matches(letter).count() <= 1;
    !text.is_empty()
        && text.chars().all(|letter| matches!(letter, 'r' | 'w' | 'm'))
        && once('r')
        && once('w')
        && once('m')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices() {
        for (text, host, container, permissions) in [
            ("/dev/fuse", "/dev/fuse", "/dev/fuse", "rwm"),
            ("/dev/fuse:r", "/dev/fuse", "/dev/fuse", "r"),
            ("/dev/sda:/dev/xvda", "/dev/sda", "/dev/xvda", "rwm"),
            ("/dev/sda:/dev/xvda:rw", "/dev/sda", "/dev/xvda", "rw"),
        ] {
            let expected = DeviceMapping {
                path_on_host: host.into(),
                path_in_container: container.into(),
                cgroup_permissions: permissions.into(),
            };
            assert_eq!(device(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "sda",
            "/dev/a:/dev/b:x",
            "/dev/a:b",
            "/a:/b:rw:c",
            "nvidia.com/gpu=all",
        ] {
            assert!(device(text).is_err(), "{text}");
        }
    }

    #[test]
    fn cgroup_rules() {
        for text in ["c 1:3 rwm", "b 8:* r", "a *:* rwm"] {
            assert!(cgroup_rule(text).is_ok(), "{text}");
        }
        for text in ["", "c 1:3", "x 1:3 r", "c 1 r", "c 1:3 rr", "c 1:3 r w"] {
            assert!(cgroup_rule(text).is_err(), "{text}");
        }
    }
}
