//! `RUN`: what is executed, in which environment, and what of it stays.

use std::process::Command;

use crate::project::Project;

#[test]
fn what_a_command_does_stays_done() {
    let project = Project::of(
        "FROM busybox\nRUN mkdir /d && echo 1 > /d/a && echo 2 > /d/b && touch /etc/x\n\
         RUN rm /d/a && chown 5:6 /d/b && chmod 4711 /d/b\nRUN rm -rf /d2; mkdir /d2; rm -r /bin/vi\n\
         USER 1000:1000\nRUN id -u > /tmp/id\nUSER root\nRUN rm -rf /d && mkdir /d && touch /d/new\n",
    );
    project.build(&["--target", "0"]).success();
    let found = project.run(
        "ls /d; cat /tmp/id; stat -c %u /tmp/id; test -e /bin/vi || echo gone; ls -d /etc/x /d2",
    );
    assert_eq!(found, "new\n1000\n1000\ngone\n/d2\n/etc/x");
}

/// A step leaves nothing of its own behind: no mount points, no files of the engine.
#[test]
fn a_layer_holds_what_the_command_did() {
    let project = Project::of(
        "FROM scratch\nCOPY --from=busybox /bin/busybox /busybox\nRUN --mount=type=tmpfs,target=/a/b --mount=type=cache,target=/c [\"/busybox\", \"touch\", \"/made\"]\n",
    );
    project
        .build(&["-o", project.sandbox.path().join("out").to_str().unwrap()])
        .success();
    let out = project.sandbox.path().join("out");
    assert_eq!(crate::project::tree(&out), ["busybox", "made"]);
}

#[test]
fn here_documents_are_scripts() {
    let project = Project::of(
        "FROM busybox\nENV X=env\nRUN <<EOF\necho one > /o\necho $X >> /o\nEOF\nRUN <<EOF\n#!/bin/busybox sh\necho script > /w\nEOF\n\
         RUN cat <<A - <<'B' > /m\n$X\nA\nB\nRUN cat <<E >> /m && echo end >> /m\nfrom $X\nE\nRUN [\"/bin/sh\", \"-c\", \"echo '<<EOF' >> /m\"]\n",
    );
    assert_eq!(
        project.sh("cat /o /w /m"),
        "one\nenv\nscript\nfrom env\nend\n<<EOF"
    );
}

#[test]
fn mounts_are_there_and_gone() {
    let project = Project::of(
        "FROM busybox AS tool\nRUN echo tool > /t\n\
         FROM busybox\nRUN --mount=target=/src,rw cat /src/f > /1 && echo changed > /src/f && cat /src/f >> /1\n\
         RUN --mount=from=tool,source=/t,target=/x/t cat /x/t > /2\n\
         RUN --mount=type=tmpfs,target=/tm,size=1m grep -c ' /tm tmpfs' /proc/mounts > /3\n\
         RUN --mount=type=secret,id=key --mount=type=secret,id=key,target=/k,mode=0444,uid=7 --mount=type=secret,id=key,env=KEY \
           test \"$(cat /run/secrets/key)\" = \"$KEY\" && stat -c '%a %u' /run/secrets/key /k > /4\n\
         RUN --mount=type=secret,id=absent test ! -e /run/secrets/absent\n",
    )
    .file("f", "file\n");
    let secret = project.sandbox.path().join("secret");
    std::fs::write(&secret, "hunter2-very-secret").unwrap();
    let flag = format!("id=key,src={}", secret.display());
    let built = project.build(&["--secret", &flag]);
    built.success();
    assert_eq!(
        project.run("cat /1 /2 /3 /4; ls -d /src /x /tm /k /run 2>/dev/null; true"),
        "file\nchanged\ntool\n1\n400 0\n444 7"
    );
    assert_eq!(
        std::fs::read_to_string(project.directory.join("f")).unwrap(),
        "file\n"
    );
    // A secret is nowhere: not in layers, history, cache or what was said.
    assert!(!built.stderr.contains("hunter2"));
    let found = Command::new("grep")
        .args(["-rlF", "hunter2-very-secret"])
        .arg(project.sandbox.data())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(found.stdout).unwrap(), "");
    project.sandbox.assert_nothing_left();
}

#[test]
fn the_environment_of_a_command_is_dockers() {
    let project = Project::of(
        "ARG GLOBAL=g\nFROM busybox AS a\nARG GLOBAL\nARG OWN=o\nARG TARGETARCH TARGETPLATFORM\nENV OWN=env\nWORKDIR /w/x\nWORKDIR y\n\
         RUN echo $GLOBAL-$OWN-$TARGETPLATFORM-$PWD-$HTTP_PROXY-$HOME > /e\nFROM a\nRUN echo $GLOBAL >> /e\n",
    );
    project
        .build(&[
            "--build-arg",
            "OWN=arg",
            "--build-arg",
            "HTTP_PROXY=http://p",
        ])
        .success();
    let platform = project.config("{{.Os}}/{{.Architecture}}");
    assert_eq!(
        project.run("cat /e"),
        format!("g-env-{platform}-/w/x/y-http://p-/root\ng")
    );
    let history = project
        .sandbox
        .berth(&["history", "--no-trunc", "t"])
        .success();
    assert!(
        !history.contains("http://p"),
        "proxies leave no trace\n{history}"
    );
    assert!(!project.config("{{json .Config.Env}}").contains("GLOBAL"));
}

#[test]
fn networks_and_limits_are_as_asked() {
    let project = Project::of(
        "FROM busybox\nRUN --network=none ls /sys/class/net > /n\nRUN grep 'open files' /proc/self/limits | tr -s ' ' > /l; grep named /etc/hosts > /h; df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2 > /s\n",
    );
    project
        .build(&[
            "--network",
            "none",
            "--ulimit",
            "nofile=77:99",
            "--add-host",
            "named:10.9.8.7",
            "--shm-size",
            "2m",
        ])
        .success();
    assert_eq!(
        project.run("cat /n /l /s; tr -s '\\t ' ' ' < /h"),
        "lo\nMax open files 77 99 files \n2048\n10.9.8.7 named"
    );
}

/// Whoever reads a stage has many files open, and its commands the limit that the builder was started with.
#[test]
fn a_low_limit_of_open_files_holds_for_commands_alone() {
    let deep = "a/b/c/d/e/f/g/h/i/j";
    let layers: String = (0..12)
        .map(|number| format!("COPY f /{deep}/{number}\n"))
        .collect();
    let project = Project::of(&format!(
        "FROM busybox\n{layers}FROM busybox\nRUN ulimit -Sn > /n; ulimit -Hn >> /n\nCOPY --from=0 /a /a\n"
    ))
    .file("f", "x");
    let context = project.directory.to_str().unwrap();
    let build = project.sandbox.command(&["build", "-t", "t", context]);
    let variables = build
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)));
    let limited = Command::new("prlimit")
        .arg("--nofile=64:4096")
        .arg(build.get_program())
        .args(build.get_args())
        .env_clear()
        .envs(variables)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&limited.stderr);
    assert!(limited.status.success(), "{said}");
    let found = project.run(&format!("cat /n; ls /{deep} | wc -l"));
    assert_eq!(found, "64\n4096\n12");
}

#[test]
fn triggers_wait_for_the_image_that_is_made_from_this_one() {
    let project = Project::of(
        "FROM busybox\nONBUILD COPY f /f\nONBUILD RUN echo triggered > /t\nRUN test ! -e /t\n",
    )
    .file("f", "F");
    project.build(&[]).success();
    assert_eq!(
        project.config("{{json .Config.OnBuild}}"),
        "[\"COPY f /f\",\"RUN echo triggered \\u003e /t\"]".replace("\\u003e", ">")
    );
    project.sandbox.berth(&["tag", "t", "parent"]).success();
    project.write("Dockerfile", "FROM parent\n");
    assert_eq!(project.sh("cat /f /t"), "Ftriggered");
    assert!(!project.config("{{json .Config.OnBuild}}").contains("COPY"));
}

/// `BuildKit` has one set of variables: what stands last counts, for a command as for the file. The image's own
/// environment is what `ENV` says.
#[test]
fn the_last_of_arguments_and_environment_counts() {
    let project = Project::of(
        "FROM busybox\nARG A=arg\nENV A=env\nENV B=env\nARG B=arg NONE EMPTY=\nARG C=arg\nRUN echo $A $B $C ${NONE-unset} ${EMPTY-unset} > /e\nENV C=$A-$B-$C\nRUN echo $C >> /e\n",
    );
    project
        .build(&["--build-arg", "A=given", "--build-arg", "B=given"])
        .success();
    assert_eq!(
        project.run("cat /e; echo $B"),
        "env given arg unset\nenv-given-arg\nenv"
    );
    let history = project
        .sandbox
        .berth(&["history", "--no-trunc", "--format", "{{.CreatedBy}}", "t"])
        .success();
    let told = "RUN |5 A=env B=given NONE= EMPTY= C=arg /bin/sh -c echo $A";
    assert!(history.contains(told), "{history}");
}

/// A proxy is known by both of its names, wherever it comes from, and leaves no trace.
#[test]
fn proxies_are_known_by_both_of_their_names() {
    let project = Project::of("FROM busybox\nRUN env | grep -i _proxy | sort > /p\n");
    project
        .build(&[
            "--build-arg",
            "http_proxy=lower",
            "--build-arg",
            "NO_PROXY=upper",
        ])
        .success();
    let given = "HTTP_PROXY=lower\nNO_PROXY=upper\nhttp_proxy=lower\nno_proxy=upper";
    assert_eq!(project.run("cat /p"), given);
    let folder = project.sandbox.path().join(".docker");
    std::fs::create_dir(&folder).unwrap();
    let config = serde_json::json!({ "proxies": { "default": {
        "httpProxy": "http://of.config:1", "noProxy": "inside.test",
    } } });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    project
        .build(&["--no-cache", "--build-arg", "HTTP_PROXY=mine"])
        .success();
    assert_eq!(
        project.run("cat /p"),
        "HTTP_PROXY=mine\nNO_PROXY=inside.test\nhttp_proxy=http://of.config:1\nno_proxy=inside.test"
    );
    let about = project.config("{{json .Config.Env}}");
    assert!(!about.to_lowercase().contains("proxy"), "{about}");
    // Other proxies make no other result.
    let again = project.build(&["--build-arg", "HTTP_PROXY=other"]);
    assert_eq!(crate::project::cached(&again), 1, "{again}");
}

#[test]
fn the_stage_that_is_built_and_the_sandbox_have_names() {
    let project = Project::of(
        "FROM busybox AS base\nRUN echo ${TARGETSTAGE-unset} > /n\nARG TARGETSTAGE\nRUN echo $TARGETSTAGE >> /n; hostname > /h\n\
         FROM base AS one\nFROM base\n",
    );
    let build = |flags: &[&str]| {
        project.build(flags).success();
        project.run("cat /n")
    };
    assert_eq!(build(&["--target", "one"]), "unset\none");
    assert_eq!(build(&[]), "unset\ndefault");
    project
        .build(&["--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=sandbox"])
        .success();
    assert_eq!(project.run("cat /h"), "sandbox");
}

/// A CDI file that goes with the test.
struct Description(std::path::PathBuf);

impl Drop for Description {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

#[test]
fn devices_are_given_by_name_when_they_are_allowed() {
    let project = Project::new();
    let kind = format!("berth{}.build/disk", std::process::id());
    let directory = std::path::Path::new("/var/run/cdi");
    std::fs::create_dir_all(directory).unwrap();
    let path = directory.join(format!("berth-build-{}.json", std::process::id()));
    let device = |name: &str, annotations: serde_json::Value| {
        serde_json::json!({
            "name": name, "annotations": annotations, "containerEdits": {
                "deviceNodes": [{"path": format!("/dev/{name}"), "hostPath": "/dev/full", "permissions": "rw"}],
                "env": [format!("GIVEN_{name}=yes")],
            },
        })
    };
    let free = serde_json::json!({ "org.mobyproject.buildkit.device.autoallow": "true" });
    let text = serde_json::json!({
        "cdiVersion": "0.6.0", "kind": kind,
        "devices": [device("one", serde_json::json!({})), device("two", free)],
    });
    std::fs::write(&path, text.to_string()).unwrap();
    let _described = Description(path);
    project.write(
        "Dockerfile",
        &format!(
            "FROM busybox\nRUN --device={kind}=one,required --device=name=other.test/x echo x > /dev/one; \
             echo $GIVEN_one > /g; test ! -e /dev/two\nRUN test ! -e /dev/one\n"
        ),
    );
    let refused = project.build(&[]).status(1);
    let hint = format!("berth build --allow device={kind}=one");
    assert!(refused.stderr.contains(&hint), "{refused}");
    for right in [
        "device",
        &format!("device={kind}"),
        &format!("device={kind}=one"),
    ] {
        let built = project.build(&["--no-cache", "--progress", "plain", "--allow", right]);
        built.success();
        assert!(built.stderr.contains("No space left on device"), "{built}");
        assert!(
            built.stderr.contains("there is no device other.test/x"),
            "{built}"
        );
        assert_eq!(project.run("cat /g"), "yes");
    }
    project.write(
        "Dockerfile",
        &format!("FROM busybox\nRUN --device={kind}=two echo $GIVEN_two > /g\n"),
    );
    assert_eq!(project.sh("cat /g"), "yes");
    project.write(
        "Dockerfile",
        "FROM busybox\nRUN --device=other.test/x,required true\n",
    );
    let missing = project.build(&["--allow", "device"]).status(1);
    assert!(
        missing
            .stderr
            .contains("cannot give the device other.test/x"),
        "{missing}"
    );
}

/// What a Dockerfile asks for beyond the ordinary has to be allowed by who builds it.
#[test]
fn the_hosts_network_has_to_be_allowed() {
    let project = Project::of("FROM busybox\nRUN --network=host readlink /proc/self/ns/net > /n\n");
    let refused = project.build(&[]).status(1);
    assert!(refused.stderr.contains("--allow network.host"), "{refused}");
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    for flags in [["--allow", "network.host"], ["--network", "host"]] {
        project.build(&flags).success();
        assert_eq!(project.run("cat /n"), own.display().to_string());
    }
}

/// The agent's socket belongs to who builds; the step sees one that is as the mount says.
#[test]
fn agents_are_passed_on_as_the_mount_says() {
    let project = Project::of(
        "FROM busybox\nUSER 1000\nRUN --mount=type=ssh,mode=0620,uid=1000,gid=7,target=/agent stat -c '%a %u %g %F' /agent > /tmp/s; \
         echo $SSH_AUTH_SOCK >> /tmp/s\nRUN --mount=type=ssh stat -c '%a %u' $SSH_AUTH_SOCK >> /tmp/s\n",
    );
    let path = project.sandbox.path().join("agent");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let built = project.build(&["--ssh", &format!("default={}", path.display())]);
    built.success();
    assert_eq!(
        project.run("cat /tmp/s"),
        "620 1000 7 socket\n/agent\n600 0"
    );
    project.sandbox.assert_nothing_left();
}
