//! Layers that are honest, odd, and hostile (security.md rows 20, 27 and 31).

mod contents;
mod hostile;
mod streams;

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use berth_sys::file::Directory;

use super::{Expected, Unpacked, inherit, unpack};

/// An archive under construction; entries get whatever path they are given, however hostile.
struct Archive(Vec<u8>);

impl Archive {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn raw(
        mut self,
        path: &str,
        kind: u8,
        content: &[u8],
        change: impl FnOnce(&mut tar::Header),
    ) -> Self {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_mode(if kind == b'5' { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000);
        header.set_size(content.len() as u64);
        change(&mut header);
        header.set_cksum();
        self.0.write_all(header.as_bytes()).unwrap();
        self.0.write_all(content).unwrap();
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, path: &str, content: &[u8]) -> Self {
        self.raw(path, b'0', content, |_| {})
    }

    fn directory(self, path: &str) -> Self {
        self.raw(path, b'5', b"", |_| {})
    }

    fn link(self, path: &str, kind: u8, target: &str) -> Self {
        self.raw(path, kind, b"", |header| {
            header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        })
    }

    /// A PAX header for the next entry.
    fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut content = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + rest.to_string().len();
            while length.to_string().len() + rest != length {
                length += 1;
            }
            content.extend_from_slice(format!("{length} {key}=").as_bytes());
            content.extend_from_slice(value);
            content.push(b'\n');
        }
        self.raw("pax", b'x', &content, |_| {})
    }

    fn bytes(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

/// A directory to unpack into, inside one that must stay as it is.
struct Sandbox {
    outside: tempfile::TempDir,
}

impl Sandbox {
    fn new() -> Self {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "mine").unwrap();
        std::fs::create_dir(outside.path().join("layer")).unwrap();
        Self { outside }
    }

    fn layer(&self) -> PathBuf {
        self.outside.path().join("layer")
    }

    fn directory(&self) -> Directory {
        Directory::open(&self.layer()).unwrap()
    }

    fn unpack(&self, archive: Archive) -> berth_contract::Result<Unpacked> {
        let result = unpack(
            archive.bytes().as_slice(),
            &self.directory(),
            &Expected::default(),
        );
        assert_eq!(
            std::fs::read_to_string(self.outside.path().join("secret")).unwrap(),
            "mine"
        );
        assert_eq!(std::fs::read_dir(self.outside.path()).unwrap().count(), 2);
        result
    }
}

fn attributes(directory: &Path, name: &str) -> Vec<(OsString, Vec<u8>)> {
    Directory::open(directory)
        .unwrap()
        .attributes(OsStr::new(name))
        .unwrap()
}

fn is_opaque(directory: &Path, name: &str) -> bool {
    attributes(directory, name)
        .iter()
        .any(|(key, value)| key == "trusted.overlay.opaque" && value == b"y")
}

fn is_whiteout(path: &Path) -> bool {
    let metadata = path.symlink_metadata().unwrap();
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}
