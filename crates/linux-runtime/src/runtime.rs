//! The runtime: probes, decides, and makes guests.

use std::cell::OnceCell;
use std::path::PathBuf;

use berth_contract::{
    Class, Error, Guest, HostFacts, ImageFacts, ProgramKind, Result, Runtime, Slot, Support,
    Verdict, oci,
};
use berth_sys::cgroup::{Cgroup, Hierarchies};
use berth_sys::channel::Channel;
use berth_sys::error::Explain as _;
use berth_sys::namespace::{self, Namespaces};

use crate::agent::Agent;
use crate::birth::Begun;
use crate::guest::{LinuxGuest, Shared};
use crate::hooks::Stages;
use crate::plan::process::Common;
use crate::plan::{self, Plan};
use crate::users::Users;
use crate::{birth, filter, init, message, opened};

/// `mount_setattr` is the youngest thing we cannot do without.
const OLDEST_KERNEL: (u32, u32) = (5, 12);

/// Runs native guests.
#[derive(Debug, Default)]
pub struct LinuxRuntime {
    hierarchies: OnceCell<Hierarchies>,
}

impl LinuxRuntime {
    /// A runtime; it looks at the host when the first guest is made.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn hierarchies(&self) -> Result<&Hierarchies> {
        if let Some(known) = self.hierarchies.get() {
            return Ok(known);
        }
        let found = Hierarchies::discover()?;
        Ok(self.hierarchies.get_or_init(|| found))
    }

    fn cgroup(&self, spec: &oci::Spec, slot: &Slot) -> Result<Cgroup> {
        let linux = spec.linux.as_ref();
        let path = linux.and_then(|linux| linux.cgroups_path.clone());
        let path = path.unwrap_or_else(|| PathBuf::from("berth").join(slot.id.as_str()));
        let resources = linux.and_then(|linux| linux.resources.as_ref());
        Cgroup::create(self.hierarchies()?, &path, resources)
    }
}

impl Runtime for LinuxRuntime {
    fn name(&self) -> &'static str {
        "linux"
    }

    fn probe(&self, host: &HostFacts) -> Support {
        if host.kernel < OLDEST_KERNEL {
            let (major, minor) = host.kernel;
            let (needed, least) = OLDEST_KERNEL;
            let old = Error::new(Class::Unsupported, format!("the kernel is {major}.{minor}"));
            return Support::Missing(
                old.hint(format!("Linux {needed}.{least} or newer is needed")),
            );
        }
        match self.hierarchies() {
            Ok(_) => Support::Ready,
            Err(error) => Support::Missing(error),
        }
    }

    fn accepts(&self, image: &ImageFacts) -> Verdict {
        match &image.program {
            Some(ProgramKind::WasmModule | ProgramKind::WasmComponent) => Verdict::NotMine,
            Some(ProgramKind::Elf { machine }) => match machine_name(*machine) {
                Some(name) if runs_here(name) => Verdict::Mine,
                name => Verdict::Refused {
                    reason: format!(
                        "its program is built for {}, and this machine is {}",
                        name.map_or_else(|| format!("machine {machine}"), str::to_owned),
                        native()
                    ),
                    hint: format!("use an image for linux/{}", native()),
                },
            },
            // execve decides.
            _ if image.os.starts_with("wasi") || image.architecture.starts_with("wasm") => {
                Verdict::NotMine
            }
            _ if image.config_media_type.contains("wasm") => Verdict::NotMine,
            _ => Verdict::Mine,
        }
    }

    fn create(&self, spec: &oci::Spec, slot: Slot) -> Result<Box<dyn Guest>> {
        let plan = Plan::new(spec)?;
        let sentence = || "cannot make the container's process".to_owned();
        let users = Users::of(&plan)?;
        let (root, opened) = opened::prepare(&plan, &slot, users.as_ref())?;
        let owner = users.as_ref().map(Users::root);
        if let Some(owner) = owner {
            owner.give(&slot.stdio);
        }
        let hooks = Stages::new(spec, &slot);
        let cgroup = self.cgroup(spec, &slot)?;
        if let Some(user) = delegate_to(spec, &plan)
            && let Err(error) = cgroup.delegate(user)
        {
            drop(cgroup.remove());
            return Err(error);
        }
        let (ours, theirs) = Channel::pair().explain(sentence)?;
        let mut unneeded = Some(ours);
        let spawned = birth::spawn(&plan, &cgroup, opened, |opened, begun| {
            // The copy of the supervisor's end would keep the channel from ever closing.
            drop(unneeded.take());
            init::run(&init::Context {
                plan: &plan,
                rootfs: &slot.rootfs,
                stdio: &slot.stdio,
                program: &slot.program,
                inherited: &slot.inherited,
                channel: &theirs,
                cgroup: &cgroup,
                begun,
                hooks: &hooks,
                root: root.as_ref(),
                opened,
            })
        });
        let (child, begun) = match spawned {
            Ok(spawned) => spawned,
            Err(error) => {
                drop(cgroup.remove());
                return Err(error);
            }
        };
        drop(theirs);
        let ours = unneeded
            .take()
            .ok_or_else(|| Error::new(Class::Internal, sentence()))?;
        let shared = Shared {
            common: Common::new(spec),
            cgroup: Some(cgroup),
            filter: None,
            namespaces: plan
                .join
                .iter()
                .fold(plan.namespaces, |all, (kind, _)| all.with(*kind)),
            root: owner,
            hooks,
            pid: child.pid,
            agent: Agent::of(spec),
        };
        let settle = |pid, cgroup: Option<&Cgroup>, channel: &Channel| {
            place(&plan, begun, pid, cgroup, channel)
        };
        let compile = || plan::seccomp(spec).map(filter::compile).transpose();
        LinuxGuest::first(
            (child, ours),
            (shared, plan.process.clone()),
            settle,
            compile,
        )
        .map(|guest| Box::new(guest) as Box<dyn Guest>)
    }
}

/// The user of the host that a guest's cgroup is given to: who its first process is, when it has users and
/// cgroups of its own and may write to them (runtime-spec 1.3, "Cgroup ownership").
fn delegate_to(spec: &oci::Spec, plan: &Plan) -> Option<u32> {
    let own = Namespaces::USER.with(Namespaces::CGROUP);
    let writable = spec.mounts.iter().flatten().any(|mount| {
        let mut options = mount.options.iter().flatten();
        mount.kind.as_deref() == Some("cgroup") && !options.any(|option| option == "ro")
    });
    if !writable || !plan.namespaces.contains(own) {
        return None;
    }
    let uid = spec.process.as_ref().map_or(0, |process| process.user.uid);
    plan.users.iter().find_map(|line| {
        let distance = uid.checked_sub(line.inside)?;
        (distance < line.count).then(|| line.outside + distance)
    })
}

/// What only the supervisor can do for a first process in a new user namespace: without ids it can
/// neither enter its cgroup nor do anything else.
fn place(
    plan: &Plan,
    begun: Begun,
    pid: i32,
    cgroup: Option<&Cgroup>,
    channel: &Channel,
) -> Result<()> {
    if !plan.namespaces.contains(Namespaces::USER) {
        return Ok(());
    }
    if let Some(cgroup) = cgroup.filter(|_| !begun.joined) {
        if begun.cloned {
            cgroup.add_cloned(pid)
        } else {
            cgroup.add(pid)
        }?;
    }
    namespace::map_ids(pid, &plan.users, &plan.groups)
        .explain(|| "cannot map the container's users".into())?;
    // A process that has died already says why when it is listened to.
    message::placed(channel).or(Ok(()))
}

/// image-spec's word for an ELF machine.
fn machine_name(machine: u16) -> Option<&'static str> {
    Some(match machine {
        3 => "386",
        40 => "arm",
        62 => "amd64",
        183 => "arm64",
        243 => "riscv64",
        21 => "ppc64le",
        22 => "s390x",
        258 => "loong64",
        8 => "mips64le",
        _ => return None,
    })
}

fn native() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    }
}

/// The machine's own programs and those of its 32-bit mode.
fn runs_here(name: &str) -> bool {
    name == native()
        || (native() == "amd64" && name == "386")
        || (native() == "arm64" && name == "arm")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn an_old_kernel_is_told_with_what_is_needed() {
        let old = HostFacts {
            architecture: "amd64".into(),
            kernel: (4, 19),
        };
        let Support::Missing(error) = LinuxRuntime::new().probe(&old) else {
            panic!("it is ready");
        };
        assert_eq!(error.to_string(), "the kernel is 4.19");
        assert_eq!(error.hints().len(), 1);
        assert!(error.hints()[0].contains("newer is needed"), "{error:?}");
    }

    fn facts(program: Option<ProgramKind>) -> ImageFacts {
        ImageFacts {
            config_media_type: "application/vnd.oci.image.config.v1+json".into(),
            os: "linux".into(),
            architecture: "amd64".into(),
            annotations: BTreeMap::new(),
            program,
        }
    }

    #[test]
    fn only_this_machines_programs_are_ours() {
        let runtime = LinuxRuntime::new();
        let own = if native() == "arm64" { 183 } else { 62 };
        let elf = |machine| runtime.accepts(&facts(Some(ProgramKind::Elf { machine })));
        assert_eq!(elf(own), Verdict::Mine);
        assert!(matches!(elf(243), Verdict::Refused { .. }));
        assert_eq!(
            runtime.accepts(&facts(Some(ProgramKind::WasmModule))),
            Verdict::NotMine
        );
        assert_eq!(
            runtime.accepts(&facts(Some(ProgramKind::Unknown))),
            Verdict::Mine
        );
        assert_eq!(runtime.accepts(&facts(None)), Verdict::Mine);
        let wasm = ImageFacts {
            os: "wasip1".into(),
            architecture: "wasm".into(),
            ..facts(None)
        };
        assert_eq!(runtime.accepts(&wasm), Verdict::NotMine);
    }
}
