//! What a process becomes, decided before anything is done: for the first process and for `exec` alike.

use berth_contract::Result;
use berth_contract::oci::{
    IOPriorityClass, LinuxPersonalityDomain, LinuxSchedulerFlag, LinuxSchedulerPolicy, PosixRlimit,
    Process, Scheduler, Spec,
};
use berth_sys::capability::Sets;
use berth_sys::process::Scheduling;

use crate::capability::mask;
use crate::plan::{ANNOTATION_CLAMP, invalid, unsupported};

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
        let annotations = spec.annotations().as_ref();
        let clamp = annotations.and_then(|all| all.get(ANNOTATION_CLAMP));
        let linux = spec.linux().as_ref();
        let personality = linux.and_then(|linux| linux.personality().as_ref());
        Self {
            personality: personality.map(|personality| match personality.domain() {
                LinuxPersonalityDomain::PerLinux => 0,
                LinuxPersonalityDomain::PerLinux32 => 8,
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
        let arguments = process.args().clone().unwrap_or_default();
        if arguments.first().is_none_or(String::is_empty) {
            return Err(invalid("it names no program to run"));
        }
        if process.exec_cpu_affinity().is_some() {
            return Err(unsupported("it asks for execCPUAffinity"));
        }
        let environment = process.env().clone().unwrap_or_default();
        let texts = arguments.iter().chain(&environment);
        if texts.into_iter().any(|text| text.contains('\0')) {
            return Err(invalid("an argument or a variable has a NUL in it"));
        }
        let user = process.user();
        let path = environment
            .iter()
            .rev()
            .find_map(|variable| variable.strip_prefix("PATH="));
        Ok(Self {
            search: path.unwrap_or(DEFAULT_PATH).to_owned(),
            directory: process
                .cwd()
                .to_str()
                .filter(|cwd| !cwd.is_empty())
                .unwrap_or("/")
                .to_owned(),
            user: UserPlan {
                name: user.username().clone().filter(|name| !name.is_empty()),
                user: id(user.uid())?,
                group: id(user.gid())?,
                groups: user.additional_gids().clone().unwrap_or_default(),
                mask: user.umask(),
            },
            capabilities: process.capabilities().as_ref().map(|sets| Sets {
                bounding: mask(sets.bounding().as_ref()),
                effective: mask(sets.effective().as_ref()),
                permitted: mask(sets.permitted().as_ref()),
                inheritable: mask(sets.inheritable().as_ref()),
                ambient: mask(sets.ambient().as_ref()),
            }),
            limits: limits(
                process.rlimits().as_deref().unwrap_or_default(),
                &common.clamp,
            )?,
            no_new_privileges: process.no_new_privileges().unwrap_or(false),
            out_of_memory_score: process.oom_score_adj(),
            apparmor: process
                .apparmor_profile()
                .clone()
                .filter(|profile| !profile.is_empty()),
            selinux: process
                .selinux_label()
                .clone()
                .filter(|label| !label.is_empty()),
            personality: common.personality,
            io_priority: process.io_priority().as_ref().map(|priority| {
                let class = match priority.class() {
                    IOPriorityClass::IoprioClassRt => 1,
                    IOPriorityClass::IoprioClassBe => 2,
                    IOPriorityClass::IoprioClassIdle => 3,
                };
                (class, u32::try_from(priority.priority()).unwrap_or(0))
            }),
            scheduling: process.scheduler().as_ref().map(scheduling),
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
        let text = rlimit.typ().to_string();
        let (name, resource) = RESOURCES
            .into_iter()
            .find(|(name, _)| *name == text)
            .ok_or_else(|| invalid(format!("there is no limit {text}")))?;
        if limits.iter().any(|limit| limit.resource == resource) {
            return Err(invalid(format!("{name} is limited twice")));
        }
        if rlimit.soft() > rlimit.hard() {
            return Err(invalid(format!(
                "the soft limit of {name} is above the hard one"
            )));
        }
        limits.push(LimitPlan {
            name,
            resource,
            soft: rlimit.soft(),
            hard: rlimit.hard(),
            clamp: clamp.split(',').any(|word| word.trim() == name),
        });
    }
    Ok(limits)
}

/// Names and numbers (`asm-generic/resource.h`, the same on x86 and arm).
const RESOURCES: [(&str, u32); 16] = [
    ("RLIMIT_CPU", 0),
    ("RLIMIT_FSIZE", 1),
    ("RLIMIT_DATA", 2),
    ("RLIMIT_STACK", 3),
    ("RLIMIT_CORE", 4),
    ("RLIMIT_RSS", 5),
    ("RLIMIT_NPROC", 6),
    ("RLIMIT_NOFILE", 7),
    ("RLIMIT_MEMLOCK", 8),
    ("RLIMIT_AS", 9),
    ("RLIMIT_LOCKS", 10),
    ("RLIMIT_SIGPENDING", 11),
    ("RLIMIT_MSGQUEUE", 12),
    ("RLIMIT_NICE", 13),
    ("RLIMIT_RTPRIO", 14),
    ("RLIMIT_RTTIME", 15),
];

fn scheduling(scheduler: &Scheduler) -> Scheduling {
    let mut scheduling = Scheduling::default();
    scheduling.policy = match scheduler.policy() {
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
        _ => 0,
    };
    for flag in scheduler.flags().iter().flatten() {
        scheduling.flags |= match flag {
            LinuxSchedulerFlag::SchedResetOnFork => 0x01,
            LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
            LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
            LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
            LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
            LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
            LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
        };
    }
    scheduling.nice = scheduler.nice().unwrap_or(0);
    scheduling.priority = scheduler
        .priority()
        .and_then(|value| u32::try_from(value).ok())
        .unwrap_or(0);
    scheduling.runtime = scheduler.runtime().unwrap_or(0);
    scheduling.deadline = scheduler.deadline().unwrap_or(0);
    scheduling.period = scheduler.period().unwrap_or(0);
    scheduling
}
