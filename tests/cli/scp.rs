//! `berth image scp` with an ssh that stays on this machine.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use berth_testkit::{Sandbox, Screen, programs};

/// `ssh` that notes what it was asked, and runs it on the sandbox named like the host.
const SSH: &str = r#"#!/bin/sh
printf '%s\n' "$*" >> "$HERE/asked"
while [ "$1" != -- ]; do shift; done
host=${2#*@}
case $host in
    broken) echo "no route to $host" >&2; exit 255 ;;
    empty) echo "sh: berth: not found" >&2; exit 127 ;;
esac
berth() { "$BERTH" --root "$HERE/$host/data" --runroot "$HERE/$host/run" "$@"; }
[ "$host" = liar ] && berth save app:1 mine:1 && exit
eval "$3"
"#;

/// Several hosts in one directory; this one is called `here`.
struct Hosts(Sandbox);

impl Hosts {
    fn new() -> Self {
        let place = Sandbox::new();
        let folder = place.path().join("bin");
        std::fs::create_dir(&folder).unwrap();
        let ssh = folder.join("ssh");
        std::fs::write(&ssh, SSH).unwrap();
        std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self(place)
    }

    /// Runs berth on one of them.
    fn on(&self, host: &str, arguments: &[&str], input: &[u8]) -> Screen {
        let here = self.0.path();
        let (data, run) = (here.join(host).join("data"), here.join(host).join("run"));
        let places = [
            "--root",
            data.to_str().unwrap(),
            "--runroot",
            run.to_str().unwrap(),
        ];
        let mut command = std::process::Command::new(programs().join("berth"));
        command.args(places).args(arguments).env_clear();
        let path = format!(
            "{}:/usr/sbin:/usr/bin:/sbin:/bin",
            here.join("bin").display()
        );
        command
            .env("PATH", path)
            .env("HOME", here)
            .env("HERE", here);
        command
            .env("BERTH", programs().join("berth"))
            .env("NO_COLOR", "1");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input).unwrap();
        Screen::new(&child.wait_with_output().unwrap())
    }

    fn scp(&self, arguments: &[&str]) -> Screen {
        self.on("here", &[&["image", "scp"], arguments].concat(), b"")
    }

    /// What a person sees of each.
    fn screens(&self, all: &[&[&str]]) -> String {
        let mut screens = String::new();
        for arguments in all {
            let screen = self.scp(arguments);
            screens += &format!("$ scp {}\n{screen}\n\n", arguments.join(" "));
        }
        screens.trim_end().to_owned()
    }

    fn import(&self, host: &str, name: &str) -> String {
        let tar = berth_testkit::Layer::new().file("hello", 0o644, name.as_bytes());
        self.on(host, &["import", "-", name], &tar.finish())
            .success()
    }

    fn images(&self, host: &str) -> String {
        let list = [
            "images",
            "--format",
            "{{.Repository}}:{{.Tag}}",
            "--sort",
            "repository",
        ];
        self.on(host, &list, b"").success().replace('\n', " ")
    }

    fn asked(&self) -> String {
        let file = self.0.path().join("asked");
        let asked = std::fs::read_to_string(&file).unwrap_or_default();
        drop(std::fs::remove_file(file));
        asked
    }
}

#[test]
fn an_image_goes_to_another_host_and_comes_back() {
    let hosts = Hosts::new();
    let id = hosts.import("here", "app:1");
    hosts.import("here", "app:2");
    assert_eq!(
        hosts.scp(&["app:1", "me@there:2222::"]).success(),
        "Loaded image: app:1"
    );
    assert_eq!(hosts.asked(), "-T -p 2222 -- me@there berth load --quiet\n");
    assert_eq!(hosts.images("there"), "app:1");
    let same = hosts.on("there", &["inspect", "--format", "{{.Id}}", "app:1"], b"");
    assert_eq!(same.success(), id);

    hosts.import("there", "tool");
    hosts.import("there", "tool:2");
    assert_eq!(
        hosts.scp(&["there::tool"]).success(),
        "Loaded image: tool:latest"
    );
    assert_eq!(hosts.asked(), "-T -- there berth save tool:latest\n");
    assert_eq!(hosts.images("here"), "app:1 app:2 tool:latest");

    let third = hosts.scp(&["--quiet", "there::tool:2", "third::"]);
    assert_eq!(third.success(), "");
    assert_eq!(hosts.images("third"), "tool:2");
    assert_eq!(hosts.images("here"), "app:1 app:2 tool:latest");
}

/// Whoever is asked for one image gives no other name a new meaning (the class of CVE-2019-6111).
#[test]
fn a_host_sends_no_more_than_it_was_asked_for() {
    let hosts = Hosts::new();
    hosts.import("here", "mine:1");
    let tar = berth_testkit::Layer::new().file("evil", 0o755, b"evil");
    let tar = tar.finish();
    hosts.on("liar", &["import", "-", "mine:1"], &tar).success();
    hosts.import("liar", "app:1");
    let id = || {
        let words = ["inspect", "--format", "{{.Id}}", "mine:1"];
        hosts.on("here", &words, b"").success()
    };
    let before = id();
    assert_eq!(hosts.scp(&["liar::app:1"]).success(), "Loaded image: app:1");
    assert_eq!(id(), before);
    assert_eq!(hosts.images("here"), "app:1 mine:1");
}

#[test]
fn what_went_wrong_on_the_way_is_told() {
    let hosts = Hosts::new();
    hosts.import("here", "app:1");
    let screens = hosts.screens(&[
        &["app:1", "me@broken::"],
        &["there::absent:1"],
        &["there::absent:1", "third::"],
        &["app:1", "empty::"],
        &["absent:1", "there::"],
    ]);
    insta::assert_snapshot!(screens, @"
    $ scp app:1 me@broken::
    exit: 1
    --- stdout ---
    --- stderr ---
    no route to broken
    error: cannot copy app:1 to me@broken
    caused by: ssh could not connect, or the connection broke


    $ scp there::absent:1
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such image: absent:1
    error: cannot copy absent:1 from there
    caused by: berth failed there: exit status: 1


    $ scp there::absent:1 third::
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such image: absent:1
    error: cannot load the archive
    caused by: it is empty

    hint: berth load -i FILE
    error: cannot copy absent:1 from there
    caused by: berth failed there: exit status: 1


    $ scp app:1 empty::
    exit: 1
    --- stdout ---
    --- stderr ---
    sh: berth: not found
    error: cannot copy app:1 to empty
    caused by: there is no berth

    hint: install berth there, where ssh finds it


    $ scp absent:1 there::
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no such image: absent:1
    ");
    assert_eq!(hosts.images("there"), "");
    assert_eq!(hosts.images("third"), "");
}

#[test]
fn what_is_no_host_or_no_image_is_refused() {
    let hosts = Hosts::new();
    let screens = hosts.screens(&[
        &["app:1"],
        &["app:1", "there"],
        &["app:1", "there::other:1"],
        &["--", "app:1", "-oProxyCommand=x::"],
        &["there::a;b"],
    ]);
    insta::assert_snapshot!(screens, @r#"
    $ scp app:1
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot tell where to copy app:1

    hint: berth image scp app:1 USER@HOST::


    $ scp app:1 there
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot tell what there is

    hint: a host is written as there::


    $ scp app:1 there::other:1
    exit: 1
    --- stdout ---
    --- stderr ---
    error: an image that is copied keeps its name

    hint: there:: is the host; berth tag gives an image a further name


    $ scp -- app:1 -oProxyCommand=x::
    exit: 1
    --- stdout ---
    --- stderr ---
    error: "-oProxyCommand=x" is no host

    hint: write it as USER@HOST:: or HOST:PORT::


    $ scp there::a;b
    exit: 1
    --- stdout ---
    --- stderr ---
    error: invalid image reference "a;b"
    caused by: parts of a name are lower-case letters and digits, joined by . _ __ or dashes
    "#);
    assert_eq!(hosts.asked(), "", "nobody was asked");
}
