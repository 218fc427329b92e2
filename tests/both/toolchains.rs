//! Wasm from real toolchains runs unmodified: Rust for WASI preview 1 and 2, and Go.

use std::process::Command;

use berth_testkit::{Sandbox, skip};

/// Compiles the programs of `tests/toolchains`, once for all tests, and returns one of them.
fn program(test: &str, name: &str) -> Option<Vec<u8>> {
    let target = berth_testkit::twins().parent()?.join("toolchains");
    let lock = std::fs::create_dir_all(&target)
        .and_then(|()| std::fs::File::create(target.join("lock")))
        .expect("the target folder is writable");
    lock.lock().expect("a file can be locked");
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/toolchains/make.sh"
    );
    let output = Command::new(script)
        .arg(&target)
        .output()
        .expect("the script starts");
    let path = target.join(format!("{name}.wasm"));
    if path.exists() {
        return std::fs::read(path).ok();
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let last = complaint.lines().last().unwrap_or("no reason given");
    skip(
        test,
        &format!("the toolchain is not to be had here: {last}"),
    );
    None
}

fn run(test: &str, name: &str, arguments: &[&str]) -> Option<berth_testkit::Screen> {
    let sandbox = Sandbox::new();
    let file = sandbox.path().join("guest.wasm");
    std::fs::write(&file, program(test, name)?).expect("the sandbox is writable");
    let run = [
        "run",
        "--rm",
        "-e",
        "GREETING=hi",
        "--tmpfs",
        "/data",
        "./guest.wasm",
    ];
    Some(sandbox.berth(&[&run, arguments].concat()))
}

#[test]
fn rust_for_preview_1() {
    let Some(screen) = run("rust_for_preview_1", "rust-p1", &["one", "two words"]) else {
        return;
    };
    insta::assert_snapshot!(screen, @r#"
    exit: 0
    --- stdout ---
    rust got ["one", "two words"]
    GREETING=hi
    read back: rust was here
    clock runs: true
    --- stderr ---
    "#);
}

#[test]
fn rust_for_preview_2() {
    let Some(screen) = run("rust_for_preview_2", "rust-p2", &["fail"]) else {
        return;
    };
    insta::assert_snapshot!(screen, @r#"
    exit: 1
    --- stdout ---
    rust got ["fail"]
    GREETING=hi
    read back: rust was here
    clock runs: true
    --- stderr ---
    "#);
}

#[test]
fn go_for_preview_1() {
    let Some(screen) = run("go_for_preview_1", "go", &["fail"]) else {
        return;
    };
    insta::assert_snapshot!(screen, @r"
    exit: 5
    --- stdout ---
    go got [fail]
    GREETING=hi
    read back: go was here
    goroutines: 42
    --- stderr ---
    ");
}

/// Puts the commands and the service of WASI 0.2 and 0.3 into a sandbox.
fn commands(test: &str) -> Option<Sandbox> {
    let sandbox = Sandbox::new();
    for name in ["p2-command", "p3-command", "p3-service"] {
        let file = sandbox.path().join(format!("{name}.wasm"));
        std::fs::write(file, program(test, name)?).expect("the sandbox is writable");
    }
    Some(sandbox)
}

#[test]
fn commands_of_wasi_3() {
    let Some(sandbox) = commands("commands_of_wasi_3") else {
        return;
    };
    let run = |arguments: &[&str]| {
        let run = [
            "run",
            "--rm",
            "--network",
            "none",
            "-e",
            "A=1",
            "-i",
            "./p3-command.wasm",
        ];
        sandbox.berth_with_input(&[&run, arguments].concat(), b"from outside")
    };
    insta::assert_snapshot!(run(&["about"]), @r#"
    exit: 0
    --- stdout ---
    ["p3-command.wasm", "about"]
    [("A", "1")]
    None
    ["/"]
    --- stderr ---
    "#);
    assert_eq!(run(&["exit", "7"]).status, 7);
    assert_eq!(run(&["fail"]).status, 1);
    assert_eq!(run(&["cat"]).stdout, "from outside");
    assert_eq!(run(&["error"]).stderr, "to stderr\n");
    assert_eq!(run(&["write", "new"]).success(), "written");
    assert!(
        run(&["resolve", "localhost"])
            .success()
            .contains("127.0.0.1")
    );
    let trap = run(&["trap"]);
    assert_eq!(trap.status, 134, "{trap}");
    assert!(trap.stderr.contains("wasm backtrace:"), "{trap}");
}

/// Neither a wait for time, for input or for a connection nor a busy loop outlives the stop signal.
#[test]
fn commands_end_with_the_signal() {
    let Some(sandbox) = commands("commands_end_with_the_signal") else {
        return;
    };
    let waits = ["sleep", "read", "echo", "spin"];
    for (version, what) in ["p2", "p3"]
        .iter()
        .flat_map(|version| waits.map(|what| (version, what)))
    {
        let (name, module) = (
            format!("{version}-{what}"),
            format!("./{version}-command.wasm"),
        );
        let run = [
            "run",
            "-d",
            "-i",
            "--network",
            "none",
            "--name",
            &name,
            &module,
            what,
        ];
        sandbox.berth(&run).success();
        if what != "spin" {
            sandbox.wait_for_log(&name, "ready");
        }
        let started = std::time::Instant::now();
        sandbox.berth(&["stop", "-t", "60", &name]).success();
        assert!(
            started.elapsed().as_secs() < 30,
            "{name} was killed after the grace time"
        );
        assert_eq!(
            sandbox.inspect(&name, "{{.State.ExitCode}}"),
            "143",
            "{name}"
        );
    }
}

/// Runs one of the commands, which says what it has done.
fn command_says(sandbox: &Sandbox, flags: &[&str], version: &str, words: &[&str]) -> String {
    let run = ["run", "--rm", "--network", "none"];
    let module = format!("./{version}-command.wasm");
    let arguments = [&run, flags, &[&module], words].concat();
    sandbox.berth(&arguments).success()
}

/// What the kernel says of a path reaches a component by the kernel's own name for it.
#[test]
fn components_hear_what_the_kernel_says_of_paths() {
    let Some(sandbox) = commands("components_hear_what_the_kernel_says_of_paths") else {
        return;
    };
    let work = sandbox.path().join("work");
    std::fs::create_dir_all(work.join("full/part")).expect("the sandbox is writable");
    std::fs::write(work.join("file"), "x").expect("the sandbox is writable");
    std::os::unix::fs::symlink("/work/full", work.join("led")).expect("the sandbox is writable");
    let bind = |place: &str| format!("{}:{place}", work.display());
    let (work, locked) = (bind("/work"), bind("/locked:ro"));
    let flags = ["--tmpfs", "/tmp", "-v", &work, "-v", &locked];
    let says = |version, words| command_says(&sandbox, &flags, version, words);
    let cases: [(&[&str], &str, &str); 6] = [
        (&["write", "locked/new"], "errno 69", "ErrorCode::ReadOnly"),
        (
            &["remove", "locked/full"],
            "errno 69",
            "ErrorCode::ReadOnly",
        ),
        (
            &["rename", "work/file", "tmp/file"],
            "errno 75",
            "ErrorCode::CrossDevice",
        ),
        (
            &["link", "work/file", "tmp/file"],
            "errno 75",
            "ErrorCode::CrossDevice",
        ),
        (&["remove", "work/full"], "errno 55", "ErrorCode::NotEmpty"),
        (
            &["rename", "work/none", "work/new"],
            "errno 44",
            "ErrorCode::NoEntry",
        ),
    ];
    for (words, second, third) in cases {
        assert_eq!(says("p2", words), second, "{words:?}");
        assert_eq!(says("p3", words), third, "{words:?}");
    }
    for version in ["p2", "p3"] {
        assert_eq!(
            says(version, &["rename", "work/file", "work/other"]),
            "done"
        );
        assert_eq!(
            says(version, &["rename", "work/other", "work/file"]),
            "done"
        );
        // An absolute link leads there, as for a native program.
        assert_eq!(
            says(version, &["rename", "work/led/part", "work/led/moved"]),
            "done"
        );
        assert_eq!(
            says(version, &["rename", "work/full/moved", "work/led/part"]),
            "done"
        );
    }
    // A path of the working directory is there first, and else in `/`.
    let flags = ["-v", &work, "-w", "/work"];
    let there = |version, words| command_says(&sandbox, &flags, version, words);
    assert_eq!(there("p2", &["remove", "full/part/"]), "done");
    assert_eq!(there("p2", &["remove", "full"]), "done");
    assert_eq!(there("p2", &["remove", "full"]), "errno 44");
}

#[test]
fn services_of_wasi_3() {
    let Some(sandbox) = commands("services_of_wasi_3") else {
        return;
    };
    let serve = [
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        "serves",
        "-e",
        "A=1",
        "./p3-service.wasm",
    ];
    sandbox.berth(&serve).success();
    let get_by = |version: &str, path: &str| {
        let module = format!("./{version}-command.wasm");
        let run = ["run", "--rm", "--network", "container:serves", &module];
        let request = ["get", "http", "127.0.0.1:8080", path];
        sandbox.berth(&[&run[..], &request].concat()).success()
    };
    let get = |path: &str| get_by("p3", path);
    // The port may open a moment after the start.
    let opened = std::time::Instant::now();
    while get("/").contains("Refused") {
        assert!(opened.elapsed().as_secs() < 30, "nobody listens");
    }
    assert_eq!(get("/"), "200 hello");
    assert_eq!(get_by("p2", "/"), "200 hello");
    assert_eq!(get("/env"), r#"200 [("A", "1"), ("PORT", "8080")]"#);
    assert_eq!(get("/nowhere"), "404 nothing here");
    assert_eq!(get("/stream"), "200 part 0\npart 1\npart 2");
    assert_eq!(get("/refuse"), "500");
    assert_eq!(get("/trap"), "500");
    assert_eq!(get("/"), "200 hello", "a trap ended the service");
    let logs = sandbox.berth(&["logs", "serves"]);
    assert!(
        logs.stderr.contains("wasm trap: wasm `unreachable`"),
        "{logs}"
    );
    sandbox.berth(&["stop", "-t", "60", "serves"]).success();
    assert_eq!(sandbox.inspect("serves", "{{.State.ExitCode}}"), "0");
}

/// A certificate authority of the container's own is trusted; without it the same server is not.
#[test]
fn requests_go_out_over_tls() {
    let test = "requests_go_out_over_tls";
    let Some(sandbox) = commands(test).filter(|_| berth_testkit::available(test, "openssl")) else {
        return;
    };
    let path = |name: &str| sandbox.path().join(name).display().to_string();
    let make = |name: &str, flags: &[&str]| {
        let (key, certificate) = (path(&format!("{name}.key")), path(name));
        let new = [
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ];
        let out = ["-keyout", &key, "-out", &certificate];
        let made = Command::new("openssl")
            .args([&new[..], &out, flags].concat())
            .output()
            .expect("openssl starts");
        let complaint = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{complaint}");
    };
    make("authority", &["-subj", "/CN=authority"]);
    let (authority, authority_key) = (path("authority"), path("authority.key"));
    let signed = ["-CA", &authority, "-CAkey", &authority_key];
    let named = [
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
    ];
    let plain = ["-addext", "basicConstraints=CA:FALSE"];
    make("server", &[&signed[..], &named, &plain].concat());
    // A free port of this moment; openssl wants a number.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let address = format!("localhost:{}", port.expect("there is a port").port());
    let mut server = Command::new("openssl")
        .args([
            "s_server",
            "-www",
            "-4",
            "-accept",
            &address,
            "-key",
            &path("server.key"),
            "-cert",
            &path("server"),
        ])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("openssl starts");
    while std::net::TcpStream::connect(&address).is_err() {
        assert!(
            server.try_wait().expect("it can be asked").is_none(),
            "the server ended"
        );
    }
    let trust = format!("{authority}:/etc/ssl/certs/ca-certificates.crt:ro");
    let get = |version: &str, flags: &[&str]| {
        let run = ["run", "--rm", "--network", "host"];
        let module = format!("./{version}-command.wasm");
        let words = [module.as_str(), "get", "https", &address, "/"];
        sandbox.berth(&[&run, flags, &words].concat()).success()
    };
    let answers = ["p2", "p3"].map(|version| (get(version, &["-v", &trust]), get(version, &[])));
    server.kill().expect("the server can be ended");
    server.wait().expect("the server ends");
    for (trusted, strange) in answers {
        assert!(
            trusted.starts_with("200 ") && trusted.contains("TLSv1.3"),
            "{trusted}"
        );
        assert!(strange.contains("Tls"), "{strange}");
    }
}
