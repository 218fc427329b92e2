//! What a root file system holds, line by line, so that two can be compared.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::process::Command;

/// Every path beneath a root: kind, mode, owner, and what it is (size and sum, link target, device number).
/// Attributes are in it; times are not, because two builds are made at different times.
pub(crate) fn listing(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    let mut files = Vec::new();
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = std::fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes();
            let name = String::from_utf8_lossy(name).into_owned();
            let kind = metadata.file_type();
            let what = if kind.is_symlink() {
                format!("-> {}", std::fs::read_link(&path).unwrap().display())
            } else if kind.is_dir() {
                pending.push(path.clone());
                String::new()
            } else if kind.is_char_device() || kind.is_block_device() {
                format!("device {:x}", metadata.rdev())
            } else {
                files.push((name.clone(), path.clone()));
                format!("{} bytes", metadata.size())
            };
            let (mode, uid, gid) = (metadata.mode(), metadata.uid(), metadata.gid());
            found.insert(name, format!("{mode:o} {uid}:{gid} {what}"));
        }
    }
    for ((name, _), sum) in files.iter().zip(sums(&files)) {
        found.entry(name.clone()).and_modify(|line| {
            line.push(' ');
            line.push_str(&sum);
        });
    }
    for (name, attributes) in attributes(root) {
        found.entry(name).and_modify(|line| {
            line.push(' ');
            line.push_str(&attributes);
        });
    }
    found
}

/// The sums of many files, by the host's own program.
fn sums(files: &[(String, std::path::PathBuf)]) -> Vec<String> {
    let mut sums = Vec::new();
    for some in files.chunks(500) {
        let output = Command::new("sha256sum")
            .arg("-z")
            .args(some.iter().map(|(_, path)| path))
            .output()
            .unwrap();
        assert!(output.status.success());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let sum = |line: &str| line.chars().take(64).collect();
        sums.extend(
            text.split_terminator('\0')
                .map(sum)
                .collect::<Vec<String>>(),
        );
    }
    assert_eq!(sums.len(), files.len());
    sums
}

/// The extended attributes of those that have any, by the host's own program.
fn attributes(root: &Path) -> Vec<(String, String)> {
    let output = Command::new("getfattr")
        .args([
            "-R",
            "-P",
            "-h",
            "-d",
            "-m",
            "^(user|security)\\.",
            "-e",
            "hex",
            ".",
        ])
        .current_dir(root)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split("\n\n")
        .filter_map(|block| {
            let (first, rest) = block.trim().split_once('\n')?;
            let name = first.strip_prefix("# file: ")?.to_owned();
            Some((name, rest.replace('\n', " ")))
        })
        .collect()
}

/// The lines in which two listings differ.
pub(crate) fn differences(
    own: &BTreeMap<String, String>,
    other: &BTreeMap<String, String>,
) -> Vec<String> {
    let mut lines = Vec::new();
    for name in own
        .keys()
        .chain(other.keys().filter(|name| !own.contains_key(*name)))
    {
        let (left, right) = (own.get(name), other.get(name));
        if left != right {
            let text = |line: Option<&String>| line.map_or("absent", String::as_str).to_owned();
            lines.push(format!("{name}: {} | {}", text(left), text(right)));
        }
    }
    lines
}

#[test]
fn differences_are_seen() {
    let folder = berth_testkit::Sandbox::new();
    let make = |name: &str, content: &str, mode: u32| {
        let root = folder.path().join(name);
        std::fs::create_dir_all(root.join("d")).unwrap();
        std::fs::write(root.join("d/f"), content).unwrap();
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(root.join("d/f"), permissions).unwrap();
        listing(&root)
    };
    let one = make("1", "same", 0o644);
    assert_eq!(
        differences(&one, &make("2", "same", 0o644)),
        Vec::<String>::new()
    );
    assert_eq!(differences(&one, &make("3", "diff", 0o644)).len(), 1);
    assert_eq!(differences(&one, &make("4", "same", 0o640)).len(), 1);
    assert!(differences(&one, &BTreeMap::new()).len() > 1);
}
