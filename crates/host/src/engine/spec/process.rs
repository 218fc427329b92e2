//! The guest's first process: its command, environment and working directory, by Docker's rules.

use berth_contract::oci::{ConsoleSize, Process, User};
use berth_contract::{Class, Error, Result};

use crate::api::types::{ContainerConfig, HostConfig};
use crate::engine::user::Identity;
use crate::records::command;

/// What a program finds as `PATH` unless the image says otherwise.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Lays later variables over earlier ones: a name keeps its first place and gets its last value, and a
/// bare name removes what was there.
pub(crate) fn overlay(base: Vec<String>, over: &[String]) -> Vec<String> {
    let mut environment: Vec<Option<String>> = base.into_iter().map(Some).collect();
    for variable in over {
        let known = environment.iter_mut().find(|known| {
            known
                .as_ref()
                .is_some_and(|known| name(known) == name(variable))
        });
        match (known, variable.contains('=')) {
            (Some(place), true) => *place = Some(variable.clone()),
            (Some(place), false) => *place = None,
            (None, true) => environment.push(Some(variable.clone())),
            (None, false) => {}
        }
    }
    environment.into_iter().flatten().collect()
}

/// The part before the first `=`.
pub(crate) fn name(variable: &str) -> &str {
    variable.split_once('=').map_or(variable, |(name, _)| name)
}

/// The environment of a container's first process.
fn environment(config: &ContainerConfig, hostname: &str, home: &str) -> Result<Vec<String>> {
    for variable in &config.env {
        if name(variable).is_empty() || variable.contains('\0') {
            return Err(Error::new(
                Class::Invalid,
                format!("invalid environment variable {variable:?}"),
            ));
        }
    }
    let mut base = vec![PATH.to_owned(), format!("HOSTNAME={hostname}")];
    if config.tty {
        base.push("TERM=xterm".to_owned());
    }
    let mut environment = overlay(base, &config.env);
    if !environment.iter().any(|variable| name(variable) == "HOME") {
        environment.push(format!("HOME={home}"));
    }
    Ok(environment)
}

/// Fills in who, what and where; limits and privileges come from elsewhere.
pub(super) fn process(
    config: &ContainerConfig,
    host: &HostConfig,
    identity: &Identity,
    hostname: &str,
) -> Result<Process> {
    let arguments = command(config);
    if arguments.is_empty() {
        return Err(Error::new(Class::Invalid, "no command to run")
            .caused_by("neither the image nor the command line names one")
            .hint("berth run IMAGE COMMAND"));
    }
    if arguments.first().is_some_and(String::is_empty) {
        return Err(Error::new(
            Class::CommandNotFound,
            "cannot run a program without a name",
        )
        .caused_by("the command is an empty word"));
    }
    if arguments.iter().any(|argument| argument.contains('\0')) {
        return Err(Error::new(
            Class::Invalid,
            "an argument has a NUL byte in it",
        ));
    }
    let directory = if config.working_dir.is_empty() {
        "/"
    } else {
        &config.working_dir
    };
    let mut process = Process {
        terminal: Some(config.tty),
        user: user(identity, host.umask),
        args: Some(arguments),
        env: Some(environment(config, hostname, &identity.home)?),
        cwd: working_directory(directory)?,
        ..Process::default()
    };
    if let [rows, columns] = host.console_size
        && config.tty
        && rows > 0
        && columns > 0
    {
        process.console_size = Some(ConsoleSize {
            height: u64::from(rows),
            width: u64::from(columns),
        });
    }
    Ok(process)
}

/// An identity in the runtime-spec's words.
pub(crate) fn user(identity: &Identity, umask: Option<u32>) -> User {
    User {
        uid: identity.uid,
        gid: identity.gid,
        umask,
        additional_gids: Some(identity.groups.clone()),
        ..User::default()
    }
}

/// An absolute path without `.` and `..`.
pub(crate) fn working_directory(text: &str) -> Result<std::path::PathBuf> {
    if !text.starts_with('/') {
        return Err(Error::new(
            Class::Invalid,
            format!("the working directory {text:?} is not an absolute path"),
        ));
    }
    Ok(super::clean(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    fn root() -> Identity {
        Identity {
            uid: 0,
            gid: 0,
            groups: vec![0],
            home: "/root".into(),
        }
    }

    #[test]
    fn variables_are_laid_over_each_other() {
        let base = || own(&["A=1", "B=2", "C=3"]);
        assert_eq!(
            overlay(base(), &own(&["B=x", "D=4"])),
            own(&["A=1", "B=x", "C=3", "D=4"])
        );
        assert_eq!(overlay(base(), &own(&["A", "E"])), own(&["B=2", "C=3"]));
        assert_eq!(
            overlay(base(), &own(&["A=", "A=5"])),
            own(&["A=5", "B=2", "C=3"])
        );
        assert_eq!(
            overlay(base(), &own(&["B", "B=9"])),
            own(&["A=1", "C=3", "B=9"])
        );
    }

    #[test]
    fn the_environment_has_docker_defaults() {
        let mut config = ContainerConfig {
            tty: true,
            ..ContainerConfig::default()
        };
        let found = environment(&config, "box", "/root").unwrap();
        assert_eq!(
            found,
            own(&[PATH, "HOSTNAME=box", "TERM=xterm", "HOME=/root"])
        );
        config = ContainerConfig {
            env: own(&["PATH=/bin", "HOME=/h", "HOSTNAME", "X=a=b"]),
            ..ContainerConfig::default()
        };
        let found = environment(&config, "box", "/root").unwrap();
        assert_eq!(found, own(&["PATH=/bin", "HOME=/h", "X=a=b"]));
        config.env = own(&["=x"]);
        assert!(environment(&config, "box", "/").is_err());
    }

    #[test]
    fn command_and_directory() {
        let mut config = ContainerConfig {
            entrypoint: Some(own(&["/entry"])),
            cmd: Some(own(&["a"])),
            working_dir: "/x/../y/./".into(),
            ..ContainerConfig::default()
        };
        let host = HostConfig::default();
        let made = process(&config, &host, &root(), "box").unwrap();
        assert_eq!(made.args.as_ref().unwrap(), &own(&["/entry", "a"]));
        assert_eq!(made.cwd, std::path::Path::new("/y"));
        config.working_dir = "relative".into();
        assert!(process(&config, &host, &root(), "box").is_err());
        config = ContainerConfig::default();
        assert!(process(&config, &host, &root(), "box").is_err());
    }
}
