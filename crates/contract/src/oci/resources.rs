//! What a container may use: the limits of its cgroup.

use std::collections::BTreeMap;

use super::LinuxDeviceType;
use super::object::object;

object! {
    /// Every limit.
    #[derive(Default)]
    LinuxResources {
        /// Rules about devices; later ones win.
        devices: Option<Vec<LinuxDeviceCgroup>> = "devices",
        /// Memory.
        memory: Option<LinuxMemory> = "memory",
        /// CPU time and CPUs.
        cpu: Option<LinuxCpu> = "cpu",
        /// Processes.
        pids: Option<LinuxPids> = "pids",
        /// Block devices.
        block_io: Option<LinuxBlockIo> = "blockIO",
        /// Huge pages, by size.
        hugepage_limits: Option<Vec<LinuxHugepageLimit>> = "hugepageLimits",
        /// Marks on packets.
        network: Option<LinuxNetwork> = "network",
        /// RDMA devices, by name.
        rdma: Option<BTreeMap<String, LinuxRdma>> = "rdma",
        /// Files of cgroup v2 and what is written to them.
        unified: Option<BTreeMap<String, String>> = "unified",
    }
}

object! {
    /// A rule about devices.
    #[derive(Default)]
    LinuxDeviceCgroup {
        /// Whether it allows or denies.
        allow: bool = "allow",
        /// Which kind; `None` is any.
        kind: Option<LinuxDeviceType> = "type",
        /// Which driver; `None` is any.
        major: Option<i64> = "major",
        /// Which of the driver's devices; `None` is any.
        minor: Option<i64> = "minor",
        /// Some of `r`, `w` and `m`.
        access: Option<String> = "access",
    }
}

object! {
    /// Limits of memory in bytes; -1 is none.
    #[derive(Copy, Default)]
    LinuxMemory {
        /// Of memory.
        limit: Option<i64> = "limit",
        /// What it is pushed back to when memory is short.
        reservation: Option<i64> = "reservation",
        /// Of memory and swap together.
        swap: Option<i64> = "swap",
        /// Of the kernel's memory; obsolete since Linux 5.4.
        kernel: Option<i64> = "kernel",
        /// Of TCP buffers.
        kernel_tcp: Option<i64> = "kernelTCP",
        /// How readily it is swapped out.
        swappiness: Option<u64> = "swappiness",
        /// Whether it waits rather than dies when there is no more.
        disable_oom_killer: Option<bool> = "disableOOMKiller",
        /// Whether cgroups beneath count.
        use_hierarchy: Option<bool> = "useHierarchy",
        /// Whether a limit below what is in use is refused.
        check_before_update: Option<bool> = "checkBeforeUpdate",
    }
}

object! {
    /// Limits of CPU time; times are in microseconds.
    #[derive(Default)]
    LinuxCpu {
        /// Its share beside the others'.
        shares: Option<u64> = "shares",
        /// Its time in each period.
        quota: Option<i64> = "quota",
        /// What it may save up.
        burst: Option<u64> = "burst",
        /// The period.
        period: Option<u64> = "period",
        /// Its real-time in each period.
        realtime_runtime: Option<i64> = "realtimeRuntime",
        /// The period of real-time.
        realtime_period: Option<u64> = "realtimePeriod",
        /// The CPUs it runs on.
        cpus: Option<String> = "cpus",
        /// The memory nodes it uses.
        mems: Option<String> = "mems",
        /// 1 to run only when nobody else wants to.
        idle: Option<i64> = "idle",
    }
}

object! {
    /// The limit of processes.
    #[derive(Copy, Default)]
    LinuxPids {
        /// How many; 0 and below are no limit.
        limit: i64 = "limit",
    }
}

object! {
    /// Limits of block devices.
    #[derive(Default)]
    LinuxBlockIo {
        /// Its share beside the others'.
        weight: Option<u16> = "weight",
        /// Its share beside the cgroups beneath it.
        leaf_weight: Option<u16> = "leafWeight",
        /// Its shares of single devices.
        weight_device: Option<Vec<LinuxWeightDevice>> = "weightDevice",
        /// Bytes read per second.
        throttle_read_bps_device: Option<Vec<LinuxThrottleDevice>> = "throttleReadBpsDevice",
        /// Bytes written per second.
        throttle_write_bps_device: Option<Vec<LinuxThrottleDevice>> = "throttleWriteBpsDevice",
        /// Reads per second.
        throttle_read_iops_device: Option<Vec<LinuxThrottleDevice>> = "throttleReadIOPSDevice",
        /// Writes per second.
        throttle_write_iops_device: Option<Vec<LinuxThrottleDevice>> = "throttleWriteIOPSDevice",
    }
}

object! {
    /// A share of one device.
    #[derive(Copy, Default)]
    LinuxWeightDevice {
        /// The driver.
        major: i64 = "major",
        /// The driver's device.
        minor: i64 = "minor",
        /// The share beside the others'.
        weight: Option<u16> = "weight",
        /// The share beside the cgroups beneath.
        leaf_weight: Option<u16> = "leafWeight",
    }
}

object! {
    /// A limit of one device.
    #[derive(Copy, Default)]
    LinuxThrottleDevice {
        /// The driver.
        major: i64 = "major",
        /// The driver's device.
        minor: i64 = "minor",
        /// How much each second.
        rate: u64 = "rate",
    }
}

object! {
    /// The limit of huge pages of one size.
    #[derive(Default)]
    LinuxHugepageLimit {
        /// The size, as in `2MB`.
        page_size: String = "pageSize",
        /// How many bytes in all.
        limit: i64 = "limit",
    }
}

object! {
    /// Marks on the container's packets.
    #[derive(Default)]
    LinuxNetwork {
        /// Their class.
        class_id: Option<u32> = "classID",
        /// Their priorities, by interface.
        priorities: Option<Vec<LinuxInterfacePriority>> = "priorities",
    }
}

object! {
    /// The priority of packets on one interface.
    #[derive(Default)]
    LinuxInterfacePriority {
        /// The interface.
        name: String = "name",
        /// The priority.
        priority: u32 = "priority",
    }
}

object! {
    /// The limit of one RDMA device.
    #[derive(Copy, Default)]
    LinuxRdma {
        /// Handles.
        hca_handles: Option<u32> = "hcaHandles",
        /// Objects.
        hca_objects: Option<u32> = "hcaObjects",
    }
}
