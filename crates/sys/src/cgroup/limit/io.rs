//! Block device weights and throttles.

use berth_contract::{Result, oci};
use rustix::io::Errno;

use super::super::file::Directory;
use super::super::{Cgroup, Place};
use super::{place, write};

const WEIGHT: &str = "block I/O weight";

/// Applies the block device limits.
pub(super) fn apply(cgroup: &Cgroup, block_io: &oci::LinuxBlockIo) -> Result<()> {
    if *block_io == oci::LinuxBlockIo::default() {
        return Ok(());
    }
    match place(cgroup, "block I/O limit", "blkio")? {
        Place::Legacy(directory) => legacy(directory, block_io),
        Place::Unified(directory) => unified(directory, block_io),
    }
}

type Throttles = Option<Vec<oci::LinuxThrottleDevice>>;

/// The four throttles: their name, v1 file and v2 key.
fn throttles(
    block_io: &oci::LinuxBlockIo,
) -> [(&Throttles, &'static str, &'static str, &'static str); 4] {
    [
        (
            &block_io.throttle_read_bps_device,
            "limit of bytes read per second",
            "blkio.throttle.read_bps_device",
            "rbps",
        ),
        (
            &block_io.throttle_write_bps_device,
            "limit of bytes written per second",
            "blkio.throttle.write_bps_device",
            "wbps",
        ),
        (
            &block_io.throttle_read_iops_device,
            "limit of reads per second",
            "blkio.throttle.read_iops_device",
            "riops",
        ),
        (
            &block_io.throttle_write_iops_device,
            "limit of writes per second",
            "blkio.throttle.write_iops_device",
            "wiops",
        ),
    ]
}

/// Writes to BFQ's file if the kernel has it, else to the one of the older CFQ or of io.cost.
fn write_either(directory: &Directory, bfq: (&str, &str), other: (&str, &str)) -> Result<()> {
    match directory.write(bfq.0, bfq.1) {
        Ok(()) => Ok(()),
        Err(failure) if failure.errno == Errno::NOENT => write(directory, WEIGHT, other.0, other.1),
        Err(failure) => Err(failure.explain(format!("cannot apply the {WEIGHT}"))),
    }
}

fn legacy(directory: &Directory, block_io: &oci::LinuxBlockIo) -> Result<()> {
    if let Some(weight) = block_io.weight.filter(|weight| *weight != 0) {
        let value = weight.to_string();
        write_either(
            directory,
            ("blkio.bfq.weight", &value),
            ("blkio.weight", &value),
        )?;
    }
    if let Some(weight) = block_io.leaf_weight.filter(|weight| *weight != 0) {
        write(
            directory,
            "block I/O leaf weight",
            "blkio.leaf_weight",
            &weight.to_string(),
        )?;
    }
    for device in block_io.weight_device.iter().flatten() {
        let (major, minor) = (device.major, device.minor);
        if let Some(weight) = device.weight {
            let value = format!("{major}:{minor} {weight}");
            let bfq = ("blkio.bfq.weight_device", value.as_str());
            write_either(directory, bfq, ("blkio.weight_device", &value))?;
        }
        if let Some(weight) = device.leaf_weight {
            let value = format!("{major}:{minor} {weight}");
            write(
                directory,
                "block I/O leaf weight",
                "blkio.leaf_weight_device",
                &value,
            )?;
        }
    }
    for (devices, name, file, _) in throttles(block_io) {
        for device in devices.iter().flatten() {
            let value = format!("{}:{} {}", device.major, device.minor, device.rate);
            write(directory, name, file, &value)?;
        }
    }
    Ok(())
}

fn unified(directory: &Directory, block_io: &oci::LinuxBlockIo) -> Result<()> {
    if let Some(weight) = block_io.weight.filter(|weight| *weight != 0) {
        let bfq = weight.to_string();
        let default = format!("default {}", converted(weight));
        write_either(directory, ("io.bfq.weight", &bfq), ("io.weight", &default))?;
    }
    let leaf = block_io.leaf_weight.is_some_and(|weight| weight != 0)
        || block_io
            .weight_device
            .iter()
            .flatten()
            .any(|device| device.leaf_weight.is_some_and(|weight| weight != 0));
    if leaf {
        return Err(super::super::tree::missing(
            "block I/O leaf weight",
            "blkio",
        ));
    }
    for device in block_io.weight_device.iter().flatten() {
        if let Some(weight) = device.weight {
            let (major, minor) = (device.major, device.minor);
            let bfq = format!("{major}:{minor} {weight}");
            let other = format!("{major}:{minor} {}", converted(weight));
            write_either(directory, ("io.bfq.weight", &bfq), ("io.weight", &other))?;
        }
    }
    for (devices, name, _, key) in throttles(block_io) {
        for device in devices.iter().flatten() {
            // v1 lifts a limit with 0, v2 with "max".
            let rate = match device.rate {
                0 => "max".to_owned(),
                rate => rate.to_string(),
            };
            let value = format!("{}:{} {key}={rate}", device.major, device.minor);
            write(directory, name, "io.max", &value)?;
        }
    }
    Ok(())
}

/// io.cost's weight (1–10000) for CFQ's (10–1000).
fn converted(weight: u16) -> u32 {
    1 + u32::from(weight.saturating_sub(10)) * 9999 / 990
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_converted() {
        for (weight, expected) in [(0, 1), (10, 1), (100, 910), (500, 4950), (1000, 10_000)] {
            assert_eq!(converted(weight), expected, "{weight}");
        }
    }
}
