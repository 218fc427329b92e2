//! Volumes with a file system of their own: the options of the driver `local`, and shared memory.

use std::collections::BTreeMap;

use berth_contract::{Class, ContainerId, Error, Result};

use super::Volume;

/// What `/dev/shm` is of a container whose IPC namespace others may join: a volume of its own, in its
/// directory, which is mounted while it runs.
///
/// # Errors
/// None: an id is a volume's name.
pub(crate) fn shared_memory(id: &ContainerId, created: u64, size: u64) -> Result<Volume> {
    let options = [
        ("type", "tmpfs".to_owned()),
        ("device", "shm".to_owned()),
        ("o", format!("mode=1777,nosuid,nodev,noexec,size={size}")),
    ];
    Ok(Volume {
        name: id.as_str().parse()?,
        created,
        labels: BTreeMap::new(),
        anonymous: false,
        options: options.map(|(key, value)| (key.to_owned(), value)).into(),
    })
}

/// Checks the options of the driver `local`, by Docker's rules.
///
/// # Errors
/// An option is unknown or missing, or the file system is one that needs a program of the host.
pub fn check_options(options: &BTreeMap<String, String>) -> Result<()> {
    let refuse = |message: String| Err(Error::new(Class::Invalid, message));
    let known = ["type", "device", "o"];
    if let Some(unknown) = options.keys().find(|key| !known.contains(&key.as_str())) {
        if unknown == "size" {
            return Err(
                Error::new(Class::Unsupported, "cannot limit the size of a volume")
                    .caused_by("a plain directory has no size of its own")
                    .hint("-o type=tmpfs -o device=tmpfs -o o=size=64m is a volume in memory"),
            );
        }
        return Err(
            Error::new(Class::Invalid, format!("invalid volume option {unknown:?}"))
                .hint("the options are type, device and o"),
        );
    }
    if options.is_empty() {
        return Ok(());
    }
    if let Some(missing) = ["type", "device"]
        .iter()
        .find(|key| !options.contains_key(**key))
    {
        return refuse(format!("the volume option {missing} is missing"));
    }
    let kind = options["type"].as_str();
    if matches!(kind, "nfs" | "nfs4" | "cifs" | "smb3") {
        return Err(
            Error::new(Class::Unsupported, format!("cannot mount {kind} volumes"))
                .caused_by("the kernel needs the help of mount(8) for it")
                .hint("mount it on the host and use -v PATH:TARGET"),
        );
    }
    let words = options.get("o").map(String::as_str).unwrap_or_default();
    let binds = words
        .split(',')
        .any(|word| matches!(word, "bind" | "rbind"));
    if binds && !options["device"].starts_with('/') {
        return refuse(format!(
            "the volume option device={} is not an absolute path",
            options["device"]
        ));
    }
    Ok(())
}
