//! Each instruction with its flags, in every form it may have.

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
    let Ok(Instruction::Run(run)) = read(
        "RUN --device=a.com/b=c,required --device=required=false,name=a.com/b --device=a.com/d x",
    ) else {
        panic!("a command");
    };
    let device = |name: &str, required| Device {
        name: name.to_owned(),
        required,
    };
    assert_eq!(
        run.devices,
        [
            device("a.com/b=c", true),
            device("a.com/b", false),
            device("a.com/d", false)
        ]
    );
    assert!(
        matches!(read("COPY [\"a b\", \"c\"]"), Ok(Instruction::Copy(copy)) if copy.sources == ["a b"])
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn mistakes_are_named() {
    for (text, expected) in [
        ("FRM a", "unknown instruction: FRM (did you mean FROM?)"),
        ("EVN a=b", "unknown instruction: EVN (did you mean ENV?)"),
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
            "RUN --device=required x",
            "the device \"required\" has no name",
        ),
        (
            "RUN --device=a,b x",
            "invalid field 'b' must be a key=value pair",
        ),
        ("RUN --device=a,b=c x", "unexpected key 'b' in 'b=c'"),
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
        (
            "COPY --from=$x a b",
            "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround",
        ),
        (
            "RUN --mount=type=$t,from=a${x},target=/a b",
            "variable expansion is not supported for from, define a new stage with FROM using ARG from global scope as a workaround",
        ),
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
        (
            "ONBUILD FOO",
            "unknown instruction: FOO (did you mean FROM?)",
        ),
        (
            "VOLUME [\" \"]",
            "VOLUME specified can not be an empty string",
        ),
        ("ARG =a", "ARG names can not be blank"),
    ] {
        assert_eq!(read(text), Err(expected.to_owned()), "{text}");
    }
}
