//! What the log writer promises, line by line.

use std::collections::BTreeMap;

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::launch::LogFile;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("berth-log-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn writer(&self, max_size: u64, max_files: u32) -> Writer {
        let file = LogFile {
            path: self.log(),
            max_size,
            max_files,
            attributes: BTreeMap::new(),
        };
        writer(file)
    }

    fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    fn read(&self) -> String {
        fs::read_to_string(self.log()).unwrap()
    }

    fn entries(&self) -> Vec<String> {
        let parse = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        self.read()
            .lines()
            .map(|line| parse(line)["log"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn writer(file: LogFile) -> Writer {
    Writer::open(&Log {
        file: Some(file),
        receiver: None,
    })
    .unwrap()
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

const NOW: u64 = 1_795_457_724_123_456_780;

#[test]
fn lines_look_as_docker_writes_them() {
    let folder = Folder::new("golden");
    let mut writer = folder.writer(0, 1);
    writer.write(Stream::Stdout, b"hello\n\nhalf", NOW);
    writer.write(Stream::Stderr, b"oops <1>\n", NOW + 1);
    writer.write(Stream::Stdout, b" done\n", NOW + 2);
    writer.write(Stream::Stderr, b"no end", NOW + 3);
    writer.end(NOW + 4);
    assert_eq!(
        folder.read(),
        r#"{"log":"hello\n","stream":"stdout","time":"2026-11-23T18:15:24.12345678Z"}
{"log":"\n","stream":"stdout","time":"2026-11-23T18:15:24.12345678Z"}
{"log":"oops \u003c1\u003e\n","stream":"stderr","time":"2026-11-23T18:15:24.123456781Z"}
{"log":"half done\n","stream":"stdout","time":"2026-11-23T18:15:24.123456782Z"}
{"log":"no end","stream":"stderr","time":"2026-11-23T18:15:24.123456784Z"}
"#
    );
}

#[test]
fn attributes_stand_before_the_time() {
    let folder = Folder::new("attributes");
    let attributes = BTreeMap::from([("a\"".to_owned(), "1".to_owned()), ("b".into(), "2".into())]);
    let file = LogFile {
        path: folder.log(),
        max_size: 0,
        max_files: 1,
        attributes,
    };
    writer(file).write(Stream::Stdout, b"x\n", 0);
    assert_eq!(
        folder.read(),
        r#"{"log":"x\n","stream":"stdout","attrs":{"a\"":"1","b":"2"},"time":"1970-01-01T00:00:00Z"}
"#
    );
}

#[test]
fn long_lines_come_in_pieces_of_16_kib() {
    let folder = Folder::new("pieces");
    let mut writer = folder.writer(0, 1);
    let exact = "x".repeat(PIECE - 1) + "\n";
    writer.write(Stream::Stdout, exact.as_bytes(), NOW);
    assert_eq!(folder.entries(), [exact]);
    fs::write(folder.log(), "").unwrap();

    let long = "y".repeat(2 * PIECE);
    for (place, part) in long.as_bytes().chunks(10_000).enumerate() {
        writer.write(Stream::Stdout, part, NOW + place as u64);
    }
    writer.write(Stream::Stdout, b"\n", NOW + 9);
    assert_eq!(
        folder.entries(),
        ["y".repeat(PIECE), "y".repeat(PIECE), "\n".to_owned()]
    );
    let times: Vec<_> = folder
        .read()
        .lines()
        .map(|line| line.rsplit_once("time").unwrap().1.to_owned())
        .collect();
    assert!(times.iter().all(|time| *time == times[0]), "{times:?}");
}

#[test]
fn a_piece_never_cuts_a_character() {
    let folder = Folder::new("characters");
    let mut writer = folder.writer(0, 1);
    let text = "x".to_owned() + &"€".repeat(PIECE);
    writer.write(Stream::Stdout, text.as_bytes(), NOW);
    writer.end(NOW);
    assert_eq!(folder.entries().concat(), text);
    assert!(!folder.read().contains("ufffd"));
}

#[test]
fn full_files_move_on_and_the_oldest_goes() {
    let folder = Folder::new("rotation");
    let mut writer = folder.writer(300, 3);
    for number in 0..40 {
        writer.write(Stream::Stdout, format!("line {number}\n").as_bytes(), NOW);
    }
    let mut names: Vec<_> = fs::read_dir(&folder.0)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["log", "log.1", "log.2"]);
    let mut lines = String::new();
    for name in ["log.2", "log.1", "log"] {
        let text = fs::read_to_string(folder.0.join(name)).unwrap();
        assert!(text.len() < 300 + 100, "{name}: {}", text.len());
        lines += &text;
    }
    // What is kept are the last lines, without a gap.
    let kept = lines.lines().count();
    for (line, number) in lines.lines().zip(40 - kept..) {
        assert!(line.contains(&format!("line {number}\\n")), "{line}");
    }
    // A restarted monitor goes on in the same file.
    drop(writer);
    let before = folder.read();
    folder.writer(0, 3).write(Stream::Stdout, b"again\n", NOW);
    assert!(folder.read().starts_with(&before));
}

#[test]
fn any_number_of_files_may_be_allowed() {
    let folder = Folder::new("many");
    let mut writer = folder.writer(10, u32::MAX);
    for number in 0..20 {
        writer.write(Stream::Stdout, format!("line {number}\n").as_bytes(), NOW);
    }
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 20);
    let oldest = fs::read_to_string(folder.0.join("log.19")).unwrap();
    assert!(oldest.contains("line 0\\n"), "{oldest}");
}

#[test]
fn a_single_file_starts_over() {
    let folder = Folder::new("single");
    let mut writer = folder.writer(200, 1);
    for number in 0..20 {
        writer.write(Stream::Stdout, format!("line {number}\n").as_bytes(), NOW);
    }
    assert!(folder.read().len() < 300);
    assert!(folder.read().contains("line 19"));
    assert!(!folder.0.join("log.1").exists());
}

#[test]
fn without_a_log_nothing_is_written() {
    let mut writer = Writer::open(&Log::default()).unwrap();
    writer.write(Stream::Stdout, b"x\n", NOW);
    writer.end(NOW);
    assert!(writer.lost().is_empty());
}
