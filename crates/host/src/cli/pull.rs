//! `berth pull`: fetches images from registries.

use std::fs;
use std::io;
use std::path::PathBuf;

use berth_contract::{Class, Error, Result};
use berth_image::{Credentials, Loaded, PullOptions, PullPolicy, Reference, Transport};

use super::progress::{PullProgress, Style};
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
     berth pull localhost:5000/app@sha256:…",
)
.refusing(&[
    ("--all-tags", "name the tags one by one"),
    ("-a", "name the tags one by one"),
    (
        "--disable-content-trust",
        "digests are always verified; leave it away",
    ),
]);

/// The flags of `pull`.
#[derive(Debug, clap::Args)]
pub(crate) struct Pull {
    /// The images
    #[arg(value_name = "NAME[:TAG|@DIGEST]", required = true, hide = true)]
    names: Vec<String>,
    /// Take the image for this platform, as in linux/arm64 or wasi/wasm
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    /// Print the name alone, when it is here
    #[arg(short, long)]
    quiet: bool,
    /// How to show the progress
    #[arg(long, value_name = "STYLE", value_enum, default_value_t)]
    progress: Style,
    /// Check the registry's certificate (false: accept any, and plain HTTP)
    #[arg(long, action = clap::ArgAction::SetFalse)]
    tls_verify: bool,
}

impl Arguments for Pull {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let platform = self.platform.as_deref().map(str::parse).transpose()?;
        let options = PullOptions {
            policy: PullPolicy::Always,
            platform,
            insecure: !self.tls_verify,
            ..pull_options(context)?
        };
        let style = if self.quiet {
            Style::None
        } else {
            self.progress
        };
        let mut status = 0;
        for name in &self.names {
            let progress = PullProgress::new(context.screen, style);
            if let Some(transport) = Transport::parse(name)? {
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
            let reference = Reference::parse(name)?;
            match engine.pull(&reference, &options, &progress) {
                Ok(pulled) => {
                    let familiar = reference.familiar();
                    progress.finish(&if pulled.updated {
                        format!("Pulled {familiar}")
                    } else {
                        format!("{familiar} is up to date")
                    });
                    context.screen.data(&format!("{reference}\n"))?;
                }
                Err(error) => {
                    progress.clear();
                    context.screen.fail(&error);
                    status = 1;
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

/// What the user's environment says about registries: logins, certificates, proxies.
///
/// Logins come from the first of these that exists: `--config` or `DOCKER_CONFIG`, Podman's
/// `REGISTRY_AUTH_FILE` and `XDG_RUNTIME_DIR/containers/auth.json`, `HOME/.docker`.
///
/// # Errors
/// A file of logins is there and cannot be read.
pub(crate) fn pull_options(context: &Context) -> Result<PullOptions> {
    let environment = &context.environment;
    let either = |lower: &str, upper: &str| {
        environment
            .text(lower)
            .or_else(|| environment.text(upper))
            .map(str::to_owned)
    };
    let mut options = PullOptions {
        authorities: environment.path("SSL_CERT_FILE").into_iter().collect(),
        ..PullOptions::default()
    };
    // Upper-case HTTP_PROXY could be set by a request header in CGI; curl and Go read only the lower
    // case there, but nothing here runs as CGI.
    options.proxy.http = either("http_proxy", "HTTP_PROXY");
    options.proxy.https = either("https_proxy", "HTTPS_PROXY");
    options.proxy.none = either("no_proxy", "NO_PROXY");
    for path in login_files(context) {
        match fs::read(&path) {
            Ok(bytes) => {
                options.credentials = Credentials::from_config(&bytes).map_err(|error| {
                    error.context(format!("cannot use the logins in {}", path.display()))
                })?;
                break;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let message = format!("cannot read the logins in {}", path.display());
                return Err(Error::new(Class::Denied, message).caused_by(error));
            }
        }
    }
    Ok(options)
}

fn login_files(context: &Context) -> Vec<PathBuf> {
    let environment = &context.environment;
    if let Some(directory) = &context.globals.config {
        return vec![directory.join("config.json")];
    }
    if let Some(directory) = environment.path("DOCKER_CONFIG") {
        return vec![directory.join("config.json")];
    }
    let podman = environment
        .path("XDG_RUNTIME_DIR")
        .map(|run| run.join("containers/auth.json"));
    let docker = environment
        .path("HOME")
        .map(|home| home.join(".docker/config.json"));
    environment
        .path("REGISTRY_AUTH_FILE")
        .into_iter()
        .chain(podman)
        .chain(docker)
        .collect()
}
