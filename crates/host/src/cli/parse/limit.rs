//! `--ulimit`, `--restart`, and the per-device block I/O limits.

use berth_host::api::types::{RestartPolicy, ThrottleDevice, Ulimit, WeightDevice};

use super::{Parsed, size};

/// What setrlimit(2) knows.
const ULIMITS: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// `NAME=SOFT[:HARD]`; `-1` and `unlimited` mean no limit.
pub(crate) fn ulimit(text: &str) -> Parsed<Ulimit> {
    let (name, limits) = text.split_once('=').ok_or("it must be NAME=SOFT[:HARD]")?;
    if !ULIMITS.contains(&name) {
        return Err(format!("{name:?} is none of {}", ULIMITS.join(", ")));
    }
    let (soft, hard) = match limits.split_once(':') {
        Some((soft, hard)) => (rlimit(soft)?, rlimit(hard)?),
        None => (rlimit(limits)?, rlimit(limits)?),
    };
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err("the soft limit is above the hard limit".into());
    }
    Ok(Ulimit {
        name: name.to_owned(),
        soft,
        hard,
    })
}

fn rlimit(text: &str) -> Parsed<i64> {
    if text == "unlimited" {
        return Ok(-1);
    }
    match text.parse::<i64>() {
        Ok(number) if number >= -1 => Ok(number),
        _ => Err(format!(
            "{text:?} is no limit: use a number, -1 or unlimited"
        )),
    }
}

/// `no`, `always`, `unless-stopped`, `on-failure[:TIMES]`.
pub(crate) fn restart(text: &str) -> Parsed<RestartPolicy> {
    let (name, times) = match text.split_once(':') {
        Some((name, times)) => (name, Some(times)),
        None => (text, None),
    };
    match (name, times) {
        ("", None) => Ok(RestartPolicy {
            name: "no".into(),
            maximum_retry_count: 0,
        }),
        ("no" | "always" | "unless-stopped" | "on-failure", None) => Ok(RestartPolicy {
            name: name.to_owned(),
            maximum_retry_count: 0,
        }),
        ("on-failure", Some(times)) => {
            let times = times
                .parse()
                .map_err(|_not_a_number| format!("{times:?} is no number of times"))?;
            Ok(RestartPolicy {
                name: name.to_owned(),
                maximum_retry_count: times,
            })
        }
        ("no" | "always" | "unless-stopped", Some(_)) => {
            Err("only on-failure takes a number of times".into())
        }
        _ => Err("it must be no, always, unless-stopped or on-failure[:TIMES]".into()),
    }
}

/// `DEVICE:WEIGHT` with a weight of 0 or 10 to 1000.
pub(crate) fn weight_device(text: &str) -> Parsed<WeightDevice> {
    let (path, weight) = device_and_value(text, "WEIGHT")?;
    let weight = block_weight(weight)?;
    Ok(WeightDevice { path, weight })
}

/// A block I/O weight: 0 (off) or 10 to 1000.
pub(crate) fn block_weight(text: &str) -> Parsed<u16> {
    match text.parse::<u16>() {
        Ok(weight) if weight == 0 || (10..=1000).contains(&weight) => Ok(weight),
        _ => Err("the weight must be from 10 to 1000, or 0 for none".into()),
    }
}

/// `DEVICE:BYTES` with Docker's units.
pub(crate) fn bytes_device(text: &str) -> Parsed<ThrottleDevice> {
    let (path, rate) = device_and_value(text, "BYTES")?;
    let rate = u64::try_from(size::bytes(rate)?)
        .map_err(|_not_a_number| "the rate is negative".to_owned())?;
    Ok(ThrottleDevice { path, rate })
}

/// `DEVICE:OPERATIONS`.
pub(crate) fn operations_device(text: &str) -> Parsed<ThrottleDevice> {
    let (path, rate) = device_and_value(text, "OPERATIONS")?;
    let rate = rate
        .parse()
        .map_err(|_not_a_number| format!("{rate:?} is no number of operations"))?;
    Ok(ThrottleDevice { path, rate })
}

fn device_and_value<'text>(text: &'text str, what: &str) -> Parsed<(String, &'text str)> {
    match text.rsplit_once(':') {
        Some((path, value)) if path.starts_with("/dev/") => Ok((path.to_owned(), value)),
        Some(_) => Err("the device must be a path below /dev".into()),
        None => Err(format!("it must be DEVICE:{what}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ulimits() {
        let limit = |name: &str, soft, hard| {
            Ok(Ulimit {
                name: name.into(),
                soft,
                hard,
            })
        };
        assert_eq!(ulimit("nofile=1024:2048"), limit("nofile", 1024, 2048));
        assert_eq!(ulimit("nproc=512"), limit("nproc", 512, 512));
        assert_eq!(ulimit("core=0:unlimited"), limit("core", 0, -1));
        assert_eq!(ulimit("memlock=-1:-1"), limit("memlock", -1, -1));
        for text in [
            "nofile",
            "files=1",
            "nofile=",
            "nofile=2:1",
            "nofile=-1:5",
            "nofile=1:2:3",
        ] {
            assert!(ulimit(text).is_err(), "{text}");
        }
    }

    #[test]
    fn restart_policies() {
        let policy = |name: &str, maximum_retry_count| {
            Ok(RestartPolicy {
                name: name.into(),
                maximum_retry_count,
            })
        };
        assert_eq!(restart("no"), policy("no", 0));
        assert_eq!(restart("always"), policy("always", 0));
        assert_eq!(restart("on-failure"), policy("on-failure", 0));
        assert_eq!(restart("on-failure:5"), policy("on-failure", 5));
        for text in [
            "sometimes",
            "always:3",
            "on-failure:x",
            "on-failure:-1",
            "no:1",
        ] {
            assert!(restart(text).is_err(), "{text}");
        }
    }

    #[test]
    fn device_limits() {
        assert_eq!(weight_device("/dev/sda:200").unwrap().weight, 200);
        assert_eq!(bytes_device("/dev/sda:1mb").unwrap().rate, 1 << 20);
        assert_eq!(operations_device("/dev/sda:1000").unwrap().rate, 1000);
        assert!(weight_device("/dev/sda:5").is_err());
        assert!(bytes_device("sda:1mb").is_err());
        assert!(operations_device("/dev/sda").is_err());
        assert!(operations_device("/dev/sda:1k").is_err());
    }
}
