//! `berth version`: which berth this is.

use berth_contract::{Class, Error};
use berth_host::format::listing::unparsable;
use berth_host::format::{Record, Template};
use serde_json::json;

use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb =
    Verb::new::<Version>("version", Group::System, "Print the version", "[OPTIONS]");

/// The flags of `version`.
#[derive(Debug, clap::Args)]
pub(crate) struct Version {
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

impl Arguments for Version {
    fn run(self, context: &Context) -> Outcome {
        let version = context.engine()?.version();
        let components: Vec<_> = version
            .components
            .iter()
            .map(|one| json!({"Name": one.name, "Version": one.version}))
            .collect();
        // There is no daemon: what Docker calls client and server is one program here.
        let half = json!({
            "Platform": {"Name": "berth"},
            "Version": version.version,
            "APIVersion": version.api_version,
            "ApiVersion": version.api_version,
            "MinAPIVersion": version.min_api_version,
            "Os": version.os,
            "Arch": version.arch,
            "KernelVersion": version.kernel_version,
            "Components": components,
        });
        let document = json!({"Client": half, "Server": half});
        let text = match self.format.as_str() {
            "" => format!(
                "berth {}\n API version:  {} (minimum {})\n OS/Arch:      {}/{}\n Kernel:       {}\n",
                version.version,
                version.api_version,
                version.min_api_version,
                version.os,
                version.arch,
                version.kernel_version,
            ),
            "json" => format!("{document}\n"),
            format => {
                let template =
                    Template::parse(format).map_err(|error| unparsable(format, error))?;
                let text = template.render(&Record::new(document)).map_err(|error| {
                    Error::new(Class::Invalid, "cannot render the format")
                        .caused_by(error)
                        .hint("berth version --format json shows every field")
                })?;
                text + "\n"
            }
        };
        context.screen.data(&text)?;
        Ok(0)
    }
}
