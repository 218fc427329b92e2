//! From a statement to an instruction: which flags and arguments each one takes.

use super::flag::Flags;
use super::heredoc::opening;
use super::instruction::{
    Argument, Command, Copy, From, Healthcheck, Instruction, Network, Onbuild, Pairs, Run, Security,
};
use super::line::Statement;
use super::mount::{Mount, MountKind};
use super::word;

/// Every instruction's name.
pub(super) const NAMES: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Understands a statement.
///
/// # Errors
/// An unknown instruction, an unknown flag, or arguments it does not take.
pub(super) fn instruction(statement: &Statement, escape: char) -> Result<Instruction, String> {
    let name = statement.keyword.to_ascii_uppercase();
    let mut flags = Flags::parse(&name, &statement.flags)?;
    let text = statement.arguments.as_str();
    let read = match name.as_str() {
        "FROM" => from(text, &mut flags)?,
        "RUN" => run(statement, &mut flags)?,
        "COPY" | "ADD" => Instruction::Copy(copy(statement, &mut flags, name == "ADD", escape)?),
        "ENV" => Instruction::Env(pairs(text, escape, "ENV")?),
        "LABEL" => Instruction::Label(pairs(text, escape, "LABEL")?),
        "EXPOSE" => Instruction::Expose(some_words(text, "EXPOSE")?),
        "USER" => Instruction::User(one(text, "USER")?),
        "WORKDIR" => Instruction::Workdir(one(text, "WORKDIR")?),
        "STOPSIGNAL" => Instruction::StopSignal(one(text, "STOPSIGNAL")?),
        "MAINTAINER" => Instruction::Maintainer(one(text, "MAINTAINER")?),
        "VOLUME" => volume(text)?,
        "SHELL" => shell(text)?,
        "CMD" => Instruction::Cmd(command(text)?),
        "ENTRYPOINT" => Instruction::Entrypoint(command(text)?),
        "HEALTHCHECK" => Instruction::Healthcheck(healthcheck(text, &mut flags)?),
        "ONBUILD" => onbuild(statement)?,
        "ARG" => arguments(text, escape)?,
        _ => return Err(unknown(&statement.keyword)),
    };
    flags.finish()?;
    Ok(read)
}

fn unknown(keyword: &str) -> String {
    let upper = keyword.to_ascii_uppercase();
    let near = NAMES.iter().find(|name| super::is_near(name, &upper));
    match near {
        Some(name) => format!("unknown instruction: {keyword} (did you mean {name}?)"),
        None => format!("unknown instruction: {keyword}"),
    }
}

fn from(text: &str, flags: &mut Flags) -> Result<Instruction, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let alias = match words[..] {
        [_] => None,
        [_, word, name] if word.eq_ignore_ascii_case("as") => {
            if !is_stage_name(name) {
                return Err(format!(
                    "invalid name for build stage: {name:?}, name can't start with a number or contain symbols"
                ));
            }
            Some((name.to_owned(), word.to_owned()))
        }
        _ => return Err("FROM requires either one or three arguments".to_owned()),
    };
    Ok(Instruction::From(From {
        platform: flags.text("platform"),
        base: words[0].to_owned(),
        alias,
    }))
}

/// `^[a-z][a-z0-9-_.]*$`, in any case.
fn is_stage_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name
            .chars()
            .all(|other| other.is_ascii_alphanumeric() || "-_.".contains(other))
}

fn run(statement: &Statement, flags: &mut Flags) -> Result<Instruction, String> {
    let network = match flags.text("network").as_deref() {
        None | Some("default") => Network::Default,
        Some("none") => Network::None,
        Some("host") => Network::Host,
        Some(other) => return Err(format!("invalid network mode {other:?}")),
    };
    let security = match flags.text("security").as_deref() {
        None | Some("sandbox") => Security::Sandbox,
        Some("insecure") => Security::Insecure,
        Some(other) => return Err(format!("security mode {other:?} is not allowed")),
    };
    if flags.text("device").is_some() {
        return Err("RUN --device is not supported".to_owned());
    }
    let mut mounts = Vec::new();
    for text in flags.all("mount") {
        // What holds variables is understood when their values are known.
        if !text.contains('$') {
            MountKind::parse(&text)?;
        }
        mounts.push(Mount { text });
    }
    let command = command(&statement.arguments)?;
    if command == Command::Shell(String::new()) || command == Command::Exec(Vec::new()) {
        return Err("RUN requires at least one argument".to_owned());
    }
    Ok(Instruction::Run(Run {
        mounts,
        network,
        security,
        command,
        heredocs: statement.heredocs.clone(),
    }))
}

fn command(text: &str) -> Result<Command, String> {
    Ok(match word::json(text)? {
        Some(list) => Command::Exec(list),
        None => Command::Shell(text.to_owned()),
    })
}

fn copy(statement: &Statement, flags: &mut Flags, add: bool, escape: char) -> Result<Copy, String> {
    let name = if add { "ADD" } else { "COPY" };
    let mut words = match word::json(&statement.arguments)? {
        Some(list) => list,
        None => word::quoted(&statement.arguments, escape)
            .into_iter()
            .collect(),
    };
    if words.len() < 2 {
        return Err(format!(
            "{name} requires at least two arguments, but only {} was provided. Destination could not be determined",
            words.len()
        ));
    }
    let destination = words.pop().unwrap_or_default();
    if !statement.heredocs.is_empty() {
        if opening(&destination)?.is_some() {
            return Err(format!("{name} cannot accept a heredoc as a destination"));
        }
        let mut sources = Vec::new();
        for word in words {
            if opening(&word)?.is_none() {
                sources.push(word);
            }
        }
        words = sources;
    }
    let from = flags.text("from");
    if from.is_some() && !statement.heredocs.is_empty() {
        return Err(format!("{name} cannot use a heredoc together with --from"));
    }
    Ok(Copy {
        add,
        from,
        chown: flags.text("chown"),
        chmod: flags.text("chmod"),
        link: flags.flag("link")?.unwrap_or(false),
        parents: flags.flag("parents")?.unwrap_or(false),
        exclude: flags.all("exclude"),
        checksum: flags.text("checksum"),
        unpack: flags.flag("unpack")?,
        keep_git_dir: flags.flag("keep-git-dir")?,
        sources: words,
        heredocs: statement.heredocs.clone(),
        destination,
    })
}

fn pairs(text: &str, escape: char, name: &str) -> Result<Pairs, String> {
    let (pairs, legacy) = word::pairs(text, escape, name)?;
    if pairs.is_empty() {
        return Err(format!("{name} requires at least one argument"));
    }
    Ok(Pairs { pairs, legacy })
}

fn some_words(text: &str, name: &str) -> Result<Vec<String>, String> {
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    if words.is_empty() {
        return Err(format!("{name} requires at least one argument"));
    }
    Ok(words)
}

fn one(text: &str, name: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err(format!("{name} requires exactly one argument"));
    }
    Ok(text.to_owned())
}

fn volume(text: &str) -> Result<Instruction, String> {
    let volumes = match word::json(text)? {
        Some(list) => list,
        None => text.split_whitespace().map(str::to_owned).collect(),
    };
    if volumes.is_empty() {
        return Err("VOLUME requires at least one argument".to_owned());
    }
    if volumes.iter().any(|path| path.trim().is_empty()) {
        return Err("VOLUME specified can not be an empty string".to_owned());
    }
    Ok(Instruction::Volume(volumes))
}

fn shell(text: &str) -> Result<Instruction, String> {
    match word::json(text)? {
        Some(words) if !words.is_empty() => Ok(Instruction::Shell(words)),
        Some(_) => Err("SHELL requires at least one argument".to_owned()),
        None => Err("SHELL requires the arguments to be in JSON form".to_owned()),
    }
}

fn healthcheck(text: &str, flags: &mut Flags) -> Result<Healthcheck, String> {
    let (kind, rest) = word::first(text);
    match kind.to_ascii_uppercase().as_str() {
        "NONE" if rest.is_empty() => Ok(Healthcheck::default()),
        "NONE" => Err("HEALTHCHECK NONE takes no arguments".to_owned()),
        "CMD" => {
            if rest.is_empty() {
                return Err("missing command after HEALTHCHECK CMD".to_owned());
            }
            Ok(Healthcheck {
                command: Some(command(rest)?),
                interval: flags.duration("interval")?,
                timeout: flags.duration("timeout")?,
                start_period: flags.duration("start-period")?,
                start_interval: flags.duration("start-interval")?,
                retries: flags.number("retries")?,
            })
        }
        "" => Err("HEALTHCHECK requires at least one argument".to_owned()),
        _ => Err(format!("unknown type {kind:?} in HEALTHCHECK (try CMD)")),
    }
}

/// Instructions that cannot be kept for later.
fn onbuild(statement: &Statement) -> Result<Instruction, String> {
    let text = &statement.arguments;
    let (keyword, _) = word::first(text);
    match keyword.to_ascii_uppercase().as_str() {
        "" => return Err("ONBUILD requires at least one argument".to_owned()),
        "ONBUILD" => {
            return Err("chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned());
        }
        name @ ("FROM" | "MAINTAINER") => {
            return Err(format!("{name} isn't allowed as an ONBUILD trigger"));
        }
        _ => {}
    }
    let mut inner = super::line::statement(text);
    inner.heredocs.clone_from(&statement.heredocs);
    // It is understood now, so that a mistake shows here and not in the image that is made from this one.
    instruction(&inner, '\\')?;
    let mut text = text.clone();
    for document in &statement.heredocs {
        text.push('\n');
        text.push_str(&document.content);
        text.push_str(&document.name);
    }
    Ok(Instruction::Onbuild(Onbuild { text }))
}

fn arguments(text: &str, escape: char) -> Result<Instruction, String> {
    let words = word::quoted(text, escape);
    if words.is_empty() {
        return Err("ARG requires at least one argument".to_owned());
    }
    let argument = |word: &String| match word.split_once('=') {
        Some(("", _)) => Err("ARG names can not be blank".to_owned()),
        Some((name, default)) => Ok(Argument {
            name: name.to_owned(),
            default: Some(default.to_owned()),
        }),
        None => Ok(Argument {
            name: word.clone(),
            default: None,
        }),
    };
    let arguments = words.iter().map(argument).collect::<Result<_, _>>()?;
    Ok(Instruction::Arg(arguments))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::dockerfile::line::statements;

    fn read(text: &str) -> Result<Instruction, String> {
        let found = statements(text).map_err(|misread| misread.reason)?;
        instruction(&found.statements[0], found.directives.escape)
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "it is a table")]
    fn instructions_are_understood_in_any_case() {
        let owned = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let from = |platform: Option<&str>, base: &str, alias: Option<(&str, &str)>| {
            Instruction::From(From {
                platform: platform.map(str::to_owned),
                base: base.to_owned(),
                alias: alias.map(|(name, word)| (name.to_owned(), word.to_owned())),
            })
        };
        for (text, expected) in [
            ("FROM a", from(None, "a", None)),
            (
                "from --platform=$X a:1@sha256:b As C-1",
                from(Some("$X"), "a:1@sha256:b", Some(("C-1", "As"))),
            ),
            (
                "EXPOSE 80 90/udp",
                Instruction::Expose(owned(&["80", "90/udp"])),
            ),
            ("user a:b", Instruction::User("a:b".into())),
            ("WORKDIR /a b", Instruction::Workdir("/a b".into())),
            (
                "VOLUME [\"/a\", \"/b c\"]",
                Instruction::Volume(owned(&["/a", "/b c"])),
            ),
            ("VOLUME /a /b", Instruction::Volume(owned(&["/a", "/b"]))),
            (
                "STOPSIGNAL SIGINT",
                Instruction::StopSignal("SIGINT".into()),
            ),
            (
                "SHELL [\"/bin/bash\",\"-c\"]",
                Instruction::Shell(owned(&["/bin/bash", "-c"])),
            ),
            ("CMD", Instruction::Cmd(Command::Shell(String::new()))),
            ("CMD []", Instruction::Cmd(Command::Exec(vec![]))),
            ("CMD a  b", Instruction::Cmd(Command::Shell("a  b".into()))),
            (
                "ENTRYPOINT [\"a\", \"b\"]",
                Instruction::Entrypoint(Command::Exec(owned(&["a", "b"]))),
            ),
            (
                "MAINTAINER Me <me@x>",
                Instruction::Maintainer("Me <me@x>".into()),
            ),
            (
                "HEALTHCHECK none",
                Instruction::Healthcheck(Healthcheck::default()),
            ),
            (
                "ARG a b=c d=\"e f\"",
                Instruction::Arg(vec![
                    Argument {
                        name: "a".into(),
                        default: None,
                    },
                    Argument {
                        name: "b".into(),
                        default: Some("c".into()),
                    },
                    Argument {
                        name: "d".into(),
                        default: Some("\"e f\"".into()),
                    },
                ]),
            ),
            (
                "ONBUILD RUN x",
                Instruction::Onbuild(Onbuild {
                    text: "RUN x".into(),
                }),
            ),
            (
                "ENV a b  c",
                Instruction::Env(Pairs {
                    pairs: vec![("a".into(), "b  c".into())],
                    legacy: true,
                }),
            ),
        ] {
            assert_eq!(read(text), Ok(expected), "{text}");
        }
        let Ok(Instruction::Healthcheck(check)) = read(
            "HEALTHCHECK --interval=1m30s --timeout=5s --start-period=0s --start-interval=500ms --retries=3 CMD [\"a\"]",
        ) else {
            panic!("a health check");
        };
        assert_eq!(check.interval, Some(90_000_000_000));
        assert_eq!(
            (check.timeout, check.start_interval),
            (Some(5_000_000_000), Some(500_000_000))
        );
        assert_eq!(
            (check.retries, check.command),
            (Some(3), Some(Command::Exec(vec!["a".into()])))
        );
    }

    #[test]
    fn copy_and_run_take_their_flags() {
        let Ok(Instruction::Copy(copy)) = read(
            "ADD --chown=a:b --chmod=u=rwX,go=rX --link --parents=false --exclude=a --exclude=b --checksum=sha256:c --unpack=true --keep-git-dir x <<y z/\nhi\ny\n",
        ) else {
            panic!("a copy");
        };
        assert!(copy.add && copy.link && !copy.parents);
        assert_eq!((copy.unpack, copy.keep_git_dir), (Some(true), Some(true)));
        assert_eq!(
            (copy.exclude.len(), copy.sources, copy.destination),
            (2, vec!["x".to_owned()], "z/".to_owned())
        );
        assert_eq!(copy.heredocs[0].content, "hi\n");
        let Ok(Instruction::Run(run)) = read(
            "RUN --mount=type=cache,target=$X --mount=target=/a --network=none --security=insecure a --b",
        ) else {
            panic!("a command");
        };
        assert_eq!(run.mounts.len(), 2);
        assert_eq!(
            (run.network, run.security),
            (Network::None, Security::Insecure)
        );
        assert_eq!(run.command, Command::Shell("a --b".into()));
        assert!(
            matches!(read("COPY [\"a b\", \"c\"]"), Ok(Instruction::Copy(copy)) if copy.sources == ["a b"])
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("FRM a", "unknown instruction: FRM (did you mean FROM?)"),
            ("XYZZY a", "unknown instruction: XYZZY"),
            ("FROM", "FROM requires either one or three arguments"),
            ("FROM a b", "FROM requires either one or three arguments"),
            (
                "FROM a AS 1b",
                "invalid name for build stage: \"1b\", name can't start with a number or contain symbols",
            ),
            (
                "RUN --mont=a b",
                "unknown flag: --mont (did you mean mount?)",
            ),
            ("RUN --network=x b", "invalid network mode \"x\""),
            (
                "RUN --mount=type=x,target=/a b",
                "unsupported mount type \"x\"",
            ),
            ("RUN", "RUN requires at least one argument"),
            (
                "COPY a",
                "COPY requires at least two arguments, but only 1 was provided. Destination could not be determined",
            ),
            (
                "COPY --link=maybe a b",
                "expected a boolean for --link, not \"maybe\"",
            ),
            (
                "COPY --from=a --from=b c d",
                "the flag --from is given twice",
            ),
            ("COPY --checksum=x a b", "unknown flag: --checksum"),
            ("ENV --a b=c", "unknown flag: --a"),
            ("EXPOSE", "EXPOSE requires at least one argument"),
            ("WORKDIR", "WORKDIR requires exactly one argument"),
            (
                "SHELL bash -c",
                "SHELL requires the arguments to be in JSON form",
            ),
            ("CMD [1]", "a JSON list must hold strings only"),
            ("HEALTHCHECK CMD", "missing command after HEALTHCHECK CMD"),
            (
                "HEALTHCHECK FOO",
                "unknown type \"FOO\" in HEALTHCHECK (try CMD)",
            ),
            (
                "HEALTHCHECK --interval=x CMD a",
                "invalid duration \"x\" for --interval",
            ),
            (
                "HEALTHCHECK --interval=1us CMD a",
                "the duration of --interval cannot be less than 1ms",
            ),
            (
                "HEALTHCHECK --retries=-1 CMD a",
                "the value of --retries cannot be negative",
            ),
            (
                "ONBUILD ONBUILD RUN a",
                "chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
            ),
            ("ONBUILD FROM a", "FROM isn't allowed as an ONBUILD trigger"),
            ("ONBUILD FOO", "unknown instruction: FOO"),
            (
                "VOLUME [\" \"]",
                "VOLUME specified can not be an empty string",
            ),
            ("ARG =a", "ARG names can not be blank"),
        ] {
            assert_eq!(read(text), Err(expected.to_owned()), "{text}");
        }
    }
}
