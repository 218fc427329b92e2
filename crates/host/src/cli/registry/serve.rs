//! `berth serve registry`: the images of this machine for other machines.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use berth_contract::{Class, Error, Result};
use berth_image::{PullThrough, Reference, ServeOptions, default_registry};

use super::access::{RegistryFlags, access};
use crate::cli::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::family(
    "serve",
    Group::System,
    "Offer what is here to other programs and machines",
    &[REGISTRY],
);

const REGISTRY: Verb = Verb::new::<Registry>(
    "registry",
    Group::System,
    "Be a registry of the images that are here",
    "[OPTIONS]",
)
.examples(
    "berth serve registry\n\
     berth serve registry --listen 0.0.0.0:5000 --htpasswd users --tls-cert cert.pem --tls-key key.pem\n\
     berth serve registry --pull-through=docker.io --pull-through=quay.io",
);

/// How long a client may be silent.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many connections are served at once.
const CONNECTIONS: usize = 1024;
/// Where registries are usually found.
const PORT: u16 = 5000;

/// The flags of `serve registry`.
#[derive(Debug, clap::Args)]
pub(crate) struct Registry {
    /// Where to listen: an address, a port, or both
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = address, default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
    /// Let in only who is in this file of names and bcrypt hashes (htpasswd -B)
    #[arg(long, value_name = "FILE")]
    htpasswd: Option<PathBuf>,
    /// Speak TLS with this certificate chain in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key of the certificate in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Let nobody push or delete
    #[arg(long)]
    read_only: bool,
    /// Fetch what is not here from this registry, and keep it; without a value from any of the public internet, and any that registries.conf names, that a name begins with (can be repeated: names without a registry are the first one's)
    #[arg(
        long,
        value_name = "REGISTRY",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        value_parser = upstream
    )]
    pull_through: Option<Vec<String>>,
    /// Let everybody who reaches a public address push and delete without a password
    #[arg(long)]
    insecure: bool,
    #[command(flatten)]
    registry: RegistryFlags,
}

impl Arguments for Registry {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        self.check()?;
        let pull_through = match &self.pull_through {
            Some(registries) => {
                let named = registries.iter().filter(|registry| !registry.is_empty());
                let named: Vec<String> = named.cloned().collect();
                let images = named.iter().map(|registry| format!("{registry}/image"));
                Some(PullThrough {
                    access: access(context, &self.registry, images)?,
                    any: named.len() < registries.len(),
                    registries: match named.is_empty() {
                        true => vec![default_registry().to_owned()],
                        false => named,
                    },
                })
            }
            None => None,
        };
        let scheme = if self.tls_cert.is_some() {
            "https"
        } else {
            "http"
        };
        let options = ServeOptions {
            address: self.listen,
            htpasswd: self.htpasswd,
            tls: self.tls_cert.zip(self.tls_key),
            read_only: self.read_only,
            patience: PATIENCE,
            connections: CONNECTIONS,
            pull_through,
        };
        engine.serve_registry(&options, &mut |address| {
            context
                .screen
                .data(&format!("serving {scheme}://{address}\n"))
        })?;
        Ok(0)
    }
}

impl Registry {
    /// Who can push an image can have it run here: that is not for everybody on a network.
    fn check(&self) -> Result<()> {
        let public = !self.listen.ip().is_loopback();
        if public && self.htpasswd.is_none() && !self.read_only && !self.insecure {
            return Err(Error::new(
                Class::Invalid,
                format!("cannot let everybody push who reaches {}", self.listen),
            )
            .hint("add --htpasswd FILE, or --read-only, or --insecure if that is meant"));
        }
        let any = |registries: &Vec<String>| registries.iter().any(String::is_empty);
        let anywhere = self.pull_through.as_ref().is_some_and(any);
        if public && anywhere && self.htpasswd.is_none() && !self.insecure {
            let listen = self.listen;
            return Err(Error::new(
                Class::Invalid,
                format!("cannot fetch from any host for everybody who reaches {listen}"),
            )
            .hint("name the registries, as in --pull-through=docker.io, or add --htpasswd FILE"));
        }
        if public && self.htpasswd.is_some() && self.tls_cert.is_none() && !self.insecure {
            return Err(Error::new(
                Class::Invalid,
                format!("cannot ask for passwords at {} without TLS", self.listen),
            )
            .hint("add --tls-cert FILE --tls-key FILE, or --insecure if that is meant"));
        }
        Ok(())
    }
}

/// A registry as references spell it, or nothing for any.
fn upstream(text: &str) -> Result<String, String> {
    let image = format!("{text}/image");
    match Reference::parse(&image) {
        _ if text.is_empty() => Ok(String::new()),
        Ok(name) if !text.contains('/') && !Reference::is_short(&image) => {
            Ok(name.registry().to_owned())
        }
        _ => Err("use a registry's host, as in quay.io or localhost:5000".into()),
    }
}

/// `5000`, `127.0.0.1`, `0.0.0.0:5000`, `[::]:5000`.
fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.trim_start_matches(':').parse::<u16>() {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    if let Ok(address) = text
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>()
    {
        return Ok((address, PORT).into());
    }
    let text = text.replace("localhost:", "127.0.0.1:");
    text.parse()
        .map_err(|_invalid| "use an address and a port, as in 127.0.0.1:5000".into())
}
