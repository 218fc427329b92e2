//! What the controllers counted: the numbers behind `stats` and `top`.

use std::collections::BTreeMap;

use berth_contract::Result;
use rustix::io::Errno;

use super::file::{Directory, Failure};
use super::process::value_of;
use super::{Cgroup, Place};

/// v1 counts user and system time in ticks of `USER_HZ`, 100 a second on every architecture Rust has.
const NANOSECONDS_PER_TICK: u64 = 10_000_000;

/// v1 shows "no limit" as the largest multiple of the page size; nothing real comes near this.
const NO_LIMIT: u64 = 1 << 62;

/// A cgroup's counters at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statistics {
    /// CPU time.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// Processes.
    pub pids: Pids,
    /// Block devices.
    pub io: Vec<IoDevice>,
}

/// CPU time in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cpu {
    /// All of it.
    pub usage: u64,
    /// In user mode.
    pub user: u64,
    /// In the kernel.
    pub system: u64,
    /// On each CPU; empty under cgroup v2, which does not count that.
    pub per_cpu: Vec<u64>,
    /// Periods of the quota that have passed.
    pub periods: u64,
    /// Periods in which the quota was used up.
    pub throttled_periods: u64,
    /// Time spent waiting for the next period.
    pub throttled: u64,
}

/// Memory in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// In use, the page cache included.
    pub usage: u64,
    /// The most that was in use.
    pub peak: u64,
    /// The limit.
    pub limit: Option<u64>,
    /// Page cache within `usage`.
    pub cache: u64,
    /// Page cache that could be dropped at once.
    pub inactive_cache: u64,
    /// Anonymous memory.
    pub anonymous: u64,
    /// Swap in use.
    pub swap: u64,
    /// How often the limit was hit.
    pub limit_hits: u64,
    /// Everything `memory.stat` says, under the kernel's names.
    pub stat: BTreeMap<String, u64>,
}

impl Memory {
    /// What `docker stats` calls usage: without the page cache that could be dropped at once.
    #[must_use]
    pub fn working_set(&self) -> u64 {
        self.usage.saturating_sub(self.inactive_cache)
    }
}

/// Processes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pids {
    /// Processes and threads now.
    pub current: u64,
    /// The limit.
    pub limit: Option<u64>,
}

/// One block device's traffic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IoDevice {
    /// The device's major number.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
}

impl Cgroup {
    /// Reads the counters; those of controllers the host lacks are 0.
    ///
    /// # Errors
    /// A counter exists and cannot be read.
    pub fn statistics(&self) -> Result<Statistics> {
        let failed = |failure: Failure| failure.explain("cannot read the container's statistics");
        Ok(Statistics {
            cpu: self.cpu().map_err(failed)?,
            memory: self.memory().map_err(failed)?,
            pids: self.pid_counters().map_err(failed)?,
            io: self.io().map_err(failed)?,
        })
    }

    fn cpu(&self) -> Result<Cpu, Failure> {
        let mut cpu = Cpu::default();
        if let Some(Place::Legacy(directory)) = self.place("cpuacct") {
            cpu.usage = number(directory, "cpuacct.usage")?.unwrap_or(0);
            cpu.per_cpu = text(directory, "cpuacct.usage_percpu")?
                .split_ascii_whitespace()
                .filter_map(|word| word.parse().ok())
                .collect();
            let stat = text(directory, "cpuacct.stat")?;
            let ticks = |key| {
                value_of(&stat, key)
                    .unwrap_or(0)
                    .saturating_mul(NANOSECONDS_PER_TICK)
            };
            cpu.user = ticks("user");
            cpu.system = ticks("system");
        }
        match self.place("cpu") {
            Some(Place::Legacy(directory)) => {
                let stat = text(directory, "cpu.stat")?;
                cpu.periods = value_of(&stat, "nr_periods").unwrap_or(0);
                cpu.throttled_periods = value_of(&stat, "nr_throttled").unwrap_or(0);
                cpu.throttled = value_of(&stat, "throttled_time").unwrap_or(0);
            }
            Some(Place::Unified(directory)) => unified_cpu(&text(directory, "cpu.stat")?, &mut cpu),
            None => {}
        }
        Ok(cpu)
    }

    fn memory(&self) -> Result<Memory, Failure> {
        match self.place("memory") {
            Some(Place::Legacy(directory)) => {
                let stat = parse_stat(&text(directory, "memory.stat")?);
                // Unlike the plain ones, the `total_` counters include cgroups beneath.
                let of = |key: &str| {
                    stat.get(&format!("total_{key}"))
                        .or(stat.get(key))
                        .copied()
                        .unwrap_or(0)
                };
                Ok(Memory {
                    usage: number(directory, "memory.usage_in_bytes")?.unwrap_or(0),
                    peak: number(directory, "memory.max_usage_in_bytes")?.unwrap_or(0),
                    limit: number(directory, "memory.limit_in_bytes")?
                        .filter(|limit| *limit < NO_LIMIT),
                    cache: of("cache"),
                    inactive_cache: of("inactive_file"),
                    anonymous: of("rss"),
                    swap: of("swap"),
                    limit_hits: number(directory, "memory.failcnt")?.unwrap_or(0),
                    stat,
                })
            }
            Some(Place::Unified(directory)) => {
                let stat = parse_stat(&text(directory, "memory.stat")?);
                let of = |key: &str| stat.get(key).copied().unwrap_or(0);
                let events = text(directory, "memory.events")?;
                Ok(Memory {
                    usage: number(directory, "memory.current")?.unwrap_or(0),
                    peak: number(directory, "memory.peak")?.unwrap_or(0),
                    limit: number(directory, "memory.max")?,
                    cache: of("file"),
                    inactive_cache: of("inactive_file"),
                    anonymous: of("anon"),
                    swap: number(directory, "memory.swap.current")?.unwrap_or(0),
                    limit_hits: value_of(&events, "max").unwrap_or(0),
                    stat,
                })
            }
            None => Ok(Memory::default()),
        }
    }

    fn pid_counters(&self) -> Result<Pids, Failure> {
        let Some(Place::Legacy(directory) | Place::Unified(directory)) = self.place("pids") else {
            return Ok(Pids::default());
        };
        Ok(Pids {
            current: number(directory, "pids.current")?.unwrap_or(0),
            limit: number(directory, "pids.max")?,
        })
    }

    fn io(&self) -> Result<Vec<IoDevice>, Failure> {
        match self.place("blkio") {
            Some(Place::Legacy(directory)) => Ok(legacy_io(
                &text(directory, "blkio.throttle.io_service_bytes_recursive")?,
                &text(directory, "blkio.throttle.io_serviced_recursive")?,
            )),
            Some(Place::Unified(directory)) => Ok(unified_io(&text(directory, "io.stat")?)),
            None => Ok(Vec::new()),
        }
    }
}

/// Reads a file; one that this kernel lacks is empty.
fn text(directory: &Directory, file: &str) -> Result<String, Failure> {
    match directory.read(file) {
        Err(Failure {
            errno: Errno::NOENT | Errno::NODEV | Errno::OPNOTSUPP,
            ..
        }) => Ok(String::new()),
        other => other,
    }
}

fn number(directory: &Directory, file: &str) -> Result<Option<u64>, Failure> {
    Ok(text(directory, file)?.trim().parse().ok())
}

fn parse_stat(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .filter_map(|line| {
            let (key, value) = line.split_once(' ')?;
            Some((key.to_owned(), value.trim().parse().ok()?))
        })
        .collect()
}

fn unified_cpu(stat: &str, cpu: &mut Cpu) {
    let of = |key| value_of(stat, key).unwrap_or(0);
    cpu.usage = of("usage_usec").saturating_mul(1000);
    cpu.user = of("user_usec").saturating_mul(1000);
    cpu.system = of("system_usec").saturating_mul(1000);
    cpu.periods = of("nr_periods");
    cpu.throttled_periods = of("nr_throttled");
    cpu.throttled = of("throttled_usec").saturating_mul(1000);
}

/// v1: lines of `8:0 Read 4096`, and a total at the end.
fn legacy_io(bytes: &str, operations: &str) -> Vec<IoDevice> {
    let mut devices: BTreeMap<(u32, u32), IoDevice> = BTreeMap::new();
    for (text, counts_bytes) in [(bytes, true), (operations, false)] {
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let Some((major, minor)) = words.next().and_then(device_number) else {
                continue;
            };
            let Some(direction) = words.next() else {
                continue;
            };
            let Some(value) = words.next().and_then(|word| word.parse().ok()) else {
                continue;
            };
            let device = devices.entry((major, minor)).or_insert_with(|| IoDevice {
                major,
                minor,
                ..IoDevice::default()
            });
            match (direction, counts_bytes) {
                ("Read", true) => device.read_bytes = value,
                ("Read", false) => device.reads = value,
                ("Write", true) => device.written_bytes = value,
                ("Write", false) => device.writes = value,
                _ => {}
            }
        }
    }
    devices.into_values().collect()
}

/// v2: lines of `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0`.
fn unified_io(stat: &str) -> Vec<IoDevice> {
    let mut devices = Vec::new();
    for line in stat.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some((major, minor)) = words.next().and_then(device_number) else {
            continue;
        };
        let mut device = IoDevice {
            major,
            minor,
            ..IoDevice::default()
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let value = value.parse().unwrap_or(0);
            match key {
                "rbytes" => device.read_bytes = value,
                "wbytes" => device.written_bytes = value,
                "rios" => device.reads = value,
                "wios" => device.writes = value,
                _ => {}
            }
        }
        devices.push(device);
    }
    devices
}

fn device_number(word: &str) -> Option<(u32, u32)> {
    let (major, minor) = word.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_io_counters_are_read() {
        let expected = [IoDevice {
            major: 8,
            minor: 16,
            read_bytes: 4096,
            written_bytes: 8192,
            reads: 1,
            writes: 2,
        }];
        let bytes =
            "8:16 Read 4096\n8:16 Write 8192\n8:16 Sync 12288\n8:16 Total 12288\nTotal 12288\n";
        let operations = "8:16 Read 1\n8:16 Write 2\n8:16 Total 3\nTotal 3\n";
        assert_eq!(legacy_io(bytes, operations), expected);
        assert_eq!(
            unified_io("8:16 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n7:0 \n")[..1],
            expected
        );
    }

    #[test]
    fn cpu_time_of_v2_is_in_microseconds() {
        let mut cpu = Cpu::default();
        unified_cpu(
            "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 7\n",
            &mut cpu,
        );
        assert_eq!(
            (cpu.usage, cpu.user, cpu.system, cpu.periods),
            (5000, 3000, 2000, 7)
        );
    }
}
