//! Tests of what a source that names a repository means.

use super::*;

#[test]
fn repositories_name_a_part_of_themselves() {
    let own = |text: &str| Some(text.to_owned());
    let with = |reference, directory| Repository {
        url: "https://a/b.git".to_owned(),
        reference,
        directory,
        ..Repository::default()
    };
    for (rest, expected) in [
        ("", with(None, None)),
        ("#v1:sub/dir", with(own("v1"), own("sub/dir"))),
        ("#:sub", with(None, own("sub"))),
        ("?ref=x&subdir=y%20z", with(own("x"), own("y z"))),
        ("?branch=x", with(own("refs/heads/x"), None)),
        (
            "?tag=refs/tags/v1#refs/tags/v1",
            with(own("refs/tags/v1"), None),
        ),
        (
            "?commit=abc&keep-git-dir&submodules=false",
            Repository {
                checksum: own("abc"),
                keeps_git_directory: Some(true),
                submodules: Some(false),
                ..with(own("abc"), None)
            },
        ),
        (
            "?checksum=abc&keep-git-dir=0#main",
            Repository {
                checksum: own("abc"),
                keeps_git_directory: Some(false),
                ..with(own("main"), None)
            },
        ),
    ] {
        let source = format!("https://a/b.git{rest}");
        assert_eq!(Repository::parse(&source), Ok(expected), "{source}");
    }
    assert_eq!(
        Repository::parse("git@a:b.git#c").map(|found| found.url),
        Ok("git@a:b.git".to_owned())
    );
    for source in [
        "https://a/b.git?what=1",
        "https://a/b.git?ref=",
        "https://a/b.git?ref=a&ref=a",
        "https://a/b.git?ref=a#b",
        "https://a/b.git?subdir=a#:b",
        "https://a/b.git?tag=a&branch=b",
        "https://a/b.git?tag=a#a",
        "https://a/b.git?submodules=maybe",
        "--upload-pack=x.git",
        "https://a/b.git#--x",
    ] {
        assert!(Repository::parse(source).is_err(), "{source}");
    }
}

#[test]
fn what_git_keeps_names_nobody() {
    for (url, bare, count) in [
        ("https://a:b=@c@h:1/r.git", "https://h:1/r.git", 2),
        ("HTTP://t@h/r.git", "HTTP://h/r.git", 2),
        ("https://h/a@b.git", "https://h/a@b.git", 0),
        ("ssh://git@h/r.git", "ssh://git@h/r.git", 0),
        ("git@h:r.git", "git@h:r.git", 0),
    ] {
        let (found, pairs) = apart(url);
        assert_eq!((found.as_str(), pairs.len()), (bare, count), "{url}");
    }
    let (_, pairs) = apart("https://a:b=@c@h:1/r.git");
    let keys: Vec<_> = pairs.iter().map(|(key, _)| key.as_str()).collect();
    let with = "url.https://a:b=@c@h:1/";
    assert_eq!(
        keys,
        [
            format!("{with}r.git.insteadOf"),
            format!("{with}.insteadOf")
        ]
    );
    assert_eq!(pairs[1].1, "https://h:1/");
}

#[test]
fn a_directory_of_a_checkout_lies_within_it() {
    let scratch = tempfile::tempdir().unwrap();
    let tree = scratch.path().join("tree");
    fs::create_dir_all(tree.join("a/etc")).unwrap();
    fs::create_dir(scratch.path().join("outside")).unwrap();
    fs::write(tree.join("file"), "").unwrap();
    for (name, target) in [
        ("out", "/etc"),
        ("up", "../outside"),
        ("a/in", "../a"),
        ("a/absolute", "/a"),
    ] {
        std::os::unix::fs::symlink(target, tree.join(name)).unwrap();
    }
    let found = |name: &str| beneath(&tree, name).ok();
    for (name, path) in [
        ("a", Some("a")),
        ("a/in/etc", Some("a/etc")),
        ("a/absolute", Some("a")),
        ("a/../a/./etc", Some("a/etc")),
        ("../../a", Some("a")),
        ("out", None),
        ("up", None),
        ("file", None),
        ("missing", None),
    ] {
        assert_eq!(found(name), path.map(|path| tree.join(path)), "{name}");
    }
}
