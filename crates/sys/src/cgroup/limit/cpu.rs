//! CPU limits and CPU sets.

use berth_contract::{Class, Error, Result, oci};
use rustix::io::Errno;

use super::super::file::Directory;
use super::super::{Cgroup, Place};
use super::{place, write};

const QUOTA: &str = "CPU quota";
const PERIOD: &str = "CPU period";
const BURST: &str = "CPU burst";

/// Applies the CPU limits; 0 means "not asked for" in shares, quota and period, as for runc.
pub(super) fn apply(cgroup: &Cgroup, cpu: &oci::LinuxCpu) -> Result<()> {
    for (set, file, name) in [
        (&cpu.cpus, "cpuset.cpus", "CPU set"),
        (&cpu.mems, "cpuset.mems", "memory node set"),
    ] {
        if let Some(set) = set.as_deref().filter(|set| !set.is_empty()) {
            let (Place::Legacy(directory) | Place::Unified(directory)) =
                place(cgroup, name, "cpuset")?;
            write(directory, name, file, set)?;
        }
    }
    let first = [
        (cpu.quota.is_some_and(|value| value != 0), QUOTA),
        (cpu.period.is_some_and(|value| value != 0), PERIOD),
        (cpu.shares.is_some_and(|value| value != 0), "CPU shares"),
        (cpu.burst.is_some(), BURST),
        (cpu.idle.is_some(), "CPU idle switch"),
        (
            cpu.realtime_period.is_some_and(|value| value != 0),
            "real-time period",
        ),
        (
            cpu.realtime_runtime.is_some_and(|value| value != 0),
            "real-time runtime",
        ),
    ]
    .into_iter()
    .find_map(|(asked, name)| asked.then_some(name));
    let Some(first) = first else { return Ok(()) };
    match place(cgroup, first, "cpu")? {
        Place::Legacy(directory) => legacy(directory, cpu),
        Place::Unified(directory) => unified(directory, cpu),
    }
}

fn legacy(directory: &Directory, cpu: &oci::LinuxCpu) -> Result<()> {
    if let Some(shares) = cpu.shares.filter(|value| *value != 0) {
        write(directory, "CPU shares", "cpu.shares", &shares.to_string())?;
    }
    let period = cpu.period.filter(|value| *value != 0);
    let quota = cpu.quota.filter(|value| *value != 0);
    let mut late_period = None;
    if let Some(period) = period {
        match directory.write("cpu.cfs_period_us", &period.to_string()) {
            Ok(()) => {}
            // The old quota does not fit the new period; it fits once the new quota is in.
            Err(failure) if failure.errno == Errno::INVAL && quota.is_some() => {
                late_period = Some(period);
            }
            Err(failure) => return Err(failure.explain(format!("cannot apply the {PERIOD}"))),
        }
    }
    if let Some(quota) = quota {
        write(
            directory,
            QUOTA,
            "cpu.cfs_quota_us",
            &quota.max(-1).to_string(),
        )?;
    }
    if let Some(period) = late_period {
        write(directory, PERIOD, "cpu.cfs_period_us", &period.to_string())?;
    }
    if let Some(burst) = cpu.burst {
        write(directory, BURST, "cpu.cfs_burst_us", &burst.to_string())?;
    }
    if let Some(period) = cpu.realtime_period.filter(|value| *value != 0) {
        write(
            directory,
            "real-time period",
            "cpu.rt_period_us",
            &period.to_string(),
        )?;
    }
    if let Some(runtime) = cpu.realtime_runtime.filter(|value| *value != 0) {
        write(
            directory,
            "real-time runtime",
            "cpu.rt_runtime_us",
            &runtime.to_string(),
        )?;
    }
    if let Some(idle) = cpu.idle {
        write(directory, "CPU idle switch", "cpu.idle", &idle.to_string())?;
    }
    Ok(())
}

fn unified(directory: &Directory, cpu: &oci::LinuxCpu) -> Result<()> {
    if cpu.realtime_period.is_some_and(|value| value != 0)
        || cpu.realtime_runtime.is_some_and(|value| value != 0)
    {
        return Err(
            Error::new(Class::Unsupported, "cannot apply the real-time CPU limits")
                .caused_by("cgroup v2's cpu controller has none")
                .hint("leave them out"),
        );
    }
    if let Some(idle) = cpu.idle {
        write(directory, "CPU idle switch", "cpu.idle", &idle.to_string())?;
    }
    // The kernel refuses a weight for an idle cgroup.
    if let Some(shares) = cpu
        .shares
        .filter(|value| *value != 0 && cpu.idle != Some(1))
    {
        write(
            directory,
            "CPU shares",
            "cpu.weight",
            &weight(shares).to_string(),
        )?;
    }
    let period = cpu.period.filter(|value| *value != 0);
    let quota = cpu.quota.filter(|value| *value != 0);
    // A burst must never exceed the quota: a smaller quota comes after it, a larger one before.
    let burst = cpu.burst;
    if quota.is_some() || period.is_some() {
        let present = directory
            .read("cpu.max")
            .map_err(|failure| failure.explain(format!("cannot apply the {QUOTA}")))?;
        let value = bandwidth(&present, quota, period);
        match (directory.write("cpu.max", &value), burst) {
            (Err(failure), Some(burst)) if failure.errno == Errno::INVAL => {
                write(directory, BURST, "cpu.max.burst", &burst.to_string())?;
                write(directory, QUOTA, "cpu.max", &value)?;
            }
            (Err(failure), _) => return Err(failure.explain(format!("cannot apply the {QUOTA}"))),
            (Ok(()), _) => {}
        }
    }
    if let Some(burst) = burst {
        write(directory, BURST, "cpu.max.burst", &burst.to_string())?;
    }
    Ok(())
}

/// The new `cpu.max`, where what was not asked for stays as it is.
fn bandwidth(present: &str, quota: Option<i64>, period: Option<u64>) -> String {
    let mut words = present.split_ascii_whitespace();
    let old_quota = words.next().unwrap_or("max").to_owned();
    let old_period = words.next().unwrap_or("100000").to_owned();
    let quota = match quota {
        None => old_quota,
        Some(quota) if quota < 0 => "max".to_owned(),
        Some(quota) => quota.to_string(),
    };
    let period = period.map_or(old_period, |period| period.to_string());
    format!("{quota} {period}")
}

/// v2's weight (1–10000, default 100) for v1's shares (2–262144, default 1024).
///
/// The curve of opencontainers/cgroups and crun since 2025, through (2, 1), (1024, 100) and
/// (262144, 10000); the straight line used before gave the default of 1024 shares a weight of 39.
fn weight(shares: u64) -> u32 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        shares => {
            let logarithm = log2(u32::try_from(shares).unwrap_or(262_144));
            let exponent = (logarithm * logarithm + 125.0 * logarithm) / 612.0 - 7.0 / 34.0;
            let exact = exp2(exponent * std::f64::consts::LOG2_10);
            // Rounded up, but for the error of the last places.
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 1 and 10000"
            )]
            let weight = (exact - 1e-6) as u32 + 1;
            weight.clamp(1, 10_000)
        }
    }
}

/// Binary places of the two functions below: more than a weight needs.
const PLACES: u32 = 44;

/// The binary logarithm, place by place: squaring a number doubles its logarithm. The C library's, and its
/// power, would be 18 kB of every monitor.
fn log2(number: u32) -> f64 {
    let whole = number.max(1).ilog2();
    let mut rest = f64::from(number) / f64::from(1_u32 << whole);
    let (mut logarithm, mut place) = (f64::from(whole), 1.0);
    for _ in 0..PLACES {
        rest *= rest;
        place /= 2.0;
        if rest >= 2.0 {
            rest /= 2.0;
            logarithm += place;
        }
    }
    logarithm
}

/// Two to the power of a number from 0 to below 32, place by place: each one's root of 2 is that of the
/// place before.
fn exp2(number: f64) -> f64 {
    let (mut rest, mut power, mut root) = (number, 1.0, 2.0_f64);
    while rest >= 1.0 {
        rest -= 1.0;
        power *= 2.0;
    }
    for _ in 0..PLACES {
        root = root.sqrt();
        rest *= 2.0;
        if rest >= 1.0 {
            rest -= 1.0;
            power *= root;
        }
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_weights() {
        for (shares, expected) in [
            (0, 1),
            (2, 1),
            (1024, 100),
            (262_144, 10_000),
            (u64::MAX, 10_000),
        ] {
            assert_eq!(weight(shares), expected, "{shares}");
        }
        assert!(weight(512) < 100 && weight(2048) > 100);
        for shares in (3..262_144_u32).step_by(7).chain([1023, 1025, 262_143]) {
            let logarithm = f64::from(shares).log2();
            let exponent = (logarithm * logarithm + 125.0 * logarithm) / 612.0 - 7.0 / 34.0;
            let expected = (10_f64.powf(exponent) - 1e-6).ceil();
            assert!(
                (f64::from(weight(shares.into())) - expected).abs() < 0.5,
                "{shares}"
            );
        }
    }

    #[test]
    fn bandwidth_keeps_what_was_not_asked() {
        assert_eq!(
            bandwidth("max 100000\n", Some(50_000), None),
            "50000 100000"
        );
        assert_eq!(
            bandwidth("50000 100000\n", None, Some(20_000)),
            "50000 20000"
        );
        assert_eq!(bandwidth("50000 100000\n", Some(-1), None), "max 100000");
    }
}
