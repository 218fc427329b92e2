//! `berth stop`: asks containers to end, and kills those that do not.

use std::sync::atomic::{AtomicBool, Ordering};

use berth_contract::{Exit, Result, Signal};
use berth_host::api::types::ContainerInspect;
use berth_host::engine::StopOptions;

use super::shared::{LIVE, Targets, each_at_once};
use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Stop>(
    "stop",
    Group::Run,
    "Stop containers: a signal, a grace time, then a kill",
    "[OPTIONS] CONTAINER [CONTAINER...]",
)
.examples(
    "berth stop web\nberth stop -t 30 db\nberth stop --all\nberth stop --filter label=tier=test",
);

/// The arguments of `stop`.
#[derive(Debug, clap::Args)]
pub(crate) struct Stop {
    #[command(flatten)]
    grace: Grace,

    #[command(flatten)]
    targets: Targets,
}

/// How a container is asked to end.
#[derive(Debug, clap::Args)]
pub(crate) struct Grace {
    /// Send this signal in place of the container's stop signal
    #[arg(short, long, value_name = "SIGNAL")]
    signal: Option<String>,

    /// Wait so many seconds before killing; -1 waits for ever
    #[arg(short, long, visible_alias = "time", value_name = "SECONDS")]
    timeout: Option<i64>,
}

impl Grace {
    /// # Errors
    /// There is no such signal: a failure of the verb, status 1, as in Docker.
    pub(crate) fn options(&self) -> Result<StopOptions> {
        Ok(StopOptions {
            signal: self.signal.as_deref().map(str::parse).transpose()?,
            timeout: self.timeout,
        })
    }
}

impl Arguments for Stop {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let names = self.targets.chosen("stop", &engine, LIVE)?;
        let options = self.grace.options()?;
        let were_deaf = AtomicBool::new(false);
        let stop = |id: &_| {
            let before = engine.inspect(id, false)?;
            let grace = options.timeout.or(before.config.stop_timeout);
            // Who gives no time has not waited in vain.
            let deaf = grace != Some(0) && before.state.running && is_deaf(&before, options.signal);
            let exit = engine.stop(id, &options)?;
            let killed = Exit::Signalled {
                signal: Signal::KILL,
            };
            if deaf && exit == Some(killed) {
                let name = before.name.trim_start_matches('/');
                let signal = stop_signal(&before, options.signal);
                context.warn(&format!(
                    "process 1 of {name} ignores {signal} and had to be killed"
                ));
                were_deaf.store(true, Ordering::Relaxed);
            }
            Ok(())
        };
        let status = each_at_once(context, &engine, &names, stop)?;
        if were_deaf.into_inner() {
            context.screen.say(
                "hint: run it with --init, handle the signal, or choose another --stop-signal",
            );
        }
        Ok(status)
    }
}

/// Whether the container's first process has no handler for its stop signal: the kernel keeps such
/// signals from process 1 of a pid namespace, so that only a kill ends it.
fn is_deaf(container: &ContainerInspect, signal: Option<Signal>) -> bool {
    let signal = stop_signal(container, signal);
    let path = format!("/proc/{}/status", container.state.pid);
    signal != Signal::KILL
        && std::fs::read_to_string(path).is_ok_and(|status| lacks_handler(&status, signal))
}

fn stop_signal(container: &ContainerInspect, signal: Option<Signal>) -> Signal {
    let configured = container
        .config
        .stop_signal
        .as_deref()
        .and_then(|name| name.parse().ok());
    signal.or(configured).unwrap_or(Signal::TERM)
}

/// Whether a `/proc/PID/status` says that a signal is not caught.
fn lacks_handler(status: &str, signal: Signal) -> bool {
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal.number() - 1) & 1 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_a_handler_is_deaf() {
        let status = "Name:\tsleep\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000004002\n";
        assert!(!lacks_handler(status, Signal::TERM));
        assert!(!lacks_handler(status, Signal::INT));
        assert!(lacks_handler(status, Signal::HUP));
        assert!(
            !lacks_handler("Name:\tx\n", Signal::HUP),
            "unknown is no reason to complain"
        );
    }
}
