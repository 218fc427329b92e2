//! Where images go to and come from beside registries, and the way to registries: proxies and their enemies.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};

use berth_testkit::Sandbox;

#[test]
fn an_image_is_pushed_to_directories_and_archives() {
    let sandbox = Sandbox::with_busybox();
    let id = |sandbox: &Sandbox| sandbox.berth(&["images", "-q", "--no-trunc"]).success();
    let digest = sandbox.path().join("digest");
    let file = ["--digestfile", digest.to_str().unwrap()];
    for place in [
        "oci:layout:v1",
        "oci-archive:a.tar",
        "docker-archive:b.tar:team/app:2",
        "dir:d",
    ] {
        let push = [&["push", "--quiet"], &file[..], &["busybox", place]].concat();
        sandbox.berth(&push).success();
        assert!(
            std::fs::read_to_string(&digest)
                .unwrap()
                .starts_with("sha256:")
        );
        let other = Sandbox::new();
        let (transport, rest) = place.split_once(':').unwrap();
        let there = format!("{transport}:{}/{rest}", sandbox.path().display());
        other.berth(&["pull", "--quiet", &there]).success();
        assert_eq!(id(&other), id(&sandbox), "{place}");
    }
    // A second name in the same layout leaves the first.
    sandbox
        .berth(&["push", "-q", "busybox", "oci:layout:v2"])
        .success();
    for tag in ["v1", "v2"] {
        let there = format!("oci:{}/layout:{tag}", sandbox.path().display());
        Sandbox::new().berth(&["pull", "--quiet", &there]).success();
    }
    insta::assert_snapshot!(sandbox.berth(&["push", "--all-tags", "busybox", "oci:layout"]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: --all-tags means nothing for layout

    hint: leave --all-tags away
    ");
    assert_eq!(
        sandbox
            .berth(&["push", "busybox", "docker-archive:c.tar:No Name"])
            .status,
        1
    );
    assert!(!sandbox.path().join("c.tar").exists());
}

#[test]
fn an_unknown_type_is_no_object() {
    let sandbox = Sandbox::with_busybox();
    insta::assert_snapshot!(sandbox.berth(&["inspect", "--type", "nonsense", "busybox"]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot inspect objects of the type nonsense

    hint: use container, image, volume or network
    ");
    let image = ["inspect", "--type", "image", "-f", "{{.Os}}", "busybox"];
    assert_eq!(sandbox.berth(&image).success(), "linux");
    assert_eq!(
        sandbox
            .berth(&["inspect", "--type=volume", "busybox"])
            .status,
        1
    );
}

/// Answers each connection with this, and tells the first line of what was asked.
fn answering(reply: &'static [u8], endless: bool) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            // Whoever greets with TLS sends no text.
            if BufReader::new(&stream).read_line(&mut line).is_err() {
                continue;
            }
            drop(sender.send(line.trim().to_owned()));
            drop(stream.write_all(reply));
            while endless && stream.write_all(&[b' '; 1 << 16]).is_ok() {}
        }
    });
    (address, receiver)
}

#[test]
fn proxies_of_config_json_are_for_containers_and_for_registries() {
    let sandbox = Sandbox::with_busybox();
    let refusal = b"HTTP/1.1 403 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (proxy, asked) = answering(refusal, false);
    let folder = sandbox.path().join(".docker");
    std::fs::create_dir(&folder).unwrap();
    let config = serde_json::json!({ "proxies": { "default": {
        "httpProxy": "http://other.test:1", "httpsProxy": format!("http://{proxy}"),
        "noProxy": "inside.test",
    } } });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let run = [
        "run",
        "--rm",
        "--network",
        "none",
        "-e",
        "HTTP_PROXY=mine",
        "busybox",
        "env",
    ];
    let said = sandbox.berth(&run).success();
    let mut lines: Vec<&str> = said
        .lines()
        .filter(|line| line.to_lowercase().contains("proxy"))
        .collect();
    lines.sort_unstable();
    let secure = [
        format!("HTTPS_PROXY=http://{proxy}"),
        format!("https_proxy=http://{proxy}"),
    ];
    assert_eq!(
        lines,
        [
            "HTTPS_PROXY=".to_owned() + &secure[0][12..],
            "HTTP_PROXY=mine".into(),
            "NO_PROXY=inside.test".into(),
            "http_proxy=http://other.test:1".into(),
            secure[1].clone(),
            "no_proxy=inside.test".into(),
        ]
    );
    let pull = ["pull", "--retry", "0", "registry.test:5000/app"];
    assert_eq!(sandbox.berth(&pull).status, 1);
    assert_eq!(asked.recv().unwrap(), "CONNECT registry.test:5000 HTTP/1.1");
    // The environment counts more.
    let (own, asked_own) = answering(refusal, false);
    let mut command = sandbox.command(&pull);
    command.env("HTTPS_PROXY", format!("http://{own}"));
    assert_eq!(command.output().unwrap().status.code(), Some(1));
    assert_eq!(
        asked_own.recv().unwrap(),
        "CONNECT registry.test:5000 HTTP/1.1"
    );
    assert!(asked.try_recv().is_err());
}

#[test]
fn an_endless_answer_fills_no_memory() {
    const LIMIT_KB: u64 = 64 << 10;
    let sandbox = Sandbox::new();
    let kind = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\
        content-type: application/vnd.oci.image.manifest.v1+json\r\n\r\n{";
    let (address, _asked) = answering(kind, true);
    let mut command = sandbox.command(&["pull", "--retry", "1", &format!("{address}/app")]);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut peak = 0;
    let status = loop {
        // A process that has ended has no such line.
        let text =
            std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let value = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(value.unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::yield_now();
    };
    let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("larger than"), "{said}");
    assert!(peak > 0 && peak < LIMIT_KB, "{peak} kB");
}
