//! The flags of `build`, Docker's and buildx's.
#![expect(
    rustdoc::broken_intra_doc_links,
    reason = "the help texts write optional parts in brackets"
)]

mod commands;
mod image;
mod others;
mod prepare;

use std::path::PathBuf;

use berth_image::PullPolicy;

use self::commands::CommandFlags;
use self::image::ImageFlags;
use self::others::OtherBuilders;
pub(super) use self::others::REFUSED;
pub(crate) use self::others::builder;
use super::call::Call;
use super::conduct::ConductFlags;
use crate::cli::registry::RegistryFlags;

/// The arguments of `build`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Build {
    /// The context: a directory, a Dockerfile, or - for standard input
    #[arg(value_name = "PATH", hide = true)]
    path: Option<String>,

    /// Name the image (can be repeated)
    #[arg(short, long, value_name = "NAME[:TAG]")]
    tag: Vec<String>,

    /// Read this Dockerfile; - for standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<String>,

    /// Begin with this image in place of the one that the first FROM names
    #[arg(long, value_name = "IMAGE")]
    from: Option<String>,

    /// Read this file in place of .dockerignore
    #[arg(long, value_name = "FILE")]
    ignorefile: Option<PathBuf>,

    /// Set a build argument: NAME=VALUE, or NAME to take it from the environment (can be repeated)
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<String>,

    /// Set the build arguments that this file has, one NAME=VALUE a line (can be repeated)
    #[arg(long, value_name = "FILE")]
    build_arg_file: Vec<PathBuf>,

    /// Add a context: NAME=DIRECTORY, NAME=URL or NAME=docker-image://IMAGE (can be repeated)
    #[arg(long, value_name = "NAME=SOURCE")]
    build_context: Vec<String>,

    /// Build this stage
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,

    /// Build for these platforms, as in linux/amd64,wasi/wasm
    #[arg(long, value_name = "OS/ARCH[,…]", value_delimiter = ',')]
    platform: Vec<String>,

    /// The architecture of that platform, where the rest is this host's
    #[arg(long, value_name = "ARCH", conflicts_with = "platform")]
    arch: Option<String>,

    /// The operating system of that platform
    #[arg(long, value_name = "OS", conflicts_with = "platform")]
    os: Option<String>,

    /// The variant of that architecture
    #[arg(long, value_name = "VARIANT", conflicts_with = "platform")]
    variant: Option<String>,

    /// Give commands a secret: id=NAME[,src=FILE|env=VARIABLE] (can be repeated)
    #[arg(long, value_name = "SECRET")]
    secret: Vec<String>,

    /// Give commands an ssh agent, or keys: default or ID[=SOCKET|KEY,…] (can be repeated)
    #[arg(long, value_name = "AGENT")]
    ssh: Vec<String>,

    /// Label the image (can be repeated)
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,

    /// Annotate the image's manifest, or with index:, manifest-descriptor: or manifest[PLATFORM]: that (can be repeated)
    #[arg(long, value_name = "[KIND:]NAME=VALUE")]
    annotation: Vec<String>,

    /// When to ask registries for base images: always (also for --pull alone), missing, never, newer
    #[arg(long, value_name = "WHEN", num_args = 0..=1, require_equals = true, default_missing_value = "always", value_parser = policy)]
    pull: Option<PullPolicy>,

    /// For scripts: as --pull=always
    #[arg(long, hide = true, conflicts_with_all = ["pull", "pull_never"])]
    pull_always: bool,

    /// For scripts: as --pull=never
    #[arg(long, hide = true, conflicts_with = "pull")]
    pull_never: bool,

    /// Make every step again
    #[arg(long)]
    no_cache: bool,

    /// Make the steps of these stages again (can be repeated)
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    no_cache_filter: Vec<String>,

    /// Look for mistakes in the Dockerfile and build nothing
    #[arg(long)]
    check: bool,

    /// Answer a question and build nothing: check, outline or targets[,format=json]
    #[arg(long, value_name = "QUESTION", value_parser = Call::parse)]
    call: Option<Call>,

    #[command(flatten)]
    conduct: ConductFlags,

    /// Write the image's id to this file
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,

    /// Write what was built to this file, as JSON
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,

    /// What to do with the result: type=image|local|tar|oci|docker|wasm[,dest=PATH], or a directory (can be repeated)
    #[arg(short, long, value_name = "OUTPUT")]
    output: Vec<String>,

    /// Push the image to where its names are
    #[arg(long)]
    push: bool,

    /// Take steps from this cache too: an image, type=registry,ref=NAME or type=local,src=DIRECTORY (can be repeated)
    #[arg(long, value_name = "CACHE")]
    cache_from: Vec<String>,

    /// Write the steps to a cache: type=registry,ref=NAME, type=local,dest=DIRECTORY or type=inline[,mode=max] (can be repeated)
    #[arg(long, value_name = "CACHE")]
    cache_to: Vec<String>,

    /// Keep the image, beside other outputs
    #[arg(long)]
    load: bool,

    /// Give everything this time: seconds since 1970; the variable `SOURCE_DATE_EPOCH` does the same
    #[arg(long, value_name = "SECONDS", value_parser = berth_host::build::epoch_of, allow_hyphen_values = true)]
    source_date_epoch: Option<i64>,

    /// Give files that are newer than that time that time
    #[arg(long)]
    rewrite_timestamp: bool,

    /// Allow commands what they ask for: security.insecure, network.host, device[=NAME] (can be repeated)
    #[arg(long, value_name = "RIGHT")]
    allow: Vec<String>,

    #[command(flatten)]
    image: ImageFlags,

    #[command(flatten)]
    commands: CommandFlags,

    #[command(flatten)]
    registry: RegistryFlags,

    /// For scripts: containers of a build are always removed
    #[arg(long, hide = true)]
    rm: bool,

    /// For scripts: as --rm
    #[arg(long, hide = true)]
    force_rm: bool,

    /// For scripts: a context need not be compressed
    #[arg(long, hide = true)]
    compress: bool,

    #[command(flatten)]
    others: OtherBuilders,
}

/// Docker's truth values, as Go reads them, beside Podman's policies.
fn policy(text: &str) -> Result<PullPolicy, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(PullPolicy::Always),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(PullPolicy::Missing),
        _ => crate::cli::pull::policy(text),
    }
}
