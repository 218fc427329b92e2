//! What becomes of a container when its guest ends or is told to. Pure.

use berth_contract::{Class, Error, Result, Signal};
use berth_monitor::launch::RestartPolicy;

use crate::api::types::{ContainerConfig, HostConfig};

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
}
