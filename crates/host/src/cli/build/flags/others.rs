//! Flags of other builders: refused, or with the one meaning that builds have here.

use crate::cli::parse::truth;

/// Flags of other builders that mean nothing here.
pub(crate) const REFUSED: &[(&str, &str)] = &[
    ("--attest", "attestations are not made; leave it away"),
    ("--policy", "policies are not evaluated; leave it away"),
    (
        "--gpus",
        "devices of the build are not passed on; leave it away",
    ),
    (
        "--timestamp",
        "--source-date-epoch with --rewrite-timestamp sets times; leave it away",
    ),
    (
        "--manifest",
        "-t names what is built for several platforms; leave it away",
    ),
    (
        "--all-platforms",
        "--platform names each of them; leave it away",
    ),
    (
        "--logfile",
        "2>FILE writes what the build tells to a file; leave it away",
    ),
    (
        "--userns",
        "commands are executed in the user namespace of the builder; leave it away",
    ),
    ("--stdin", "commands have no standard input; leave it away"),
    (
        "--device",
        "RUN --device and --allow device give commands devices; leave it away",
    ),
    (
        "--mount",
        "RUN --mount mounts things for a command, and --volume for all of them; leave it away",
    ),
    (
        "--cpp-flag",
        "Dockerfiles are built as they are written; leave it away",
    ),
    (
        "--hooks-dir",
        "hooks are not executed for commands; leave it away",
    ),
    (
        "--save-stages",
        "--target makes an image of a stage; leave it away",
    ),
    (
        "--cache-ttl",
        "berth builder prune --filter until=AGE takes old steps out of the cache; leave it away",
    ),
];

/// Flags of other builders which scripts pass, with the one meaning that builds have here.
#[derive(Debug, clap::Args)]
pub(super) struct OtherBuilders {
    /// For scripts: attestations are not made
    #[arg(long, hide = true, value_name = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = no_attestation)]
    provenance: Option<()>,

    /// For scripts: attestations are not made
    #[arg(long, hide = true, value_name = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = no_attestation)]
    sbom: Option<()>,

    /// For scripts: commands are executed in containers
    #[arg(long, hide = true, value_name = "default", value_parser = isolation)]
    isolation: Option<()>,

    /// For scripts: the results of steps are kept for later builds
    #[arg(long, hide = true, value_name = "true", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = layers)]
    layers: Option<()>,

    /// For scripts: stages that nothing needs are not built
    #[arg(long, hide = true, value_name = "true", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = skipping)]
    skip_unused_stages: Option<()>,

    /// For scripts: berth builds by itself
    #[arg(long, hide = true, value_name = "default", value_parser = builder)]
    builder: Option<()>,
}

fn no_attestation(text: &str) -> Result<(), String> {
    match truth(text) {
        Ok(false) => Ok(()),
        _ => Err("attestations are not made; leave it away or say false".to_owned()),
    }
}

fn isolation(text: &str) -> Result<(), String> {
    match text {
        "" | "default" | "oci" => Ok(()),
        _ => Err("commands are executed in containers; leave it away or say default".to_owned()),
    }
}

fn layers(text: &str) -> Result<(), String> {
    match truth(text) {
        Ok(true) => Ok(()),
        _ => Err("each step makes a layer; --squash joins them".to_owned()),
    }
}

fn skipping(text: &str) -> Result<(), String> {
    match truth(text) {
        Ok(true) => Ok(()),
        _ => Err("stages that nothing needs are not built; --target builds one".to_owned()),
    }
}

pub(crate) fn builder(text: &str) -> Result<(), String> {
    match text {
        "" | "default" => Ok(()),
        _ => Err("berth builds by itself; leave it away or say default".to_owned()),
    }
}
