//! `berth info`: what containers will find on this host.

use std::fmt::Write as _;

use berth_host::api::types::SystemInfo;
use berth_host::format::human;

use super::document::{Format, as_value};
use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Info>(
    "info",
    Group::System,
    "Print facts about this host",
    "[OPTIONS]",
)
.examples("berth info\nberth info -f '{{.CgroupVersion}}'");

/// The flags of `info`.
#[derive(Debug, clap::Args)]
pub(crate) struct Info {
    #[command(flatten)]
    format: Format,
}

impl Arguments for Info {
    fn run(self, context: &Context) -> Outcome {
        let mut info = context.engine()?.info()?;
        let proxy = |name: &str| {
            let lower = context.environment.text(&name.to_ascii_lowercase());
            lower
                .or_else(|| context.environment.text(name))
                .map(str::to_owned)
                .unwrap_or_default()
        };
        info.http_proxy = proxy("HTTP_PROXY");
        info.https_proxy = proxy("HTTPS_PROXY");
        info.no_proxy = proxy("NO_PROXY");
        let outcome = self
            .format
            .print(context, as_value(&info)?, || overview(&info))?;
        for warning in &info.warnings {
            context.warn(warning);
        }
        Ok(outcome)
    }
}

/// One fact a line, in Docker's words and order.
fn overview(info: &SystemInfo) -> String {
    let client = &info.client_info;
    let runtimes: Vec<_> = info.runtimes.keys().cloned().collect();
    let memory = human::binary_size(info.mem_total);
    let mut lines: Vec<(usize, &str, String)> = vec![
        (0, "Client", String::new()),
        (1, "Version", format!("   {}", client.version)),
        (1, "Context", format!("   {}", client.context)),
        (1, "Debug Mode", client.debug.to_string()),
    ];
    let mut text = written(&lines);
    lines = vec![
        (0, "Server", String::new()),
        (1, "Containers", info.containers.to_string()),
        (2, "Running", info.containers_running.to_string()),
        (2, "Paused", info.containers_paused.to_string()),
        (2, "Stopped", info.containers_stopped.to_string()),
        (1, "Images", info.images.to_string()),
        (1, "Server Version", info.server_version.clone()),
        (1, "Storage Driver", info.driver.clone()),
    ];
    for (name, value) in &info.driver_status {
        lines.push((2, name, value.clone()));
    }
    lines.extend([
        (1, "Logging Driver", info.logging_driver.clone()),
        (1, "Cgroup Driver", info.cgroup_driver.clone()),
        (1, "Cgroup Version", info.cgroup_version.clone()),
        (1, "Cgroup Layout", info.cgroup_layout.clone()),
        (1, "Plugins", String::new()),
        (2, "Volume", info.plugins.volume.join(" ")),
        (2, "Network", info.plugins.network.join(" ")),
        (2, "Log", info.plugins.log.join(" ")),
    ]);
    text.push('\n');
    text.push_str(&written(&lines));
    text.push_str(" CDI spec directories:\n");
    for directory in &info.cdi_spec_dirs {
        let _always_ok = writeln!(text, "  {directory}");
    }
    text.push_str(&written(&[
        (1, "Swarm", info.swarm.local_node_state.clone()),
        (1, "Runtimes", runtimes.join(" ")),
        (1, "Default Runtime", info.default_runtime.clone()),
        (1, "Init Binary", info.init_binary.clone()),
        (1, "Security Options", String::new()),
    ]));
    text.push_str(&security(&info.security_options));
    text.push_str(&written(&[
        (1, "Kernel Version", info.kernel_version.clone()),
        (1, "Operating System", info.operating_system.clone()),
        (1, "OSType", info.os_type.clone()),
        (1, "Architecture", info.architecture.clone()),
        (1, "CPUs", info.ncpu.to_string()),
        (1, "Total Memory", memory),
        (1, "Name", info.name.clone()),
        (1, "ID", info.id.clone()),
        (1, "Docker Root Dir", info.docker_root_dir.clone()),
        (1, "Run Dir", info.run_root.clone()),
        (1, "Debug Mode", info.debug.to_string()),
        (1, "Experimental", info.experimental_build.to_string()),
        (
            1,
            "Live Restore Enabled",
            info.live_restore_enabled.to_string(),
        ),
    ]));
    text
}

/// Names and values, each at its depth; a name without a value heads what follows.
fn written(lines: &[(usize, &str, String)]) -> String {
    let mut text = String::new();
    for (depth, name, value) in lines {
        let _always_ok = match value.as_str() {
            "" => writeln!(text, "{:depth$}{name}:", ""),
            value => writeln!(text, "{:depth$}{name}: {value}", ""),
        };
    }
    text
}

/// `name=seccomp,profile=builtin` as a name and its properties below.
fn security(options: &[String]) -> String {
    let mut text = String::new();
    for pair in options.iter().flat_map(|option| option.split(',')) {
        let _always_ok = match pair.split_once('=') {
            Some(("name", name)) => writeln!(text, "  {name}"),
            Some(("profile", profile)) => writeln!(text, "   Profile: {profile}"),
            _ => writeln!(text, "   {pair}"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_options_are_a_list() {
        let options = [
            "name=apparmor".to_owned(),
            "name=seccomp,profile=builtin".to_owned(),
        ];
        assert_eq!(
            security(&options),
            "  apparmor\n  seccomp\n   Profile: builtin\n"
        );
    }
}
