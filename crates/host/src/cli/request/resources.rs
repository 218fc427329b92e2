//! How much of the machine the container may use.

use berth_contract::Result;
use berth_host::api::types::{CreateRequest, ThrottleDevice, Ulimit, WeightDevice};
use clap::Args;

use super::conflict;
use crate::cli::parse::{limit, size};

/// Flags about limits.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct ResourceFlags {
    /// At most so much memory, such as 64m or 1.5g
    #[arg(short, long, value_name = "BYTES", value_parser = size::bytes)]
    memory: Option<i64>,

    /// Give memory above this back first when the host runs short
    #[arg(long, value_name = "BYTES", value_parser = size::bytes)]
    memory_reservation: Option<i64>,

    /// At most so much memory and swap together; -1 for any amount of swap
    #[arg(long, value_name = "BYTES", value_parser = size::bytes_or_unlimited)]
    memory_swap: Option<i64>,

    /// How readily memory is swapped out, 0 to 100
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(i64).range(-1..=100))]
    memory_swappiness: Option<i64>,

    /// At most so many CPUs, such as 0.5
    #[arg(long, value_name = "NUMBER", value_parser = size::cpus)]
    cpus: Option<i64>,

    /// The share of CPU time under load, relative to others' 1024
    #[arg(short = 'c', long, value_name = "WEIGHT")]
    cpu_shares: Option<i64>,

    /// The length of a scheduling period in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<i64>,

    /// How much CPU time within a period, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_quota: Option<i64>,

    /// The length of a real-time period in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_rt_period: Option<i64>,

    /// How much real-time CPU time within a period, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_rt_runtime: Option<i64>,

    /// Only these CPUs, such as 0-2,4
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,

    /// Only these memory nodes
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,

    /// At most so many processes; -1 for any number
    #[arg(long, value_name = "NUMBER")]
    pids_limit: Option<i64>,

    /// Set a limit of setrlimit(2): NAME=SOFT[:HARD] (can be repeated)
    #[arg(long, value_name = "LIMIT", value_parser = limit::ulimit)]
    ulimit: Vec<Ulimit>,

    /// The share of disk time under load, 10 to 1000
    #[arg(long, value_name = "WEIGHT", value_parser = limit::block_weight)]
    blkio_weight: Option<u16>,

    /// The same for one device: DEVICE:WEIGHT (can be repeated)
    #[arg(long, value_name = "DEVICE:WEIGHT", value_parser = limit::weight_device)]
    blkio_weight_device: Vec<WeightDevice>,

    /// At most so many bytes a second from a device (can be repeated)
    #[arg(long, value_name = "DEVICE:BYTES", value_parser = limit::bytes_device)]
    device_read_bps: Vec<ThrottleDevice>,

    /// At most so many bytes a second to a device (can be repeated)
    #[arg(long, value_name = "DEVICE:BYTES", value_parser = limit::bytes_device)]
    device_write_bps: Vec<ThrottleDevice>,

    /// At most so many reads a second from a device (can be repeated)
    #[arg(long, value_name = "DEVICE:NUMBER", value_parser = limit::operations_device)]
    device_read_iops: Vec<ThrottleDevice>,

    /// At most so many writes a second to a device (can be repeated)
    #[arg(long, value_name = "DEVICE:NUMBER", value_parser = limit::operations_device)]
    device_write_iops: Vec<ThrottleDevice>,

    /// Let processes wait for memory rather than be killed
    #[arg(long)]
    oom_kill_disable: bool,

    /// Whom the kernel kills first when memory runs out, -1000 to 1000
    #[arg(
        long,
        value_name = "SCORE",
        value_parser = clap::value_parser!(i32).range(-1000..=1000)
    )]
    oom_score_adj: Option<i32>,

    /// Put the container's cgroup below this one
    #[arg(long, value_name = "CGROUP")]
    cgroup_parent: Option<String>,
}

impl ResourceFlags {
    pub(super) fn apply(self, request: &mut CreateRequest) -> Result<()> {
        if self.cpus.is_some() && (self.cpu_period.is_some() || self.cpu_quota.is_some()) {
            return Err(conflict(
                "--cpus",
                "--cpu-quota",
                "--cpus is a quota within a period itself",
            ));
        }
        let host = &mut request.host_config;
        host.memory = self.memory.unwrap_or_default();
        host.memory_reservation = self.memory_reservation.unwrap_or_default();
        host.memory_swap = self.memory_swap.unwrap_or_default();
        // Docker's -1 means: as if the flag were not there.
        host.memory_swappiness = self.memory_swappiness.filter(|percent| *percent >= 0);
        host.nano_cpus = self.cpus.unwrap_or_default();
        host.cpu_shares = self.cpu_shares.unwrap_or_default();
        host.cpu_period = self.cpu_period.unwrap_or_default();
        host.cpu_quota = self.cpu_quota.unwrap_or_default();
        host.cpu_realtime_period = self.cpu_rt_period.unwrap_or_default();
        host.cpu_realtime_runtime = self.cpu_rt_runtime.unwrap_or_default();
        host.cpuset_cpus = self.cpuset_cpus.unwrap_or_default();
        host.cpuset_mems = self.cpuset_mems.unwrap_or_default();
        host.pids_limit = self.pids_limit;
        host.ulimits = self.ulimit;
        host.blkio_weight = self.blkio_weight.unwrap_or_default();
        host.blkio_weight_device = self.blkio_weight_device;
        host.blkio_device_read_bps = self.device_read_bps;
        host.blkio_device_write_bps = self.device_write_bps;
        host.blkio_device_read_iops = self.device_read_iops;
        host.blkio_device_write_iops = self.device_write_iops;
        host.oom_kill_disable = self.oom_kill_disable.then_some(true);
        host.oom_score_adj = self.oom_score_adj.unwrap_or_default();
        host.cgroup_parent = self.cgroup_parent.unwrap_or_default();
        Ok(())
    }
}
