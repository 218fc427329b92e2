//! `berth version`: which berth this is.

use std::fmt::Write as _;

use berth_host::api::types::Version;
use serde_json::{Value, json};

use super::document::Format;
use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb =
    Verb::new::<VersionFlags>("version", Group::System, "Print the version", "[OPTIONS]")
        .examples("berth version\nberth version -f '{{.Server.Version}}'");

/// The flags of `version`.
#[derive(Debug, clap::Args)]
pub(crate) struct VersionFlags {
    #[command(flatten)]
    format: Format,
}

impl Arguments for VersionFlags {
    fn run(self, context: &Context) -> Outcome {
        let version = context.engine()?.version();
        self.format
            .print(context, document(&version), || overview(&version))
    }
}

/// Docker's document. There is no daemon: what Docker calls client and server is one program here.
fn document(version: &Version) -> Value {
    let engine = json!({
        "Name": "Engine",
        "Version": version.version,
        "Details": {
            "ApiVersion": version.api_version,
            "Arch": version.arch,
            "Experimental": "false",
            "KernelVersion": version.kernel_version,
            "MinAPIVersion": version.min_api_version,
            "Os": version.os,
        },
    });
    let parts = version
        .components
        .iter()
        .map(|part| json!({"Name": part.name, "Version": part.version}));
    let components: Vec<Value> = std::iter::once(engine).chain(parts).collect();
    // What a Go program knows about itself is empty here, and there for templates that ask.
    json!({
        "Client": {
            "Version": version.version,
            "ApiVersion": version.api_version,
            "DefaultAPIVersion": version.api_version,
            "GitCommit": "",
            "GoVersion": "",
            "Os": version.os,
            "Arch": version.arch,
            "BuildTime": "",
            "Context": "default",
        },
        "Server": {
            "Platform": {"Name": "berth"},
            "Components": components,
            "Version": version.version,
            "ApiVersion": version.api_version,
            "MinAPIVersion": version.min_api_version,
            "GitCommit": "",
            "GoVersion": "",
            "Os": version.os,
            "Arch": version.arch,
            "KernelVersion": version.kernel_version,
            "BuildTime": "",
        },
    })
}

/// Docker's two paragraphs.
fn overview(version: &Version) -> String {
    let platform = format!("{}/{}", version.os, version.arch);
    let mut text = format!(
        "Client: berth\n Version:           {}\n API version:       {}\n OS/Arch:           {platform}\n \
         Context:           default\n\nServer: berth (no daemon: the same program)\n Engine:\n  \
         Version:          {}\n  API version:      {} (minimum version {})\n  \
         OS/Arch:          {platform}\n  Kernel:           {}\n",
        version.version,
        version.api_version,
        version.version,
        version.api_version,
        version.min_api_version,
        version.kernel_version,
    );
    for part in &version.components {
        let _always_ok = writeln!(
            text,
            " {}:\n  Version:          {}",
            part.name, part.version
        );
    }
    text
}
