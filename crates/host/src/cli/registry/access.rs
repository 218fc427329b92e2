//! How registries are reached: from flags, the user's and the system's files, and the environment.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, Report, Result};
use berth_image::{Access, Credentials, Login, Registries};

use crate::cli::{Context, Environment};

/// The flags of every verb that speaks to a registry.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct RegistryFlags {
    /// Read the logins from this file alone
    #[arg(long, value_name = "FILE", help_heading = "Registry options")]
    pub(crate) authfile: Option<PathBuf>,
    /// Log in to the registry that is named with this name and password
    #[arg(
        long,
        value_name = "NAME[:PASSWORD]",
        help_heading = "Registry options"
    )]
    pub(crate) creds: Option<String>,
    /// Take certificates (*.crt, *.cert with *.key) from this directory too
    #[arg(long, value_name = "DIR", help_heading = "Registry options")]
    pub(crate) cert_dir: Option<PathBuf>,
    /// Check the registry's certificate (false: accept any, and plain HTTP)
    #[arg(
        long,
        action = clap::ArgAction::SetFalse,
        help_heading = "Registry options"
    )]
    pub(crate) tls_verify: bool,
    /// Make a request that fails for no lasting reason this often again
    #[arg(long, value_name = "TIMES", help_heading = "Registry options")]
    pub(crate) retry: Option<u32>,
    /// Whether the file of logins may be a new one.
    #[arg(skip)]
    pub(crate) writes_logins: bool,
}

impl RegistryFlags {
    /// Nothing but what the files and the environment say.
    pub(crate) fn none() -> Self {
        Self {
            tls_verify: true,
            ..Self::default()
        }
    }
}

/// How registries are reached, as the flags and the environment say; `names` are the images that the
/// command names, since a login that is given beside them is meant for their registry alone.
///
/// # Errors
/// A file of logins or registries is there and cannot be read; a login is given, and the names are not all
/// of one registry.
pub(crate) fn access(
    context: &Context,
    flags: &RegistryFlags,
    names: impl IntoIterator<Item = impl AsRef<str>>,
) -> Result<Access> {
    let environment = &context.environment;
    if let Some(file) = &flags.authfile
        && !flags.writes_logins
        && let Err(error) = std::fs::metadata(file)
    {
        let message = format!("cannot read the logins of {}", file.display());
        return Err(Error::new(Class::NotFound, message).caused_by(error));
    }
    let registries = registries(environment)?;
    let programs = environment
        .variable("PATH")
        .map(|path| std::env::split_paths(path).collect());
    let files = login_files(context, flags.authfile.as_deref());
    let mut credentials = Credentials::read(&files, programs.unwrap_or_default())?;
    credentials.add_helpers(registries.credential_helpers().iter().cloned());
    let proxies = credentials.proxies();
    let mut access = Access {
        headers: credentials.headers(),
        credentials,
        registries,
        insecure: !flags.tls_verify,
        offline: context.globals.offline,
        authorities: environment.path("SSL_CERT_FILE").into_iter().collect(),
        certificates: certificate_directories(environment),
        certificate_directory: flags.cert_dir.clone(),
        ..Access::default()
    };
    // The environment counts before `proxies` of config.json, which is meant for containers first.
    let either = |lower: &str, upper: &str| {
        let value = environment.text(lower).or_else(|| environment.text(upper));
        let configured = || proxies.iter().find(|(name, _)| *name == upper);
        value
            .map(str::to_owned)
            .or_else(|| configured().map(|(_, value)| value.clone()))
    };
    // Upper-case HTTP_PROXY could be set by a request header in CGI; curl and Go read only the lower
    // case there, but nothing here runs as CGI.
    let all = || either("all_proxy", "ALL_PROXY");
    access.proxy.http = either("http_proxy", "HTTP_PROXY").or_else(all);
    access.proxy.https = either("https_proxy", "HTTPS_PROXY").or_else(all);
    access.proxy.none = either("no_proxy", "NO_PROXY");
    if let Some(times) = flags.retry {
        access.attempts = times.saturating_add(1);
    }
    if let Some(creds) = &flags.creds {
        let registry = only_registry(&access, names)?;
        access.credentials.insert(&registry, Login::parse(creds));
    }
    Ok(access)
}

/// The registry of all these names: neither a mirror nor another one may see what is meant for it.
fn only_registry(
    access: &Access,
    names: impl IntoIterator<Item = impl AsRef<str>>,
) -> Result<String> {
    let mut registries = BTreeSet::new();
    for name in names {
        let name = name.as_ref();
        let name = name.strip_prefix("docker://").unwrap_or(name);
        let meant = access.candidates(name)?.into_iter();
        registries.extend(meant.map(|reference| reference.registry().to_owned()));
    }
    let reason = match registries.len() {
        1 => return Ok(registries.pop_first().unwrap_or_default()),
        0 => "the command names no registry".to_owned(),
        _ => {
            let all: Vec<String> = registries.into_iter().collect();
            format!("it may be {}", all.join(" or "))
        }
    };
    let error = Error::new(Class::Invalid, "cannot tell which registry --creds is for");
    Err(error.caused_by(reason).hint("berth login REGISTRY"))
}

/// The proxies of `config.json` as variables of containers and builds, in both spellings (Docker's
/// `proxies`); what is set already in either way stays.
pub(crate) fn proxy_variables(
    context: &Context,
    is_set: &dyn Fn(&str) -> bool,
) -> Vec<(String, String)> {
    let credentials = match Credentials::read(&login_files(context, None), Vec::new()) {
        Ok(credentials) => credentials,
        Err(error) => {
            context.warn(&format!(
                "no proxies are passed on: {}",
                Report::from(&error).line()
            ));
            return Vec::new();
        }
    };
    let both = credentials.proxies().into_iter().flat_map(|(name, value)| {
        [
            (name.to_owned(), value.clone()),
            (name.to_ascii_lowercase(), value),
        ]
    });
    both.filter(|(name, _)| !is_set(name)).collect()
}

/// `registries.conf` and its drop-ins, of which one that `CONTAINERS_REGISTRIES_CONF` names stands alone; and the
/// directories of `hosts.toml`.
fn registries(environment: &Environment) -> Result<Registries> {
    let mut registries = Registries::default();
    for directory in hosts_directories(environment) {
        registries.add_hosts(directory);
    }
    if let Some(file) = environment.path("CONTAINERS_REGISTRIES_CONF") {
        registries.add_file(&file)?;
        return Ok(registries);
    }
    let system = PathBuf::from("/etc/containers");
    let own = containers_directory(environment);
    let has_own = own
        .as_ref()
        .is_some_and(|own| own.join("registries.conf").exists());
    let main = own.as_ref().filter(|_| has_own).unwrap_or(&system);
    registries.add_file(&main.join("registries.conf"))?;
    registries.add_directory(&system.join("registries.conf.d"))?;
    if let Some(own) = &own {
        registries.add_directory(&own.join("registries.conf.d"))?;
    }
    Ok(registries)
}

/// The user's, then containerd's own.
fn hosts_directories(environment: &Environment) -> Vec<PathBuf> {
    let own = configuration_directory(environment).map(|own| own.join("containerd/certs.d"));
    let system = PathBuf::from("/etc/containerd/certs.d");
    own.into_iter().chain([system]).collect()
}

/// `~/.config`.
fn configuration_directory(environment: &Environment) -> Option<PathBuf> {
    let home = || environment.path("HOME").map(|home| home.join(".config"));
    environment.path("XDG_CONFIG_HOME").or_else(home)
}

/// `~/.config/containers`.
fn containers_directory(environment: &Environment) -> Option<PathBuf> {
    configuration_directory(environment).map(|own| own.join("containers"))
}

fn certificate_directories(environment: &Environment) -> Vec<PathBuf> {
    let own = containers_directory(environment).map(|own| own.join("certs.d"));
    let system = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
    own.into_iter().chain(system).collect()
}

/// The files that may hold logins, in the order they are asked.
///
/// A directory that `--config` names stands alone; otherwise Docker's (`DOCKER_CONFIG`), Podman's
/// (`REGISTRY_AUTH_FILE`, `XDG_RUNTIME_DIR`, `~/.config/containers`), then `~/.docker`.
fn login_files(context: &Context, authfile: Option<&Path>) -> Vec<PathBuf> {
    let environment = &context.environment;
    if let Some(file) = authfile {
        return vec![file.to_owned()];
    }
    if let Some(directory) = &context.globals.config {
        return vec![directory.join("config.json")];
    }
    let file = |directory: Option<PathBuf>, name: &str| directory.map(|found| found.join(name));
    let files = [
        file(environment.path("DOCKER_CONFIG"), "config.json"),
        environment.path("REGISTRY_AUTH_FILE"),
        file(environment.path("XDG_RUNTIME_DIR"), "containers/auth.json"),
        file(containers_directory(environment), "auth.json"),
        file(environment.path("HOME"), ".docker/config.json"),
    ];
    files.into_iter().flatten().collect()
}

/// The file that `login` writes.
pub(super) fn written_file(context: &Context, authfile: Option<&Path>) -> PathBuf {
    let environment = &context.environment;
    if authfile.is_none() && context.globals.config.is_none() {
        let named = environment.path("REGISTRY_AUTH_FILE");
        let docker = environment
            .path("DOCKER_CONFIG")
            .map(|found| found.join("config.json"));
        let home = environment
            .path("HOME")
            .unwrap_or_else(|| PathBuf::from("/root"));
        return docker
            .or(named)
            .unwrap_or_else(|| home.join(".docker/config.json"));
    }
    let mut files = login_files(context, authfile).into_iter();
    files.next().unwrap_or_default()
}
