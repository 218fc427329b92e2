//! `--change`: one Dockerfile instruction applied to an image's config.

use berth_contract::{Class, Error, Result};
use berth_image::ContainerConfig;

/// Applies an instruction.
///
/// # Errors
/// It is no instruction that changes a config, or its argument is malformed.
pub(super) fn apply(config: &mut ContainerConfig, instruction: &str) -> Result<()> {
    let instruction = instruction.trim();
    let (word, rest) = instruction
        .split_once(char::is_whitespace)
        .unwrap_or((instruction, ""));
    let rest = rest.trim();
    let wrong = |reason: &str| {
        Error::new(Class::Invalid, format!("invalid --change {instruction:?}"))
            .caused_by(reason.to_owned())
    };
    if rest.is_empty() {
        return Err(wrong("it needs an argument").hint("as in --change 'CMD [\"/bin/sh\"]'"));
    }
    match word.to_ascii_uppercase().as_str() {
        "CMD" => config.cmd = Some(command(rest)),
        "ENTRYPOINT" => config.entrypoint = Some(command(rest)),
        "ENV" => {
            for (name, value) in pairs(rest).ok_or_else(|| wrong("it must be NAME=value"))? {
                let prefix = format!("{name}=");
                config.env.retain(|known| !known.starts_with(&prefix));
                config.env.push(format!("{prefix}{value}"));
            }
        }
        "LABEL" => {
            let labels = pairs(rest).ok_or_else(|| wrong("it must be KEY=value"))?;
            config.labels.extend(labels);
        }
        "EXPOSE" => {
            for port in rest.split_whitespace() {
                let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
                if number.parse::<u16>().is_err() || !matches!(protocol, "tcp" | "udp" | "sctp") {
                    return Err(wrong("a port is NUMBER or NUMBER/PROTOCOL"));
                }
                config
                    .exposed_ports
                    .entry(format!("{number}/{protocol}"))
                    .or_default();
            }
        }
        "VOLUME" => {
            let paths =
                list(rest).unwrap_or_else(|| rest.split_whitespace().map(str::to_owned).collect());
            for path in paths {
                config.volumes.entry(path).or_default();
            }
        }
        "USER" => config.user = rest.to_owned(),
        "WORKDIR" => config.working_dir = rest.to_owned(),
        "STOPSIGNAL" => {
            rest.parse::<berth_contract::Signal>()?;
            config.stop_signal = Some(rest.to_owned());
        }
        other => {
            return Err(wrong(&format!("{other} cannot be changed")).hint(
                "use CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME or WORKDIR",
            ));
        }
    }
    Ok(())
}

/// The JSON form, else the shell form.
fn command(text: &str) -> Vec<String> {
    list(text).unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()])
}

fn list(text: &str) -> Option<Vec<String>> {
    text.starts_with('[')
        .then(|| serde_json::from_str(text).ok())
        .flatten()
}

/// `A=1 B="two words"`, or the old form `A the rest`.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let words = words(text)?;
    if !words.first()?.contains('=') {
        let (name, value) = text.split_once(char::is_whitespace)?;
        return Some(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    let pair = |word: String| {
        let (name, value) = word.split_once('=')?;
        (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
    };
    words.into_iter().map(pair).collect()
}

/// Words with quotes and backslashes resolved; `None` if a quote is not closed.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, ' ' | '\t') => words.extend(word.take()),
            (None, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (Some(open), _) if open == character => quote = None,
            (Some('\''), _) => word.get_or_insert_default().push(character),
            (_, '\\') => word.get_or_insert_default().push(characters.next()?),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_change_the_config() {
        let mut config = ContainerConfig::default();
        for instruction in [
            "CMD [\"/bin/sh\", \"-l\"]",
            "entrypoint echo hi",
            "ENV A=1 B=\"two words\"",
            "ENV A=3",
            "ENV OLD form here",
            "LABEL a.b=c",
            "EXPOSE 80 53/udp",
            "VOLUME [\"/data\"]",
            "VOLUME /x /y",
            "USER 1000:1000",
            "WORKDIR /srv",
            "STOPSIGNAL SIGINT",
        ] {
            apply(&mut config, instruction).unwrap();
        }
        assert_eq!(config.cmd.unwrap(), ["/bin/sh", "-l"]);
        assert_eq!(config.entrypoint.unwrap(), ["/bin/sh", "-c", "echo hi"]);
        assert_eq!(config.env, ["B=two words", "A=3", "OLD=form here"]);
        assert_eq!(config.labels["a.b"], "c");
        assert_eq!(
            config.exposed_ports.keys().collect::<Vec<_>>(),
            ["53/udp", "80/tcp"]
        );
        assert_eq!(
            config.volumes.keys().collect::<Vec<_>>(),
            ["/data", "/x", "/y"]
        );
        assert_eq!(
            (config.user.as_str(), config.working_dir.as_str()),
            ("1000:1000", "/srv")
        );
        assert_eq!(config.stop_signal.as_deref(), Some("SIGINT"));
    }

    #[test]
    fn wrong_instructions_are_refused() {
        for wrong in [
            "",
            "CMD",
            "RUN true",
            "EXPOSE x",
            "ENV =x",
            "LABEL a=\"b",
            "STOPSIGNAL SIGNOPE",
        ] {
            assert!(
                apply(&mut ContainerConfig::default(), wrong).is_err(),
                "{wrong}"
            );
        }
    }
}
