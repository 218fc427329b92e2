//! From `--memory`, `--cpus`, … to the OCI runtime-spec's resources, refusing what makes no sense.

use std::path::Path;

use berth_contract::oci::{
    LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxPids, LinuxResources, LinuxThrottleDevice,
    LinuxWeightDevice, PosixRlimit, PosixRlimitType,
};
use berth_contract::{Class, Error, Result};
use berth_sys::process;

use super::devices;
use crate::api::types::{HostConfig, ThrottleDevice, Ulimit, WeightDevice};

/// Below this the kernel's own structures eat the limit; Docker's number.
const MINIMUM_MEMORY: i64 = 6 << 20;

/// What of the host the limits are checked against.
#[derive(Debug, Clone)]
pub(crate) struct Capacity {
    /// How many CPUs are online.
    pub(crate) cpus: usize,
    /// Whether swap can be limited.
    pub(crate) swap: bool,
}

/// The resources of a container, without its devices, and what could not be done as a default.
pub(super) fn resources(
    host: &HostConfig,
    capacity: &Capacity,
) -> Result<(LinuxResources, Vec<String>)> {
    let mut warnings = Vec::new();
    let resources = LinuxResources {
        memory: memory(host, capacity, &mut warnings)?,
        cpu: cpu(host, capacity)?,
        pids: pids(host),
        block_io: block_io(host)?,
        ..LinuxResources::default()
    };
    Ok((resources, warnings))
}

fn refuse(message: impl Into<String>) -> Error {
    Error::new(Class::Invalid, message)
}

fn memory(
    host: &HostConfig,
    capacity: &Capacity,
    warnings: &mut Vec<String>,
) -> Result<Option<LinuxMemory>> {
    check_memory(host)?;
    let mut memory = LinuxMemory::default();
    let mut any = false;
    if host.memory > 0 {
        memory.limit = Some(host.memory);
        any = true;
    }
    match (host.memory_swap, host.memory) {
        (0, limit) if limit > 0 && capacity.swap => {
            memory.swap = Some(limit.saturating_mul(2));
        }
        (0, limit) if limit > 0 => {
            warnings.push("this kernel cannot limit swap: memory is limited without it".to_owned());
        }
        (0, _) => {}
        (swap, _) => {
            if !capacity.swap && swap != -1 {
                return Err(Error::new(Class::Unsupported, "cannot limit swap")
                    .caused_by("this kernel does not account for it")
                    .hint("boot with swapaccount=1, or leave --memory-swap out"));
            }
            if capacity.swap {
                memory.swap = Some(swap);
                any = true;
            }
        }
    }
    if host.memory_reservation > 0 {
        memory.reservation = Some(host.memory_reservation);
        any = true;
    }
    if let Some(swappiness) = host.memory_swappiness.filter(|value| *value != -1) {
        memory.swappiness = Some(u64::try_from(swappiness).unwrap_or_default());
        any = true;
    }
    if host.oom_kill_disable == Some(true) {
        memory.disable_oom_killer = Some(true);
        any = true;
    }
    Ok(any.then_some(memory))
}

fn check_memory(host: &HostConfig) -> Result<()> {
    let (limit, swap, reservation) = (host.memory, host.memory_swap, host.memory_reservation);
    if limit < 0 || reservation < 0 || swap < -1 {
        return Err(refuse("a memory limit cannot be negative"));
    }
    if limit > 0 && limit < MINIMUM_MEMORY {
        return Err(refuse("the minimum memory limit is 6MB"));
    }
    if swap > 0 && limit == 0 {
        return Err(refuse("--memory-swap needs --memory as well").hint("add -m LIMIT"));
    }
    if swap > 0 && swap < limit {
        return Err(refuse(
            "--memory-swap is memory and swap together, so it cannot be below --memory",
        ));
    }
    if reservation > 0 && reservation < MINIMUM_MEMORY {
        return Err(refuse("the minimum memory reservation is 6MB"));
    }
    if limit > 0 && reservation > limit {
        return Err(refuse("--memory-reservation cannot be above --memory"));
    }
    match host.memory_swappiness {
        Some(value) if !(-1..=100).contains(&value) => Err(refuse(format!(
            "invalid memory swappiness {value}: it goes from 0 to 100"
        ))),
        _ => Ok(()),
    }
}

fn cpu(host: &HostConfig, capacity: &Capacity) -> Result<Option<LinuxCpu>> {
    check_cpu(host, capacity)?;
    let mut cpu = LinuxCpu::default();
    let natural = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
    cpu.shares = natural(host.cpu_shares);
    if host.nano_cpus > 0 {
        // As Docker: a period of 100 ms, and the quota that makes the fraction.
        cpu.period = Some(100_000);
        cpu.quota = Some(host.nano_cpus / 10_000);
    } else {
        cpu.period = natural(host.cpu_period);
        cpu.quota = Some(host.cpu_quota).filter(|quota| *quota != 0);
    }
    cpu.realtime_period = natural(host.cpu_realtime_period);
    cpu.realtime_runtime = Some(host.cpu_realtime_runtime).filter(|runtime| *runtime != 0);
    let list = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    cpu.cpus = list(&host.cpuset_cpus);
    cpu.mems = list(&host.cpuset_mems);
    Ok((cpu != LinuxCpu::default()).then_some(cpu))
}

fn check_cpu(host: &HostConfig, capacity: &Capacity) -> Result<()> {
    let cpus = capacity.cpus;
    let most = i64::try_from(cpus)
        .unwrap_or(i64::MAX)
        .saturating_mul(1_000_000_000);
    if host.nano_cpus < 0 || host.nano_cpus > most {
        return Err(refuse(format!(
            "--cpus goes from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        )));
    }
    if host.nano_cpus > 0 && (host.cpu_period != 0 || host.cpu_quota != 0) {
        return Err(refuse(
            "--cpus cannot be used together with --cpu-period or --cpu-quota",
        ));
    }
    if host.cpu_shares < 0 {
        return Err(refuse("--cpu-shares cannot be negative"));
    }
    if host.cpu_period != 0 && !(1_000..=1_000_000).contains(&host.cpu_period) {
        return Err(refuse("--cpu-period goes from 1000 (1ms) to 1000000 (1s)"));
    }
    if host.cpu_quota > 0 && host.cpu_quota < 1_000 {
        return Err(refuse("--cpu-quota cannot be less than 1000 (1ms)"));
    }
    if host.cpu_realtime_period < 0 || host.cpu_realtime_runtime < -1 {
        return Err(refuse("a CPU time cannot be negative"));
    }
    if host.cpu_realtime_period != 0 && host.cpu_realtime_runtime > host.cpu_realtime_period {
        return Err(refuse("--cpu-rt-runtime cannot be above --cpu-rt-period"));
    }
    let wanted = members(&host.cpuset_cpus).ok_or_else(|| {
        refuse(format!(
            "invalid value {} for --cpuset-cpus",
            host.cpuset_cpus
        ))
    })?;
    if let Some(missing) = wanted.iter().find(|cpu| **cpu >= cpus) {
        return Err(
            refuse(format!("CPU {missing} is not available")).caused_by(format!(
                "this machine has the CPUs 0-{}",
                cpus.saturating_sub(1)
            )),
        );
    }
    members(&host.cpuset_mems).ok_or_else(|| {
        refuse(format!(
            "invalid value {} for --cpuset-mems",
            host.cpuset_mems
        ))
    })?;
    Ok(())
}

/// The members of a list such as `0-2,4`; `None` when it is none.
fn members(list: &str) -> Option<Vec<usize>> {
    let mut members = Vec::new();
    for part in list
        .split(',')
        .filter(|part| !list.is_empty() || !part.is_empty())
    {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last > 8191 {
            return None;
        }
        members.extend(first..=last);
    }
    Some(members)
}

fn pids(host: &HostConfig) -> Option<LinuxPids> {
    let limit = host.pids_limit.filter(|limit| *limit > 0)?;
    Some(LinuxPids { limit })
}

fn block_io(host: &HostConfig) -> Result<Option<LinuxBlockIo>> {
    let weight_range = "a block I/O weight goes from 10 to 1000";
    let in_range = |weight: u16| weight == 0 || (10..=1000).contains(&weight);
    if !in_range(host.blkio_weight) {
        return Err(refuse(weight_range));
    }
    let mut io = LinuxBlockIo {
        weight: Some(host.blkio_weight).filter(|weight| *weight > 0),
        ..LinuxBlockIo::default()
    };
    let mut weights = Vec::new();
    for device in &host.blkio_weight_device {
        if !in_range(device.weight) {
            return Err(refuse(weight_range));
        }
        weights.push(weight(device)?);
    }
    io.weight_device = Some(weights).filter(|list| !list.is_empty());
    io.throttle_read_bps_device = throttles(&host.blkio_device_read_bps)?;
    io.throttle_write_bps_device = throttles(&host.blkio_device_write_bps)?;
    io.throttle_read_iops_device = throttles(&host.blkio_device_read_iops)?;
    io.throttle_write_iops_device = throttles(&host.blkio_device_write_iops)?;
    Ok((io != LinuxBlockIo::default()).then_some(io))
}

fn weight(device: &WeightDevice) -> Result<LinuxWeightDevice> {
    let (major, minor) = devices::block_numbers(Path::new(&device.path))?;
    Ok(LinuxWeightDevice {
        major,
        minor,
        weight: Some(device.weight),
        leaf_weight: None,
    })
}

fn throttles(list: &[ThrottleDevice]) -> Result<Option<Vec<LinuxThrottleDevice>>> {
    let mut throttles = Vec::new();
    for device in list {
        let (major, minor) = devices::block_numbers(Path::new(&device.path))?;
        throttles.push(LinuxThrottleDevice {
            major,
            minor,
            rate: device.rate,
        });
    }
    Ok(Some(throttles).filter(|list| !list.is_empty()))
}

/// The process's resource limits.
pub(super) fn rlimits(ulimits: &[Ulimit]) -> Result<Vec<PosixRlimit>> {
    let mut limits = Vec::new();
    for ulimit in ulimits {
        let kind = rlimit_kind(&ulimit.name)
            .ok_or_else(|| refuse(format!("unknown ulimit {:?}", ulimit.name)))?;
        let bound = |value: i64| match value {
            -1 => Ok(u64::MAX),
            other => u64::try_from(other)
                .map_err(|_unparsable| refuse(format!("invalid ulimit {}={other}", ulimit.name))),
        };
        let (soft, hard) = (bound(ulimit.soft)?, bound(ulimit.hard)?);
        if soft > hard {
            return Err(refuse(format!(
                "the ulimit {}'s soft limit is above its hard one",
                ulimit.name
            )));
        }
        limits.push(PosixRlimit { kind, hard, soft });
    }
    // Otherwise a builder, which has raised its own, would hand that down.
    let nofile = PosixRlimitType::Nofile;
    if let Some(usual) = process::open_files_at_start()
        && limits.iter().all(|limit| limit.kind != nofile)
    {
        limits.push(PosixRlimit {
            kind: nofile,
            hard: usual.hard,
            soft: usual.soft,
        });
    }
    Ok(limits)
}

fn rlimit_kind(name: &str) -> Option<PosixRlimitType> {
    let kind = match name {
        "as" => PosixRlimitType::As,
        "core" => PosixRlimitType::Core,
        "cpu" => PosixRlimitType::Cpu,
        "data" => PosixRlimitType::Data,
        "fsize" => PosixRlimitType::Fsize,
        "locks" => PosixRlimitType::Locks,
        "memlock" => PosixRlimitType::Memlock,
        "msgqueue" => PosixRlimitType::Msgqueue,
        "nice" => PosixRlimitType::Nice,
        "nofile" => PosixRlimitType::Nofile,
        "nproc" => PosixRlimitType::Nproc,
        "rss" => PosixRlimitType::Rss,
        "rtprio" => PosixRlimitType::Rtprio,
        "rttime" => PosixRlimitType::Rttime,
        "sigpending" => PosixRlimitType::Sigpending,
        "stack" => PosixRlimitType::Stack,
        _ => return None,
    };
    Some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: Capacity = Capacity {
        cpus: 2,
        swap: true,
    };

    fn with(change: impl FnOnce(&mut HostConfig)) -> HostConfig {
        let mut host = HostConfig::default();
        change(&mut host);
        host
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let bad: [(&str, HostConfig); 14] = [
            ("6MB", with(|h| h.memory = 1 << 20)),
            ("needs --memory", with(|h| h.memory_swap = 1 << 30)),
            (
                "together",
                with(|h| (h.memory, h.memory_swap) = (64 << 20, 32 << 20)),
            ),
            (
                "above --memory",
                with(|h| (h.memory, h.memory_reservation) = (8 << 20, 9 << 20)),
            ),
            ("swappiness", with(|h| h.memory_swappiness = Some(101))),
            ("only 2 CPUs", with(|h| h.nano_cpus = 3_000_000_000)),
            (
                "together",
                with(|h| (h.nano_cpus, h.cpu_quota) = (1_000_000_000, 5_000)),
            ),
            ("--cpu-period", with(|h| h.cpu_period = 10)),
            ("--cpu-quota", with(|h| h.cpu_quota = 10)),
            ("not available", with(|h| h.cpuset_cpus = "0,7".into())),
            ("--cpuset-cpus", with(|h| h.cpuset_cpus = "1-".into())),
            ("--cpuset-mems", with(|h| h.cpuset_mems = "x".into())),
            ("10 to 1000", with(|h| h.blkio_weight = 5)),
            ("negative", with(|h| h.memory = -1)),
        ];
        for (words, host) in bad {
            let error = resources(&host, &CAPACITY).unwrap_err();
            assert!(
                error.to_string().contains(words),
                "{error} should say {words}"
            );
        }
    }

    #[test]
    fn limits_become_the_runtime_specs() {
        let host = with(|h| {
            h.memory = 64 << 20;
            h.nano_cpus = 1_500_000_000;
            h.pids_limit = Some(50);
            h.cpuset_cpus = "0-1".into();
        });
        let (resources, warnings) = resources(&host, &CAPACITY).unwrap();
        assert!(warnings.is_empty());
        let memory = resources.memory.unwrap();
        assert_eq!(
            (memory.limit, memory.swap),
            (Some(64 << 20), Some(128 << 20))
        );
        let cpu = resources.cpu.as_ref().unwrap();
        assert_eq!((cpu.period, cpu.quota), (Some(100_000), Some(150_000)));
        assert_eq!(resources.pids.unwrap().limit, 50);
        assert!(resources.block_io.is_none());
    }

    #[test]
    fn nothing_asked_is_nothing_limited() {
        for pids in [None, Some(0), Some(-1)] {
            let host = with(|h| h.pids_limit = pids);
            let (resources, _) = resources(&host, &CAPACITY).unwrap();
            assert!(resources.memory.is_none() && resources.cpu.is_none());
            assert!(resources.pids.is_none() && resources.block_io.is_none());
        }
    }

    #[test]
    fn without_swap_accounting_only_the_default_is_given_up() {
        let blind = Capacity {
            cpus: 2,
            swap: false,
        };
        let (resources_, warnings) = resources(&with(|h| h.memory = 64 << 20), &blind).unwrap();
        assert_eq!(resources_.memory.unwrap().swap, None);
        assert_eq!(warnings.len(), 1);
        let asked = with(|h| (h.memory, h.memory_swap) = (64 << 20, 65 << 20));
        assert_eq!(
            resources(&asked, &blind).unwrap_err().class(),
            Class::Unsupported
        );
    }

    #[test]
    fn ulimits() {
        let one = |name: &str, soft, hard| {
            rlimits(&[Ulimit {
                name: name.into(),
                soft,
                hard,
            }])
        };
        let limit = one("nofile", 10, -1).unwrap()[0];
        assert_eq!((limit.soft, limit.hard), (10, u64::MAX));
        assert!(one("nofiles", 1, 1).is_err());
        assert!(one("nofile", 2, 1).is_err());
        assert!(one("nofile", -2, 1).is_err());
    }
}
