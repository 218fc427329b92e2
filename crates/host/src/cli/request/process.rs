//! What runs in the container and as whom: streams, command, environment, user, names, labels.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, Result, Signal};
use berth_host::api::types::{CreateRequest, HealthConfig, Mount, MountKind};
use clap::Args;

use super::read_text;
use crate::cli::parse::environment::{self, Entry};
use crate::cli::parse::name;
use crate::cli::registry::proxy_variables;
use crate::cli::{Context, Environment};

/// Flags about the process.
#[derive(Debug, Args)]
#[command(next_help_heading = "Process options")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct ProcessFlags {
    /// Keep standard input open
    #[arg(short, long)]
    interactive: bool,

    /// Give the program a terminal
    #[arg(short, long)]
    tty: bool,

    /// Attach only this stream: stdin, stdout, stderr (can be repeated)
    #[arg(short, long, value_name = "STREAM", value_parser = name::stream)]
    attach: Vec<String>,

    /// What to execute in place of the image's entrypoint
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,

    /// The working directory in the container
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,

    /// Run as this user: NAME|UID[:GROUP|GID]
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,

    /// Run with this further group (can be repeated)
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,

    /// Set a variable; a bare NAME takes its value from your environment (can be repeated)
    #[arg(short, long, value_name = "NAME[=VALUE]", value_parser = environment::entry)]
    env: Vec<Entry>,

    /// Read variables from a file, one a line (can be repeated)
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,

    /// Leave out this variable of the image (can be repeated)
    #[arg(long, value_name = "NAME")]
    unsetenv: Vec<String>,

    /// Leave out every variable that the image or berth would set, but HOME and HOSTNAME
    #[arg(long)]
    unsetenv_all: bool,

    /// The container's host name
    #[arg(short = 'h', long, value_name = "NAME", value_parser = name::host_name)]
    hostname: Option<String>,

    /// The container's NIS domain name
    #[arg(long, value_name = "NAME", value_parser = name::host_name)]
    domainname: Option<String>,

    /// Label the container (can be repeated)
    #[arg(short, long, value_name = "KEY[=VALUE]", value_parser = environment::entry)]
    label: Vec<Entry>,

    /// Read labels from a file, one a line (can be repeated)
    #[arg(long, value_name = "FILE")]
    label_file: Vec<PathBuf>,

    /// Annotate the container for its runtime (can be repeated)
    #[arg(long, value_name = "KEY=VALUE", value_parser = environment::entry)]
    annotation: Vec<Entry>,

    /// Run a small init as process 1 that forwards signals and reaps
    #[arg(long)]
    init: bool,

    /// What berth stop sends
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<Signal>,

    /// How many seconds berth stop waits before it kills; -1 waits for ever
    #[arg(long, value_name = "SECONDS")]
    stop_timeout: Option<i64>,

    /// The file mode creation mask, in octal
    #[arg(long, value_name = "MASK", value_parser = name::mask)]
    umask: Option<u32>,

    /// The time zone, such as Europe/Paris, or local
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,

    /// Switch the image's health check off
    #[arg(long)]
    no_healthcheck: bool,
}

impl ProcessFlags {
    pub(super) fn attaches(&self) -> bool {
        !self.attach.is_empty()
    }

    pub(super) fn apply(self, request: &mut CreateRequest, context: &Context) -> Result<()> {
        let config = &mut request.config;
        config.tty = self.tty;
        config.open_stdin = self.interactive;
        let all = self.attach.is_empty();
        let attached = |stream: &str| self.attach.iter().any(|wanted| wanted == stream);
        config.attach_stdin = (all && self.interactive) || attached("stdin");
        config.attach_stdout = all || attached("stdout");
        config.attach_stderr = all || attached("stderr");
        config.stdin_once = self.interactive && config.attach_stdin;
        config.entrypoint = self.entrypoint.map(entrypoint).transpose()?;
        config.working_dir = self.workdir.unwrap_or_default();
        config.user = self.user.unwrap_or_default();
        config.hostname = self.hostname.unwrap_or_default();
        config.domainname = self.domainname.unwrap_or_default();
        config.stop_signal = self.stop_signal.map(|signal| signal.to_string());
        config.stop_timeout = self.stop_timeout;
        let own = variables(&self.env_file, self.env, &context.environment)?;
        let is_set = |name: &str| own.iter().any(|own| own.split('=').next() == Some(name));
        let proxies = proxy_variables(context, &is_set).into_iter();
        config.env = proxies
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        config.env.extend(own);
        config.env.extend(self.unsetenv);
        config.labels = labels(&self.label_file, self.label)?;
        if self.no_healthcheck {
            let test = vec!["NONE".to_owned()];
            config.healthcheck = Some(HealthConfig {
                test,
                ..HealthConfig::default()
            });
        }
        if let Some(zone) = &self.tz {
            let (variable, mount) = time_zone(zone)?;
            config.env.extend(variable);
            request.host_config.mounts.push(mount);
        }
        let host = &mut request.host_config;
        host.group_add = self.group_add;
        host.init = self.init.then_some(true);
        host.unset_env_all = self.unsetenv_all;
        host.umask = self.umask;
        host.annotations = with_empty_values(self.annotation);
        Ok(())
    }
}

/// A program, or a JSON list of a program and its first arguments.
fn entrypoint(text: String) -> Result<Vec<String>> {
    if !text.starts_with('[') {
        return Ok(vec![text]);
    }
    serde_json::from_str(&text).map_err(|error| {
        Error::new(
            Class::Invalid,
            format!("invalid value {text:?} for --entrypoint"),
        )
        .caused_by(error)
        .hint("write a program, or a JSON list of strings")
    })
}

/// The variables of files and flags, in that order; bare names take their value from the caller.
///
/// A bare name that the caller does not have either removes the image's variable when it stands in a
/// flag, and means nothing when it stands in a file, as in Docker.
pub(crate) fn variables(
    files: &[PathBuf],
    flags: Vec<Entry>,
    caller: &Environment,
) -> Result<Vec<String>> {
    let mut variables = Vec::new();
    for path in files {
        for (name, value) in entries("--env-file", path)? {
            let value = value.or_else(|| caller.owned(&name));
            variables.extend(value.map(|value| format!("{name}={value}")));
        }
    }
    for (name, value) in flags {
        variables.push(match value.or_else(|| caller.owned(&name)) {
            Some(value) => format!("{name}={value}"),
            None => name,
        });
    }
    Ok(variables)
}

fn labels(files: &[PathBuf], flags: Vec<Entry>) -> Result<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    for path in files {
        labels.extend(with_empty_values(entries("--label-file", path)?));
    }
    labels.extend(with_empty_values(flags));
    Ok(labels)
}

fn with_empty_values(entries: Vec<Entry>) -> BTreeMap<String, String> {
    entries
        .into_iter()
        .map(|(name, value)| (name, value.unwrap_or_default()))
        .collect()
}

/// The lines of a file of names and values.
///
/// # Errors
/// It cannot be read, or a line is none.
pub(crate) fn entries(flag: &str, path: &Path) -> Result<Vec<Entry>> {
    environment::file(&read_text(flag, path)?).map_err(|reason| {
        Error::new(
            Class::Invalid,
            format!("cannot use the file {} of {flag}", path.display()),
        )
        .caused_by(reason)
    })
}

/// The variable and the mount that put a container into a time zone.
fn time_zone(zone: &str) -> Result<(Option<String>, Mount)> {
    let relative = Path::new(zone);
    let plain = relative
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    let source = match zone {
        "local" => PathBuf::from("/etc/localtime"),
        _ => Path::new("/usr/share/zoneinfo").join(relative),
    };
    if !plain || !source.is_file() {
        return Err(
            Error::new(Class::Invalid, format!("unknown time zone {zone:?}"))
                .caused_by(format!("{} is not a file", source.display()))
                .hint("use a name such as Europe/Paris, or local"),
        );
    }
    let mount = Mount {
        kind: MountKind::Bind,
        source: source.display().to_string(),
        target: "/etc/localtime".into(),
        read_only: true,
        ..Mount::default()
    };
    Ok(((zone != "local").then(|| format!("TZ={zone}")), mount))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_inherited_by_name() {
        let caller = Environment::of(&[("HOME", "/home/me"), ("EMPTY", "")]);
        let flags = ["A=1", "HOME", "EMPTY", "MISSING", "B="];
        let flags = flags
            .iter()
            .map(|text| environment::entry(text).unwrap())
            .collect();
        assert_eq!(
            variables(&[], flags, &caller).unwrap(),
            ["A=1", "HOME=/home/me", "EMPTY=", "MISSING", "B="]
        );
    }

    #[test]
    fn an_entrypoint_is_a_program_or_a_list() {
        assert_eq!(entrypoint("sh -c".into()).unwrap(), ["sh -c"]);
        assert_eq!(entrypoint(String::new()).unwrap(), [""]);
        assert_eq!(entrypoint("[\"sh\", \"-c\"]".into()).unwrap(), ["sh", "-c"]);
        assert!(entrypoint("[sh]".into()).is_err());
    }

    #[test]
    fn time_zones_stay_below_their_directory() {
        for zone in ["../../../etc/passwd", "/etc/passwd", "", "No/Such"] {
            assert!(time_zone(zone).is_err(), "{zone}");
        }
    }
}
