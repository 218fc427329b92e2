//! The flags of `build`, Docker's and buildx's.
#![expect(
    rustdoc::broken_intra_doc_links,
    reason = "the help texts write optional parts in brackets"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use berth_contract::{Class, Error, Result};
use berth_host::Engine;
use berth_host::api::types::{HostConfig, Ulimit};
use berth_host::build::{BuildRequest, NoCache, Output};
use berth_host::engine::PullPolicy;
use berth_image::{Assembly, Platform, PullOptions, Reference};

use super::call::Call;
use super::progress::Style;
use super::sources;
use super::{caches, context};
use crate::cli::Context;
use crate::cli::parse::{limit, size, truth};
use crate::cli::registry::{RegistryFlags, access, proxy_variables};
use crate::cli::request::bind;

/// Flags of other builders that mean nothing here.
pub(super) const REFUSED: &[(&str, &str)] = &[
    ("--attest", "attestations are not made; leave it away"),
    ("--policy", "policies are not evaluated; leave it away"),
    (
        "--gpus",
        "devices of the build are not passed on; leave it away",
    ),
];

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

    /// Set a build argument: NAME=VALUE, or NAME to take it from the environment (can be repeated)
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<String>,

    /// Add a context: NAME=DIRECTORY or NAME=docker-image://IMAGE (can be repeated)
    #[arg(long, value_name = "NAME=SOURCE")]
    build_context: Vec<String>,

    /// Build this stage
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,

    /// Build for these platforms, as in linux/amd64,wasi/wasm
    #[arg(long, value_name = "OS/ARCH[,…]", value_delimiter = ',')]
    platform: Vec<String>,

    /// Give commands a secret: id=NAME[,src=FILE|env=VARIABLE] (can be repeated)
    #[arg(long, value_name = "SECRET")]
    secret: Vec<String>,

    /// Give commands an ssh agent: default or ID[=SOCKET] (can be repeated)
    #[arg(long, value_name = "AGENT")]
    ssh: Vec<String>,

    /// Label the image (can be repeated)
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,

    /// Annotate the image's manifest (can be repeated)
    #[arg(long, value_name = "NAME=VALUE")]
    annotation: Vec<String>,

    /// When to ask registries for base images: always (also for --pull alone), missing, never, newer
    #[arg(long, value_name = "WHEN", num_args = 0..=1, require_equals = true, default_missing_value = "always", value_parser = policy)]
    pull: Option<PullPolicy>,

    /// Make every step again
    #[arg(long)]
    no_cache: bool,

    /// Make the steps of these stages again (can be repeated)
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    no_cache_filter: Vec<String>,

    /// Join the image's own layers into one
    #[arg(long)]
    squash: bool,

    /// Look for mistakes in the Dockerfile and build nothing
    #[arg(long)]
    check: bool,

    /// Answer a question and build nothing: check, outline or targets[,format=json]
    #[arg(long, value_name = "QUESTION", value_parser = Call::parse)]
    call: Option<Call>,

    /// Print the image's id alone
    #[arg(short, long)]
    quiet: bool,

    /// How to show the progress
    #[arg(long, value_name = "STYLE", value_enum, default_value_t)]
    progress: Style,

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
    #[arg(long, value_name = "SECONDS")]
    source_date_epoch: Option<i64>,

    /// Give files that are newer than that time that time
    #[arg(long)]
    rewrite_timestamp: bool,

    /// Allow commands what they ask for: security.insecure, network.host (can be repeated)
    #[arg(long, value_name = "RIGHT")]
    allow: Vec<String>,

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
    other: OtherBuilders,
}

/// Flags of other builders which scripts pass, with the one meaning that builds have here.
#[derive(Debug, clap::Args)]
struct OtherBuilders {
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

    /// For scripts: stages that do not need each other are built at once
    #[arg(long, hide = true, value_name = "NUMBER")]
    jobs: Option<u32>,

    /// For scripts: berth builds by itself
    #[arg(long, hide = true, value_name = "default", value_parser = builder)]
    builder: Option<()>,
}

/// Docker's truth values beside podman's policies.
fn policy(text: &str) -> std::result::Result<PullPolicy, String> {
    match text {
        "always" | "true" => Ok(PullPolicy::Always),
        "missing" | "false" => Ok(PullPolicy::Missing),
        "never" => Ok(PullPolicy::Never),
        "newer" | "ifnewer" => Ok(PullPolicy::Newer),
        _ => Err("use always, missing, never or newer".to_owned()),
    }
}

fn no_attestation(text: &str) -> std::result::Result<(), String> {
    match truth(text) {
        Ok(false) => Ok(()),
        _ => Err("attestations are not made; leave it away or say false".to_owned()),
    }
}

fn isolation(text: &str) -> std::result::Result<(), String> {
    match text {
        "" | "default" | "oci" => Ok(()),
        _ => Err("commands are executed in containers; leave it away or say default".to_owned()),
    }
}

fn layers(text: &str) -> std::result::Result<(), String> {
    match truth(text) {
        Ok(true) => Ok(()),
        _ => Err("each step makes a layer; --squash joins them".to_owned()),
    }
}

fn builder(text: &str) -> std::result::Result<(), String> {
    match text {
        "" | "default" => Ok(()),
        _ => Err("berth builds by itself; leave it away or say default".to_owned()),
    }
}

/// Flags about the commands of `RUN`.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Commands")]
struct CommandFlags {
    /// The network of the commands: default, none or host
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,

    /// Let a name lead to an address: NAME:ADDRESS (can be repeated)
    #[arg(long, value_name = "NAME:ADDRESS")]
    add_host: Vec<String>,

    /// Mount a directory of the host: SOURCE:TARGET[:ro,…] (can be repeated)
    #[arg(short, long, value_name = "MOUNT", value_parser = host_bind)]
    volume: Vec<String>,

    /// The size of /dev/shm, such as 64m
    #[arg(long, value_name = "BYTES", value_parser = size::bytes)]
    shm_size: Option<i64>,

    /// Set a limit of setrlimit(2): NAME=SOFT[:HARD] (can be repeated)
    #[arg(long, value_name = "LIMIT", value_parser = limit::ulimit)]
    ulimit: Vec<Ulimit>,

    /// At most so much memory, such as 64m or 1.5g
    #[arg(short, long, value_name = "BYTES", value_parser = size::bytes)]
    memory: Option<i64>,

    /// At most so much memory and swap together; -1 for any amount of swap
    #[arg(long, value_name = "BYTES", value_parser = size::bytes_or_unlimited)]
    memory_swap: Option<i64>,

    /// The share of CPU time under load, relative to others' 1024
    #[arg(short = 'c', long, value_name = "WEIGHT")]
    cpu_shares: Option<i64>,

    /// The length of a scheduling period in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<i64>,

    /// How much CPU time within a period, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_quota: Option<i64>,

    /// Only these CPUs, such as 0-2,4
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,

    /// Only these memory nodes
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,

    /// Put the containers' cgroups beneath this one
    #[arg(long, value_name = "CGROUP")]
    cgroup_parent: Option<String>,

    /// Confine the commands otherwise, as for run (can be repeated)
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
}

/// A build that can be carried out.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) request: BuildRequest,
    /// Where the context lies when it came from elsewhere.
    pub(super) scratch: Option<Assembly>,
    pub(super) style: Style,
    pub(super) call: Option<Call>,
    pub(super) iidfile: Option<PathBuf>,
    pub(super) metadata_file: Option<PathBuf>,
}

impl Build {
    /// Understands the flags and finds the context.
    ///
    /// # Errors
    /// A value makes no sense, or there is no Dockerfile.
    pub(super) fn prepare(self, context: &Context, engine: &Engine) -> Result<Prepared> {
        let environment = &context.environment;
        let call = self.call.filter(Call::asks);
        let pull_options = PullOptions {
            access: access(context, &self.registry)?,
            stale_if_error: true,
            ..PullOptions::default()
        };
        let found = context::find(
            self.path.as_deref(),
            self.file.as_deref(),
            engine,
            &pull_options,
        )?;
        let (arguments, epoch) = self.arguments(context)?;
        let (allow_insecure, allow_host_network) = self.allowed()?;
        let platforms = self.platform.iter().map(|text| text.parse());
        let platforms: Vec<Platform> = platforms.collect::<Result<_>>()?;
        let tags = self
            .tag
            .iter()
            .map(|text| tag(text))
            .collect::<Result<_>>()?;
        let outputs = self.outputs()?;
        let cache_to = caches::caches_to(&self.cache_to)?;
        let inline = arguments.get("BUILDKIT_INLINE_CACHE");
        let inline = inline.is_some_and(|value| truth(value).unwrap_or(false));
        Ok(Prepared {
            request: BuildRequest {
                context: found.directory,
                dockerfile_name: found.name,
                dockerfile: found.text,
                ignore: found.ignore,
                tags,
                target: self.target,
                arguments,
                platforms,
                labels: pairs("--label", &self.label)?,
                annotations: pairs("--annotation", &self.annotation)?
                    .into_iter()
                    .collect(),
                contexts: sources::contexts(&self.build_context)?,
                secrets: sources::secrets(&self.secret, environment)?,
                ssh: sources::agents(&self.ssh, environment)?,
                host: self.commands.host()?,
                no_cache: NoCache {
                    all: self.no_cache,
                    stages: self
                        .no_cache_filter
                        .iter()
                        .map(|name| name.to_ascii_lowercase())
                        .collect(),
                },
                cache_from: caches::caches_from(&self.cache_from)?,
                cache_to: cache_to.exports,
                inline_cache: cache_to.inline || inline,
                pull: self.pull.unwrap_or(PullPolicy::Missing),
                pull_options,
                squash: self.squash,
                epoch,
                rewrite_timestamp: self.rewrite_timestamp,
                allow_insecure,
                allow_host_network,
                outputs,
            },
            style: if self.quiet {
                Style::Quiet
            } else {
                self.progress
            },
            scratch: found.scratch,
            call: if self.check { Some(Call::CHECK) } else { call },
            iidfile: self.iidfile,
            metadata_file: self.metadata_file,
        })
    }
}

impl Build {
    /// The build arguments, and the time of everything.
    fn arguments(&self, context: &Context) -> Result<(BTreeMap<String, String>, Option<i64>)> {
        let environment = &context.environment;
        let mut arguments = BTreeMap::new();
        for text in &self.build_arg {
            // A name alone is passed on if it is set.
            let pair = match text.split_once('=') {
                Some((name, value)) => Some((name.to_owned(), value.to_owned())),
                None => environment.owned(text).map(|value| (text.clone(), value)),
            };
            arguments.extend(pair);
        }
        for (name, value) in proxy_variables(context, &|name| arguments.contains_key(name)) {
            arguments.insert(name, value);
        }
        let epoch = match (self.source_date_epoch, arguments.get("SOURCE_DATE_EPOCH")) {
            (Some(epoch), _) => Some(epoch),
            (None, Some(text)) => Some(epoch_of(text)?),
            (None, None) => environment
                .text("SOURCE_DATE_EPOCH")
                .map(epoch_of)
                .transpose()?,
        };
        if let Some(epoch) = epoch {
            arguments.insert("SOURCE_DATE_EPOCH".to_owned(), epoch.to_string());
        }
        Ok((arguments, epoch))
    }

    /// What is done with the result.
    fn outputs(&self) -> Result<Vec<Output>> {
        let mut outputs = sources::outputs(&self.output)?;
        if self.load {
            outputs.insert(0, Output::Image);
        }
        if self.push {
            outputs.push(Output::Push(None));
        }
        let pushes = |output: &Output| matches!(output, Output::Push(_));
        if outputs.iter().any(pushes) && self.tag.is_empty() {
            return Err(
                Error::new(Class::Invalid, "cannot push an image without a name")
                    .hint("berth build --push -t REGISTRY/NAME:TAG ."),
            );
        }
        Ok(outputs)
    }

    /// Whether commands may be unconfined, and whether they may have the network of the host: that follows
    /// from asking for it.
    fn allowed(&self) -> Result<(bool, bool)> {
        let known = ["security.insecure", "network.host"];
        if let Some(other) = self
            .allow
            .iter()
            .find(|right| !known.contains(&right.as_str()))
        {
            let error = Error::new(
                Class::Invalid,
                format!("unknown right {other:?} for --allow"),
            );
            return Err(error.hint("security.insecure and network.host are known"));
        }
        let has = |known: &str| self.allow.iter().any(|right| right == known);
        let host = self.commands.network.as_deref() == Some("host");
        Ok((has(known[0]), has(known[1]) || host))
    }
}

impl CommandFlags {
    fn host(self) -> Result<HostConfig> {
        let network_mode = match self.network.as_deref() {
            None | Some("" | "default") => String::new(),
            Some(mode @ ("none" | "host" | "bridge")) => mode.to_owned(),
            Some(other) => {
                return Err(
                    Error::new(Class::Invalid, format!("invalid --network {other:?}"))
                        .hint("default, none and host are there"),
                );
            }
        };
        Ok(HostConfig {
            network_mode,
            binds: self.volume,
            extra_hosts: self.add_host,
            shm_size: self.shm_size.unwrap_or(0),
            ulimits: self.ulimit,
            memory: self.memory.unwrap_or(0),
            memory_swap: self.memory_swap.unwrap_or(0),
            cpu_shares: self.cpu_shares.unwrap_or(0),
            cpu_period: self.cpu_period.unwrap_or(0),
            cpu_quota: self.cpu_quota.unwrap_or(0),
            cpuset_cpus: self.cpuset_cpus.unwrap_or_default(),
            cpuset_mems: self.cpuset_mems.unwrap_or_default(),
            cgroup_parent: self.cgroup_parent.unwrap_or_default(),
            security_opt: self.security_opt,
            ..HostConfig::default()
        })
    }
}

/// A directory of the host; volumes outlive builds and would be of no use.
fn host_bind(text: &str) -> Result<String, String> {
    let bind = bind(text).map_err(|error| error.to_string())?;
    if bind.starts_with('/') && bind.contains(':') {
        Ok(bind)
    } else {
        Err("the source must be a directory of the host, beginning with / or .".to_owned())
    }
}

fn tag(text: &str) -> Result<Reference> {
    let reference = Reference::parse(text)?;
    if reference.digest().is_some() {
        return Err(
            Error::new(Class::Invalid, format!("cannot name the image {text}"))
                .caused_by("a digest is computed, not given"),
        );
    }
    Ok(reference)
}

fn epoch_of(text: &str) -> Result<i64> {
    text.trim()
        .parse()
        .map_err(|error: std::num::ParseIntError| {
            Error::new(
                Class::Invalid,
                format!("invalid SOURCE_DATE_EPOCH {text:?}"),
            )
            .caused_by(error)
        })
}

fn pairs(flag: &str, texts: &[String]) -> Result<Vec<(String, String)>> {
    let pair = |text: &String| match text.split_once('=') {
        Some(("", _)) => Err(Error::new(
            Class::Invalid,
            format!("invalid value {text:?} for {flag}"),
        )),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Ok((text.clone(), String::new())),
    };
    texts.iter().map(pair).collect()
}
