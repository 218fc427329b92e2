//! A seccomp profile of the user's: Docker's format, which adds conditions to the runtime-spec's.

use std::path::PathBuf;

use berth_contract::oci::{
    Arch, Capabilities, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg,
    LinuxSeccompFilterFlag, LinuxSyscall,
};
use berth_contract::{Class, Error, Result};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: LinuxSeccompAction,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Vec<Arch>,
    #[serde(default)]
    arch_map: Vec<ArchitectureMap>,
    #[serde(default)]
    flags: Vec<LinuxSeccompFilterFlag>,
    #[serde(default)]
    listener_path: Option<PathBuf>,
    #[serde(default)]
    listener_metadata: Option<String>,
    #[serde(default)]
    syscalls: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchitectureMap {
    architecture: Arch,
    #[serde(default)]
    sub_architectures: Option<Vec<Arch>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    names: Vec<String>,
    action: LinuxSeccompAction,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<LinuxSeccompArg>>,
    #[serde(default)]
    includes: Condition,
    #[serde(default)]
    excludes: Condition,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    caps: Vec<String>,
    arches: Vec<String>,
    min_kernel: String,
}

/// This machine as Docker's profiles spell it, and as the runtime-spec does.
const ARCHITECTURE: (&str, Arch) = if cfg!(target_arch = "x86_64") {
    ("amd64", Arch::X86_64)
} else {
    ("arm64", Arch::Aarch64)
};

/// The rules of a profile for a guest with these capabilities.
pub(super) fn parse(text: &str, capabilities: &Capabilities) -> Result<LinuxSeccomp> {
    let profile: Profile = serde_json::from_str(text).map_err(|error| {
        Error::new(Class::Invalid, "the seccomp profile is not valid").caused_by(error)
    })?;
    let mut architectures = profile.architectures;
    for map in profile.arch_map {
        if map.architecture == ARCHITECTURE.1 {
            architectures.push(map.architecture);
            architectures.extend(map.sub_architectures.into_iter().flatten());
        }
    }
    let mut syscalls = Vec::new();
    for rule in profile.syscalls {
        if !rule.includes.holds(capabilities) || rule.excludes.strikes(capabilities) {
            continue;
        }
        let names: Vec<String> = rule.name.into_iter().chain(rule.names).collect();
        if names.is_empty() {
            return Err(
                Error::new(Class::Invalid, "the seccomp profile is not valid")
                    .caused_by("a rule names no system call"),
            );
        }
        syscalls.push(LinuxSyscall {
            names,
            action: rule.action,
            errno_ret: rule.errno_ret,
            args: rule.args.filter(|args| !args.is_empty()),
        });
    }
    Ok(LinuxSeccomp {
        default_action: profile.default_action,
        default_errno_ret: profile.default_errno_ret,
        architectures: Some(architectures).filter(|list| !list.is_empty()),
        flags: Some(profile.flags).filter(|list| !list.is_empty()),
        listener_path: profile.listener_path,
        listener_metadata: profile.listener_metadata,
        syscalls: Some(syscalls),
    })
}

impl Condition {
    /// Every condition must hold. All kernels berth runs on are newer than any `minKernel` in use.
    fn holds(&self, capabilities: &Capabilities) -> bool {
        let arch = self.arches.is_empty() || self.arches.iter().any(|arch| arch == ARCHITECTURE.0);
        arch && self.caps.iter().all(|name| has(capabilities, name))
    }

    /// One condition is enough.
    fn strikes(&self, capabilities: &Capabilities) -> bool {
        self.arches.iter().any(|arch| arch == ARCHITECTURE.0)
            || self.caps.iter().any(|name| has(capabilities, name))
            || !self.min_kernel.is_empty()
    }
}

fn has(capabilities: &Capabilities, name: &str) -> bool {
    let short = name.strip_prefix("CAP_").unwrap_or(name);
    format!("CAP_{short}")
        .parse::<Capability>()
        .is_ok_and(|capability| capabilities.contains(&capability))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_resolved() {
        let text = r#"{
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
            "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
                        {"architecture": "SCMP_ARCH_AARCH64"}],
            "syscalls": [
                {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
                {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
                {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]},
                 "args": [{"index": 0, "value": 2114060288, "op": "SCMP_CMP_MASKED_EQ"}]},
                {"names": ["sync"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["s390x"]}}
            ]}"#;
        let names = |seccomp: &LinuxSeccomp| -> Vec<String> {
            seccomp
                .syscalls
                .iter()
                .flatten()
                .flat_map(|rule| rule.names.clone())
                .collect()
        };
        let plain = parse(text, &Capabilities::default()).unwrap();
        assert_eq!(names(&plain), ["read", "write", "clone"]);
        let admin: Capabilities = [Capability::SysAdmin].into_iter().collect();
        assert_eq!(
            names(&parse(text, &admin).unwrap()),
            ["read", "write", "mount"]
        );
        assert!(!plain.architectures.as_ref().unwrap().is_empty());
        for bad in ["", "{}", r#"{"defaultAction": "SCMP_ACT_NOTHING"}"#] {
            assert!(parse(bad, &admin).is_err(), "{bad}");
        }
    }
}
