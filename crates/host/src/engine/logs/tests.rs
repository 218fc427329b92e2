//! Logs made on the spot: tail, since, rotation while reading, following to the end.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// 2026-01-01T00:00:00Z.
const START: u64 = 1_767_225_600_000_000_000;
const SECOND: u64 = 1_000_000_000;

fn line(number: u64) -> String {
    let stream = if number.is_multiple_of(2) {
        "stdout"
    } else {
        "stderr"
    };
    let time = crate::format::time::rfc3339(START + number * SECOND);
    format!("{{\"log\":\"line {number}\\n\",\"stream\":\"{stream}\",\"time\":\"{time}\"}}\n")
}

fn append(path: &Path, numbers: impl Iterator<Item = u64>) {
    let text: String = numbers.map(line).collect();
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn all() -> LogOptions {
    LogOptions {
        stdout: true,
        stderr: true,
        ..LogOptions::default()
    }
}

fn source(directory: &Path, live: &Arc<AtomicBool>) -> Source {
    let live = Arc::clone(live);
    Source {
        path: directory.join("log"),
        max_files: 3,
        run: directory.join("run"),
        is_live: Box::new(move || live.load(Ordering::SeqCst)),
    }
}

fn read(directory: &Path, options: LogOptions) -> Vec<String> {
    let live = Arc::new(AtomicBool::new(false));
    let logs = Logs::open(source(directory, &live), options).unwrap();
    logs.map(|line| match line {
        Ok(line) => String::from_utf8(line.text).unwrap().trim_end().to_owned(),
        Err(error) => format!("! {error}").split(" /").next().unwrap().to_owned(),
    })
    .collect()
}

fn numbers(range: impl Iterator<Item = u64>) -> Vec<String> {
    range.map(|number| format!("line {number}")).collect()
}

#[test]
fn tail_counts_lines_over_rotated_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    append(&numbered(&path, 2), 0..2000);
    append(&numbered(&path, 1), 2000..4000);
    append(&path, 4000..4003);
    for (tail, first) in [
        (0, 4003),
        (1, 4002),
        (3, 4000),
        (4, 3999),
        (2003, 2000),
        (2004, 1999),
        (9999, 0),
    ] {
        let options = LogOptions {
            tail: Some(tail),
            ..all()
        };
        assert_eq!(
            read(directory.path(), options),
            numbers(first..4003),
            "{tail}"
        );
    }
    assert_eq!(read(directory.path(), all()).len(), 4003);
}

#[test]
fn since_and_until_are_inclusive_moments() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    append(&numbered(&path, 1), 0..3000);
    append(&path, 3000..6000);
    for first in [0, 1, 777, 2999, 3000, 4242, 5999, 6000] {
        let options = LogOptions {
            since: Some(START + first * SECOND),
            ..all()
        };
        assert_eq!(
            read(directory.path(), options),
            numbers(first..6000),
            "{first}"
        );
    }
    let options = LogOptions {
        until: Some(START + 5 * SECOND),
        ..all()
    };
    assert_eq!(read(directory.path(), options), numbers(0..6));
    let options = LogOptions {
        stderr: true,
        tail: Some(4),
        ..LogOptions::default()
    };
    assert_eq!(read(directory.path(), options), ["line 5997", "line 5999"]);
}

#[test]
fn a_missing_log_is_empty_and_damage_is_told() {
    let directory = tempfile::tempdir().unwrap();
    assert!(read(directory.path(), all()).is_empty());
    let path = directory.path().join("log");
    append(&path, 0..1);
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"log\":\"half\n").unwrap();
    append(&path, 1..2);
    file.write_all(b"{\"log\":\"not ended").unwrap();
    assert_eq!(
        read(directory.path(), all()),
        ["line 0", "! a line of the log", "line 1"]
    );
}

#[test]
fn following_survives_rotation_and_ends_with_the_container() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    append(&path, 0..10);
    let live = Arc::new(AtomicBool::new(true));
    let options = LogOptions {
        follow: true,
        tail: Some(2),
        ..all()
    };
    let source = source(directory.path(), &live);
    let (sender, receiver) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in Logs::open(source, options).unwrap() {
            sender
                .send(String::from_utf8(line.unwrap().text).unwrap())
                .unwrap();
        }
    });
    let expect = |range: std::ops::Range<u64>| {
        for number in range {
            assert_eq!(receiver.recv().unwrap(), format!("line {number}\n"));
        }
    };
    expect(8..10);
    append(&path, 10..12);
    expect(10..12);
    // The reader may not have seen the end of the old file when it is renamed away.
    append(&path, 12..14);
    fs::rename(&path, numbered(&path, 1)).unwrap();
    append(&path, 14..16);
    expect(12..16);
    fs::rename(numbered(&path, 1), numbered(&path, 2)).unwrap();
    fs::rename(&path, numbered(&path, 1)).unwrap();
    append(&path, 16..17);
    expect(16..17);
    append(&path, 17..18);
    live.store(false, Ordering::SeqCst);
    // The end of a container is a change in the run directory, here the test's own.
    fs::write(directory.path().join("gone"), "").unwrap();
    expect(17..18);
    reader.join().unwrap();
}
