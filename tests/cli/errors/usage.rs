//! Words that mean nothing: flags, values, signals, verbs, and containers that do not exist.

use berth_testkit::Sandbox;

use super::refused;

#[test]
#[expect(clippy::too_many_lines, reason = "its lines are the screens")]
fn bad_values_of_flags() {
    let sandbox = Sandbox::with_busybox();
    let mistakes: [&[&str]; 14] = [
        &["-m", "lots"],
        &["-m", "1m"],
        &["--cpus", "1000"],
        &["--cpus", "-1"],
        &["-p", "70000:80"],
        &["-p", "80:80:80:80"],
        &["-v", "relative/path:/x"],
        &["-v", "/a:/b:bogus"],
        &["--mount", "type=bind,target=/x"],
        &["--network", "container:nobody"],
        &["--ulimit", "nofile"],
        &["--cap-add", "FLY"],
        &["--restart", "sometimes"],
        &["--user", "4294967296"],
    ];
    let mut screens = String::new();
    for mistake in mistakes {
        let arguments = [&["run", "--rm"], mistake, &["busybox", "true"]].concat();
        let processors = std::thread::available_parallelism().unwrap();
        let screen = refused(&sandbox, &arguments)
            .replace(&format!("to {processors}.00"), "to [CPUS]")
            .replace(&format!("only {processors} CPU"), "only [CPUS] CPU");
        screens.push_str(&format!("run {}\n{screen}\n", mistake.join(" ")));
    }
    insta::assert_snapshot!(screens, @r#"
    run -m lots
    exit: 125
    --- stdout ---
    --- stderr ---
    error: invalid value "lots" for --memory
    caused by: it must be a number of bytes such as 512, 64m or 1.5g

    run -m 1m
    exit: 125
    --- stdout ---
    --- stderr ---
    error: the minimum memory limit is 6MB

    run --cpus 1000
    exit: 125
    --- stdout ---
    --- stderr ---
    error: --cpus goes from 0.01 to [CPUS], as there are only [CPUS] CPUs available

    run --cpus -1
    exit: 125
    --- stdout ---
    --- stderr ---
    error: invalid value "-1" for --cpus
    caused by: it must be a number such as 0.5 or 2

    run -p 70000:80
    exit: 125
    --- stdout ---
    --- stderr ---
    error: invalid value "70000:80" for --publish
    caused by: "70000" is no port number

    run -p 80:80:80:80
    exit: 125
    --- stdout ---
    --- stderr ---
    error: invalid value "80:80:80:80" for --publish
    caused by: an IPv6 address stands in brackets: [::1]:8080:80

    run -v relative/path:/x
    exit: 125
    --- stdout ---
    --- stderr ---
    error: invalid volume name "relative/path"
    caused by: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed

    hint: to mount a directory of the host, write its absolute path

    run -v /a:/b:bogus
    exit: 125
    --- stdout ---
    --- stderr ---
    error: invalid volume "/a:/b:bogus"
    caused by: "bogus" is no option of a volume

    hint: write it as [SOURCE:]DESTINATION[:OPTIONS]

    run --mount type=bind,target=/x
    exit: 125
    --- stdout ---
    --- stderr ---
    error: invalid value "type=bind,target=/x" for --mount
    caused by: the field source is missing

    run --network container:nobody
    exit: 125
    --- stdout ---
    --- stderr ---
    error: no such container: nobody

    hint: berth ps -a

    run --ulimit nofile
    exit: 125
    --- stdout ---
    --- stderr ---
    error: invalid value "nofile" for --ulimit
    caused by: it must be NAME=SOFT[:HARD]

    run --cap-add FLY
    exit: 125
    --- stdout ---
    --- stderr ---
    error: unknown capability "FLY"

    hint: man 7 capabilities lists them; write NET_ADMIN or CAP_NET_ADMIN

    run --restart sometimes
    exit: 125
    --- stdout ---
    --- stderr ---
    error: invalid value "sometimes" for --restart
    caused by: it must be no, always, unless-stopped or on-failure[:TIMES]

    run --user 4294967296
    exit: 125
    --- stdout ---
    --- stderr ---
    error: invalid user id 4294967296
    caused by: ids go from 0 to 2147483647
    "#);
}

#[test]
fn bad_signals() {
    let sandbox = Sandbox::with_busybox();
    sandbox.sleeper("up");
    insta::assert_snapshot!(sandbox.berth(&["kill", "-s", "SIGFOO", "up"]), @r#"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: invalid signal "SIGFOO"

    hint: use a name such as SIGTERM or a number from 1 to 64
    "#);
    insta::assert_snapshot!(sandbox.berth(&["stop", "-s", "99", "up"]), @r#"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: invalid signal "99"

    hint: use a name such as SIGTERM or a number from 1 to 64
    "#);
    assert_eq!(sandbox.inspect("up", "{{.State.Running}}"), "true");
}

#[test]
fn unknown_verbs_and_flags() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(sandbox.berth(&["rum", "busybox"]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: unknown command berth rum

    hint: did you mean berth run?
    ");
    insta::assert_snapshot!(sandbox.berth(&["swarm", "init"]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: berth has no swarm
    caused by: it runs the containers of one host; clusters are the business of others
    ");
    insta::assert_snapshot!(sandbox.berth(&["run", "--interactiv", "busybox"]), @"
    exit: 125
    --- stdout ---
    --- stderr ---
    error: unknown flag --interactiv of berth run

    hint: did you mean --interactive?
    ");
    insta::assert_snapshot!(sandbox.berth(&["ps", "--frobnicate"]), @"
    exit: 125
    --- stdout ---
    --- stderr ---
    error: unknown flag --frobnicate of berth ps

    hint: berth ps --help lists the flags
    ");
    insta::assert_snapshot!(sandbox.berth(&["run"]), @"
    exit: 125
    --- stdout ---
    --- stderr ---
    error: berth run needs IMAGE

    hint: usage: berth run [OPTIONS] IMAGE [COMMAND] [ARG...]
    ");
}

#[test]
#[expect(clippy::too_many_lines, reason = "its lines are the screens")]
fn containers_that_are_not_there() {
    let sandbox = Sandbox::new();
    let mut screens = String::new();
    for arguments in [
        &["start", "nobody"][..],
        &["stop", "nobody"],
        &["rm", "nobody"],
        &["rm", "-f", "nobody"],
        &["logs", "nobody"],
        &["exec", "nobody", "true"],
        &["attach", "nobody"],
        &["wait", "nobody"],
        &["inspect", "nobody"],
        &["port", "nobody"],
        &["rename", "nobody", "somebody"],
    ] {
        screens.push_str(&format!(
            "{}\n{}\n",
            arguments.join(" "),
            sandbox.berth(arguments)
        ));
    }
    insta::assert_snapshot!(screens, @"
    start nobody
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such container: nobody

    hint: berth ps -a

    stop nobody
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such container: nobody

    hint: berth ps -a

    rm nobody
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such container: nobody

    hint: berth ps -a

    rm -f nobody
    exit: 0
    --- stdout ---
    --- stderr ---

    logs nobody
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such container: nobody

    hint: berth ps -a

    exec nobody true
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such container: nobody

    hint: berth ps -a

    attach nobody
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such container: nobody

    hint: berth ps -a

    wait nobody
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such container: nobody

    hint: berth ps -a

    inspect nobody
    exit: 1
    --- stdout ---
    []
    --- stderr ---
    error: no such object: nobody

    hint: berth ps -a lists the containers, berth images the images

    port nobody
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such container: nobody

    hint: berth ps -a

    rename nobody somebody
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such container: nobody

    hint: berth ps -a
    ");
}

#[test]
fn words_that_say_nothing() {
    let sandbox = Sandbox::with_busybox();
    insta::assert_snapshot!(refused(&sandbox, &["run", "--rm", "busybox", ""]), @"
    exit: 127
    --- stdout ---
    --- stderr ---
    error: cannot run a program without a name
    caused by: the command is an empty word
    ");
    insta::assert_snapshot!(refused(&sandbox, &["logs"]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: berth logs needs CONTAINER

    hint: usage: berth logs [OPTIONS] CONTAINER [CONTAINER...]
    ");
    insta::assert_snapshot!(refused(&sandbox, &["stop", "-t", "soon", "x"]), @r#"
    exit: 125
    --- stdout ---
    --- stderr ---
    error: invalid value "soon" for --timeout
    caused by: it must be a whole number
    "#);
}
