//! Archives that want to write where they may not.

use super::{Archive, Sandbox};

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
fn what_describes_an_entry_is_bounded() {
    let long = "x".repeat(5 << 20);
    for archive in [
        Archive::new().pax(&[("comment", long.as_bytes())]),
        Archive::new().raw("././@LongLink", b'L', long.as_bytes(), gnu),
        Archive::new().raw("././@LongLink", b'K', long.as_bytes(), gnu),
    ] {
        let error = Sandbox::new().unpack(archive.file("a", b"")).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("more than 4 MiB"), "{cause}");
    }
    // What nobody has read of an entry before is no part of the next one's description.
    let large = vec![7; 5 << 20];
    let archive = Archive::new()
        .file(".wh..wh.plnk/unread", &large)
        .pax(&[("comment", &large[..900_000])])
        .file("a", b"content");
    let sandbox = Sandbox::new();
    sandbox.unpack(archive).unwrap();
    assert_eq!(
        std::fs::read(sandbox.layer().join("a")).unwrap(),
        b"content"
    );
    // A path that no system can have is refused with a message people can read.
    let path = format!("{}/a", "d/".repeat(4000));
    let archive = Archive::new().pax(&[("path", path.as_bytes())]);
    let error = Sandbox::new().unpack(archive.file("a", b"")).unwrap_err();
    assert!(error.to_string().len() < 300, "{error}");
}

fn gnu(header: &mut tar::Header) {
    header.as_mut_bytes()[257..265].copy_from_slice(b"ustar  \0");
}

#[test]
fn a_path_is_cleaned_before_it_is_judged() {
    let sandbox = Sandbox::new();
    let archive = Archive::new()
        .file("a/../b", b"b")
        .link("c", b'1', "x/../b")
        .file("d/./../e/f/..", b"e");
    sandbox.unpack(archive).unwrap();
    assert_eq!(std::fs::read(sandbox.layer().join("c")).unwrap(), b"b");
    assert_eq!(std::fs::read(sandbox.layer().join("e")).unwrap(), b"e");
    assert!(!sandbox.layer().join("a").exists());
}
