//! What a process becomes, decided before anything is done: for the first process and for `exec` alike.

use berth_contract::Result;
use berth_contract::oci::{
    LinuxIoPriorityClass, LinuxPersonalityDomain, LinuxSchedulerFlag, LinuxSchedulerPolicy,
    PosixRlimit, Process, Scheduler, Spec,
};
use berth_sys::capability::Sets;
use berth_sys::process::{self, Scheduling};

use super::{ANNOTATION_CLAMP, invalid, unsupported};
use crate::capability::mask;

/// Where programs are looked for when the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Who a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserPlan {
    /// `name[:group]` or `uid[:gid]`, looked up in the guest's own files; overrides the numbers.
    pub(crate) name: Option<String>,
    pub(crate) user: u32,
    pub(crate) group: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) mask: Option<u32>,
}

/// A resource limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LimitPlan {
    pub(crate) name: &'static str,
    pub(crate) resource: u32,
    pub(crate) soft: u64,
    pub(crate) hard: u64,
    /// Lowered to the present hard limit where that cannot be raised.
    pub(crate) clamp: bool,
}

/// What holds for every process of a guest.
#[derive(Debug, Clone, Default)]
pub(crate) struct Common {
    /// The execution domain.
    pub(crate) personality: Option<u32>,
    /// The rlimits that are only defaults, separated by commas.
    pub(crate) clamp: String,
}

impl Common {
    /// Reads it from a spec.
    pub(crate) fn new(spec: &Spec) -> Self {
        let annotations = spec.annotations.as_ref();
        let clamp = annotations.and_then(|all| all.get(ANNOTATION_CLAMP));
        let linux = spec.linux.as_ref();
        let personality = linux.and_then(|linux| linux.personality.as_ref());
        Self {
            personality: personality.map(|personality| match personality.domain {
                LinuxPersonalityDomain::Linux => 0,
                LinuxPersonalityDomain::Linux32 => 8,
            }),
            clamp: clamp.cloned().unwrap_or_default(),
        }
    }
}

/// What a process becomes.
#[derive(Debug, Clone)]
pub(crate) struct ProcessPlan {
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<String>,
    pub(crate) search: String,
    pub(crate) directory: String,
    pub(crate) user: UserPlan,
    pub(crate) capabilities: Option<Sets>,
    pub(crate) limits: Vec<LimitPlan>,
    pub(crate) no_new_privileges: bool,
    pub(crate) out_of_memory_score: Option<i32>,
    pub(crate) apparmor: Option<String>,
    pub(crate) selinux: Option<String>,
    pub(crate) personality: Option<u32>,
    pub(crate) io_priority: Option<(u32, u32)>,
    pub(crate) scheduling: Option<Scheduling>,
}

impl ProcessPlan {
    /// Decides what a process becomes, with the settings that hold for all of its guest.
    pub(crate) fn new(process: &Process, common: &Common) -> Result<Self> {
        let arguments = process.args.clone().unwrap_or_default();
        if arguments.first().is_none_or(String::is_empty) {
            return Err(invalid("it names no program to run"));
        }
        if process.exec_cpu_affinity.is_some() {
            return Err(unsupported("it asks for execCPUAffinity"));
        }
        let environment = process.env.clone().unwrap_or_default();
        let texts = arguments.iter().chain(&environment);
        if texts.into_iter().any(|text| text.contains('\0')) {
            return Err(invalid("an argument or a variable has a NUL in it"));
        }
        let user = &process.user;
        let path = environment
            .iter()
            .rev()
            .find_map(|variable| variable.strip_prefix("PATH="));
        Ok(Self {
            search: path.unwrap_or(DEFAULT_PATH).to_owned(),
            directory: process
                .cwd
                .to_str()
                .filter(|cwd| !cwd.is_empty())
                .unwrap_or("/")
                .to_owned(),
            user: UserPlan {
                name: user.username.clone().filter(|name| !name.is_empty()),
                user: id(user.uid)?,
                group: id(user.gid)?,
                groups: user.additional_gids.clone().unwrap_or_default(),
                mask: user.umask,
            },
            capabilities: process.capabilities.as_ref().map(|sets| Sets {
                bounding: mask(sets.bounding.as_ref()),
                effective: mask(sets.effective.as_ref()),
                permitted: mask(sets.permitted.as_ref()),
                inheritable: mask(sets.inheritable.as_ref()),
                ambient: mask(sets.ambient.as_ref()),
            }),
            limits: limits(
                process.rlimits.as_deref().unwrap_or_default(),
                &common.clamp,
            )?,
            no_new_privileges: process.no_new_privileges.unwrap_or(false),
            out_of_memory_score: process.oom_score_adj,
            apparmor: process
                .apparmor_profile
                .clone()
                .filter(|profile| !profile.is_empty()),
            selinux: process
                .selinux_label
                .clone()
                .filter(|label| !label.is_empty()),
            personality: common.personality,
            io_priority: process.io_priority.as_ref().map(|priority| {
                let class = match priority.class {
                    LinuxIoPriorityClass::RealTime => 1,
                    LinuxIoPriorityClass::BestEffort => 2,
                    LinuxIoPriorityClass::Idle => 3,
                };
                (class, u32::try_from(priority.priority).unwrap_or(0))
            }),
            scheduling: process.scheduler.as_ref().map(scheduling),
            arguments,
            environment,
        })
    }
}

/// The kernel takes ids up to 2^31 - 1 from us; more has wrapped to 0 elsewhere (CVE-2024-40635).
fn id(number: u32) -> Result<u32> {
    if number > 0x7fff_ffff {
        return Err(invalid(format!(
            "the id {number} is greater than 2147483647"
        )));
    }
    Ok(number)
}

fn limits(rlimits: &[PosixRlimit], clamp: &str) -> Result<Vec<LimitPlan>> {
    let mut limits: Vec<LimitPlan> = Vec::new();
    for rlimit in rlimits {
        let (name, resource) = (rlimit.kind.word(), rlimit.kind as u32);
        if limits.iter().any(|limit| limit.resource == resource) {
            return Err(invalid(format!("{name} is limited twice")));
        }
        if rlimit.soft > rlimit.hard {
            return Err(invalid(format!(
                "the soft limit of {name} is above the hard one"
            )));
        }
        limits.push(LimitPlan {
            name,
            resource,
            soft: rlimit.soft,
            hard: rlimit.hard,
            clamp: clamp.split(',').any(|word| word.trim() == name),
        });
    }
    if let Some(usual) = process::open_files_at_start()
        && limits.iter().all(|limit| limit.resource != usual.resource)
    {
        limits.push(LimitPlan {
            name: "RLIMIT_NOFILE",
            resource: usual.resource,
            soft: usual.soft,
            hard: usual.hard,
            clamp: true,
        });
    }
    Ok(limits)
}

fn scheduling(scheduler: &Scheduler) -> Scheduling {
    let mut scheduling = Scheduling::default();
    scheduling.policy = match scheduler.policy {
        LinuxSchedulerPolicy::Other => 0,
        LinuxSchedulerPolicy::Fifo => 1,
        LinuxSchedulerPolicy::RoundRobin => 2,
        LinuxSchedulerPolicy::Batch => 3,
        // Reserved, and refused by every kernel so far.
        LinuxSchedulerPolicy::Iso => 4,
        LinuxSchedulerPolicy::Idle => 5,
        LinuxSchedulerPolicy::Deadline => 6,
    };
    for flag in scheduler.flags.iter().flatten() {
        scheduling.flags |= match flag {
            LinuxSchedulerFlag::ResetOnFork => 0x01,
            LinuxSchedulerFlag::Reclaim => 0x02,
            LinuxSchedulerFlag::DeadlineOverrun => 0x04,
            LinuxSchedulerFlag::KeepPolicy => 0x08,
            LinuxSchedulerFlag::KeepParameters => 0x10,
            LinuxSchedulerFlag::UtilizationClampMinimum => 0x20,
            LinuxSchedulerFlag::UtilizationClampMaximum => 0x40,
        };
    }
    scheduling.nice = scheduler.nice.unwrap_or(0);
    scheduling.priority = scheduler
        .priority
        // The kernel says what it thinks of a negative one.
        .map_or(0, |value| u32::try_from(value).unwrap_or(u32::MAX));
    scheduling.runtime = scheduler.runtime.unwrap_or(0);
    scheduling.deadline = scheduler.deadline.unwrap_or(0);
    scheduling.period = scheduler.period.unwrap_or(0);
    scheduling
}
