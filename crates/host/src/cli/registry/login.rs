//! `berth login` and `berth logout`: the logins of registries.

use std::io::{self, Read as _};
use std::path::PathBuf;

use berth_contract::{Class, Error, Result};
use berth_image::{Login as Secret, Removal, Saved, default_registry};

use super::access::{RegistryFlags, access, written_file};
use super::prompt;
use crate::cli::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const LOGIN: Verb = Verb::new::<Login>(
    "login",
    Group::Images,
    "Log in to a registry",
    "[OPTIONS] [REGISTRY]",
)
.examples(
    "berth login ghcr.io\n\
     berth login -u me --password-stdin registry.example.com:5000 < token",
);

pub(crate) const LOGOUT: Verb = Verb::new::<Logout>(
    "logout",
    Group::Images,
    "Forget the login of a registry",
    "[OPTIONS] [REGISTRY]",
);

/// The flags of `login`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "Docker's and Podman's flags")]
pub(crate) struct Login {
    /// The registry; docker.io if none is named
    #[arg(value_name = "REGISTRY", hide = true)]
    registry: Option<String>,
    /// The user's name
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,
    /// The password, visible to everybody on this machine
    #[arg(short, long, value_name = "PASSWORD")]
    password: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// Print who is logged in, and change nothing
    #[arg(long)]
    get_login: bool,
    /// Say more (Podman's flag; nothing more is said)
    #[arg(short, long, hide = true)]
    verbose: bool,
    /// Keep the login in this file
    #[arg(long, value_name = "FILE", alias = "compat-auth-file")]
    authfile: Option<PathBuf>,
    /// Take certificates (*.crt, *.cert with *.key) from this directory too
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<PathBuf>,
    /// Check the registry's certificate (false: accept any, and plain HTTP)
    #[arg(long, action = clap::ArgAction::SetFalse)]
    tls_verify: bool,
}

impl Arguments for Login {
    fn run(self, context: &Context) -> Outcome {
        let registry = server(self.registry.as_deref());
        let flags = RegistryFlags {
            authfile: self.authfile.clone(),
            writes_logins: true,
            cert_dir: self.cert_dir.clone(),
            tls_verify: self.tls_verify,
            ..RegistryFlags::none()
        };
        let file = written_file(context, self.authfile.as_deref());
        let access = access(context, &flags, std::iter::empty::<&str>())?;
        let known = || access.credentials.user_of(&registry);
        if self.get_login {
            let name = known()?.ok_or_else(|| {
                Error::new(Class::NotFound, format!("not logged in to {registry}"))
                    .hint(format!("berth login {registry}"))
            })?;
            context.screen.data(&format!("{name}\n"))?;
            return Ok(0);
        }
        let login = self.secret(context, &known)?;
        let kept = berth_image::login(&registry, &login, &access)?;
        if let Saved::InFile = access.credentials.save(&file, &registry, &kept)? {
            context.warn(&format!(
                "the login is kept without encryption in {}; a credential helper would encrypt it",
                file.display()
            ));
        }
        context.screen.data("Login Succeeded\n")?;
        Ok(0)
    }
}

impl Login {
    /// The name and the password: from the flags, from standard input, or from the person at the terminal.
    fn secret(
        &self,
        context: &Context,
        known: &dyn Fn() -> Result<Option<String>>,
    ) -> Result<Secret> {
        if self.password_stdin {
            return self.piped();
        }
        if self.password.is_some() {
            context.warn(
                "everybody on this machine can see a password on the command line; use --password-stdin",
            );
        }
        if (self.username.is_none() || self.password.is_none()) && !prompt::is_possible() {
            return Err(Error::new(Class::Invalid, "cannot ask for the login")
                .caused_by("standard input is not a terminal")
                .hint("use --username NAME --password-stdin"));
        }
        let username = match &self.username {
            Some(name) => name.clone(),
            None => ask_name(context, known()?)?,
        };
        let password = match &self.password {
            Some(password) => password.clone(),
            None => prompt::secret(context.screen, "Password: ")?,
        };
        Ok(Secret::Password { username, password })
    }

    fn piped(&self) -> Result<Secret> {
        let refuse = |reason: &str| {
            let message = "cannot read the password from standard input";
            Err(Error::new(Class::Invalid, message).caused_by(reason.to_owned()))
        };
        let Some(username) = self.username.clone() else {
            return refuse("--password-stdin needs --username");
        };
        if self.password.is_some() {
            return refuse("--password gives one already");
        }
        let mut password = String::new();
        if let Err(error) = io::stdin().take(1 << 20).read_to_string(&mut password) {
            return refuse(&error.to_string());
        }
        let password = password.trim_end_matches(['\r', '\n']).to_owned();
        if password.is_empty() {
            return refuse("it is empty");
        }
        Ok(Secret::Password { username, password })
    }
}

fn ask_name(context: &Context, known: Option<String>) -> Result<String> {
    match known.filter(|name| !name.is_empty()) {
        Some(name) => {
            let answer = prompt::line(context.screen, &format!("Username ({name}): "));
            Ok(answer.unwrap_or(name))
        }
        None => prompt::line(context.screen, "Username: "),
    }
}

/// The flags of `logout`.
#[derive(Debug, clap::Args)]
pub(crate) struct Logout {
    /// The registry; docker.io if none is named
    #[arg(value_name = "REGISTRY", hide = true)]
    registry: Option<String>,
    /// Forget it in this file
    #[arg(long, value_name = "FILE", alias = "compat-auth-file")]
    authfile: Option<PathBuf>,
    /// Forget the logins of all registries
    #[arg(short, long)]
    all: bool,
}

impl Arguments for Logout {
    fn run(self, context: &Context) -> Outcome {
        let flags = RegistryFlags {
            authfile: self.authfile.clone(),
            writes_logins: true,
            ..RegistryFlags::none()
        };
        let credentials = access(context, &flags, std::iter::empty::<&str>())?.credentials;
        let file = written_file(context, self.authfile.as_deref());
        let registries = if self.all {
            credentials.registries_in(&file)?
        } else {
            vec![server(self.registry.as_deref())]
        };
        for registry in registries {
            context
                .screen
                .data(&match credentials.remove(&file, &registry)? {
                    Removal::Removed => format!("Removed the login for {registry}\n"),
                    Removal::Absent => format!("Not logged in to {registry}\n"),
                })?;
        }
        Ok(0)
    }
}

/// The registry a person means: a URL, a host, or nothing.
fn server(text: Option<&str>) -> String {
    let Some(text) = text else {
        return default_registry().to_owned();
    };
    let host = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or_default();
    match host {
        "index.docker.io" | "registry-1.docker.io" => default_registry().to_owned(),
        other => other.to_owned(),
    }
}
