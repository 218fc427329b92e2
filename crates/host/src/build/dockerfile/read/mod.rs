//! From a statement to an instruction: which flags and arguments each one takes.

use super::flag::Flags;
use super::heredoc::opening;
use super::instruction::{
    Argument, Command, Copy, Device, From, Healthcheck, Instruction, Network, Onbuild, Pairs, Run,
    Security,
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
    let near = super::nearest(&upper, NAMES);
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
    let devices = flags.all("device");
    let devices = devices.iter().map(|text| device(text));
    let devices = devices.collect::<Result<_, _>>()?;
    let mut mounts = Vec::new();
    for text in flags.all("mount") {
        // What holds variables is understood when their values are known.
        if !text.contains('$') {
            MountKind::parse(&text)?;
        }
        let mount = Mount { text };
        without_variables("from", mount.from().as_deref())?;
        mounts.push(mount);
    }
    let command = command(&statement.arguments)?;
    if command == Command::Shell(String::new()) || command == Command::Exec(Vec::new()) {
        return Err("RUN requires at least one argument".to_owned());
    }
    Ok(Instruction::Run(Run {
        mounts,
        network,
        security,
        devices,
        command,
        heredocs: statement.heredocs.clone(),
    }))
}

/// `NAME`, `name=NAME`, each with `required`; a name may have a `=` of its own.
fn device(text: &str) -> Result<Device, String> {
    let mut device = Device::default();
    for field in super::mount::fields(text) {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
            None => (field.to_ascii_lowercase(), None),
        };
        match (key.as_str(), value) {
            ("required", None) => device.required = true,
            ("required", Some(value)) => {
                let wrong = || format!("invalid value for {key}: {value}");
                device.required = super::boolean(value).ok_or_else(wrong)?;
            }
            ("name", Some(_)) if !device.name.is_empty() => {
                return Err(format!("device name already set to {}", device.name));
            }
            ("name", Some(value)) => value.clone_into(&mut device.name),
            _ if device.name.is_empty() => device.name = field,
            (_, None) => return Err(format!("invalid field '{field}' must be a key=value pair")),
            (key, Some(_)) => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
    }
    if device.name.is_empty() {
        return Err(format!("the device {text:?} has no name"));
    }
    Ok(device)
}

/// What a stage needs is known before any variable of it has a value.
fn without_variables(flag: &str, value: Option<&str>) -> Result<(), String> {
    if value.is_some_and(|value| value.contains('$')) {
        return Err(format!(
            "variable expansion is not supported for {flag}, define a new stage with FROM using ARG from global scope as a workaround"
        ));
    }
    Ok(())
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
        None => blank_separated(&statement.arguments, name, escape)?,
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
    without_variables("--from", from.as_deref())?;
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

/// Words between blanks, which neither quotes nor escapes join.
fn blank_separated(text: &str, name: &str, escape: char) -> Result<Vec<String>, String> {
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    if words != word::quoted(text, escape) {
        return Err(format!(
            "{name} divides its arguments at every blank, quoted or not: paths with blanks need the JSON form, as in {name} [\"a b\", \"/c/\"]"
        ));
    }
    Ok(words)
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
mod tests;
