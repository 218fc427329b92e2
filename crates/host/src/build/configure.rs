//! Instructions that change the image's config and nothing else.

use berth_image::HealthCheck;
use berth_image::documents::Empty;

use super::dockerfile::expand::expand;
use super::dockerfile::instruction::{Argument, Command, Healthcheck, Instruction, Pairs};
use super::state::State;

/// What instructions need beside the stage.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    /// What escapes a character.
    pub(super) escape: char,
    /// Build arguments, then global ones, then the predefined ones.
    pub(super) arguments: &'a dyn Fn(&str) -> Values,
    /// The time of everything, if it is given.
    pub(super) created: Option<&'a str>,
}

/// The values an argument may have.
#[derive(Debug, Clone, Default)]
pub(super) struct Values {
    /// The user's.
    pub(super) given: Option<String>,
    /// That of an `ARG` before the first `FROM`, or a predefined one.
    pub(super) global: Option<String>,
}

/// Carries one out; says whether it was one of these.
#[expect(clippy::too_many_lines, reason = "one arm for each instruction")]
pub(super) fn apply(
    instruction: &Instruction,
    state: &mut State,
    given: Given<'_>,
) -> Result<bool, String> {
    let escape = given.escape;
    let expanded = |text: &str, state: &State| expand(text, escape, &state.scope);
    let text = match instruction {
        Instruction::Env(pairs) => environment(pairs, state, escape)?,
        Instruction::Label(pairs) => {
            let mut line = "LABEL".to_owned();
            for (name, value) in &pairs.pairs {
                let (name, value) = (expanded(name, state)?.text, expanded(value, state)?.text);
                line.push_str(&format!(" {name}={value}"));
                state.config.labels.insert(name, value);
            }
            line
        }
        Instruction::Expose(ports) => expose(ports, state, escape)?,
        Instruction::User(user) => {
            let user = expanded(user, state)?.text;
            let line = format!("USER {user}");
            state.config.user = user;
            line
        }
        Instruction::Volume(paths) => {
            let mut volumes = Vec::new();
            for path in paths {
                volumes.push(expanded(path, state)?.text);
            }
            let line = format!("VOLUME [{}]", volumes.join(" "));
            for path in volumes {
                if path.is_empty() {
                    return Err("VOLUME specified can not be an empty string".to_owned());
                }
                state.config.volumes.insert(path, Empty {});
            }
            line
        }
        Instruction::StopSignal(signal) => {
            let signal = expanded(signal, state)?.text;
            signal
                .parse::<berth_contract::Signal>()
                .map_err(|error| error.to_string())?;
            let line = format!("STOPSIGNAL {signal}");
            state.config.stop_signal = Some(signal);
            line
        }
        Instruction::Shell(words) => {
            state.config.shell.clone_from(words);
            format!("SHELL [{}]", words.join(" "))
        }
        Instruction::Cmd(command) => {
            let words = words(command, state);
            let line = format!("CMD {}", list(&words));
            state.config.cmd = Some(words);
            state.has_own_cmd = true;
            line
        }
        Instruction::Entrypoint(command) => {
            let words = words(command, state);
            let line = format!("ENTRYPOINT {}", list(&words));
            // Arguments of the base were meant for the base's program; the stage's own are meant for this one.
            if !state.has_own_cmd {
                state.config.cmd = None;
            }
            state.config.entrypoint = Some(words);
            line
        }
        Instruction::Healthcheck(check) => {
            let check = health(check);
            let line = format!("HEALTHCHECK {}", health_in_history(&check));
            state.config.healthcheck = Some(check);
            line
        }
        Instruction::Onbuild(onbuild) => {
            state.config.on_build.push(onbuild.text.clone());
            // What is done later is no step of this image.
            return Ok(true);
        }
        Instruction::Arg(arguments) => {
            let mut line = "ARG".to_owned();
            for argument in arguments {
                line.push(' ');
                line.push_str(&declare(argument, state, given)?);
            }
            line
        }
        Instruction::Maintainer(name) => {
            state.author = Some(name.clone());
            format!("MAINTAINER {name}")
        }
        _ => return Ok(false),
    };
    state.record(text, given.created.map(str::to_owned));
    Ok(true)
}

/// All values of one instruction see the variables as they were before it.
fn environment(pairs: &Pairs, state: &mut State, escape: char) -> Result<String, String> {
    let before = state.scope.clone();
    let mut line = "ENV".to_owned();
    for (name, value) in &pairs.pairs {
        let name = expand(name, escape, &before)?.text;
        let value = expand(value, escape, &before)?.text;
        line.push_str(&format!(" {name}={value}"));
        state.scope.set(&name, &value);
    }
    state.config.env = state.scope.environment();
    Ok(line)
}

/// `BuildKit` sorts the words as they are written.
fn expose(ports: &[String], state: &mut State, escape: char) -> Result<String, String> {
    let mut sorted = ports.to_vec();
    sorted.sort_unstable();
    let mut words = Vec::new();
    for port in &sorted {
        words.extend(expand(port, escape, &state.scope)?.words);
    }
    let mut found = Vec::new();
    for word in &words {
        found.extend(exposed(word)?);
    }
    let line = format!("EXPOSE [{}]", found.join(" "));
    for port in found {
        state.config.exposed_ports.insert(port, Empty {});
    }
    Ok(line)
}

/// `80`, `80/udp`, `8000-8010/tcp`; an address and a host port before it mean nothing in an image, but must be some.
fn exposed(word: &str) -> Result<Vec<String>, String> {
    let (rest, port) = word.rsplit_once(':').unwrap_or(("", word));
    let (address, host) = rest.rsplit_once(':').unwrap_or(("", rest));
    let (ports, protocol) = port.split_once('/').unwrap_or((port, ""));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "" | "tcp" => "tcp",
        "udp" => "udp",
        "sctp" => "sctp",
        other => return Err(format!("invalid proto: {other}")),
    };
    let bare = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let bare = bare.unwrap_or(address);
    if !bare.is_empty() && bare.parse::<std::net::IpAddr>().is_err() {
        return Err(format!("invalid IP address: {address}"));
    }
    let (first, last) =
        port_range(ports).ok_or_else(|| format!("invalid containerPort: {ports}"))?;
    if !host.is_empty() {
        let (low, high) = port_range(host).ok_or_else(|| format!("invalid hostPort: {host}"))?;
        if high - low != last - first && last != first {
            return Err(format!(
                "invalid ranges specified for container and host Ports: {ports} and {host}"
            ));
        }
    }
    Ok((first..=last)
        .map(|port| format!("{port}/{protocol}"))
        .collect())
}

fn port_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

/// The words that are executed: those of the shell form are given to the shell.
pub(super) fn words(command: &Command, state: &State) -> Vec<String> {
    match command {
        Command::Exec(words) => words.clone(),
        Command::Shell(line) => {
            let mut words = shell(state);
            words.push(line.clone());
            words
        }
    }
}

/// What the shell form uses.
pub(super) fn shell(state: &State) -> Vec<String> {
    let words: &[&str] = match state.platform.os.as_str() {
        _ if !state.config.shell.is_empty() => return state.config.shell.clone(),
        "windows" => &["cmd", "/S", "/C"],
        _ => &["/bin/sh", "-c"],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn list(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

fn health(check: &Healthcheck) -> HealthCheck {
    let words = |kind: &str, words: &[String]| {
        let kind = std::iter::once(kind.to_owned());
        kind.chain(words.iter().cloned()).collect()
    };
    let test = match &check.command {
        None => vec!["NONE".to_owned()],
        Some(Command::Exec(list)) => words("CMD", list),
        // Whoever carries it out uses the image's own shell.
        Some(Command::Shell(line)) => words("CMD-SHELL", std::slice::from_ref(line)),
    };
    HealthCheck {
        test,
        interval: check.interval,
        timeout: check.timeout,
        start_period: check.start_period,
        start_interval: check.start_interval,
        retries: check.retries,
    }
}

/// As Go prints the structure.
fn health_in_history(check: &HealthCheck) -> String {
    format!(
        "{{Test:[{}] Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
        check.test.join(" "),
        duration(check.interval),
        duration(check.timeout),
        duration(check.start_period),
        duration(check.start_interval),
        check.retries.unwrap_or(0)
    )
}

/// Nanoseconds in Go's notation: `1h30m0s`, `1.5s`, `250ms`; nothing shorter than a millisecond is accepted.
fn duration(nanoseconds: Option<i64>) -> String {
    let all = nanoseconds.unwrap_or(0).unsigned_abs();
    let (unit, digits, name) = match all {
        0 => return "0s".to_owned(),
        1..1_000_000_000 => (1_000_000, 6, "ms"),
        _ => (1_000_000_000, 9, "s"),
    };
    let (whole, rest) = (all / unit, all % unit);
    let fraction = format!(".{rest:0digits$}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    let minutes = match (whole / 3600, whole / 60 % 60) {
        _ if name != "s" => return format!("{whole}{fraction}{name}"),
        (0, 0) => String::new(),
        (0, minutes) => format!("{minutes}m"),
        (hours, minutes) => format!("{hours}h{minutes}m"),
    };
    format!("{minutes}{}{fraction}s", whole % 60)
}

/// The user's value, else the default, else the global one.
fn declare(argument: &Argument, state: &mut State, given: Given<'_>) -> Result<String, String> {
    let values = (given.arguments)(&argument.name);
    let value = match (values.given, &argument.default) {
        (Some(value), _) => Some(value),
        (None, Some(default)) => Some(expand(default, given.escape, &state.scope)?.text),
        (None, None) => values.global,
    };
    state.scope.declare(&argument.name, value.clone());
    Ok(match value {
        Some(value) => format!("{}={value}", argument.name),
        None => argument.name.clone(),
    })
}

#[cfg(test)]
mod tests {
    use berth_image::Platform;

    use super::*;
    use crate::build::dockerfile::parse_one;

    fn built(lines: &[&str]) -> State {
        let mut state = State::scratch(Platform::new("linux", "amd64"));
        let arguments = |name: &str| Values {
            given: (name == "GIVEN").then(|| "g".to_owned()),
            global: (name == "GLOBAL").then(|| "l".to_owned()),
        };
        let given = Given {
            escape: '\\',
            arguments: &arguments,
            created: None,
        };
        for line in lines {
            let instruction = parse_one(line).unwrap();
            assert_eq!(apply(&instruction, &mut state, given), Ok(true), "{line}");
        }
        state
    }

    fn history(state: &State) -> Vec<&str> {
        state
            .history
            .iter()
            .filter_map(|step| step.created_by.as_deref())
            .collect()
    }

    #[test]
    fn the_config_is_dockers() {
        let state = built(&[
            "ENV A=1 B=\"x $PATH\"",
            "ENV A=2 C=$A",
            "LABEL a.b=\"c d\" e=$A",
            "EXPOSE 80 81/UDP 90-91",
            "USER me",
            "VOLUME /a /b",
            "CMD echo hi",
            "ENTRYPOINT [\"a\", \"b\"]",
            "STOPSIGNAL SIGINT",
            "HEALTHCHECK --retries=2 CMD true",
            "ONBUILD RUN x",
            "SHELL [\"/bin/bash\", \"-c\"]",
            "HEALTHCHECK --interval=90m --timeout=1500ms --start-period=250ms CMD a b",
        ]);
        let config = &state.config;
        assert_eq!(
            config.env[1..],
            ["A=2", &format!("B=x {}", super::super::scope::PATH), "C=1"]
        );
        assert_eq!(config.labels["a.b"], "c d");
        assert_eq!(config.labels["e"], "2");
        let ports: Vec<&str> = config.exposed_ports.keys().map(String::as_str).collect();
        assert_eq!(ports, ["80/tcp", "81/udp", "90/tcp", "91/tcp"]);
        assert_eq!(config.cmd.as_ref().map(Vec::len), Some(3));
        assert_eq!(
            config.entrypoint.as_deref(),
            Some(&["a".to_owned(), "b".to_owned()][..])
        );
        let check = config.healthcheck.as_ref().unwrap();
        assert_eq!(check.test, ["CMD-SHELL", "a b"]);
        assert_eq!(config.on_build, ["RUN x"]);
        assert!(state.history.iter().all(|step| step.empty_layer));
        assert_eq!(history(&state)[6], "CMD [\"/bin/sh\" \"-c\" \"echo hi\"]");
        assert_eq!(history(&state)[5], "VOLUME [/a /b]");
        assert_eq!(history(&state)[3], "EXPOSE [80/tcp 81/udp 90/tcp 91/tcp]");
        assert_eq!(
            history(&state)[9..],
            [
                "HEALTHCHECK {Test:[CMD-SHELL true] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:2}",
                "SHELL [/bin/bash -c]",
                "HEALTHCHECK {Test:[CMD-SHELL a b] Interval:1h30m0s Timeout:1.5s StartPeriod:250ms StartInterval:0s Retries:0}",
            ]
        );
    }

    #[test]
    fn an_entrypoint_drops_the_arguments_of_the_base_alone() {
        let base = built(&["CMD [\"base\"]"]);
        let with = |lines: &[&str]| {
            let mut state = base.derived();
            let arguments = |_: &str| Values::default();
            let given = Given {
                escape: '\\',
                arguments: &arguments,
                created: None,
            };
            for line in lines {
                apply(&parse_one(line).unwrap(), &mut state, given).unwrap();
            }
            state.config.cmd
        };
        let own = Some(vec!["own".to_owned()]);
        assert_eq!(with(&["ENTRYPOINT [\"x\"]"]), None);
        assert_eq!(with(&["CMD [\"own\"]", "ENTRYPOINT [\"x\"]"]), own);
        assert_eq!(with(&["ENTRYPOINT [\"x\"]", "CMD [\"own\"]"]), own);
        assert_eq!(with(&["USER a"]), Some(vec!["base".to_owned()]));
    }

    #[test]
    fn arguments_take_the_first_value_there_is() {
        let state = built(&[
            "ARG GIVEN=d GLOBAL NONE D=$GIVEN-x GLOBAL2=$GLOBAL",
            "ENV OUT=$GIVEN$GLOBAL$NONE$D",
        ]);
        assert_eq!(
            history(&state)[0],
            "ARG GIVEN=g GLOBAL=l NONE D=g-x GLOBAL2=l"
        );
        assert_eq!(
            state.config.env.last().map(String::as_str),
            Some("OUT=glg-x")
        );
        let state = built(&["ARG A=1 B", "ARG A B=2", "ENV OUT=$A$B"]);
        assert_eq!(
            state.config.env.last().map(String::as_str),
            Some("OUT=12"),
            "a name alone takes no value away"
        );
    }

    #[test]
    fn only_the_port_of_a_mapping_is_exposed() {
        for (word, expected) in [
            ("80", &["80/tcp"][..]),
            ("80/", &["80/tcp"]),
            ("8080:80/UDP", &["80/udp"]),
            ("0.0.0.0:1234-1235:3333-3334/tcp", &["3333/tcp", "3334/tcp"]),
            ("1000-1010:80", &["80/tcp"]),
            ("[::1]:80:80", &["80/tcp"]),
            ("[2001:4860:0:2001::68]::333", &["333/tcp"]),
            ("::1:80:80", &["80/tcp"]),
            ("::::80", &["80/tcp"]),
        ] {
            assert_eq!(exposed(word).unwrap(), expected, "{word}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "EXPOSE x",
            "EXPOSE 80/icmp",
            "EXPOSE localhost:80:80",
            "EXPOSE x:80",
            "EXPOSE 1-3:80-81",
            "EXPOSE 9-8",
            "EXPOSE 70000",
            "STOPSIGNAL NOPE",
            "ENV a=${b:?no}",
        ] {
            let mut state = State::scratch(Platform::new("linux", "amd64"));
            let arguments = |_: &str| Values::default();
            let given = Given {
                escape: '\\',
                arguments: &arguments,
                created: None,
            };
            assert!(
                apply(&parse_one(line).unwrap(), &mut state, given).is_err(),
                "{line}"
            );
        }
    }
}
