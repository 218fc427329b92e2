//! What becomes of a container's output and of the container when its guest ends. Pure.

use std::collections::BTreeMap;
use std::path::Path;

use berth_contract::{Class, Error, Result, Signal};
use berth_monitor::launch::{Log, LogFile, RestartPolicy};

use super::spec::variable_name;
use crate::api::types::{ContainerConfig, HostConfig, LogConfig};

/// Rotation is on unless it is switched off: 3 files of 10 MB.
const MAX_SIZE: &str = "10m";
const MAX_FILES: &str = "3";

/// The log drivers there are, without `none`, which keeps nothing.
pub(super) const LOG_DRIVERS: [&str; 2] = ["json-file", "local"];

fn refuse(message: impl Into<String>) -> Error {
    Error::new(Class::Invalid, message)
}

/// The restart policy.
pub(super) fn restart(host: &HostConfig) -> Result<RestartPolicy> {
    let asked = &host.restart_policy;
    let policy = match asked.name.as_str() {
        "" | "no" => RestartPolicy::No,
        "always" => RestartPolicy::Always,
        "unless-stopped" => RestartPolicy::UnlessStopped,
        "on-failure" => RestartPolicy::OnFailure {
            maximum: asked.maximum_retry_count,
        },
        other => {
            return Err(refuse(format!("invalid restart policy {other:?}"))
                .hint("no, always, unless-stopped and on-failure[:COUNT] are there"));
        }
    };
    if asked.maximum_retry_count > 0 && !matches!(policy, RestartPolicy::OnFailure { .. }) {
        return Err(refuse("only the restart policy on-failure takes a count"));
    }
    if host.auto_remove && policy != RestartPolicy::No {
        return Err(refuse("--restart and --rm exclude each other"));
    }
    Ok(policy)
}

/// The log's configuration as `inspect` shows it, defaults filled in.
pub(super) fn log_config(asked: &LogConfig) -> Result<LogConfig> {
    let kind = match asked.kind.as_str() {
        "" | "json-file" => "json-file",
        "local" => "local",
        "none" => "none",
        other => {
            return Err(Error::new(
                Class::Unsupported,
                format!("cannot use the log driver {other:?}"),
            )
            .hint("json-file, local and none are there"));
        }
    };
    let mut config = asked.config.clone();
    for (key, value) in &config {
        let known = match key.as_str() {
            "max-size" | "max-file" | "labels" | "env" | "tag" => kind != "none",
            "mode" => value == "blocking",
            "compress" => value == "false",
            _ => false,
        };
        if !known {
            return Err(refuse(format!(
                "unknown log option {key}={value} for the log driver {kind}"
            )));
        }
    }
    if kind != "none" {
        config
            .entry("max-size".to_owned())
            .or_insert_with(|| MAX_SIZE.to_owned());
        config
            .entry("max-file".to_owned())
            .or_insert_with(|| MAX_FILES.to_owned());
    }
    Ok(LogConfig {
        kind: kind.to_owned(),
        config,
    })
}

/// Where the monitor keeps the output. `local` differs from `json-file` in name only: both rotate.
pub(super) fn log(
    config: &LogConfig,
    container: &ContainerConfig,
    tag: &dyn Fn(&str) -> String,
    path: &Path,
) -> Result<Log> {
    if config.kind == "none" {
        return Ok(Log::default());
    }
    let option = |key: &str| {
        config
            .config
            .get(key)
            .map(String::as_str)
            .unwrap_or_default()
    };
    let max_files = match option("max-file").parse() {
        Ok(count) if count > 0 => count,
        _ => {
            return Err(refuse(format!(
                "invalid log option max-file={}",
                option("max-file")
            )));
        }
    };
    let mut attributes = BTreeMap::new();
    for label in option("labels")
        .split(',')
        .filter(|label| !label.is_empty())
    {
        if let Some(value) = container.labels.get(label) {
            attributes.insert(label.to_owned(), value.clone());
        }
    }
    for name in option("env").split(',').filter(|name| !name.is_empty()) {
        let known = container
            .env
            .iter()
            .find(|variable| variable_name(variable) == name);
        if let Some((_, value)) = known.and_then(|variable| variable.split_once('=')) {
            attributes.insert(name.to_owned(), value.to_owned());
        }
    }
    if !option("tag").is_empty() {
        attributes.insert("tag".to_owned(), tag(option("tag")));
    }
    let max_size = size(option("max-size")).ok_or_else(|| {
        refuse(format!(
            "invalid log option max-size={}",
            option("max-size")
        ))
    })?;
    Ok(Log {
        file: Some(LogFile {
            path: path.to_owned(),
            max_size,
            max_files,
            attributes,
        }),
        receiver: None,
    })
}

/// `10m`, `1g`, `4096`; -1 means without end.
fn size(text: &str) -> Option<u64> {
    if text == "-1" {
        return Some(0);
    }
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let (digits, shift) = match lower.chars().last()? {
        'k' => (&lower[..lower.len() - 1], 10),
        'm' => (&lower[..lower.len() - 1], 20),
        'g' => (&lower[..lower.len() - 1], 30),
        _ => (lower, 0),
    };
    let number: u64 = digits.parse().ok().filter(|number| *number > 0)?;
    number.checked_mul(1 << shift)
}

/// What `stop` sends.
pub(super) fn stop_signal(config: &ContainerConfig) -> Result<Signal> {
    config
        .stop_signal
        .as_deref()
        .map_or(Ok(Signal::TERM), str::parse)
}

/// How long `stop` waits, in seconds; `None` is for ever.
pub(super) fn stop_timeout(config: &ContainerConfig) -> Option<u64> {
    config
        .stop_timeout
        .map_or(Some(10), |seconds| u64::try_from(seconds).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(policy: &str, count: u32, remove: bool) -> Result<RestartPolicy> {
        let mut host = HostConfig {
            auto_remove: remove,
            ..HostConfig::default()
        };
        host.restart_policy.name = policy.into();
        host.restart_policy.maximum_retry_count = count;
        restart(&host)
    }

    #[test]
    fn restart_policies() {
        assert_eq!(with("", 0, true).unwrap(), RestartPolicy::No);
        assert_eq!(
            with("on-failure", 3, false).unwrap(),
            RestartPolicy::OnFailure { maximum: 3 }
        );
        for (policy, count, remove) in [
            ("always", 1, false),
            ("always", 0, true),
            ("sometimes", 0, false),
        ] {
            assert!(with(policy, count, remove).is_err(), "{policy}");
        }
    }

    #[test]
    fn logs_rotate_by_default() {
        let config = log_config(&LogConfig::default()).unwrap();
        assert_eq!(
            (config.kind.as_str(), config.config["max-size"].as_str()),
            ("json-file", "10m")
        );
        let container = ContainerConfig {
            env: vec!["A=1".into()],
            labels: [("l".to_owned(), "x".to_owned())].into(),
            ..ContainerConfig::default()
        };
        let mut asked = LogConfig::default();
        for (key, value) in [
            ("labels", "l,none"),
            ("env", "A"),
            ("tag", "T"),
            ("max-size", "1k"),
        ] {
            asked.config.insert(key.into(), value.into());
        }
        let config = log_config(&asked).unwrap();
        let log = log(
            &config,
            &container,
            &|tag| tag.to_lowercase(),
            Path::new("/l"),
        )
        .unwrap();
        let LogFile {
            max_size,
            max_files,
            attributes,
            ..
        } = log.file.unwrap();
        assert_eq!((max_size, max_files), (1024, 3));
        let attributes: Vec<_> = attributes.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(attributes, ["A=1", "l=x", "tag=t"]);
    }

    #[test]
    fn unknown_options_are_refused() {
        for (key, value) in [
            ("max-siz", "1"),
            ("mode", "non-blocking"),
            ("compress", "true"),
        ] {
            let config = LogConfig {
                kind: String::new(),
                config: [(key.into(), value.into())].into(),
            };
            assert!(log_config(&config).is_err(), "{key}");
        }
        assert!(
            log_config(&LogConfig {
                kind: "syslog".into(),
                ..LogConfig::default()
            })
            .is_err()
        );
        for (text, expected) in [
            ("10m", Some(10 << 20)),
            ("-1", Some(0)),
            ("0", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
    }
}
