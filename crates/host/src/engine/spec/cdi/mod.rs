//! Devices by name: what the host's Container Device Interface files say a device needs (CDI 1.1,
//! `github.com/cncf-tags/container-device-interface/SPEC.md`), put into a runtime-spec.

mod edits;
mod named;
mod yaml;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use berth_contract::oci::Spec;
use berth_contract::{Class, Error, Result};
use berth_sys::error::Explain as _;
use serde::Deserialize;

use self::edits::Edits;
pub(crate) use self::named::{Named, named};
use crate::api::types::DeviceRequest;

/// Where the files lie; the later directory wins.
pub(crate) const DIRECTORIES: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];
/// What GPUs are called when nothing else is said.
const GPU: &str = "nvidia.com/gpu";

/// One file: devices of one kind.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    #[serde(rename = "cdiVersion")]
    _version: String,
    kind: String,
    #[serde(default)]
    annotations: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    devices: Vec<Device>,
    #[serde(default)]
    container_edits: Edits,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Device {
    name: String,
    #[serde(default)]
    annotations: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    container_edits: Edits,
}

/// All files of the host, and what could not be read of them.
#[derive(Debug, Default)]
struct Catalogue {
    files: Vec<File>,
    unread: Vec<String>,
}

/// Puts the requested devices into a spec.
pub(super) fn inject(requests: &[DeviceRequest], spec: &mut Spec) -> Result<()> {
    if requests.is_empty() {
        return Ok(());
    }
    inject_from(
        &Catalogue::read(&DIRECTORIES.map(Path::new))?,
        requests,
        spec,
    )
}

fn inject_from(catalogue: &Catalogue, requests: &[DeviceRequest], spec: &mut Spec) -> Result<()> {
    let mut whole: Vec<&File> = Vec::new();
    if requests.iter().any(|request| names(request).is_empty()) {
        return Err(Error::new(
            Class::Invalid,
            "a device request asks for no device",
        ));
    }
    for name in requests.iter().flat_map(names) {
        let (file, device) = catalogue.find(&name)?;
        device.container_edits.apply(spec)?;
        if !whole.iter().any(|known| std::ptr::eq(*known, file)) {
            whole.push(file);
        }
    }
    whole
        .iter()
        .try_for_each(|file| file.container_edits.apply(spec))
}

/// The full names, `vendor.com/class=device`, that a request means.
fn names(request: &DeviceRequest) -> Vec<String> {
    let kind = match request.driver.as_str() {
        "cdi" => return request.device_ids.clone(),
        "" | "nvidia" => GPU.to_owned(),
        vendor => format!("{vendor}.com/gpu"),
    };
    let devices = match request.count {
        _ if !request.device_ids.is_empty() => request.device_ids.clone(),
        count if count < 0 => vec!["all".to_owned()],
        count => (0..count).map(|number| number.to_string()).collect(),
    };
    devices
        .iter()
        .map(|device| format!("{kind}={device}"))
        .collect()
}

impl Catalogue {
    fn read(directories: &[&Path]) -> Result<Self> {
        let mut catalogue = Self::default();
        for directory in directories {
            let mut paths: Vec<PathBuf> = match fs::read_dir(directory) {
                Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    return Err(error).explain(|| format!("cannot read {}", directory.display()));
                }
            };
            paths.sort();
            for path in paths {
                catalogue.add(&path)?;
            }
        }
        Ok(catalogue)
    }

    fn add(&mut self, path: &Path) -> Result<()> {
        let parse = match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => from_json,
            Some("yaml" | "yml") => from_yaml,
            _ => return Ok(()),
        };
        let text =
            fs::read_to_string(path).explain(|| format!("cannot read {}", path.display()))?;
        match parse(&text) {
            Ok(file) => self.files.push(file),
            // Only who asks for a device of it needs to know.
            Err(reason) => self.unread.push(format!("{}: {reason}", path.display())),
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Result<(&File, &Device)> {
        let (kind, device) = name.split_once('=').unwrap_or((name, ""));
        let files = self.files.iter().rev().filter(|file| file.kind == kind);
        let mut devices = files.flat_map(|file| file.devices.iter().map(move |one| (file, one)));
        if let Some(found) = devices.find(|(_, known)| known.name == device) {
            return Ok(found);
        }
        let reason = match self.unread.first() {
            Some(unread) => format!("no file describes it; {unread}"),
            None => format!("no file in {} describes it", DIRECTORIES.join(" or ")),
        };
        let error = Error::new(Class::Unsupported, format!("cannot give the device {name}"))
            .caused_by(reason);
        Err(if kind == GPU {
            error.hint("nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml")
        } else {
            error.hint("pass the device itself: --device /dev/NAME")
        })
    }
}

fn from_json(text: &str) -> Result<File, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn from_yaml(text: &str) -> Result<File, String> {
    serde_json::from_value(yaml::parse(text)?).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use berth_contract::oci::Process;

    use super::*;

    const FILE: &str = r#"{
        "cdiVersion": "0.6.0",
        "kind": "example.com/disk",
        "devices": [
            {"name": "null", "containerEdits": {
                "deviceNodes": [{"path": "/dev/nothing", "hostPath": "/dev/null", "permissions": "rw"}],
                "env": ["DISK=null"]
            }},
            {"name": "all", "containerEdits": {}}
        ],
        "containerEdits": {
            "mounts": [{"hostPath": "/lib/x", "containerPath": "/lib/y", "options": ["ro"]}],
            "hooks": [{"hookName": "createContainer", "path": "/bin/hook", "args": ["hook", "run"]}],
            "additionalGids": [44]
        }
    }"#;

    /// As `nvidia-ctk cdi generate` writes it.
    const YAML: &str = "---
cdiVersion: 0.6.0
kind: example.com/disk
devices:
    - name: \"null\"
      containerEdits:
        deviceNodes:
            - path: /dev/nothing
              hostPath: /dev/null
              permissions: rw
        env:
            - DISK=null
    - name: all
      containerEdits: {}
containerEdits:
    mounts:
        - hostPath: /lib/x
          containerPath: /lib/y
          options:
            - ro
    hooks:
        - hookName: createContainer
          path: /bin/hook
          args:
            - hook
            - run
    additionalGids:
        - 44
";

    #[test]
    fn files_are_json_or_yaml() {
        let shown = |file: Result<File, String>| format!("{:?}", file.unwrap());
        assert_eq!(shown(from_yaml(YAML)), shown(from_json(FILE)));
        let unknown = YAML.replace("hostPath: /lib/x", "hostPaths: /lib/x");
        assert!(from_yaml(&unknown).unwrap_err().contains("hostPaths"));
    }

    fn request(driver: &str, count: i64, ids: &[&str]) -> DeviceRequest {
        DeviceRequest {
            driver: driver.to_owned(),
            count,
            device_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            ..DeviceRequest::default()
        }
    }

    #[test]
    fn requests_have_full_names() {
        for (request, expected) in [
            (request("cdi", 0, &["a.com/b=c"]), &["a.com/b=c"][..]),
            (request("", -1, &[]), &["nvidia.com/gpu=all"]),
            (
                request("nvidia", 2, &[]),
                &["nvidia.com/gpu=0", "nvidia.com/gpu=1"],
            ),
            (request("amd", 0, &["1"]), &["amd.com/gpu=1"]),
        ] {
            assert_eq!(names(&request), expected);
        }
    }

    #[test]
    fn a_device_brings_everything_it_needs() {
        let catalogue = Catalogue {
            files: vec![serde_json::from_str(FILE).unwrap()],
            unread: Vec::new(),
        };
        let mut spec = Spec {
            process: Some(Process::default()),
            linux: Some(berth_contract::oci::Linux::default()),
            ..Spec::default()
        };
        let asked = [request(
            "cdi",
            0,
            &["example.com/disk=null", "example.com/disk=all"],
        )];
        inject_from(&catalogue, &asked, &mut spec).unwrap();
        let linux = spec.linux.as_ref().unwrap();
        let node = linux.devices.as_ref().unwrap().last().unwrap();
        assert_eq!(node.path, Path::new("/dev/nothing"));
        assert_eq!((node.major, node.minor), (1, 3));
        let rules = linux.resources.as_ref().unwrap().devices.clone().unwrap();
        assert_eq!(rules.last().unwrap().access.as_deref(), Some("rw"));
        let process = spec.process.as_ref().unwrap();
        assert!(
            process
                .env
                .as_ref()
                .unwrap()
                .contains(&"DISK=null".to_owned())
        );
        assert_eq!(process.user.additional_gids.as_deref(), Some(&[44][..]));
        let mounts = spec.mounts.as_ref().unwrap();
        let of_device = mounts
            .iter()
            .filter(|mount| mount.destination == Path::new("/lib/y"));
        assert_eq!(of_device.count(), 1, "once for both devices");
        let hooks = spec.hooks.as_ref().unwrap();
        assert_eq!(hooks.create_container.as_ref().unwrap().len(), 1);
        let missing = [request("", 1, &[])];
        let error = inject_from(&catalogue, &missing, &mut spec).unwrap_err();
        assert_eq!(error.to_string(), "cannot give the device nvidia.com/gpu=0");
    }
}
