//! The idioms of real projects, with local stand-ins for what they fetch.

use crate::project::Project;

#[test]
fn a_compiled_program_in_a_small_image() {
    let project = Project::of(
        "# syntax=docker/dockerfile:1\nARG TOOLCHAIN=busybox\nFROM --platform=$BUILDPLATFORM ${TOOLCHAIN} AS build\nARG TARGETOS TARGETARCH VERSION=dev\n\
         WORKDIR /src\nCOPY go.mod go.sum* ./\nRUN --mount=type=cache,target=/root/.cache cat go.mod > /root/.cache/deps\nCOPY . .\n\
         RUN --mount=type=cache,target=/root/.cache set -eux; \\\n    # a comment within\n    mkdir -p /out; \\\n    printf '#!/bin/sh\\necho %s %s\\n' \"$VERSION\" \"$TARGETOS\" > /out/app; \\\n    chmod +x /out/app\n\
         FROM busybox\nRUN echo 'app:x:10001:10001::/:/bin/sh' >> /etc/passwd && echo 'app:x:10001:' >> /etc/group && mkdir -p /data && chown app:app /data\nCOPY --from=build --chown=app:app /out/app /bin/app\nUSER app\nVOLUME [\"/data\"]\nEXPOSE 8080\n\
         HEALTHCHECK --interval=30s --timeout=3s CMD wget -q -O- http://localhost:8080/ || exit 1\nSTOPSIGNAL SIGQUIT\nENTRYPOINT [\"app\"]\nCMD [\"--serve\"]\n",
    )
    .file("go.mod", "module x\n")
    .file("main.go", "package main\n")
    .file(".dockerignore", ".git\n**/node_modules\n");
    project.build(&["--build-arg", "VERSION=1.2"]).success();
    let run = project
        .sandbox
        .berth(&["run", "--rm", "--network", "none", "t"])
        .success();
    assert_eq!(run, "1.2 linux");
    assert_eq!(
        project.config("{{.Config.User}} {{json .Config.Cmd}} {{json .Config.Entrypoint}} {{json .Config.ExposedPorts}} {{.Config.StopSignal}} {{json .Config.Volumes}}"),
        "app [\"--serve\"] [\"app\"] {\"8080/tcp\":{}} SIGQUIT {\"/data\":{}}"
    );
}

#[test]
fn an_interpreter_with_installed_packages() {
    let project = Project::of(
        "FROM busybox AS base\nENV LANG=C.UTF-8 \\\n    PATH=\"/opt/venv/bin:$PATH\"\nSHELL [\"/bin/sh\", \"-o\", \"pipefail\", \"-euxc\"]\n\
         FROM base AS deps\nCOPY requirements.txt /tmp/\nRUN mkdir -p /opt/venv/bin \\\n && while read -r p; do printf '#!/bin/sh\\necho %s\\n' \"$p\" > /opt/venv/bin/$p; done < /tmp/requirements.txt \\\n && chmod -R +x /opt/venv/bin && rm -rf /tmp/*\n\
         FROM base AS test\nCOPY --from=deps /opt/venv /opt/venv\nRUN flask | grep -q flask\n\
         FROM base\nLABEL org.opencontainers.image.source=https://example.org/x \\\n      maintainer=\"A B <a@b>\"\nCOPY --link --from=deps /opt/venv /opt/venv\nCOPY docker-entrypoint.sh /bin/\nENTRYPOINT [\"docker-entrypoint.sh\"]\nCMD [\"flask\"]\n",
    )
    .file("requirements.txt", "flask\ngunicorn\n")
    .file("docker-entrypoint.sh", "#!/bin/sh\nset -e\nif [ \"$1\" = flask ]; then echo starting; fi\nexec \"$@\"\n");
    project.mode("docker-entrypoint.sh", 0o755);
    project.build(&["--target", "test"]).success();
    project.build(&[]).success();
    assert_eq!(
        project
            .sandbox
            .berth(&["run", "--rm", "--network", "none", "t"])
            .success(),
        "starting\nflask"
    );
    assert_eq!(project.config("{{.Config.Labels.maintainer}}"), "A B <a@b>");
    assert!(
        project
            .config("{{json .Config.Env}}")
            .contains("PATH=/opt/venv/bin:/usr/local/sbin")
            || project
                .config("{{json .Config.Env}}")
                .contains("PATH=/opt/venv/bin:")
    );
}

#[test]
fn history_tells_every_step() {
    let project = Project::of(
        "FROM busybox\nARG A=1\nENV B=2\nRUN echo $A\nCOPY f /f\nWORKDIR /w\nCMD [\"x\"]\n",
    )
    .file("f", "");
    project.build(&[]).success();
    let history = project
        .sandbox
        .berth(&["history", "--no-trunc", "--format", "{{.CreatedBy}}", "t"])
        .success();
    let lines: Vec<&str> = history.lines().take(6).collect();
    assert_eq!(
        lines,
        [
            "CMD [\"x\"]",
            "WORKDIR /w",
            "COPY f /f # buildkit",
            "RUN |1 A=1 /bin/sh -c echo $A # buildkit",
            "ENV B=2",
            "ARG A=1"
        ]
    );
}
