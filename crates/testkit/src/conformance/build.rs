//! Steps of a build.

use crate::{Kind, Sandbox, Twin};

/// `RUN` executes a program in the stage's root: what it wrote is in the image, and its failure is the build's.
pub fn build_steps_run_in_the_stages_root(kind: Kind) {
    let sandbox = Sandbox::new();
    let context = sandbox.path().join("context");
    std::fs::create_dir(&context).expect("a directory can be made");
    let write = |name: &str, content: &[u8]| {
        std::fs::write(context.join(name), content).expect("the context can be written");
    };
    write("program", &Twin::new(kind, "writes-file").program());
    let (made, context) = (sandbox.path().join("made"), context.display().to_string());
    let output = format!("type=local,dest={}", made.display());
    let build = |path: &str| {
        let step = format!("COPY --chmod=755 program /program\nRUN [\"/program\", \"{path}\"]");
        let text =
            format!("FROM scratch AS made\n{step}\nFROM scratch\nCOPY --from=made {path} /\n");
        write("Dockerfile", text.as_bytes());
        sandbox.berth(&["build", "-o", &output, &context])
    };
    build("/out").success();
    let written = std::fs::read_to_string(made.join("out")).expect("the step's file is here");
    assert_eq!(written, "written by the guest\n");

    let failed = build("/nowhere/out");
    assert_eq!(failed.status, 1, "{failed}");
    assert!(failed.stderr.contains("exit code: 1"), "{failed}");
    sandbox.assert_nothing_left();
}
