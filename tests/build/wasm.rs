//! Wasm images, wasm artifacts, and wasm tools as steps.

use berth_testkit::{Kind, Twin};

use crate::project::Project;

fn with_module(dockerfile: &str) -> Option<Project> {
    let twin = Twin::new(Kind::Wasm, "echo");
    let project = Project::of(dockerfile);
    std::fs::write(project.directory.join("app.wasm"), twin.program()).unwrap();
    Some(project)
}

#[test]
fn a_module_from_scratch_is_a_wasm_image() {
    let Some(project) = with_module(
        "FROM scratch\nARG TARGETPLATFORM\nLABEL p=$TARGETPLATFORM\nCOPY app.wasm /app.wasm\nENTRYPOINT [\"/app.wasm\"]\n",
    ) else {
        return;
    };
    project.build(&["--platform", "wasi/wasm"]).success();
    assert_eq!(
        project.config("{{.Os}}/{{.Architecture}} {{.Config.Labels.p}} {{.Config.Env}}"),
        "wasi/wasm wasi/wasm []"
    );
    let words = ["run", "--rm", "--network", "none", "t", "hello", "wasm"];
    assert!(project.sandbox.berth(&words).success().contains("hello"));
    project
        .build(&["--platform", "wasi/wasm", "-o", "type=wasm"])
        .success();
    assert!(project.sandbox.berth(&words).success().contains("hello"));
    project.sandbox.assert_nothing_left();
}

#[test]
fn one_file_makes_an_index_for_both() {
    let Some(project) = with_module(
        "FROM busybox AS linux\nCMD [\"echo\", \"native\"]\nFROM scratch AS wasi\nCOPY app.wasm /app.wasm\nENTRYPOINT [\"/app.wasm\", \"wasm\"]\nARG TARGETOS\nFROM wasi\n",
    ) else {
        return;
    };
    project.write(
        "Dockerfile",
        "ARG TARGETOS\nFROM busybox AS for-linux\nCMD [\"echo\", \"native\"]\nFROM scratch AS for-wasi\nCOPY app.wasm /app.wasm\nENTRYPOINT [\"/app.wasm\", \"wasm\"]\nFROM for-$TARGETOS\n",
    );
    project
        .build(&["--platform", "linux/amd64,wasi/wasm"])
        .success();
    let run = |platform: &str| {
        project
            .sandbox
            .berth(&[
                "run",
                "--rm",
                "--network",
                "none",
                "--platform",
                platform,
                "t",
            ])
            .success()
    };
    assert_eq!(run("linux/amd64"), "native");
    assert!(run("wasi/wasm").contains("wasm"));
}

#[test]
fn a_wasm_tool_is_run_as_a_step() {
    let Some(project) = with_module(
        "FROM busybox\nCOPY app.wasm /app.wasm\nRUN [\"/app.wasm\", \"from\", \"wasm\"]\n",
    ) else {
        return;
    };
    let built = project.build(&[]);
    built.success();
    assert!(built.stderr.contains("from"), "{built}");
}
