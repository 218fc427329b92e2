//! What an honest layer becomes on disk.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use berth_sys::user::is_root;

use super::{Archive, Sandbox, attributes, inherit, is_opaque, is_whiteout};

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

/// An old GNU sparse file: its first blocks in the header, the others in one that extends it.
fn old_sparse(archive: Archive, path: &str, blocks: &[(u64, &[u8])], size: u64) -> Archive {
    let number = |field: &mut [u8; 12], value: u64| {
        field.copy_from_slice(&[0; 12]);
        field[4..].copy_from_slice(&value.to_be_bytes());
        field[0] = 0x80;
    };
    let fill = |into: &mut [tar::GnuSparseHeader], from: &[(u64, &[u8])]| {
        for (header, (offset, content)) in into.iter_mut().zip(from) {
            number(&mut header.offset, *offset);
            number(&mut header.numbytes, content.len() as u64);
        }
    };
    let mut header = tar::Header::new_gnu();
    header.set_path(path).unwrap();
    header.set_entry_type(tar::EntryType::GNUSparse);
    for set in [tar::Header::set_uid, tar::Header::set_gid] {
        set(&mut header, 0);
    }
    header.set_mode(0o644);
    header.set_size(blocks.iter().map(|(_, content)| content.len() as u64).sum());
    let (first, more) = blocks.split_at(blocks.len().min(4));
    let gnu = header.as_gnu_mut().unwrap();
    fill(&mut gnu.sparse, first);
    number(&mut gnu.realsize, size);
    gnu.isextended[0] = u8::from(!more.is_empty());
    header.set_cksum();
    let mut bytes = archive.0;
    bytes.extend_from_slice(header.as_bytes());
    if !more.is_empty() {
        let mut extension = tar::GnuExtSparseHeader::new();
        fill(&mut extension.sparse, more);
        bytes.extend_from_slice(extension.as_bytes());
    }
    for (_, content) in blocks {
        bytes.extend_from_slice(content);
    }
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    Archive(bytes)
}

#[test]
fn old_sparse_files_are_read_without_their_holes() {
    let sandbox = Sandbox::new();
    let block = |byte: u8| [byte; 512];
    let blocks: Vec<[u8; 512]> = (1..7).map(block).collect();
    let mut map: Vec<(u64, &[u8])> = (0..)
        .step_by(1 << 20)
        .zip(blocks.iter().map(|b| &b[..]))
        .collect();
    map.push((6 << 20, b"end"));
    map.push((8 << 40, b""));
    let archive = old_sparse(Archive::new(), "many", &map, 8 << 40);
    // Nobody wants this one; what follows has to be found all the same.
    let archive = old_sparse(archive, ".wh..wh.plnk/x", &map[..3], (2 << 20) + 512);
    let archive = old_sparse(archive, "empty", &[(1 << 40, b"")], 1 << 40).file("next", b"next");
    sandbox.unpack(archive).unwrap();
    let file = std::fs::File::open(sandbox.layer().join("many")).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 8 << 40);
    for (offset, content) in &map {
        let mut found = vec![0; content.len()];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut found, *offset).unwrap();
        assert_eq!(found, *content);
    }
    let empty = sandbox.layer().join("empty").metadata().unwrap();
    assert_eq!((empty.len(), empty.blocks()), (1 << 40, 0));
    assert_eq!(
        std::fs::read(sandbox.layer().join("next")).unwrap(),
        b"next"
    );
    let absurd = old_sparse(Archive::new(), "absurd", &[(1 << 60, b"")], 1 << 60);
    assert!(Sandbox::new().unpack(absurd).is_err());
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
