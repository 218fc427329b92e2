//! Namespaces, published ports.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use super::sandbox;
use crate::Kind;

/// `--network none`: loopback and nothing else.
pub fn none_has_only_loopback(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "sleeps-and-ignores-term");
    sandbox
        .berth(&[
            "run",
            "-d",
            "--name",
            "island",
            "--network",
            "none",
            &twin.image(),
        ])
        .success();
    sandbox.wait_for_log("island", "ready");
    let pid = sandbox.inspect("island", "{{.State.Pid}}");
    let devices = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).expect("it is readable");
    let names: Vec<&str> = devices
        .lines()
        .skip(2)
        .filter_map(|line| line.trim().split(':').next())
        .collect();
    assert_eq!(names, ["lo"]);
}

/// A published port answers on loopback, says where it is, and closes with the container.
pub fn published_port_answers(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "tcp-echo");
    let run = [
        "run",
        "-d",
        "--name",
        "echoes",
        "-p",
        "127.0.0.1::7777",
        &twin.image(),
    ];
    sandbox.berth(&run).success();
    sandbox.wait_for_log("echoes", "ready");
    let address = sandbox.berth(&["port", "echoes", "7777/tcp"]).success();
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    let mut stream = TcpStream::connect(&address).expect("the published port answers");
    stream
        .write_all(b"ping across")
        .expect("the connection takes bytes");
    stream
        .shutdown(Shutdown::Write)
        .expect("one half can be closed");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("the connection gives bytes");
    assert_eq!(answer, "ping across");
    sandbox.berth(&["stop", "-t", "0", "echoes"]).success();
    assert!(
        TcpStream::connect(&address).is_err(),
        "the port outlives its container"
    );
}
