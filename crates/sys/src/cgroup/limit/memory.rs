//! Memory limits.

use berth_contract::{Class, Error, Result, oci};
use rustix::io::Errno;

use super::super::file::Directory;
use super::super::{Cgroup, Place};
use super::{or_max, place, write};

const LIMIT: &str = "memory limit";
const SWAP: &str = "memory and swap limit";
const SWAP_FILE_V1: &str = "memory.memsw.limit_in_bytes";
const LIMIT_FILE_V1: &str = "memory.limit_in_bytes";

/// Applies the memory limits. As for runc, 0 means "not asked for" in limit, reservation and swap.
pub(super) fn apply(cgroup: &Cgroup, memory: &oci::LinuxMemory) -> Result<()> {
    let asked = memory.limit.is_some_and(|limit| limit != 0)
        || memory.reservation.is_some_and(|limit| limit != 0)
        || memory.swap.is_some_and(|limit| limit != 0)
        || memory.kernel.is_some()
        || memory.kernel_tcp.is_some()
        || memory.swappiness.is_some()
        || memory.disable_oom_killer == Some(true)
        || memory.use_hierarchy.is_some();
    if !asked {
        return Ok(());
    }
    match place(cgroup, LIMIT, "memory")? {
        Place::Legacy(directory) => legacy(directory, memory),
        Place::Unified(directory) => unified(directory, memory),
    }
}

fn legacy(directory: &Directory, memory: &oci::LinuxMemory) -> Result<()> {
    check_usage(directory, "memory.usage_in_bytes", memory)?;
    if let Some(hierarchy) = memory.use_hierarchy {
        // Since Linux 5.11 every memory cgroup is hierarchical and the file takes nothing but 1.
        write(
            directory,
            "memory hierarchy",
            "memory.use_hierarchy",
            if hierarchy { "1" } else { "0" },
        )?;
    }
    let limit = memory.limit.filter(|limit| *limit != 0);
    // An unlimited memory with swap left out means unlimited swap as well.
    let swap = memory.swap.filter(|swap| *swap != 0).or(match limit {
        Some(limit) if limit < 0 && directory.has(SWAP_FILE_V1) => Some(-1),
        _ => None,
    });
    match (limit, swap) {
        (Some(limit), Some(swap)) => {
            check_order(limit, swap)?;
            // The kernel keeps memory <= memory+swap at every moment, so growing goes the other way round.
            let first = directory.write(LIMIT_FILE_V1, &limit.to_string());
            match first {
                Err(failure) if failure.errno == Errno::INVAL => {
                    write(directory, SWAP, SWAP_FILE_V1, &swap.to_string())?;
                    write(directory, LIMIT, LIMIT_FILE_V1, &limit.to_string())?;
                }
                Err(failure) => return Err(failure.explain(format!("cannot apply the {LIMIT}"))),
                Ok(()) => write(directory, SWAP, SWAP_FILE_V1, &swap.to_string())?,
            }
        }
        (Some(limit), None) => write(directory, LIMIT, LIMIT_FILE_V1, &limit.to_string())?,
        (None, Some(swap)) => write(directory, SWAP, SWAP_FILE_V1, &swap.to_string())?,
        (None, None) => {}
    }
    if let Some(reservation) = memory.reservation.filter(|value| *value != 0) {
        let value = reservation.to_string();
        write(
            directory,
            "memory reservation",
            "memory.soft_limit_in_bytes",
            &value,
        )?;
    }
    if let Some(kernel) = memory.kernel {
        // Refused by Linux 5.16 and later.
        write(
            directory,
            "kernel memory limit",
            "memory.kmem.limit_in_bytes",
            &kernel.to_string(),
        )?;
    }
    if let Some(tcp) = memory.kernel_tcp {
        let value = tcp.to_string();
        write(
            directory,
            "kernel TCP memory limit",
            "memory.kmem.tcp.limit_in_bytes",
            &value,
        )?;
    }
    if let Some(swappiness) = memory.swappiness {
        write(
            directory,
            "swappiness",
            "memory.swappiness",
            &swappiness.to_string(),
        )?;
    }
    if let Some(disable) = memory.disable_oom_killer {
        let value = if disable { "1" } else { "0" };
        write(
            directory,
            "switch for the OOM killer",
            "memory.oom_control",
            value,
        )?;
    }
    Ok(())
}

fn unified(directory: &Directory, memory: &oci::LinuxMemory) -> Result<()> {
    for (asked, name) in [
        (memory.kernel.is_some(), "kernel memory limit"),
        (memory.kernel_tcp.is_some(), "kernel TCP memory limit"),
        (memory.swappiness.is_some(), "swappiness"),
        (
            memory.disable_oom_killer == Some(true),
            "switch for the OOM killer",
        ),
        (memory.use_hierarchy == Some(false), "memory hierarchy"),
    ] {
        if asked {
            return Err(
                Error::new(Class::Unsupported, format!("cannot apply the {name}"))
                    .caused_by("cgroup v2's memory controller has none")
                    .hint("leave it out"),
            );
        }
    }
    check_usage(directory, "memory.current", memory)?;
    let limit = memory.limit.filter(|limit| *limit != 0);
    if let Some(swap) = swap_alone(limit, memory.swap.filter(|swap| *swap != 0))? {
        // Without swap accounting the file is missing; no swap at all needs none.
        if swap != 0 || directory.has("memory.swap.max") {
            write(directory, SWAP, "memory.swap.max", &or_max(swap))?;
        }
    }
    if let Some(limit) = limit {
        write(directory, LIMIT, "memory.max", &or_max(limit))?;
    }
    if let Some(reservation) = memory.reservation.filter(|value| *value != 0) {
        write(
            directory,
            "memory reservation",
            "memory.low",
            &or_max(reservation),
        )?;
    }
    Ok(())
}

/// Turns v1's limit of memory and swap together into v2's limit of swap alone.
fn swap_alone(limit: Option<i64>, both: Option<i64>) -> Result<Option<i64>> {
    match (limit, both) {
        (Some(limit), None) if limit < 0 => Ok(Some(-1)),
        (_, None) => Ok(None),
        (_, Some(both)) if both < 0 => Ok(Some(-1)),
        (Some(limit), Some(both)) if limit > 0 => {
            check_order(limit, both)?;
            Ok(Some(both - limit))
        }
        (_, Some(_)) => Err(
            Error::new(Class::Invalid, format!("cannot apply the {SWAP}"))
                .caused_by("it needs a memory limit beside it")
                .hint("add --memory"),
        ),
    }
}

fn check_order(limit: i64, both: i64) -> Result<()> {
    if both < 0 || (limit >= 0 && both >= limit) {
        return Ok(());
    }
    Err(
        Error::new(Class::Invalid, format!("cannot apply the {SWAP}"))
            .caused_by(format!(
                "{both} bytes of memory and swap are less than {limit} of memory alone"
            ))
            .hint("make --memory-swap at least as large as --memory"),
    )
}

/// `checkBeforeUpdate`: refuses a limit below what is in use, which would kill.
fn check_usage(directory: &Directory, file: &str, memory: &oci::LinuxMemory) -> Result<()> {
    if memory.check_before_update != Some(true) {
        return Ok(());
    }
    let Some(limit) = memory.limit.and_then(|limit| u64::try_from(limit).ok()) else {
        return Ok(());
    };
    let usage = directory
        .read_number(file)
        .map_err(|failure| failure.explain(format!("cannot apply the {LIMIT}")))?
        .unwrap_or(0);
    if limit != 0 && limit < usage {
        return Err(
            Error::new(Class::Conflict, format!("cannot apply the {LIMIT}"))
                .caused_by(format!("{usage} bytes are in use, more than {limit}")),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_is_told_apart_from_memory() {
        for (limit, both, expected) in [
            (None, None, Some(None)),
            (Some(100), None, Some(None)),
            (Some(-1), None, Some(Some(-1))),
            (Some(100), Some(-1), Some(Some(-1))),
            (Some(100), Some(100), Some(Some(0))),
            (Some(100), Some(300), Some(Some(200))),
            (Some(100), Some(99), None),
            (None, Some(100), None),
            (Some(-1), Some(100), None),
        ] {
            assert_eq!(swap_alone(limit, both).ok(), expected, "{limit:?} {both:?}");
        }
    }
}
