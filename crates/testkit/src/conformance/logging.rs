//! Log drivers that send what the guest says to somebody else.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::time::Duration;

use super::sandbox;
use crate::{Kind, Sandbox, Screen, Twin, skip};

/// How long a message may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where systemd's journal listens.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// Both streams reach a syslog over every kind of socket, in every format; `logs` works nevertheless.
pub fn syslog_gets_what_was_said(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "reads-stdin");
    let path = sandbox.path().join("syslog");
    let unixgram = UnixDatagram::bind(&path).expect("a socket can be bound");
    unixgram
        .set_read_timeout(Some(PATIENCE))
        .expect("a time can be set");
    let address = format!("unixgram://{}", path.display());
    let said = run(
        &sandbox,
        &twin,
        &["--log-opt", &format!("syslog-address={address}")],
    );
    assert_eq!((&*said.stdout, &*said.stderr), ("one\n", "read 4 bytes\n"));
    let messages = [(); 2].map(|()| receive(|buffer| unixgram.recv(buffer)));
    assert_messages(messages, &sandbox, |priority, text| {
        format!("{priority}TIME {}[PID]: {text}", id(&sandbox))
    });
    let logs = sandbox.berth(&["logs", "speaks"]);
    assert_eq!((&*logs.stdout, &*logs.stderr), ("one\n", "read 4 bytes\n"));

    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    udp.set_read_timeout(Some(PATIENCE))
        .expect("a time can be set");
    let address = format!(
        "syslog-address=udp://{}",
        udp.local_addr().expect("it is bound")
    );
    let options = [
        "--log-opt",
        "syslog-facility=local0",
        "--log-opt",
        "tag={{.Name}}",
    ];
    let format = [
        "--log-opt",
        "syslog-format=rfc5424micro",
        "--log-opt",
        &address,
    ];
    run(&sandbox, &twin, &[options, format].concat()).success();
    let messages = [(); 2].map(|()| receive(|buffer| udp.recv(buffer)));
    assert_messages(messages, &sandbox, |priority, text| {
        let priority = match priority {
            "<30>" => "<134>",
            _ => "<131>",
        };
        format!("{priority}1 TIME HOST speaks PID speaks - {text}")
    });

    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = format!(
        "syslog-address=tcp://{}",
        tcp.local_addr().expect("it is bound")
    );
    let options = [
        "--log-opt",
        "syslog-format=rfc3164",
        "--log-opt",
        "cache-disabled=true",
    ];
    run(
        &sandbox,
        &twin,
        &[&options[..], &["--log-opt", &address]].concat(),
    )
    .success();
    let (connection, _) = tcp.accept().expect("somebody connected");
    connection
        .set_read_timeout(Some(PATIENCE))
        .expect("a time can be set");
    let mut lines = BufReader::new(connection).lines();
    let messages = [(); 2].map(|()| lines.next().expect("a line").expect("is text") + "\n");
    assert_messages(messages, &sandbox, |priority, text| {
        format!("{priority}TIME HOST {}[PID]: {text}", id(&sandbox))
    });
    let logs = sandbox.berth(&["logs", "speaks"]).status(1);
    assert!(logs.stderr.contains("cache-disabled"), "{logs}");
}

/// A guest that says more than the receiver takes waits for it, or goes on without: as it was told.
pub fn a_slow_receiver_is_waited_for_or_not(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "floods-stdout");
    let path = sandbox.path().join("syslog");
    let listener = UnixListener::bind(&path).expect("a socket can be bound");
    let address = format!("syslog-address=unix://{}", path.display());
    let lines = 50_000;
    let flood = |mode: &str| {
        let mode = format!("mode={mode}");
        let words = [
            "run",
            "-d",
            "--name",
            "floods",
            "--log-driver",
            "syslog",
            "--log-opt",
            &address,
            "--log-opt",
            &mode,
            &twin.image(),
            &lines.to_string(),
        ];
        sandbox.berth(&words).success();
        let (connection, _) = listener.accept().expect("somebody connected");
        connection
            .set_read_timeout(Some(PATIENCE))
            .expect("a time can be set");
        BufReader::new(connection)
    };
    // Five megabytes are more than sockets, queue and pipes hold: it has not ended before they are read.
    let reader = flood("blocking");
    assert_eq!(sandbox.inspect("floods", "{{.State.Status}}"), "running");
    assert_eq!(reader.lines().count(), lines);
    assert_eq!(sandbox.berth(&["wait", "floods"]).success(), "0");
    let state = sandbox.inspect("floods", "{{json .State}}");
    assert!(!state.contains("could not be logged"), "{state}");
    sandbox.berth(&["rm", "floods"]).success();

    let reader = flood("non-blocking");
    // It ends by itself, while what still fits waits.
    let logs = sandbox.berth(&["logs", "-f", "--tail", "1", "floods"]);
    assert!(
        logs.stdout.ends_with(&format!("{:099}\n", lines - 1)),
        "{logs}"
    );
    let received = reader.lines().count();
    assert!(received > 0 && received < lines, "{received} of {lines}");
    assert_eq!(sandbox.berth(&["wait", "floods"]).success(), "0");
    let told = sandbox.inspect("floods", "{{.State.Leftovers}}");
    assert!(told.contains("could not be logged"), "{told}");
}

/// Nobody there is a failed start that leaves nothing.
pub fn a_receiver_must_be_there(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "reads-stdin");
    let path = sandbox.path().join("nobody");
    let address = format!("syslog-address=unix://{}", path.display());
    let refused = run(&sandbox, &twin, &["--log-opt", &address]).status(125);
    assert!(
        refused
            .stderr
            .starts_with("error: cannot reach the log receiver unix://[SANDBOX]/nobody\n"),
        "{refused}"
    );
    assert_eq!(sandbox.inspect("speaks", "{{.State.Status}}"), "created");
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = format!("syslog-address=tcp://{}", closed.expect("a port was free"));
    let refused = run(&sandbox, &twin, &["--log-opt", &address]).status(125);
    assert!(
        refused.stderr.contains("caused by: Connection refused"),
        "{refused}"
    );
}

/// A receiver that goes away does not disturb the guest; what it missed is told.
pub fn a_receiver_may_go_away(kind: Kind) {
    let (sandbox, twin) = sandbox(kind, "clock");
    let path = sandbox.path().join("syslog");
    let listener = UnixListener::bind(&path).expect("a socket can be bound");
    let address = format!("syslog-address=unix://{}", path.display());
    let (image, driver) = (
        twin.image(),
        ["--log-driver", "syslog", "--log-opt", &address],
    );
    let words = [&["run", "-d", "--name", "speaks"], &driver[..], &[&image]].concat();
    sandbox.berth(&words).success();
    let (connection, _) = listener.accept().expect("somebody connected");
    connection
        .set_read_timeout(Some(PATIENCE))
        .expect("a time can be set");
    let mut line = String::new();
    let mut reader = BufReader::new(connection);
    reader.read_line(&mut line).expect("a line comes");
    let number = line.split_whitespace().next_back().expect("a number");
    let number: u32 = number.parse().expect("a number");
    drop((listener, reader));
    sandbox.wait_for_log("speaks", &format!("{}\n", number + 5));
    sandbox.berth(&["stop", "-t", "0", "speaks"]).success();
    let told = sandbox.inspect("speaks", "{{.State.Leftovers}}");
    assert!(told.contains("could not be logged"), "{told}");
}

/// The journal gets each line with Docker's fields.
pub fn the_journal_gets_what_was_said(kind: Kind) {
    // Both twins want to be the journal; whoever binds it last is.
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = TURN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let path = Path::new(JOURNAL);
    let folder = path.parent().expect("it has one");
    if path.exists() || !may_make(folder) {
        return skip(
            "the_journal_gets_what_was_said",
            "this host has a journal of its own",
        );
    }
    let (sandbox, twin) = sandbox(kind, "reads-stdin");
    let journal = UnixDatagram::bind(path).expect("a socket can be bound");
    journal
        .set_read_timeout(Some(PATIENCE))
        .expect("a time can be set");
    let words = [
        "run",
        "-i",
        "--name",
        "speaks",
        "--log-driver",
        "journald",
        "--label",
        "a.b=c",
        "--log-opt",
        "labels=a.b",
        &twin.image(),
    ];
    let said = sandbox.berth_with_input(&words, b"one\n");
    std::fs::remove_file(path).expect("the socket is there");
    said.success();
    let mut messages = [(); 2].map(|()| receive(|buffer| journal.recv(buffer)));
    messages.sort();
    for (message, (text, priority)) in messages.iter().zip([("one", "6"), ("read 4 bytes", "3")]) {
        let fields: Vec<&str> = message.lines().collect();
        let id = id(&sandbox);
        for expected in [
            format!("MESSAGE={text}"),
            format!("PRIORITY={priority}"),
            format!("CONTAINER_ID={id}"),
            format!("CONTAINER_TAG={id}"),
            format!("SYSLOG_IDENTIFIER={id}"),
            "CONTAINER_NAME=speaks".to_owned(),
            format!("IMAGE_NAME={}", twin.image()),
            "A_B=c".to_owned(),
        ] {
            assert!(fields.contains(&&*expected), "{expected} in {message}");
        }
    }
    assert_eq!(sandbox.berth(&["logs", "speaks"]).stdout, "one\n");
}

fn may_make(folder: &Path) -> bool {
    std::fs::create_dir_all(folder).is_ok()
}

/// `echo one | run -i` as `speaks`, in place of whatever was called so.
fn run(sandbox: &Sandbox, twin: &Twin, options: &[&str]) -> Screen {
    let image = twin.image();
    let begin = [
        "run",
        "-i",
        "--replace",
        "--name",
        "speaks",
        "--log-driver",
        "syslog",
    ];
    let words = [&begin[..], options, &[&image]].concat();
    sandbox.berth_with_input(&words, b"one\n")
}

fn id(sandbox: &Sandbox) -> String {
    sandbox.inspect("speaks", "{{.Id}}")[..12].to_owned()
}

fn receive(read: impl FnOnce(&mut [u8]) -> std::io::Result<usize>) -> String {
    let mut buffer = vec![0; 64 << 10];
    let count = read(&mut buffer).expect("a message comes");
    String::from_utf8(buffer[..count].to_vec()).expect("it is text")
}

/// The two messages, in any order, once what differs between runs is replaced.
fn assert_messages(
    messages: [String; 2],
    sandbox: &Sandbox,
    expected: impl Fn(&str, &str) -> String,
) {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a host has a name");
    let mut seen = messages.map(|message| general(&message, host.trim()));
    let mut expected = [
        expected("<30>", "one\n"),
        expected("<27>", "read 4 bytes\n"),
    ];
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected, "{}", sandbox.path().display());
}

/// A message with words in place of its time, host and pid.
fn general(message: &str, host: &str) -> String {
    let (priority, rest) = message.split_once('>').expect("a priority comes first");
    let (version, rest) = match rest.strip_prefix("1 ") {
        Some(rest) => ("1 ", rest.split_once(' ').expect("a time is one word").1),
        // `Nov 23 18:15:24 `
        None => ("", rest.get(16..).expect("a time is that long")),
    };
    let rest = match rest
        .strip_prefix(host)
        .and_then(|rest| rest.strip_prefix(' '))
    {
        Some(rest) => format!("HOST {rest}"),
        None => rest.to_owned(),
    };
    let mut words = String::new();
    let mut pid_seen = false;
    for part in rest.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_pid = !pid_seen && !word.is_empty() && word.len() < 9 && word.parse::<u32>().is_ok();
        pid_seen |= is_pid;
        words += &if is_pid {
            part.replacen(word, "PID", 1)
        } else {
            part.to_owned()
        };
    }
    format!("{priority}>{version}TIME {words}")
}
