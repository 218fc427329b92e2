//! From an instruction back to text: what reading gives back unchanged.

use std::fmt::{self, Display, Formatter};

use super::heredoc::Heredoc;
use super::instruction::{Command, Copy, Healthcheck, Instruction, Network, Pairs, Run, Security};

impl Display for Instruction {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        if let Self::Copy(copy) = self {
            return copy.fmt(out);
        }
        write!(out, "{}", self.name())?;
        match self {
            Self::From(from) => {
                flag(out, "platform", from.platform.as_deref())?;
                write!(out, " {}", from.base)?;
                match &from.alias {
                    Some((name, word)) => write!(out, " {word} {name}"),
                    None => Ok(()),
                }
            }
            Self::Run(run) => run.fmt(out),
            Self::Copy(_) => Ok(()),
            Self::Env(pairs) | Self::Label(pairs) => pairs.fmt(out),
            Self::Expose(ports) => write!(out, " {}", ports.join(" ")),
            Self::User(text)
            | Self::Workdir(text)
            | Self::StopSignal(text)
            | Self::Maintainer(text) => {
                write!(out, " {text}")
            }
            Self::Volume(list) | Self::Shell(list) => write!(out, " {}", json(list)),
            Self::Cmd(command) | Self::Entrypoint(command) => command.fmt(out),
            Self::Healthcheck(check) => check.fmt(out),
            Self::Onbuild(onbuild) => write!(out, " {}", onbuild.text),
            Self::Arg(arguments) => arguments.iter().try_for_each(|argument| {
                write!(out, " {}", argument.name)?;
                match &argument.default {
                    Some(default) => write!(out, "={default}"),
                    None => Ok(()),
                }
            }),
        }
    }
}

impl Display for Command {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exec(list) => write!(out, " {}", json(list)),
            Self::Shell(line) if line.is_empty() => Ok(()),
            Self::Shell(line) => write!(out, " {line}"),
        }
    }
}

impl Display for Run {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        for mount in &self.mounts {
            flag(out, "mount", Some(&mount.text))?;
        }
        match self.network {
            Network::Default => {}
            Network::None => write!(out, " --network=none")?,
            Network::Host => write!(out, " --network=host")?,
        }
        if self.security == Security::Insecure {
            write!(out, " --security=insecure")?;
        }
        for device in &self.devices {
            let required = if device.required { ",required" } else { "" };
            let text = format!("name={}{required}", device.name);
            flag(out, "device", Some(&text))?;
        }
        self.command.fmt(out)?;
        documents(out, &self.heredocs)
    }
}

impl Display for Copy {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.verb())?;
        flag(out, "from", self.from.as_deref())?;
        flag(out, "chown", self.chown.as_deref())?;
        flag(out, "chmod", self.chmod.as_deref())?;
        for (name, value) in [("link", self.link), ("parents", self.parents)] {
            if value {
                write!(out, " --{name}")?;
            }
        }
        for pattern in &self.exclude {
            flag(out, "exclude", Some(pattern))?;
        }
        flag(out, "checksum", self.checksum.as_deref())?;
        for (name, value) in [("unpack", self.unpack), ("keep-git-dir", self.keep_git_dir)] {
            if let Some(value) = value {
                write!(out, " --{name}={value}")?;
            }
        }
        if self.heredocs.is_empty() {
            // A list can hold any name; the words of the plain form cannot.
            let mut list = self.sources.clone();
            list.push(self.destination.clone());
            return write!(out, " {}", json(&list));
        }
        for source in &self.sources {
            write!(out, " {source}")?;
        }
        for document in &self.heredocs {
            write!(out, " {}", document.opening())?;
        }
        write!(out, " {}", self.destination)?;
        documents(out, &self.heredocs)
    }
}

impl Display for Pairs {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let separator = if self.legacy { ' ' } else { '=' };
        self.pairs
            .iter()
            .try_for_each(|(name, value)| write!(out, " {name}{separator}{value}"))
    }
}

impl Display for Healthcheck {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Some(command) = &self.command else {
            return write!(out, " NONE");
        };
        for (name, value) in [
            ("interval", self.interval),
            ("timeout", self.timeout),
            ("start-period", self.start_period),
            ("start-interval", self.start_interval),
        ] {
            if let Some(value) = value {
                write!(out, " --{name}={value}ns")?;
            }
        }
        if let Some(retries) = self.retries {
            write!(out, " --retries={retries}")?;
        }
        write!(out, " CMD")?;
        command.fmt(out)
    }
}

/// A flag with its value, characters escaped that would end the word.
fn flag(out: &mut Formatter<'_>, name: &str, value: Option<&str>) -> fmt::Result {
    let Some(value) = value else { return Ok(()) };
    write!(out, " --{name}=")?;
    for character in value.chars() {
        if character.is_whitespace() || "'\"\\".contains(character) {
            write!(out, "\\")?;
        }
        write!(out, "{character}")?;
    }
    Ok(())
}

fn json(list: &[String]) -> String {
    serde_json::Value::from(list).to_string()
}

fn documents(out: &mut Formatter<'_>, heredocs: &[Heredoc]) -> fmt::Result {
    for document in heredocs {
        write!(out, "\n{}{}", document.content, document.name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::instruction::{Argument, Device, From, Onbuild};
    use super::super::{Dockerfile, Mount, parse_one};
    use super::*;

    fn word() -> impl Strategy<Value = String> {
        "[a-zA-Z0-9_./$:{}-]{1,8}".prop_filter("no flag, no heredoc", |word| !word.starts_with('-'))
    }

    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            word(),
            "\"[a-z \\-=']{0,8}\"",
            "'[a-z \"=]{0,8}'",
            "[a-z]\\\\ [a-z]"
        ]
    }

    fn text() -> impl Strategy<Value = String> {
        "[a-z$(][a-z0-9 &|;=\"'$(){}-]{0,20}[a-z0-9)]"
    }

    fn any_words() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec("\\PC{1,6}", 1..4)
    }

    fn command() -> impl Strategy<Value = Command> {
        prop_oneof![
            any_words().prop_map(Command::Exec),
            text().prop_map(Command::Shell)
        ]
    }

    fn pairs() -> impl Strategy<Value = Pairs> {
        prop_oneof![
            prop::collection::vec(("[a-zA-Z_.]{1,6}", value()), 1..4).prop_map(|pairs| Pairs {
                pairs,
                legacy: false
            }),
            ("[a-zA-Z_]{1,6}", text()).prop_map(|pair| Pairs {
                pairs: vec![pair],
                legacy: true
            }),
        ]
    }

    fn document() -> impl Strategy<Value = Heredoc> {
        (
            "[A-Z]{2,4}",
            any::<(bool, bool)>(),
            prop::collection::vec("[a-z$ \t]{0,8}", 0..4),
        )
            .prop_map(|(name, (expands, chomps), lines)| Heredoc {
                name,
                descriptor: String::new(),
                expands,
                chomps,
                content: lines.iter().map(|line| format!("{line}\n")).collect(),
            })
    }

    fn run() -> impl Strategy<Value = Run> {
        let mount = "type=cache,target=/[a-z$ ]{1,6}".prop_map(|text| Mount { text });
        let device = ("[a-z.]{1,6}/[a-z]{1,6}(=[a-z]{1,4})?", any::<bool>());
        let device = device.prop_map(|(name, required)| Device { name, required });
        let network = prop_oneof![
            Just(Network::Default),
            Just(Network::None),
            Just(Network::Host)
        ];
        let plain = (
            prop::collection::vec(mount, 0..2),
            network,
            any::<bool>(),
            prop::collection::vec(device, 0..2),
            command(),
        );
        let plain = plain.prop_map(|(mounts, network, insecure, devices, command)| Run {
            mounts,
            network,
            security: if insecure {
                Security::Insecure
            } else {
                Security::Sandbox
            },
            devices,
            command,
            heredocs: Vec::new(),
        });
        (plain, document()).prop_map(|(mut run, document)| {
            if let Command::Shell(line) = &mut run.command {
                *line = format!("cat {}", document.opening());
                run.heredocs = vec![document];
            }
            run
        })
    }

    fn copy() -> impl Strategy<Value = Copy> {
        let flags = (
            prop::option::of(word()),
            prop::option::of("[0-7]{3}"),
            any::<(bool, bool)>(),
            prop::collection::vec("\\PC{1,6}", 0..2),
        );
        let words = (prop::collection::vec(word(), 1..3), word());
        (
            flags,
            words,
            prop::option::of(document()),
            any::<Option<bool>>(),
        )
            .prop_map(
                |(
                    (chown, chmod, (link, parents), exclude),
                    (sources, destination),
                    document,
                    unpack,
                )| Copy {
                    add: unpack.is_some(),
                    chown,
                    chmod,
                    link,
                    parents,
                    exclude,
                    unpack,
                    sources,
                    heredocs: document.into_iter().collect(),
                    destination,
                    ..Copy::default()
                },
            )
    }

    fn instruction() -> impl Strategy<Value = Instruction> {
        let words = || prop::collection::vec(word(), 1..4);
        let from = (
            prop::option::of(word()),
            word(),
            prop::option::of("[a-z][a-z0-9_.-]{0,6}"),
        );
        let duration = || prop::option::of(1_000_000_i64..10_000_000_000);
        let check = (
            command(),
            duration(),
            duration(),
            prop::option::of(1_i64..9),
        );
        let argument = ("[a-zA-Z_]{1,6}", prop::option::of(value()));
        prop_oneof![
            from.prop_map(|(platform, base, name)| Instruction::From(From {
                platform,
                base,
                alias: name.map(|name| (name, "AS".to_owned())),
            })),
            run().prop_map(Instruction::Run),
            copy().prop_map(Instruction::Copy),
            pairs().prop_map(Instruction::Env),
            pairs().prop_map(Instruction::Label),
            words().prop_map(Instruction::Expose),
            text().prop_map(Instruction::User),
            text().prop_map(Instruction::Workdir),
            words().prop_map(Instruction::Volume),
            any_words().prop_map(Instruction::Shell),
            command().prop_map(Instruction::Cmd),
            command().prop_map(Instruction::Entrypoint),
            check.prop_map(|(command, interval, start_interval, retries)| {
                Instruction::Healthcheck(Healthcheck {
                    command: Some(command),
                    interval,
                    start_interval,
                    retries,
                    ..Healthcheck::default()
                })
            }),
            run().prop_map(|run| Instruction::Onbuild(Onbuild {
                text: Instruction::Run(run).to_string()
            })),
            prop::collection::vec(argument, 1..4).prop_map(|arguments| Instruction::Arg(
                arguments
                    .into_iter()
                    .map(|(name, default)| Argument { name, default })
                    .collect()
            )),
            text().prop_map(Instruction::Maintainer),
        ]
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(one in instruction()) {
            let printed = one.to_string();
            prop_assert_eq!(parse_one(&printed), Ok(one), "{}", printed);
        }

        #[test]
        fn no_text_upsets_the_reader(text in "(\\PC|\n|\\\\|<<|\"|'|\\$|\\{){0,80}") {
            drop(Dockerfile::read("Dockerfile", &text));
            drop(Dockerfile::read("Dockerfile", &format!("RUN {text}\nCOPY {text} x\nENV {text}")));
        }
    }
}
