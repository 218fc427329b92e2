//! `--security-opt` and `--privileged`: what keeps a guest in, and what was asked to be let go.

use std::path::Path;

use berth_contract::oci::{Capabilities, LinuxSeccomp};
use berth_contract::{Class, Error, Result};
use berth_linux_runtime::defaults;
use berth_sys::error::Explain as _;

use super::seccomp_profile;
use crate::api::types::HostConfig;

/// What `--security-opt` says.
#[derive(Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent options, each on or off"
)]
pub(super) struct Security {
    /// Refuse new privileges through setuid programs; on unless switched off.
    pub(super) no_new_privileges: bool,
    /// The `AppArmor` profile.
    pub(super) apparmor: Option<String>,
    /// The `SELinux` label.
    pub(super) selinux: Option<String>,
    /// Hide and protect nothing of `/proc` and `/sys`.
    pub(super) bare_system_paths: bool,
    /// The cgroup mount is writable.
    pub(super) writable_cgroups: bool,
    /// Which seccomp rules.
    pub(super) seccomp: Seccomp,
    /// What was accepted without effect.
    pub(super) warnings: Vec<String>,
}

/// Which seccomp rules a guest gets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Seccomp {
    /// Docker's default ones.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// These: a profile in Docker's or the runtime-spec's format.
    Profile(String),
}

/// What of the host decides whether labels mean anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Modules {
    /// `AppArmor` is on.
    pub(crate) apparmor: bool,
    /// `SELinux` is on.
    pub(crate) selinux: bool,
}

impl Modules {
    /// What this kernel has.
    pub(crate) fn probe() -> Self {
        Self {
            apparmor: Path::new("/sys/kernel/security/apparmor").exists(),
            selinux: Path::new("/sys/fs/selinux/enforce").exists(),
        }
    }
}

/// Reads the options of a container.
pub(super) fn parse(host: &HostConfig, modules: impl Fn() -> Modules) -> Result<Security> {
    let mut security = Security {
        no_new_privileges: !host.privileged,
        bare_system_paths: host.privileged,
        writable_cgroups: host.privileged,
        ..Security::default()
    };
    if host.privileged {
        security.seccomp = Seccomp::Unconfined;
    }
    let mut label = Label::default();
    for option in &host.security_opt {
        let (key, value) = split(option);
        match (key, value) {
            ("no-new-privileges", "" | "true") => security.no_new_privileges = true,
            ("no-new-privileges", "false") => security.no_new_privileges = false,
            ("systempaths", "unconfined") => security.bare_system_paths = true,
            ("writable-cgroups", "" | "true") => security.writable_cgroups = true,
            ("writable-cgroups", "false") => security.writable_cgroups = false,
            ("seccomp", "unconfined") => security.seccomp = Seccomp::Unconfined,
            ("seccomp", "builtin" | "default") => security.seccomp = Seccomp::Default,
            ("seccomp", profile) if !profile.is_empty() => {
                security.seccomp = Seccomp::Profile(read_profile(profile)?);
            }
            ("apparmor", "unconfined") => security.apparmor = None,
            ("apparmor", profile) if !profile.is_empty() => {
                if !modules().apparmor {
                    return Err(
                        Error::new(Class::Unsupported, format!("cannot use {option}"))
                            .caused_by("this kernel has no AppArmor"),
                    );
                }
                security.apparmor = Some(profile.to_owned());
            }
            ("label", part) if label.accept(part) => {}
            _ => {
                return Err(Error::new(
                    Class::Invalid,
                    format!("invalid --security-opt {option:?}"),
                )
                .hint("berth run --help lists them"));
            }
        }
    }
    if label.asked && modules().selinux {
        security.selinux = label.text();
    } else if label.asked && !label.disabled {
        security
            .warnings
            .push("SELinux is off on this host: its labels have no effect".to_owned());
    }
    Ok(security)
}

/// `key=value`; Docker still takes `key:value`.
fn split(option: &str) -> (&str, &str) {
    option
        .split_once('=')
        .or_else(|| option.split_once(':'))
        .unwrap_or((option, ""))
}

/// A profile as it is, or the file that holds it.
fn read_profile(text: &str) -> Result<String> {
    if text.trim_start().starts_with('{') {
        return Ok(text.to_owned());
    }
    std::fs::read_to_string(text).explain(|| format!("cannot read the seccomp profile {text}"))
}

#[derive(Debug, Default)]
struct Label {
    asked: bool,
    disabled: bool,
    user: Option<String>,
    role: Option<String>,
    kind: Option<String>,
    level: Option<String>,
}

impl Label {
    fn accept(&mut self, part: &str) -> bool {
        self.asked = true;
        if part == "disable" {
            self.disabled = true;
            return true;
        }
        let Some((key, value)) = part.split_once(':') else {
            return false;
        };
        let place = match key {
            "user" => &mut self.user,
            "role" => &mut self.role,
            "type" => &mut self.kind,
            "level" => &mut self.level,
            _ => return false,
        };
        *place = Some(value.to_owned());
        true
    }

    /// The parts not asked for are those every policy with container support defines.
    fn text(self) -> Option<String> {
        let part = |part: Option<String>, default: &str| part.unwrap_or_else(|| default.to_owned());
        (!self.disabled).then(|| {
            format!(
                "{}:{}:{}:{}",
                part(self.user, "system_u"),
                part(self.role, "system_r"),
                part(self.kind, "container_t"),
                part(self.level, "s0")
            )
        })
    }
}

impl Seccomp {
    /// The rules for a guest with these capabilities.
    pub(super) fn rules(&self, capabilities: &Capabilities) -> Result<Option<LinuxSeccomp>> {
        match self {
            Self::Unconfined => Ok(None),
            Self::Default => Ok(Some(defaults::seccomp(capabilities))),
            Self::Profile(text) => seccomp_profile::parse(text, capabilities).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEITHER: Modules = Modules {
        apparmor: false,
        selinux: false,
    };

    fn read(options: &[&str], modules: Modules) -> Result<Security> {
        let host = HostConfig {
            security_opt: options.iter().map(|option| (*option).to_owned()).collect(),
            ..HostConfig::default()
        };
        parse(&host, || modules)
    }

    #[test]
    fn confined_unless_asked_otherwise() {
        let security = read(&[], NEITHER).unwrap();
        assert!(security.no_new_privileges && !security.bare_system_paths);
        assert_eq!(security.seccomp, Seccomp::Default);
        let open = [
            "no-new-privileges=false",
            "seccomp=unconfined",
            "systempaths=unconfined",
        ];
        let security = read(&open, NEITHER).unwrap();
        assert!(!security.no_new_privileges && security.bare_system_paths);
        assert_eq!(security.seccomp, Seccomp::Unconfined);
        let host = HostConfig {
            privileged: true,
            ..HostConfig::default()
        };
        let privileged = parse(&host, || NEITHER).unwrap();
        assert!(!privileged.no_new_privileges && privileged.bare_system_paths);
    }

    #[test]
    fn unknown_options_are_refused() {
        for option in [
            "",
            "nonsense",
            "seccomp=",
            "label=x",
            "systempaths=some",
            "no-new-privileges=2",
        ] {
            assert!(read(&[option], NEITHER).is_err(), "{option}");
        }
        assert!(read(&["apparmor=mine"], NEITHER).is_err());
        assert!(read(&["apparmor=unconfined", "apparmor:unconfined"], NEITHER).is_ok());
    }

    #[test]
    fn labels_need_a_kernel_that_knows_them() {
        let on = Modules {
            apparmor: true,
            selinux: true,
        };
        let security = read(&["label=type:mine_t", "label=level:s0:c1"], on).unwrap();
        assert_eq!(
            security.selinux.as_deref(),
            Some("system_u:system_r:mine_t:s0:c1")
        );
        assert_eq!(read(&["label=disable"], on).unwrap().selinux, None);
        let off = read(&["label=type:mine_t"], NEITHER).unwrap();
        assert_eq!((off.selinux, off.warnings.len()), (None, 1));
    }
}
