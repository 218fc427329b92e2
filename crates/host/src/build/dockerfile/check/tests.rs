//! A table of all checks.

use super::*;
use crate::build::dockerfile::directive;

/// What the checks find: `line Rule: detail`.
fn found(text: &str) -> Vec<String> {
    let (warnings, failure) = findings(text, None);
    assert_eq!(failure, None, "{text}");
    warnings
}

/// The same with what ends the checks: `line reason`.
fn findings(text: &str, target: Option<&str>) -> (Vec<String>, Option<String>) {
    let (file, misread) = Dockerfile::read_so_far("Dockerfile", text);
    let platform: BTreeMap<String, String> = [
        ("TARGETPLATFORM", "linux/amd64"),
        ("BUILDPLATFORM", "linux/amd64"),
        ("TARGETARCH", "amd64"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let ignored = Patterns::from_file("*/tmp/*\nsecret").unwrap();
    let inputs = Inputs {
        platform,
        ignored: Some(&ignored),
        images: BTreeMap::from([
            (
                "known".to_owned(),
                KnownImage {
                    environment: vec!["FROM_BASE=1".to_owned()],
                    platforms: Some(("linux/amd64".to_owned(), "linux/amd64/v2".to_owned())),
                },
            ),
            (
                "foreign".to_owned(),
                KnownImage {
                    environment: Vec::new(),
                    platforms: Some(("linux/arm64".to_owned(), "linux/amd64".to_owned())),
                },
            ),
        ]),
        target: target.map(str::to_owned),
        everything: target.is_none(),
        ..Inputs::default()
    };
    let mut asked = file.directives.check.clone();
    if asked.experimental == directive::Skip::None {
        asked.experimental = directive::Skip::All;
    }
    let findings = check(&file, misread, &asked, &inputs);
    let line = |warning: Warning| {
        format!(
            "{} {}: {}",
            warning.lines.first,
            warning.rule.name(),
            warning.detail
        )
    };
    let failure = findings.failure.map(|failure| {
        let line = failure.lines.map_or(0, |lines| lines.first);
        format!("{line} {}", failure.reason)
    });
    (findings.warnings.into_iter().map(line).collect(), failure)
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn every_check_finds_its_fault_and_nothing_else() {
    for (text, expected) in [
        (
            "FROM a AS Bad",
            &["1 StageNameCasing: Stage name 'Bad' should be lowercase"][..],
        ),
        (
            "FROM a as b",
            &["1 FromAsCasing: 'as' and 'FROM' keywords' casing do not match"],
        ),
        (
            "from a AS b",
            &["1 FromAsCasing: 'AS' and 'from' keywords' casing do not match"],
        ),
        (
            "FROM a\nCOPY x \\\n\n.\nCOPY x \\\n.",
            &["4 NoEmptyContinuation: Empty continuation line"],
        ),
        (
            "FROM a\ncopy x y\nCOPY x z",
            &[
                "2 ConsistentInstructionCasing: Command 'copy' should match the case of the command majority (uppercase)",
            ],
        ),
        (
            "From a as b\nfrom a as c",
            &[
                "1 ConsistentInstructionCasing: Command 'From' should match the case of the command majority (lowercase)",
            ],
        ),
        ("from a\ncopy x y", &[]),
        (
            "FROM a AS b\nFROM c AS B",
            &[
                "2 StageNameCasing: Stage name 'B' should be lowercase",
                "2 DuplicateStageName: Duplicate stage name \"b\", stage names should be unique",
            ],
        ),
        (
            "FROM a AS context",
            &[
                "1 ReservedStageName: Stage name should not use the same name as reserved stage \"context\"",
            ],
        ),
        (
            "FROM a\nCMD x\nFROM a\nENTRYPOINT x",
            &[
                "2 JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
                "4 JSONArgsRecommended: JSON arguments recommended for ENTRYPOINT to prevent unintended behavior related to OS signals",
            ],
        ),
        ("FROM a\nSHELL [\"x\"]\nCMD x", &[]),
        ("FROM a AS b\nSHELL [\"x\"]\nFROM b\nCMD x", &[]),
        (
            "FROM a\nMAINTAINER me",
            &[
                "2 MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label",
            ],
        ),
        (
            "ARG VARIANT=x\nFROM a:${VARIAN}x",
            &[
                "2 UndefinedArgInFrom: FROM argument 'VARIAN' is not declared (did you mean VARIANT?)",
            ],
        ),
        (
            "FROM a\nWORKDIR x\nWORKDIR /y\nWORKDIR z",
            &[
                "2 WorkdirRelativePath: Relative workdir \"x\" can have unexpected results if the base image changes",
            ],
        ),
        ("FROM a AS b\nWORKDIR /x\nFROM b\nWORKDIR y", &[]),
        (
            "FROM scratch\nWORKDIR y\nWORKDIR z",
            &[
                "2 WorkdirRelativePath: Relative workdir \"y\" can have unexpected results if the base image changes",
            ],
        ),
        (
            "FROM known\nENV A=$FROM_BASE B=$FROM_BAS\nARG C\nCOPY $C ${D:-x} /$PATH",
            &[
                "2 UndefinedVar: Usage of undefined variable '$FROM_BAS' (did you mean $FROM_BASE?)",
                "4 UndefinedVar: Usage of undefined variable '$D'",
            ],
        ),
        ("FROM unknown\nENV A=$B", &[]),
        (
            "FROM scratch\nENV A=$PATH B=$PAHT",
            &["2 UndefinedVar: Usage of undefined variable '$PAHT' (did you mean $PATH?)"],
        ),
        (
            "FROM known\nENV A=$HTTP_PROXY",
            &["2 UndefinedVar: Usage of undefined variable '$HTTP_PROXY'"],
        ),
        (
            "FROM known\nCOPY <<X <<'Y' /\na '$NONE' \"$FROM_BASE\"\nX\n$OTHER\nY",
            &["2 UndefinedVar: Usage of undefined variable '$NONE'"],
        ),
        (
            "FROM a\nCMD [\"a\"]\nCMD [\"b\"]\nHEALTHCHECK NONE\nHEALTHCHECK CMD x",
            &[
                "2 MultipleInstructionsDisallowed: Multiple CMD instructions should not be used in the same stage because only the last one will be used",
                "4 MultipleInstructionsDisallowed: Multiple HEALTHCHECK instructions should not be used in the same stage because only the last one will be used",
            ],
        ),
        (
            "FROM a\nENV b c",
            &[
                "2 LegacyKeyValueFormat: \"ENV key=value\" should be used instead of legacy \"ENV key value\" format",
            ],
        ),
        (
            "FROM --platform=${TARGETPLATFORM} a",
            &[
                "1 RedundantTargetPlatform: Setting platform to predefined ${TARGETPLATFORM} in FROM is redundant as this is the default behavior",
            ],
        ),
        (
            "FROM a\nARG AWS_SECRET\nENV API_KEY=1 PUBLIC_KEY=2 MONKEY=3 secret_File=4 AUTH_MODULE_VERSION=5",
            &[
                "2 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG \"AWS_SECRET\")",
                "3 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV \"API_KEY\")",
            ],
        ),
        (
            "ARG TAG\nFROM a:$TAG",
            &[
                "2 InvalidDefaultArgInFrom: Default value for ARG a:$TAG results in empty or invalid base image name",
            ],
        ),
        // What another argument lacks is no matter of the base.
        ("ARG P\nFROM --platform=${P:-linux/arm64} a:1", &[]),
        (
            "FROM foreign",
            &[
                "1 InvalidBaseImagePlatform: Base image foreign was pulled with platform \"linux/arm64\", expected \"linux/amd64\" for current build",
            ],
        ),
        (
            "FROM --platform=linux/arm64 a AS b",
            &[
                "1 FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value \"linux/arm64\"",
            ],
        ),
        ("FROM --platform=linux/arm64 a AS build-arm64", &[]),
        (
            "FROM a\nCOPY x/tmp/y secret/z /\nADD secret /\nCOPY --from=b secret /",
            &[
                "2 CopyIgnoredFile: Attempting to Copy file \"x/tmp/y\" that is excluded by .dockerignore",
                "2 CopyIgnoredFile: Attempting to Copy file \"secret/z\" that is excluded by .dockerignore",
                "3 CopyIgnoredFile: Attempting to Add file \"secret\" that is excluded by .dockerignore",
            ],
        ),
        (
            "# something\nFROM a AS b\n# V tells\nARG V\n# what\nARG W X\n# other\n\nARG Y",
            &[
                "2 InvalidDefinitionDescription: Comment for FROM should follow the format: `# b <description>`",
                "6 InvalidDefinitionDescription: Comment for ARG should follow the format: `# <arg_key> <description>`",
            ],
        ),
        (
            "# B is here\nFROM a AS B\nRUN x",
            &[
                "2 StageNameCasing: Stage name 'B' should be lowercase",
                "2 InvalidDefinitionDescription: Comment for FROM should follow the format: `# b <description>`",
            ],
        ),
        (
            "FROM a\nEXPOSE 80/TcP 81/udp",
            &[
                "2 ExposeProtoCasing: Defined protocol '80/TcP' in EXPOSE instruction should be lowercase",
            ],
        ),
        (
            "FROM a\nEXPOSE 127.0.0.1:80:80",
            &[
                "2 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80'",
            ],
        ),
    ] {
        assert_eq!(found(text), expected, "{text}");
    }
}

#[test]
fn checks_are_left_out_when_the_file_says_so() {
    assert_eq!(
        found("# check=skip=StageNameCasing\nFROM a AS B\nMAINTAINER x").len(),
        1
    );
    assert!(found("# check=skip=all\nFROM a AS B\nMAINTAINER x").is_empty());
    assert!(found("# check=experimental=Other\n\n# x\nFROM a AS b").is_empty());
    assert_eq!(
        found("# check=skip=all;experimental=all\n\n# x\nFROM a AS b\nMAINTAINER x").len(),
        1
    );
    // For one instruction.
    let text = "FROM a\n# check=skip=JSONArgsRecommended, Other\nCMD x\nENTRYPOINT y\n# check=skip=all // it is old\nENV b c";
    let left = found(text);
    assert!(
        matches!(&left[..], [one] if one.starts_with("4 JSONArgsRecommended")),
        "{left:?}"
    );
}

#[test]
fn the_report_is_buildkits() {
    let file = Dockerfile::read("Dockerfile", "FROM scratch\nENV a b\n").unwrap();
    let inputs = Inputs {
        everything: true,
        ..Inputs::default()
    };
    let warnings = check(&file, None, &CheckDirective::default(), &inputs).warnings;
    assert_eq!(
        report(&file, &warnings, false),
        "Check complete, 1 warning has been found!\n\n\
         WARNING: LegacyKeyValueFormat - https://docs.docker.com/go/dockerfile/rule/legacy-key-value-format/\n\
         \"ENV key=value\" should be used instead of legacy \"ENV key value\" format\n\
         Dockerfile:2\n--------------------\n   1 |     FROM scratch\n   2 | >>> ENV a b\n   3 |     \n--------------------\n"
    );
    let clean = "Check complete, no warnings found.\n";
    assert_eq!(report(&file, &[], false), clean);
    assert_eq!(report(&file, &[], true), "");
    assert!(
        summary(&warnings)
            .starts_with(" 1 warning found (use --check to expand):\n - LegacyKeyValueFormat: ")
    );
}

/// As `BuildKit`'s: what was found before a mistake is told beside it, and nothing that comes later.
#[test]
fn a_mistake_ends_the_checks() {
    for (text, warnings, failure) in [
        (
            "FROM scratch AS Bad\nMAINTAINER me\nBADCMD\nMAINTAINER you",
            &[
                "1 StageNameCasing: Stage name 'Bad' should be lowercase",
                "2 MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label",
            ][..],
            "3 unknown instruction: BADCMD",
        ),
        (
            "FROM --platform=$BULIDPLATFORM scratch\nENV a b",
            &[
                "1 UndefinedArgInFrom: FROM argument 'BULIDPLATFORM' is not declared (did you mean BUILDPLATFORM?)",
            ],
            "1 empty platform value from expression $BULIDPLATFORM (did you mean BUILDPLATFORM?)",
        ),
        (
            "ARG MY_OS=linux\nARG MY_ARCH=amd64\nFROM --platform=linux/${MYARCH} a",
            &[
                "3 UndefinedArgInFrom: FROM argument 'MYARCH' is not declared (did you mean MY_ARCH?)",
            ],
            "3 failed to parse platform linux/${MYARCH}: invalid platform \"linux/\" (did you mean MY_ARCH?)",
        ),
        (
            "ARG A=${A:?no}\nFROM --platform=linux/arm64 a\nfrom b",
            &[
                "3 ConsistentInstructionCasing: Command 'from' should match the case of the command majority (uppercase)",
            ],
            "1 failed to process \"${A:?no}\": A: no",
        ),
        (
            "FROM scratch AS a\nENV a b\nSTOPSIGNAL NOPE\nENV c d\nFROM a AS A",
            &[
                "2 LegacyKeyValueFormat: \"ENV key=value\" should be used instead of legacy \"ENV key value\" format",
                "5 StageNameCasing: Stage name 'A' should be lowercase",
                "5 DuplicateStageName: Duplicate stage name \"a\", stage names should be unique",
            ],
            "3 invalid signal \"NOPE\"",
        ),
        (
            "FROM scratch AS a\nCOPY --from=b x $Y\nCMD z\nFROM scratch AS b",
            &["2 UndefinedVar: Usage of undefined variable '$Y'"],
            "2 cannot use files of the stage \"b\": it needs to be defined before the current stage",
        ),
        (
            "FROM scratch\nCOPY --chmod=9 a b",
            &[],
            "2 invalid chmod parameter: '9'. it should be octal string and between 0 and 07777, or symbolic",
        ),
        (
            "FROM a\nCOPY --from=1 a b\nCMD z",
            &[],
            "2 invalid stage index 1",
        ),
        (
            "ARG a\n",
            &[],
            "1 the file contains no stages to build: it has no FROM",
        ),
        (
            "FROM a\nRUN <<X\nMAINTAINER y",
            &[],
            "2 the here-document X has no end",
        ),
    ] {
        let (found, ends) = findings(text, None);
        assert_eq!(found, warnings, "{text}");
        assert_eq!(ends.as_deref(), Some(failure), "{text}");
    }
    // What an image sets that is not here is not known.
    for text in [
        "FROM a\nEXPOSE $X",
        "FROM a\nENV A=${X:?no}",
        "FROM scratch\nEXPOSE $X",
    ] {
        assert_eq!(findings(text, None), (Vec::new(), None), "{text}");
    }
    assert!(findings("FROM scratch\nENV A=${X:?no}", None).1.is_some());
    assert!(findings("FROM a\nEXPOSE x", None).1.is_some());
}

/// Steps of stages that the target does not need are looked at only when no target is said.
#[test]
fn a_target_says_what_is_looked_at() {
    let text = "FROM scratch AS first\nCOPY $foo .\nFROM scratch AS Second\nCOPY $bar .\n";
    let casing = "3 StageNameCasing: Stage name 'Second' should be lowercase";
    let undefined =
        |line, name| format!("{line} UndefinedVar: Usage of undefined variable '${name}'");
    let (all, _) = findings(text, None);
    assert_eq!(all, [&undefined(2, "foo"), casing, &undefined(4, "bar")]);
    let (some, _) = findings(text, Some("first"));
    assert_eq!(some, [&undefined(2, "foo"), casing]);
    let (some, _) = findings(text, Some(""));
    assert_eq!(some, [casing, &undefined(4, "bar")]);
    let (some, failure) = findings(text, Some("frist"));
    assert_eq!(some, [casing]);
    let reason = "0 target stage \"frist\" could not be found (did you mean first?)";
    assert_eq!(failure.as_deref(), Some(reason));
}

#[test]
fn the_document_is_buildxs() {
    let (file, misread) = Dockerfile::read_so_far("Dockerfile", "FROM a AS B\nX\n");
    let found = check(
        &file,
        misread,
        &CheckDirective::default(),
        &Inputs::default(),
    );
    assert_eq!(
        document(&file, &found.warnings, found.failure.as_ref()),
        serde_json::json!({
            "warnings": [{
                "ruleName": "StageNameCasing",
                "description": "Stage names should be lowercase",
                "url": "https://docs.docker.com/go/dockerfile/rule/stage-name-casing/",
                "detail": "Stage name 'B' should be lowercase",
                "location": {"ranges": [{"start": {"line": 1}, "end": {"line": 1}}]},
            }],
            "sources": [{
                "fileName": "Dockerfile",
                "language": "Dockerfile",
                "data": "RlJPTSBhIEFTIEIKWAo=",
            }],
            "buildError": {
                "message": "unknown instruction: X",
                "location": {"ranges": [{"start": {"line": 2}, "end": {"line": 2}}]},
            },
        })
    );
}
