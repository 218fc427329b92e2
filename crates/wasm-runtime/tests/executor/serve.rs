//! Components that answer HTTP.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use berth_wasm_runtime::configuration::Configuration;

use crate::run::{Guest, Run, terminate};

/// SIGTERM ends a server in good order: nothing new is taken, and the status is 0.
#[test]
fn an_http_component_is_served_and_drained() {
    let Some(mut run) = Run::new(include_str!("http.wat")) else {
        return;
    };
    // A port that was free a moment ago; nothing else here listens.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    run.configuration.ports = vec![port];
    let guest = Guest::start(&mut run.command(&[]));
    let answer = |deadline: Instant| loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(mut stream) => {
                stream
                    .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                    .unwrap();
                let mut text = String::new();
                stream.read_to_string(&mut text).unwrap();
                return text;
            }
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    for _ in 0..3 {
        let text = answer(deadline);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    }
    // One connection carries several requests; a head without measure is refused; one that never ends
    // neither holds up others nor the end.
    let connect = || TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut stream = connect();
    for _ in 0..2 {
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let mut start = [0; 15];
        stream.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"HTTP/1.1 200 OK");
        drain(&mut stream);
    }
    let mut huge = connect();
    let head = format!(
        "GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n",
        "x".repeat(1 << 20)
    );
    // The server may close before all of it is written.
    huge.write_all(head.as_bytes()).ok();
    let mut text = Vec::new();
    huge.read_to_end(&mut text).ok();
    assert!(text.is_empty() || text.starts_with(b"HTTP/1.1 431"));
    let mut slow = connect();
    slow.write_all(b"GET / HTT").unwrap();
    assert!(answer(deadline).starts_with("HTTP/1.1 200 OK\r\n"));
    terminate(&guest.pid().to_string());
    assert_eq!(guest.status(), Some(0));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

/// A client that does not finish its request's head, or sends none at all, loses its connection when the time
/// for that is over; it is a minute where nobody says anything else.
#[test]
fn a_head_has_its_time() {
    assert_eq!(
        Configuration::default().head_patience,
        Duration::from_secs(60)
    );
    let Some(mut run) = Run::new(include_str!("http.wat")) else {
        return;
    };
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let port = port.unwrap().port();
    run.configuration.ports = vec![port];
    run.configuration.head_patience = Duration::from_millis(100);
    let _guest = Guest::start(&mut run.command(&[]));
    let deadline = Instant::now() + Duration::from_secs(10);
    let connect = || loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    for start in [&b"GET / HTT"[..], b""] {
        let mut slow = connect();
        slow.set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        slow.write_all(start).unwrap();
        let mut text = String::new();
        // The server closes: a timeout of ours would be an error.
        slow.read_to_string(&mut text).unwrap();
        assert!(
            text.is_empty() || text.starts_with("HTTP/1.1 408"),
            "{text}"
        );
    }
}

/// Reads the rest of a response whose body is empty or chunked and short.
fn drain(stream: &mut TcpStream) {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        text.extend(byte);
    }
    let head = String::from_utf8(text).unwrap().to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    match length {
        Some(length) => {
            let mut body = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut body).unwrap();
        }
        None => {
            let mut body = Vec::new();
            while !body.ends_with(b"0\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                body.extend(byte);
            }
        }
    }
}
