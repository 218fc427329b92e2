//! `berth pull`: fetches images from registries.

use berth_contract::{Class, Error, Result};
use berth_host::Engine;
use berth_image::{Loaded, PullOptions, PullPolicy, Reference, Transport};

use super::platform::PlatformFlags;
use super::progress::{PullProgress, Style};
use super::registry::{RegistryFlags, SignatureFlags, access};
use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Pull>(
    "pull",
    Group::Images,
    "Fetch images from registries",
    "[OPTIONS] NAME[:TAG|@DIGEST]...",
)
.examples(
    "berth pull busybox\n\
     berth pull --platform linux/arm64 alpine:3.22\n\
     berth pull --all-tags localhost:5000/app\n\
     berth pull localhost:5000/app@sha256:…",
)
.refusing(&[(
    "--disable-content-trust",
    "digests are always verified; leave it away",
)]);

/// The flags of `pull`.
#[derive(Debug, clap::Args)]
pub(crate) struct Pull {
    /// The images
    #[arg(value_name = "NAME[:TAG|@DIGEST]", required = true, hide = true)]
    names: Vec<String>,
    /// Fetch every tag of the repository
    #[arg(short, long)]
    all_tags: bool,
    #[command(flatten)]
    platform: PlatformFlags,
    /// When to ask the registry: always, missing, never, newer
    #[arg(long, visible_alias = "pull", value_name = "WHEN", value_parser = policy)]
    policy: Option<PullPolicy>,
    /// Print the name alone, when it is here
    #[arg(short, long)]
    quiet: bool,
    /// How to show the progress
    #[arg(long, value_name = "STYLE", value_enum, default_value_t)]
    progress: Style,
    #[command(flatten)]
    registry: RegistryFlags,
    #[command(flatten)]
    signatures: SignatureFlags,
}

impl Arguments for Pull {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let options = PullOptions {
            policy: self.policy.unwrap_or(PullPolicy::Always),
            platform: self.platform.platform()?,
            access: access(context, &self.registry, self.in_registries()?)?,
            stale_if_error: false,
            keys: self.signatures.keys()?,
        };
        let style = if self.quiet {
            Style::None
        } else {
            self.progress
        };
        let mut status = 0;
        for name in &self.names {
            if let Some(transport) = Transport::parse(name)? {
                if !options.keys.is_empty() {
                    return Err(berth_image::unsigned(name));
                }
                let progress = PullProgress::new(context.screen, style);
                let platforms = options.platform.clone().into_iter().collect();
                let loaded = engine.load_transport(&transport, platforms, &progress);
                progress.clear();
                match loaded {
                    Ok(loaded) => context.screen.data(&name_of(&loaded))?,
                    Err(error) => {
                        context.screen.fail(&error);
                        status = 1;
                    }
                }
                continue;
            }
            for reference in self.references(&engine, name, &options)? {
                let progress = PullProgress::new(context.screen, style);
                match one(&engine, &reference, &options, &progress) {
                    Ok(pulled) => context.screen.data(&format!("{pulled}\n"))?,
                    Err(error) => {
                        progress.clear();
                        context.screen.fail(&error);
                        status = 1;
                    }
                }
            }
        }
        Ok(status)
    }
}

/// What an image out of an archive is called: its name, or its id if the archive gave it none.
fn name_of(loaded: &Loaded) -> String {
    let name = loaded.names.first().map(ToString::to_string);
    format!("{}\n", name.unwrap_or_else(|| loaded.id.to_string()))
}

impl Pull {
    /// The names that do not stand for an archive or a directory.
    fn in_registries(&self) -> Result<Vec<&str>> {
        let mut names = Vec::new();
        for name in &self.names {
            if Transport::parse(name)?.is_none() {
                names.push(name.as_str());
            }
        }
        Ok(names)
    }

    /// What a name stands for: lists of what it may mean, one for each image to fetch.
    fn references(
        &self,
        engine: &Engine,
        name: &str,
        options: &PullOptions,
    ) -> Result<Vec<Vec<Reference>>> {
        let candidates = options.access.candidates(name)?;
        if !self.all_tags {
            return Ok(vec![candidates]);
        }
        if name.contains('@')
            || name
                .rsplit('/')
                .next()
                .is_some_and(|last| last.contains(':'))
        {
            return Err(
                Error::new(Class::Invalid, "cannot fetch all tags of one image")
                    .caused_by(format!("{name} names a tag or digest"))
                    .hint("leave the tag away"),
            );
        }
        let (reference, tags) = first(&candidates, |reference| {
            engine.tags(reference, &options.access)
        })?;
        tags.iter()
            .map(|tag| {
                Ok(vec![Reference::parse(&format!(
                    "{}:{tag}",
                    reference.name()
                ))?])
            })
            .collect()
    }
}

/// Fetches the first of some candidates that there is, and gives its full name.
fn one(
    engine: &Engine,
    candidates: &[Reference],
    options: &PullOptions,
    progress: &PullProgress,
) -> Result<Reference> {
    let (reference, pulled) = first(candidates, |reference| {
        engine.pull(reference, options, progress)
    })?;
    let familiar = reference.familiar();
    progress.finish(&if pulled.updated {
        format!("Pulled {familiar}")
    } else {
        format!("{familiar} is up to date")
    });
    Ok(reference.clone())
}

/// The first candidate that something succeeds for; a registry that does not have it is no reason to stop.
///
/// # Errors
/// None of them does: what the last one said.
pub(crate) fn first<T>(
    candidates: &[Reference],
    mut attempt: impl FnMut(&Reference) -> Result<T>,
) -> Result<(&Reference, T)> {
    for (position, reference) in candidates.iter().enumerate() {
        let last = position + 1 == candidates.len();
        match attempt(reference) {
            Err(error) if !last && matches!(error.class(), Class::NotFound | Class::Denied) => {}
            result => return result.map(|value| (reference, value)),
        }
    }
    Err(Error::new(
        Class::Invalid,
        "no registry is configured for bare names",
    ))
}

/// Podman's policies, of which Docker's are some.
pub(crate) fn policy(text: &str) -> Result<PullPolicy, String> {
    match text {
        "always" => Ok(PullPolicy::Always),
        "missing" | "ifnotpresent" | "" => Ok(PullPolicy::Missing),
        "never" => Ok(PullPolicy::Never),
        "newer" | "ifnewer" => Ok(PullPolicy::Newer),
        _ => Err("use always, missing, never or newer".into()),
    }
}

/// How to pull for a verb that has no flags of its own about registries.
///
/// # Errors
/// A file of logins or registries is there and cannot be read.
pub(crate) fn pull_options(context: &Context) -> Result<PullOptions> {
    Ok(PullOptions {
        access: access(context, &RegistryFlags::none(), std::iter::empty::<&str>())?,
        stale_if_error: true,
        ..PullOptions::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Docker's `run --pull` takes, and Podman's `run --pull` and `pull --policy`.
    #[test]
    fn policies_are_dockers_and_podmans() {
        for (text, meant) in [
            ("always", Some(PullPolicy::Always)),
            ("missing", Some(PullPolicy::Missing)),
            ("ifnotpresent", Some(PullPolicy::Missing)),
            ("", Some(PullPolicy::Missing)),
            ("never", Some(PullPolicy::Never)),
            ("newer", Some(PullPolicy::Newer)),
            ("ifnewer", Some(PullPolicy::Newer)),
            // Both refuse what only builds take.
            ("true", None),
            ("false", None),
            ("Always", None),
        ] {
            assert_eq!(policy(text).ok(), meant, "{text}");
        }
    }
}
