//! From the flags of `run` and `create` to a [`CreateRequest`].
//!
//! One file a group of flags, as the help shows them; each knows its flags and how they fill the
//! request. A flag that berth does not offer stands in [`REFUSED`] with what to do instead: nothing is
//! accepted and then ignored.

#![expect(
    rustdoc::broken_intra_doc_links,
    reason = "comments on flags are their help: brackets there mean optional parts"
)]

mod logging;
mod network;
mod process;
mod resources;
mod security;
mod storage;

use std::path::{Path, PathBuf};

use berth_contract::{Class, ContainerName, Error, Result};
use berth_host::api::types::{CreateRequest, RestartPolicy};
use berth_host::engine::Preference;
use berth_image::{PublicKey, PullPolicy};
use clap::Args;

use super::Context;
use super::parse::limit;
use super::pull::policy;
use super::registry::SignatureFlags;

pub(crate) use network::NameFiles;
pub(crate) use process::{entries, variables};
pub(crate) use security::security_options;
pub(crate) use storage::bind;

/// The flags `run` and `create` have in common, and their positional arguments.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct CreateFlags {
    /// Give the container a name
    #[arg(long, value_name = "NAME", help_heading = "Container options")]
    name: Option<ContainerName>,

    /// Remove the container when it ends
    #[arg(long = "rm", help_heading = "Container options")]
    pub(crate) auto_remove: bool,

    /// What happens when the program ends: no, always, unless-stopped, on-failure[:TIMES]
    #[arg(
        long,
        value_name = "POLICY",
        value_parser = limit::restart,
        help_heading = "Container options"
    )]
    restart: Option<RestartPolicy>,

    /// When to ask the registry: always, missing, never, newer
    #[arg(long, value_name = "WHEN", value_parser = policy, help_heading = "Container options")]
    pull: Option<PullPolicy>,

    /// Which of the image's platforms to run, such as linux/amd64 or wasi/wasm
    #[arg(
        long,
        value_name = "OS/ARCH[/VARIANT]",
        help_heading = "Container options"
    )]
    platform: Option<String>,

    /// What an image that is both native and wasm runs as
    #[arg(long, value_name = "KIND", value_enum)]
    prefer: Option<Kind>,

    /// The architecture to run, as in --platform OS/ARCH
    #[arg(long, value_name = "ARCH", hide = true, conflicts_with = "platform")]
    arch: Option<String>,

    /// The operating system to run, as in --platform OS/ARCH
    #[arg(long, value_name = "OS", hide = true, conflicts_with = "platform")]
    os: Option<String>,

    /// The variant of the architecture, as in --platform OS/ARCH/VARIANT
    #[arg(long, value_name = "VARIANT", hide = true, conflicts_with = "platform")]
    variant: Option<String>,

    /// Insist on this runtime: linux or wasm
    #[arg(long, value_name = "NAME", help_heading = "Container options")]
    runtime: Option<String>,

    /// Remove a container of the same name first
    #[arg(long, help_heading = "Container options")]
    replace: bool,

    /// Run a directory in place of an image
    #[arg(long, help_heading = "Container options")]
    rootfs: bool,

    /// Run a file of wasm in text form
    #[arg(long, conflicts_with = "rootfs", help_heading = "Container options")]
    wat: bool,

    /// Write the container's id to this file
    #[arg(long, value_name = "FILE", help_heading = "Container options")]
    cidfile: Option<PathBuf>,

    /// Write the pid of the container's first process to this file at every start
    #[arg(long, value_name = "FILE", help_heading = "Container options")]
    pidfile: Option<PathBuf>,

    /// Kill the container when it has run for so many seconds
    #[arg(long, value_name = "SECONDS", help_heading = "Container options")]
    timeout: Option<u64>,

    /// Say nothing while pulling
    #[arg(short, long, help_heading = "Container options")]
    quiet: bool,

    #[command(flatten)]
    signatures: SignatureFlags,

    /// Kept for scripts; only the value default exists on Linux
    #[arg(long, value_name = "KIND", value_parser = isolation, hide = true)]
    isolation: Option<String>,

    #[command(flatten)]
    process: process::ProcessFlags,

    #[command(flatten)]
    network: network::NetworkFlags,

    #[command(flatten)]
    storage: storage::StorageFlags,

    #[command(flatten)]
    resources: resources::ResourceFlags,

    #[command(flatten)]
    security: security::SecurityFlags,

    #[command(flatten)]
    logging: logging::LoggingFlags,

    /// The image, and what to run in it
    #[arg(
        value_name = "IMAGE [COMMAND] [ARG...]",
        required = true,
        num_args = 1..,
        trailing_var_arg = true,
        hide = true
    )]
    words: Vec<String>,
}

/// How `--prefer` is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// As a program of this host.
    Native,
    /// As a wasm module.
    Wasm,
}

/// Everything the flags said.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// What the engine is asked.
    pub(crate) request: CreateRequest,
    /// The container's name, if one was given.
    pub(crate) name: Option<ContainerName>,
    /// Which of the image's platforms.
    pub(crate) platform: Option<String>,
    /// What an image for several platforms runs as.
    pub(crate) prefer: Option<Preference>,
    /// When the registry is asked.
    pub(crate) pull: PullPolicy,
    /// What the image must be signed with.
    pub(crate) keys: Vec<PublicKey>,
    /// Whether nothing is said while pulling.
    pub(crate) quiet: bool,
    /// Whether a container of the same name is removed first.
    pub(crate) replace: bool,
    /// Where the id is written.
    pub(crate) cidfile: Option<PathBuf>,
    /// What will not do what it says.
    pub(crate) warnings: Vec<String>,
}

impl CreateFlags {
    /// Whether `--attach` names a stream.
    pub(crate) fn attaches(&self) -> bool {
        self.process.attaches()
    }

    /// Fills a request; reads the files that the flags name.
    ///
    /// # Errors
    /// A file cannot be read, or two flags contradict each other.
    pub(crate) fn prepare(self, context: &Context) -> Result<Prepared> {
        let mut request = CreateRequest::default();
        let mut warnings = Vec::new();
        let mut words = self.words.into_iter();
        let image = words.next().unwrap_or_default();
        let command: Vec<String> = words.collect();
        if self.rootfs {
            request.rootfs = Some(absolute(&image)?);
        } else {
            request.config.image = image;
        }
        request.wat = self.wat;
        if !command.is_empty() {
            request.config.cmd = Some(command);
        }
        self.process.apply(&mut request, context)?;
        self.network.apply(&mut request, &mut warnings)?;
        self.storage.apply(&mut request)?;
        self.resources.apply(&mut request)?;
        self.security.apply(&mut request)?;
        self.logging.apply(&mut request)?;
        let platform = self.platform.or_else(|| {
            platform(
                self.os.as_deref(),
                self.arch.as_deref(),
                self.variant.as_deref(),
            )
        });
        let restart = self.restart.unwrap_or_default();
        if self.auto_remove && !matches!(restart.name.as_str(), "" | "no") {
            return Err(conflict(
                "--rm",
                "--restart",
                "a container that is removed cannot restart",
            ));
        }
        let host = &mut request.host_config;
        host.auto_remove = self.auto_remove;
        host.restart_policy = restart;
        host.runtime = self.runtime.unwrap_or_default();
        host.isolation = self.isolation.unwrap_or_default();
        // As in Podman, 0 is for ever.
        host.timeout = self.timeout.filter(|seconds| *seconds > 0);
        host.pid_file = self.pidfile.as_ref().map(absolute).transpose()?;
        if let Some(file) = &self.cidfile {
            host.container_id_file = file.display().to_string();
        }
        if self.replace && self.name.is_none() {
            return Err(
                Error::new(Class::Invalid, "--replace needs to know what to replace")
                    .hint("add --name NAME"),
            );
        }
        Ok(Prepared {
            request,
            name: self.name,
            platform,
            prefer: self.prefer.map(|kind| match kind {
                Kind::Native => Preference::Native,
                Kind::Wasm => Preference::Wasm,
            }),
            pull: self.pull.unwrap_or(PullPolicy::Missing),
            keys: self.signatures.keys()?,
            quiet: self.quiet,
            replace: self.replace,
            cidfile: self.cidfile,
            warnings,
        })
    }
}

/// Podman's three flags as one platform.
fn platform(os: Option<&str>, arch: Option<&str>, variant: Option<&str>) -> Option<String> {
    if os.is_none() && arch.is_none() && variant.is_none() {
        return None;
    }
    let host = berth_image::Platform::host();
    let mut platform = format!(
        "{}/{}",
        os.unwrap_or("linux"),
        arch.unwrap_or(&host.architecture)
    );
    if let Some(variant) = variant {
        platform.push('/');
        platform.push_str(variant);
    }
    Some(platform)
}

fn isolation(text: &str) -> Result<String, String> {
    match text {
        "" | "default" => Ok(text.to_owned()),
        _ => Err("only default exists on Linux".into()),
    }
}

/// A path seen from the working directory.
fn absolute(path: impl AsRef<Path>) -> Result<PathBuf> {
    std::path::absolute(&path).map_err(|error| {
        let path = path.as_ref().display();
        Error::new(Class::Invalid, format!("cannot use the path \"{path}\"")).caused_by(error)
    })
}

/// Reads a small text file that a flag names.
pub(crate) fn read_text(flag: &str, path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| {
        let class = if error.kind() == std::io::ErrorKind::NotFound {
            Class::NotFound
        } else {
            Class::Invalid
        };
        Error::new(
            class,
            format!("cannot read the file {} of {flag}", path.display()),
        )
        .caused_by(error)
    })
}

/// Two flags that cannot stand together.
pub(crate) fn conflict(one: &str, other: &str, reason: &str) -> Error {
    Error::new(
        Class::Invalid,
        format!("{one} and {other} cannot be used together"),
    )
    .caused_by(reason.to_owned())
    .hint(format!("leave {one} or {other} away"))
}

const NO_HEALTH: &str = "health checks are not run yet; watch the container with berth ps";
const NO_WINDOWS: &str = "it exists on Windows only; use --cpus and --device-read-bps";
const NO_SUBORDINATE_NAME: &str =
    "write the range itself: --uidmap 0:HOST:LENGTH, or use --userns auto";

/// Flags of Docker and Podman that berth refuses, and what to do instead.
pub(crate) static REFUSED: &[(&str, &str)] = &[
    (
        "--storage-opt",
        "there is no size limit per container; limit the file system of --root",
    ),
    ("--use-api-socket", "there is no API socket; leave it away"),
    ("--health-cmd", NO_HEALTH),
    ("--health-interval", NO_HEALTH),
    ("--health-retries", NO_HEALTH),
    ("--health-start-interval", NO_HEALTH),
    ("--health-start-period", NO_HEALTH),
    ("--health-timeout", NO_HEALTH),
    ("--health-on-failure", NO_HEALTH),
    ("--cpu-count", NO_WINDOWS),
    ("--cpu-percent", NO_WINDOWS),
    ("--io-maxbandwidth", NO_WINDOWS),
    ("--io-maxiops", NO_WINDOWS),
    (
        "--kernel-memory",
        "the kernel has no such limit any more; use --memory",
    ),
    ("--subuidname", NO_SUBORDINATE_NAME),
    ("--subgidname", NO_SUBORDINATE_NAME),
    (
        "--pod",
        "there are no pods; share namespaces with --network container:NAME",
    ),
    (
        "--pod-id-file",
        "there are no pods; share namespaces with --network container:NAME",
    ),
    (
        "--requires",
        "start the other container first: berth start NAME",
    ),
    ("--secret", "mount the file: -v FILE:/run/secrets/NAME:ro"),
    (
        "--env-host",
        "name the variables: -e NAME takes its value from the environment",
    ),
    ("--env-merge", "write the whole value: -e NAME=VALUE"),
    (
        "--sdnotify",
        "there is no readiness protocol; leave it away",
    ),
    (
        "--systemd",
        "berth sets nothing up for systemd; leave it away",
    ),
    (
        "--preserve-fds",
        "only standard streams are passed on; use -v for files",
    ),
    (
        "--preserve-fd",
        "only standard streams are passed on; use -v for files",
    ),
    (
        "--conmon-pidfile",
        "the monitor's pid is shown by berth inspect",
    ),
    ("--rmi", "remove the image afterwards: berth rmi IMAGE"),
    ("--cgroups", "every container has a cgroup; leave it away"),
    (
        "--cgroup-conf",
        "use the flags of the limits, such as --memory",
    ),
    (
        "--init-path",
        "the reaper is built in; --init switches it on",
    ),
];
