//! Where the container's output goes.

use berth_contract::Result;
use berth_host::api::types::CreateRequest;
use clap::Args;

use crate::cli::parse::{Parsed, environment};

/// Flags about logging.
#[derive(Debug, Args)]
#[command(next_help_heading = "Logging options")]
pub(crate) struct LoggingFlags {
    /// Where the output goes: json-file (the default), local, syslog, journald or none
    #[arg(long, value_name = "DRIVER", value_parser = driver)]
    log_driver: Option<String>,

    /// An option of the driver: max-size=10m, max-file=3, syslog-address=udp://HOST, mode=non-blocking,
    /// labels=…, env=…, tag=… (can be repeated)
    #[arg(long, value_name = "NAME=VALUE", value_parser = environment::pair)]
    log_opt: Vec<(String, String)>,
}

impl LoggingFlags {
    pub(super) fn apply(self, request: &mut CreateRequest) -> Result<()> {
        let log = &mut request.host_config.log_config;
        log.kind = self.log_driver.unwrap_or_default();
        log.config = self.log_opt.into_iter().collect();
        Ok(())
    }
}

fn driver(text: &str) -> Parsed<String> {
    match text {
        // Docker's local driver is json-file with rotation on, which json-file is here anyway.
        "" | "none" | "json-file" | "local" | "syslog" | "journald" => Ok(text.to_owned()),
        // Podman's name for a plain file of lines.
        "k8s-file" | "gelf" | "fluentd" | "awslogs" | "splunk" | "gcplogs" | "etwlogs"
        | "passthrough" | "passthrough-tty" => Err(
            "this driver is not supported: use json-file, and berth logs -f to pass it on".into(),
        ),
        _ => Err("it must be json-file, local, syslog, journald or none".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers() {
        for known in ["json-file", "none", "local", "syslog", "journald"] {
            assert!(driver(known).is_ok(), "{known}");
        }
        for unknown in ["gelf", "k8s-file", "paper"] {
            assert!(driver(unknown).is_err(), "{unknown}");
        }
    }
}
