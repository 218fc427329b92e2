//! What the flags of `build` ask for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use berth_contract::{Class, Error, Result};
use berth_host::Engine;
use berth_host::build::{BuildRequest, Destination, NoCache, Output, epoch_of};
use berth_image::{Assembly, Platform, PullOptions, PullPolicy, Reference};

use super::Build;
use crate::cli::Context;
use crate::cli::build::annotations::annotations;
use crate::cli::build::call::Call;
use crate::cli::build::keys::KeyAgent;
use crate::cli::build::progress::Style;
use crate::cli::build::{caches, context, sources};
use crate::cli::parse::truth;
use crate::cli::platform::of_parts;
use crate::cli::registry::{access, proxy_variables};
use crate::cli::request::entries;

/// A build that can be carried out.
#[derive(Debug)]
pub(in crate::cli::build) struct Prepared {
    pub(in crate::cli::build) request: BuildRequest,
    /// Where the context lies when it came from elsewhere.
    pub(in crate::cli::build) scratch: Option<Assembly>,
    /// Agents that have keys until the build ends.
    pub(in crate::cli::build) keys: Vec<KeyAgent>,
    pub(in crate::cli::build) style: Style,
    pub(in crate::cli::build) call: Option<Call>,
    pub(in crate::cli::build) iidfile: Option<PathBuf>,
    pub(in crate::cli::build) metadata_file: Option<PathBuf>,
}

impl Build {
    /// Understands the flags and finds the context.
    ///
    /// # Errors
    /// A value makes no sense, or there is no Dockerfile.
    pub(in crate::cli::build) fn prepare(
        self,
        context: &Context,
        engine: &Engine,
    ) -> Result<Prepared> {
        let environment = &context.environment;
        let call = self.call.filter(Call::asks);
        let platforms = self.platforms()?;
        let asked = sources::outputs(&self.output)?;
        let tags = self.names(&asked.names)?;
        // What a Dockerfile names is not named by the command.
        let named = tags.iter().map(ToString::to_string);
        let pull_options = PullOptions {
            access: access(context, &self.registry, named)?,
            stale_if_error: true,
            ..PullOptions::default()
        };
        let (arguments, epoch) = self.arguments(context)?;
        let pull = self.pull();
        let is_set = |name: &str| {
            let value = arguments.get(name);
            value.is_some_and(|value| truth(value).unwrap_or(false))
        };
        let found = context::find(
            self.path.as_deref(),
            (self.file.as_deref(), self.ignorefile.as_deref()),
            engine,
            &pull_options,
            is_set("BUILDKIT_CONTEXT_KEEP_GIT_DIR"),
        )?;
        let (allow_insecure, allow_host_network, allow_devices) = self.allowed()?;
        let (ssh, keys) = sources::agents(&self.ssh, environment)?;
        let conduct = self.conduct.settled(context.screen, environment)?;
        let outputs = self.outputs(asked.outputs, tags.is_empty())?;
        let cache_to = caches::caches_to(&self.cache_to)?;
        let [inline, is_list] = ["BUILDKIT_INLINE_CACHE", "BUILDKIT_MULTI_PLATFORM"].map(is_set);
        Ok(Prepared {
            request: BuildRequest {
                context: found.directory,
                dockerfile_name: found.name,
                dockerfile: found.text,
                ignore: found.ignore,
                base: self.from,
                tags,
                target: self.target,
                arguments,
                platforms,
                labels: pairs("--label", &self.label)?,
                annotations: annotations(&self.annotation)?,
                contexts: sources::contexts(&self.build_context)?,
                secrets: sources::secrets(&self.secret, environment)?,
                ssh,
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
                pull,
                pull_options,
                is_list,
                documents: asked.documents.unwrap_or_else(|| self.image.documents()),
                squash: self.image.squash(),
                adjustments: self.image.adjustments(environment),
                epoch,
                rewrite_timestamp: self.rewrite_timestamp || asked.rewrite_timestamp,
                allow_insecure,
                allow_host_network,
                allow_devices,
                outputs,
                jobs: conduct.jobs,
                on_failure: conduct.on_failure,
            },
            style: conduct.style,
            keys,
            scratch: found.scratch,
            call: if self.check { Some(Call::CHECK) } else { call },
            iidfile: self.iidfile,
            metadata_file: self.metadata_file,
        })
    }

    /// What is built for, each platform once.
    fn platforms(&self) -> Result<Vec<Platform>> {
        let mut platforms = Vec::new();
        for text in &self.platform {
            let platform = text.parse::<Platform>()?.with_default_variant();
            if !platforms.contains(&platform) {
                platforms.push(platform);
            }
        }
        let parts = of_parts(
            self.os.as_deref(),
            self.arch.as_deref(),
            self.variant.as_deref(),
        )?;
        platforms.extend(parts.map(Platform::with_default_variant));
        Ok(platforms)
    }

    /// What the image is called, each name once.
    fn names(&self, others: &[String]) -> Result<Vec<Reference>> {
        let mut names: Vec<Reference> = Vec::new();
        for text in self.tag.iter().chain(others) {
            let name = tag(text)?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// The build arguments, and the time of everything.
    fn arguments(&self, context: &Context) -> Result<(BTreeMap<String, String>, Option<i64>)> {
        let environment = &context.environment;
        let mut arguments = BTreeMap::new();
        for path in &self.build_arg_file {
            for (name, value) in entries("--build-arg-file", path)? {
                let value = value.or_else(|| environment.owned(&name));
                arguments.extend(value.map(|value| (name, value)));
            }
        }
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
        let given = match arguments.get("SOURCE_DATE_EPOCH") {
            Some(text) => Some(text.as_str()),
            None => environment.text("SOURCE_DATE_EPOCH"),
        };
        // An empty one is none, nor is the Dockerfile's own asked then.
        let given = given.filter(|text| !text.is_empty());
        let epoch = match (self.source_date_epoch, given) {
            (Some(epoch), _) => Some(epoch),
            (None, Some(text)) => Some(epoch_of(text).map_err(|reason| {
                let message = format!("invalid SOURCE_DATE_EPOCH {text:?}");
                Error::new(Class::Invalid, message).caused_by(reason)
            })?),
            (None, None) => None,
        };
        if let Some(epoch) = epoch {
            arguments.insert("SOURCE_DATE_EPOCH".to_owned(), epoch.to_string());
        }
        Ok((arguments, epoch))
    }

    fn pull(&self) -> PullPolicy {
        match (self.pull_always, self.pull_never) {
            (true, _) => PullPolicy::Always,
            (false, true) => PullPolicy::Never,
            (false, false) => self.pull.unwrap_or(PullPolicy::Missing),
        }
    }

    /// What is done with the result.
    fn outputs(&self, mut outputs: Vec<Output>, is_nameless: bool) -> Result<Vec<Output>> {
        if self.load {
            outputs.insert(0, Output::Image);
        }
        if self.push {
            outputs.push(Output::Push(None));
        }
        let is_shown = |output: &Output| {
            let (Output::Tar(to) | Output::Oci(to) | Output::Docker(to)) = output else {
                return false;
            };
            *to == Destination::Stdout && berth_sys::terminal::is_terminal(std::io::stdout())
        };
        if outputs.iter().any(is_shown) {
            return Err(
                Error::new(Class::Invalid, "an archive is nothing to look at")
                    .caused_by("standard output is a terminal")
                    .hint("berth build -o type=TYPE,dest=FILE ."),
            );
        }
        let pushes = |output: &Output| matches!(output, Output::Push(_));
        if outputs.iter().any(pushes) && is_nameless {
            return Err(
                Error::new(Class::Invalid, "cannot push an image without a name")
                    .hint("berth build --push -t REGISTRY/NAME:TAG ."),
            );
        }
        Ok(outputs)
    }

    /// Whether commands may be unconfined, whether they may have the network of the host, which also follows from
    /// asking for it, and which devices they may have.
    fn allowed(&self) -> Result<(bool, bool, Vec<String>)> {
        let mut insecure = false;
        let mut network = self.commands.asks_for_host_network();
        let mut devices = Vec::new();
        for right in &self.allow {
            match right.split_once('=').unwrap_or((right, "")) {
                ("security.insecure", "") => insecure = true,
                ("network.host", "") => network = true,
                ("device", name) => devices.push(name.to_owned()),
                _ => {
                    let message = format!("unknown right {right:?} for --allow");
                    let hint = "security.insecure, network.host and device[=NAME] are known";
                    return Err(Error::new(Class::Invalid, message).hint(hint));
                }
            }
        }
        Ok((insecure, network, devices))
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
