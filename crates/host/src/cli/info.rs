//! `berth info`: what containers will find on this host.

use std::fmt::Write as _;

use berth_contract::{Class, Error};
use berth_host::api::types::SystemInfo;
use berth_host::format::listing::unparsable;
use berth_host::format::{Record, Template, human};

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
    /// Print json, or what a Go template makes of it
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "",
        hide_default_value = true
    )]
    format: String,
}

impl Arguments for Info {
    fn run(self, context: &Context) -> Outcome {
        let info = context.engine()?.info()?;
        let document = serde_json::to_value(&info).map_err(|error| {
            Error::new(Class::Internal, "cannot write the document").caused_by(error)
        })?;
        let text = match self.format.as_str() {
            "" => overview(&info),
            "json" => format!("{document}\n"),
            format => {
                let template =
                    Template::parse(format).map_err(|error| unparsable(format, error))?;
                let text = template.render(&Record::new(document)).map_err(|error| {
                    Error::new(Class::Invalid, "cannot render the format")
                        .caused_by(error)
                        .hint("berth info --format json shows every field")
                })?;
                text + "\n"
            }
        };
        context.screen.data(&text)?;
        for warning in &info.warnings {
            context.warn(warning);
        }
        Ok(0)
    }
}

/// One fact a line, in Docker's words and order.
fn overview(info: &SystemInfo) -> String {
    let mut text = String::new();
    let mut line = |depth: usize, name: &str, value: &dyn std::fmt::Display| {
        let _always_ok = writeln!(text, "{:depth$}{name}: {value}", "");
    };
    line(0, "Containers", &info.containers);
    line(1, "Running", &info.containers_running);
    line(1, "Paused", &info.containers_paused);
    line(1, "Stopped", &info.containers_stopped);
    line(0, "Images", &info.images);
    line(0, "Server Version", &info.server_version);
    line(0, "Storage Driver", &info.driver);
    for (name, value) in &info.driver_status {
        line(1, name, value);
    }
    line(0, "Logging Driver", &info.logging_driver);
    line(0, "Cgroup Driver", &info.cgroup_driver);
    line(0, "Cgroup Version", &info.cgroup_version);
    line(
        0,
        "Runtimes",
        &info.runtimes.keys().cloned().collect::<Vec<_>>().join(" "),
    );
    line(0, "Default Runtime", &info.default_runtime);
    line(0, "Security Options", &info.security_options.join(" "));
    line(0, "Kernel Version", &info.kernel_version);
    line(0, "Operating System", &info.operating_system);
    line(0, "OSType", &info.os_type);
    line(0, "Architecture", &info.architecture);
    line(0, "CPUs", &info.ncpu);
    line(0, "Total Memory", &human::binary_size(info.mem_total));
    line(0, "Name", &info.name);
    line(0, "Root Dir", &info.docker_root_dir);
    line(0, "Run Dir", &info.run_root);
    text
}
