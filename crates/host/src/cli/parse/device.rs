//! `--device`, `--gpus` and `--device-cgroup-rule`.

use berth_host::api::types::{DeviceMapping, DeviceRequest};

use super::{Parsed, environment, fields};

/// One `--device`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Device {
    /// A path of the host.
    Path(DeviceMapping),
    /// A name, `vendor.com/class=device`, that the host's CDI files explain.
    Name(String),
}

/// `HOST[:CONTAINER][:PERMISSIONS]`, or `vendor.com/class=device`.
pub(crate) fn device(text: &str) -> Parsed<Device> {
    match text.split_once('=') {
        Some((kind, name)) if !text.starts_with('/') && kind.contains('/') && !name.is_empty() => {
            Ok(Device::Name(text.to_owned()))
        }
        _ => path(text).map(Device::Path),
    }
}

/// `all`, a number, or Docker's fields: `device=0,1` (in quotes), `count=…`, `driver=…`,
/// `capabilities=…`, `options=…`.
pub(crate) fn gpus(text: &str) -> Parsed<DeviceRequest> {
    let mut request = DeviceRequest::default();
    let mut capabilities = Vec::new();
    let mut count = None;
    for field in fields(text)? {
        let (key, value) = field.split_once('=').unwrap_or(("count", &field));
        let list = || value.split(',').map(str::to_owned);
        match key {
            "driver" => value.clone_into(&mut request.driver),
            "count" => count = Some(gpu_count(value)?),
            "device" => request.device_ids = list().collect(),
            "capabilities" => capabilities.extend(list()),
            "options" => {
                for option in fields(value)? {
                    request.options.extend([environment::pair(&option)?]);
                }
            }
            other => return Err(format!("{other}: it is no field of a GPU request")),
        }
    }
    if count.is_some() && !request.device_ids.is_empty() {
        return Err("count and device cannot be used together".into());
    }
    let one = i64::from(request.device_ids.is_empty());
    request.count = count.unwrap_or(one);
    if !capabilities.iter().any(|known| known == "gpu") {
        capabilities.push("gpu".to_owned());
    }
    request.capabilities = vec![capabilities];
    Ok(request)
}

fn gpu_count(text: &str) -> Parsed<i64> {
    match (text, text.parse::<i64>()) {
        ("all", _) => Ok(-1),
        (_, Ok(count)) if count >= 0 => Ok(count),
        _ => Err(format!("{text:?} is neither all nor a number")),
    }
}

/// Permissions are some of `rwm`.
fn path(text: &str) -> Parsed<DeviceMapping> {
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
            assert_eq!(device(text), Ok(Device::Path(expected)), "{text}");
        }
        for text in [
            "",
            "sda",
            "/dev/a:/dev/b:x",
            "/dev/a:b",
            "/a:/b:rw:c",
            "nvidia=all",
            "nvidia.com/gpu=",
        ] {
            assert!(device(text).is_err(), "{text}");
        }
        let name = "nvidia.com/gpu=all";
        assert_eq!(device(name), Ok(Device::Name(name.to_owned())));
    }

    #[test]
    fn gpu_requests() {
        for (text, count, ids) in [
            ("all", -1, &[][..]),
            ("2", 2, &[]),
            ("driver=nvidia", 1, &[]),
            ("\"device=0,GPU-1\"", 0, &["0", "GPU-1"]),
            ("count=all,\"capabilities=compute,utility\"", -1, &[]),
        ] {
            let request = gpus(text).unwrap();
            assert_eq!(
                (request.count, &request.device_ids[..]),
                (
                    count,
                    &ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>()[..]
                ),
                "{text}"
            );
            assert!(request.capabilities[0].contains(&"gpu".to_owned()));
        }
        for text in ["", "some", "-1", "count=1,device=0", "color=red"] {
            assert!(gpus(text).is_err(), "{text}");
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
