//! `--verify cosign` on the command line, with signatures that openssl makes.

use std::process::{Command, Stdio};

use berth_testkit::{Sandbox, available};

use crate::imagetools::Served;

/// Runs openssl in the sandbox; says whether it is there and did it.
fn openssl(sandbox: &Sandbox, arguments: &[&str]) -> bool {
    let mut command = Command::new("openssl");
    command.args(arguments).current_dir(sandbox.path());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Makes `cosign.key` and `cosign.pub`.
fn keys(sandbox: &Sandbox) {
    let curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let make = [&["genpkey", "-out", "cosign.key"], &curve[..]].concat();
    assert!(openssl(sandbox, &make));
    let show = ["pkey", "-in", "cosign.key", "-pubout", "-out", "cosign.pub"];
    assert!(openssl(sandbox, &show));
}

const VERIFY: [&str; 4] = ["--verify", "cosign", "--cosign-key", "cosign.pub"];

#[test]
fn only_what_is_signed_runs() {
    if !available("only_what_is_signed_runs", "openssl") {
        return;
    }
    let shore = Sandbox::with_busybox();
    keys(&shore);
    let served = Served::start(&shore);
    let repository = format!("{}/team/box", served.address);
    let image = format!("{repository}:1");
    let push = ["push", "-q", "--digestfile", "digest", "busybox", &image];
    shore.berth(&push).success();
    let digest = std::fs::read_to_string(shore.path().join("digest")).unwrap();
    let digest = digest.trim();
    let run = [
        &["run", "--rm", "-q"],
        &VERIFY[..],
        &[&image, "echo", "trusted"],
    ]
    .concat();
    let unsigned = shore.berth(&run).replace(&served.address, "[REGISTRY]");
    insta::assert_snapshot!(unsigned.replace(digest, "[DIGEST]"), @"
    exit: 125
    --- stdout ---
    --- stderr ---
    error: cannot verify the signature of [REGISTRY]/team/box:1
    caused by: nobody has signed [DIGEST]
    ");
    // It is here, and without the flag it runs.
    assert_eq!(
        shore
            .berth(&["run", "--rm", &image, "echo", "here"])
            .success(),
        "here"
    );
    assert_eq!(
        shore.berth(&run).status,
        125,
        "what is here is verified too"
    );

    let payload = format!(
        r#"{{"critical":{{"identity":{{"docker-reference":""}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"cosign container image signature"}},"optional":null}}"#
    );
    std::fs::write(shore.path().join("payload"), payload).unwrap();
    let sign = [
        "dgst",
        "-sha256",
        "-sign",
        "cosign.key",
        "-out",
        "signature",
        "payload",
    ];
    assert!(openssl(&shore, &sign));
    assert!(openssl(
        &shore,
        &["base64", "-A", "-in", "signature", "-out", "text"]
    ));
    let text = std::fs::read_to_string(shore.path().join("text")).unwrap();
    let note = format!("dev.cosignproject.cosign/signature={}", text.trim());
    let name = format!("{repository}:{}.sig", digest.replace(':', "-"));
    let kind = "application/vnd.dev.cosign.simplesigning.v1+json";
    shore
        .berth(&[
            "artifact",
            "add",
            "--file-type",
            kind,
            "--annotation",
            &note,
            &name,
            "payload",
        ])
        .success();
    shore.berth(&["artifact", "push", "-q", &name]).success();
    assert_eq!(shore.berth(&run).success(), "trusted");
    let pull = [&["pull", "-q"], &VERIFY[..], &[&image]].concat();
    assert_eq!(shore.berth(&pull).success(), image);
    let none = ["run", "--rm", "--verify", "none", &image, "echo", "here"];
    assert_eq!(shore.berth(&none).success(), "here");
}

#[test]
fn a_signature_that_cannot_be_verified_is_refused() {
    if !available("a_signature_that_cannot_be_verified_is_refused", "openssl") {
        return;
    }
    let sandbox = Sandbox::new();
    keys(&sandbox);
    std::fs::write(sandbox.path().join("app.wasm"), b"\0asm\x01\0\0\0").unwrap();
    let mut screens = String::new();
    for arguments in [
        &["pull", "--verify", "cosign", "a"][..],
        &["pull", "--cosign-key", "cosign.pub", "a"],
        &[&["pull"], &VERIFY[..3], &["cosign.key", "a"]].concat(),
        &[&["pull"], &VERIFY[..], &["oci:./place"]].concat(),
        &[&["run"], &VERIFY[..], &["./app.wasm"]].concat(),
        &[&["create"], &VERIFY[..], &["--rootfs", "/", "true"]].concat(),
        &[&["run"], &VERIFY[..], &["oci:./place"]].concat(),
        &[&["--offline", "run"], &VERIFY[..], &["hello"]].concat(),
    ] {
        let screen = sandbox.berth(arguments);
        screens += &format!("$ {}\n{screen}\n\n", arguments.join(" "));
    }
    insta::assert_snapshot!(screens.trim_end(), @"
    $ pull --verify cosign a
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot verify a signature without a key

    hint: add --cosign-key cosign.pub


    $ pull --cosign-key cosign.pub a
    exit: 1
    --- stdout ---
    --- stderr ---
    error: --cosign-key means nothing where no signature is verified

    hint: add --verify cosign


    $ pull --verify cosign --cosign-key cosign.key a
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot use the key cosign.key
    caused by: it is no public key in PEM

    hint: give the file cosign.pub


    $ pull --verify cosign --cosign-key cosign.pub oci:./place
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot verify a signature of oci:./place
    caused by: only images of registries are signed

    hint: leave --verify away


    $ run --verify cosign --cosign-key cosign.pub ./app.wasm
    exit: 125
    --- stdout ---
    --- stderr ---
    error: cannot verify a signature of ./app.wasm
    caused by: only images of registries are signed

    hint: leave --verify away


    $ create --verify cosign --cosign-key cosign.pub --rootfs / true
    exit: 125
    --- stdout ---
    --- stderr ---
    error: cannot verify a signature of /
    caused by: only images of registries are signed

    hint: leave --verify away


    $ run --verify cosign --cosign-key cosign.pub oci:./place
    exit: 125
    --- stdout ---
    --- stderr ---
    error: cannot verify a signature of oci:./place
    caused by: only images of registries are signed

    hint: leave --verify away


    $ --offline run --verify cosign --cosign-key cosign.pub hello
    exit: 125
    --- stdout ---
    --- stderr ---
    error: no such image: docker.io/library/hello:latest
    caused by: it is not here, and --offline forbids to fetch it
    ");
}
