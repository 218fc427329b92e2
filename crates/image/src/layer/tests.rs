//! Layers that are honest, odd, and hostile (security.md rows 20, 27 and 31).

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use berth_sys::file::{Directory, is_root};

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

fn hostile_archives() -> Vec<(&'static str, Archive)> {
    let mut hostile = vec![
        ("upwards", Archive::new().file("../secret", b"theirs")),
        (
            "upwards later",
            Archive::new()
                .directory("a")
                .file("a/../../secret", b"theirs"),
        ),
        (
            "hard link upwards",
            Archive::new().link("a", b'1', "../secret"),
        ),
        (
            "hard link to an absolute path",
            Archive::new().link("a", b'1', "/etc/passwd"),
        ),
        ("hard link to nothing", Archive::new().link("a", b'1', "b")),
        (
            "hard link to itself",
            Archive::new().file("a", b"").link("a", b'1', "a"),
        ),
        ("hard link to the root", Archive::new().link("a", b'1', ".")),
        (
            "hard link to a directory",
            Archive::new().directory("d").link("a", b'1', "d"),
        ),
        (
            "hard link through a link",
            Archive::new()
                .link("out", b'2', "..")
                .link("a", b'1', "out/secret"),
        ),
        ("whiteout upwards", Archive::new().file(".wh...", b"")),
        (
            "whiteout of the directory",
            Archive::new().file("a/.wh..", b""),
        ),
        ("whiteout of nothing", Archive::new().file(".wh.", b"")),
        (
            "whiteout beneath upwards",
            Archive::new().file("../.wh.secret", b""),
        ),
        (
            "file beneath a whiteout",
            Archive::new().file(".wh.a/b", b""),
        ),
        ("the root as a file", Archive::new().file(".", b"")),
        ("the root as a link", Archive::new().link(".", b'2', "/")),
        (
            "file beneath a file",
            Archive::new().file("a", b"").file("a/b", b""),
        ),
    ];
    hostile.extend(lying_archives());
    hostile
}

fn lying_archives() -> Vec<(&'static str, Archive)> {
    vec![
        (
            "an unknown type",
            Archive::new().raw("a", b'Z', b"", |_| {}),
        ),
        (
            "overlayfs's own attribute",
            Archive::new()
                .pax(&[("SCHILY.xattr.trusted.overlay.redirect", b"/etc")])
                .directory("d"),
        ),
        (
            "overlayfs's own attribute of users",
            Archive::new()
                .pax(&[("SCHILY.xattr.user.overlay.opaque", b"y")])
                .directory("d"),
        ),
        (
            "an owner that wraps",
            Archive::new().pax(&[("uid", b"4294967296")]).file("a", b""),
        ),
        (
            "PAX path upwards",
            Archive::new()
                .pax(&[("path", b"../secret")])
                .file("a", b"theirs"),
        ),
        (
            "PAX size beyond the end",
            Archive::new().pax(&[("size", b"99999999")]).file("a", b"x"),
        ),
    ]
}

#[test]
fn hostile_entries_are_refused_and_touch_nothing_outside() {
    for (what, archive) in hostile_archives() {
        let error = Sandbox::new().unpack(archive).unwrap_err();
        assert_ne!(
            error.class(),
            berth_contract::Class::Denied,
            "{what}: {error:?}"
        );
    }
}

#[test]
fn absolute_names_and_links_stay_inside() {
    let sandbox = Sandbox::new();
    let out = sandbox.outside.path().to_str().unwrap().to_owned();
    let archive = Archive::new()
        .file("/abs/file", b"in")
        .directory("target")
        .link("inside", b'2', "/target")
        .file("inside/through", b"in")
        .link("escape", b'2', "../../../../../../target")
        .file("escape/again", b"in")
        .link("dangling", b'2', &format!("{out}/secret"));
    sandbox.unpack(archive).unwrap();
    let layer = sandbox.layer();
    assert_eq!(std::fs::read(layer.join("abs/file")).unwrap(), b"in");
    assert_eq!(std::fs::read(layer.join("target/through")).unwrap(), b"in");
    assert_eq!(std::fs::read(layer.join("target/again")).unwrap(), b"in");
}

#[test]
fn a_link_is_replaced_and_never_written_through() {
    let sandbox = Sandbox::new();
    let secret = sandbox
        .outside
        .path()
        .join("secret")
        .to_str()
        .unwrap()
        .to_owned();
    let archive = Archive::new()
        .link("a", b'2', &secret)
        .file("a", b"own")
        .link("b", b'2', "../secret")
        .link("b", b'1', "a");
    sandbox.unpack(archive).unwrap();
    assert_eq!(std::fs::read(sandbox.layer().join("b")).unwrap(), b"own");
}

#[test]
fn later_entries_replace_earlier_ones_whatever_they_are() {
    let sandbox = Sandbox::new();
    let archive = Archive::new()
        .directory("d")
        .file("d/inner", b"1")
        .file("d", b"now a file")
        .file("f", b"1")
        .directory("f")
        .file("f/x", b"2")
        .file("f/x", b"3");
    sandbox.unpack(archive).unwrap();
    assert_eq!(
        std::fs::read(sandbox.layer().join("d")).unwrap(),
        b"now a file"
    );
    assert_eq!(std::fs::read(sandbox.layer().join("f/x")).unwrap(), b"3");
}

#[test]
fn whiteouts_become_overlayfs_marks() {
    assert!(is_root(), "these tests need root");
    let sandbox = Sandbox::new();
    let archive = Archive::new()
        .file("gone/.wh.file", b"")
        .directory("opaque")
        .file("opaque/.wh..wh..opq", b"")
        .file("opaque/new", b"")
        .file(".wh.back", b"")
        .directory("back")
        .file("back/x", b"")
        .file("kept", b"here")
        .file(".wh.kept", b"")
        .directory("keptdir")
        .file(".wh.keptdir", b"")
        .file(".wh.implied", b"")
        .file("implied/x", b"")
        .file(".wh..wh.plnk/1.2", b"aufs");
    sandbox.unpack(archive).unwrap();
    let layer = sandbox.layer();
    assert!(is_whiteout(&layer.join("gone/file")));
    assert!(is_opaque(&layer, "opaque") && layer.join("opaque/new").exists());
    assert!(is_opaque(&layer, "back") && layer.join("back/x").exists());
    assert_eq!(std::fs::read(layer.join("kept")).unwrap(), b"here");
    assert!(is_opaque(&layer, "keptdir"));
    assert!(is_opaque(&layer, "implied"));
    assert!(!layer.join(".wh..wh.plnk").exists());
}

#[test]
fn metadata_arrives_exactly() {
    assert!(is_root(), "these tests need root");
    let sandbox = Sandbox::new();
    let archive = Archive::new()
        .raw("./", b'5', b"", |header| header.set_mode(0o711))
        .raw("setuid", b'0', b"x", |header| {
            header.set_mode(0o6755);
            header.set_uid(1234);
            header.set_gid(56);
        })
        .link("hard", b'1', "setuid")
        .pax(&[
            ("mtime", b"1700000000.123456789"),
            ("uid", b"3000000"),
            ("SCHILY.xattr.user.note", b"a\0b"),
            (
                "SCHILY.xattr.security.capability",
                &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            ),
        ])
        .file("pax", b"yy")
        .raw("dir", b'5', b"", |header| {
            header.set_mode(0o1777);
            header.set_mtime(77);
        })
        .file("dir/child", b"")
        .link("sym", b'2', "dir/child")
        .raw("tty", b'3', b"", |header| {
            header.set_device_major(5).unwrap();
            header.set_device_minor(0).unwrap();
            header.set_mode(0o620);
        })
        .raw("pipe", b'6', b"", |_| {});
    let unpacked = sandbox.unpack(archive).unwrap();
    assert_eq!(unpacked.size, 3);
    let stat = |name: &str| sandbox.layer().join(name).symlink_metadata().unwrap();
    assert_eq!(stat(".").permissions().mode() & 0o7777, 0o711);
    let setuid = stat("setuid");
    assert_eq!(
        (setuid.mode() & 0o7777, setuid.uid(), setuid.gid()),
        (0o6755, 1234, 56)
    );
    assert_eq!((setuid.ino(), setuid.mtime()), (stat("hard").ino(), 1_000));
    let pax = stat("pax");
    assert_eq!(
        (pax.uid(), pax.mtime(), pax.mtime_nsec()),
        (3_000_000, 1_700_000_000, 123_456_789)
    );
    let found = attributes(&sandbox.layer(), "pax");
    assert!(
        found.contains(&("user.note".into(), b"a\0b".to_vec())),
        "{found:?}"
    );
    assert!(found.iter().any(|(key, _)| key == "security.capability"));
    let dir = stat("dir");
    assert_eq!((dir.mode() & 0o7777, dir.mtime()), (0o1777, 77));
    assert_eq!(stat("sym").mtime(), 1_000);
    let tty = stat("tty");
    assert!(
        tty.file_type().is_char_device() && tty.rdev() == (5 << 8) && tty.mode() & 0o7777 == 0o620
    );
    assert!(stat("pipe").file_type().is_fifo());
}

#[test]
fn sparse_files_keep_content_and_holes() {
    let sandbox = Sandbox::new();
    let mut content = b"2\n0\n4\n1048576\n4\n".to_vec();
    content.resize(512, 0);
    content.extend_from_slice(b"headtail");
    let archive = Archive::new()
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"sparse"),
            ("GNU.sparse.realsize", b"2097152"),
        ])
        .file("GNUSparseFile.1/sparse", &content)
        .pax(&[
            ("GNU.sparse.size", b"1048580"),
            ("GNU.sparse.map", b"1048576,4"),
        ])
        .file("old", b"tail");
    sandbox.unpack(archive).unwrap();
    let bytes = std::fs::read(sandbox.layer().join("sparse")).unwrap();
    assert_eq!(
        (bytes.len(), &bytes[..4], &bytes[1_048_576..1_048_580]),
        (2_097_152, &b"head"[..], &b"tail"[..])
    );
    assert!(sandbox.layer().join("sparse").metadata().unwrap().blocks() < 100);
    let old = std::fs::read(sandbox.layer().join("old")).unwrap();
    assert_eq!((old.len(), &old[1_048_576..]), (1_048_580, &b"tail"[..]));
    for map in ["8,4,0,4", "0,99999999", "18446744073709551615,2"] {
        let lie = Archive::new()
            .pax(&[
                ("GNU.sparse.size", b"16"),
                ("GNU.sparse.map", map.as_bytes()),
            ])
            .file("a", b"12345678");
        assert!(Sandbox::new().unpack(lie).is_err(), "{map}");
    }
}

#[test]
fn implied_directories_take_their_attributes_from_below() {
    assert!(is_root(), "these tests need root");
    let (lower, upper) = (Sandbox::new(), Sandbox::new());
    let archive = Archive::new()
        .raw("./", b'5', b"", |header| header.set_mode(0o750))
        .raw("etc", b'5', b"", |header| {
            header.set_mode(0o700);
            header.set_uid(42);
        });
    lower.unpack(archive).unwrap();
    let unpacked = upper
        .unpack(Archive::new().file("etc/new/file", b""))
        .unwrap();
    assert_eq!(
        unpacked.implied,
        [Path::new(""), Path::new("etc"), Path::new("etc/new")]
    );
    inherit(&upper.directory(), &unpacked.implied, &[lower.directory()]).unwrap();
    let stat = |name: &str| upper.layer().join(name).metadata().unwrap();
    assert_eq!(stat(".").mode() & 0o777, 0o750);
    assert_eq!((stat("etc").mode() & 0o777, stat("etc").uid()), (0o700, 42));
    assert_eq!(stat("etc/new").mode() & 0o777, 0o755);
}

#[test]
fn damaged_and_exploding_streams_end_in_an_error() {
    let plain = Archive::new().file("a", &[7; 100_000]).bytes();
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&plain).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = zstd::encode_all(plain.as_slice(), 3).unwrap();
    let fails = |bytes: &[u8]| {
        let sandbox = Sandbox::new();
        unpack(bytes, &sandbox.directory(), &Expected::default()).is_err()
    };
    for whole in [&plain, &gzip, &zstd] {
        assert!(!fails(whole));
        assert!(fails(&whole[..whole.len() / 2]));
    }
    let mut flipped = gzip;
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xff;
    assert!(fails(&flipped));
    assert!(fails(b"BZh91AY&SY"));
    let bomb = zstd::encode_all(std::io::Read::take(std::io::repeat(0), 64 << 20), 1).unwrap();
    let header = Archive::new()
        .raw("a", b'0', b"", |header| header.set_size(64 << 20))
        .0;
    let mut bytes = zstd::encode_all(header.as_slice(), 1).unwrap();
    bytes.extend_from_slice(&bomb);
    assert!(fails(&bytes));
}

#[test]
fn digests_are_compared() {
    let bytes = Archive::new().file("a", b"x").bytes();
    let sandbox = Sandbox::new();
    let unpacked = unpack(bytes.as_slice(), &sandbox.directory(), &Expected::default()).unwrap();
    assert_eq!(unpacked.diff_id, crate::store::sha256(&bytes));
    let wrong = Expected {
        diff_id: Some(crate::store::sha256(b"")),
        blob: None,
    };
    let error = unpack(bytes.as_slice(), &Sandbox::new().directory(), &wrong).unwrap_err();
    assert_eq!(error.class(), berth_contract::Class::Invalid);
}
