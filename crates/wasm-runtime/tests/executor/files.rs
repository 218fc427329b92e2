//! Directories, links and numbers as a preview 1 guest meets them, where more than wasmtime's own functions
//! is at work.

use std::os::unix::fs::symlink;
use std::path::Path;

use crate::run::Run;

/// Collects error numbers, two digits each, and writes them in the end.
const SAY: &str = r#"
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (global $at (mut i32) (i32.const 4096))
    (func $say (param $errno i32)
      (i32.store8 (global.get $at) (i32.add (i32.const 48) (i32.div_u (local.get $errno) (i32.const 10))))
      (i32.store8 offset=1 (global.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $errno) (i32.const 10))))
      (i32.store8 offset=2 (global.get $at) (i32.const 32))
      (global.set $at (i32.add (global.get $at) (i32.const 3))))
    (func $done
      (i32.store (i32.const 0) (i32.const 4096))
      (i32.store (i32.const 4) (i32.sub (global.get $at) (i32.const 4096)))
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))"#;

/// A function of preview 1 as the text form imports it: name and parameters.
fn import(name: &str, parameters: &str) -> String {
    format!(
        r#"(import "wasi_snapshot_preview1" "{name}" (func ${name} (param {parameters}) (result i32)))"#
    )
}

fn output(run: &Run) -> String {
    let output = run.output();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{complaint}");
    String::from_utf8(output.stdout).unwrap()
}

fn rooted(run: &mut Run, root: &Path) {
    run.configuration.root = Some(root.to_str().unwrap().to_owned());
}

/// `readdir(3)` gives every entry that stays, whatever becomes of those it gave before.
#[test]
fn a_directory_is_emptied_while_it_is_read() {
    let text = format!(
        r#"(module {list} {unlink} (memory (export "memory") 1)
        (func (export "_start")
          (local $end i32) (local $at i32) (local $name i32) (local $length i32) (local $cookie i64)
          (loop $more
            (drop (call $fd_readdir
              (i32.const 3) (i32.const 1024) (i32.const 256) (local.get $cookie) (i32.const 8)))
            (local.set $end (i32.add (i32.const 1024) (i32.load (i32.const 8))))
            (local.set $at (i32.const 1024))
            (block $partial
              (loop $next
                (local.set $name (i32.add (local.get $at) (i32.const 24)))
                (br_if $partial (i32.gt_u (local.get $name) (local.get $end)))
                (local.set $length (i32.load offset=16 (local.get $at)))
                (br_if $partial (i32.gt_u (i32.add (local.get $name) (local.get $length)) (local.get $end)))
                (local.set $cookie (i64.load (local.get $at)))
                (drop (call $path_unlink_file (i32.const 3) (local.get $name) (local.get $length)))
                (local.set $at (i32.add (local.get $name) (local.get $length)))
                (br $next)))
            (br_if $more (i32.eq (local.get $end) (i32.const 1280))))))"#,
        list = import("fd_readdir", "i32 i32 i32 i64 i32"),
        unlink = import("path_unlink_file", "i32 i32 i32"),
    );
    let Some(mut run) = Run::new(&text) else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    for number in 0..100 {
        std::fs::write(root.path().join(format!("file-{number}")), "").unwrap();
    }
    rooted(&mut run, root.path());
    assert_eq!(output(&run), "");
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
}

/// From the directories a guest was given, links lead where they lead natively; from others they stay inside.
#[test]
fn links_lead_through_the_whole_root() {
    let open = |directory, flags, at: i32, length| {
        format!(
            "(call $say (call $path_open (i32.const {directory}) (i32.const {flags}) (i32.const {at})
               (i32.const {length}) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 12)))"
        )
    };
    let text = format!(
        r#"(module {open_import} {read} {unlink} {stat} {SAY}
        (data (i32.const 64) "link") (data (i32.const 80) "../data/file") (data (i32.const 112) "../../x")
        (data (i32.const 128) "data")
        (func (export "_start")
          {}{}{}{}
          (call $say (call $path_filestat_get
            (i32.const 4) (i32.const 1) (i32.const 64) (i32.const 4) (i32.const 200)))
          (call $say (i32.wrap_i64 (i64.load offset=32 (i32.const 200))))
          (call $say (call $path_readlink (i32.const 4) (i32.const 64) (i32.const 4)
            (i32.const 300) (i32.const 5) (i32.const 12)))
          (call $say (i32.load (i32.const 12)))
          (call $say (call $path_readlink (i32.const 4) (i32.const 80) (i32.const 12)
            (i32.const 300) (i32.const 5) (i32.const 12)))
          (call $say (call $path_open (i32.const 3) (i32.const 0) (i32.const 128) (i32.const 4)
            (i32.const 2) (i64.const 0x4000) (i64.const 2) (i32.const 0) (i32.const 16)))
          {}{}
          (call $say (call $path_unlink_file (i32.const 4) (i32.const 64) (i32.const 4)))
          (call $done)))"#,
        open(4, 1, 64, 4),
        open(4, 1, 80, 12),
        open(4, 0, 64, 4),
        open(4, 1, 112, 7),
        open(8, 1, 64, 4).replace("i32.const 8)", "i32.load (i32.const 16))"),
        open(8, 1, 80, 12).replace("i32.const 8)", "i32.load (i32.const 16))"),
        open_import = import("path_open", "i32 i32 i32 i32 i32 i64 i64 i32 i32"),
        read = import("path_readlink", "i32 i32 i32 i32 i32 i32"),
        unlink = import("path_unlink_file", "i32 i32 i32"),
        stat = import("path_filestat_get", "i32 i32 i32 i32 i32"),
    );
    let Some(mut run) = Run::new(&text) else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    for directory in ["app", "data"] {
        std::fs::create_dir(root.path().join(directory)).unwrap();
        symlink("/data/file", root.path().join(directory).join("link")).unwrap();
    }
    std::fs::write(root.path().join("data/file"), "seven b").unwrap();
    rooted(&mut run, root.path());
    run.configuration.working_directory = "/app".into();
    // Led, up and down, ELOOP as it is not to be followed, EPERM above the root; the size of what the link
    // leads to; five bytes of the link, EINVAL where there is none; a directory of the guest's own, EPERM
    // twice; the link is removed.
    assert_eq!(output(&run), "00 00 32 63 00 07 00 05 28 00 63 63 00 ");
    assert!(!root.path().join("app/link").exists() && root.path().join("data/file").exists());
}

/// EBADF for numbers that mean nothing, ENOTSOCK for files, ENOTCONN for a listener; and a socket is a file.
#[test]
fn sockets_are_told_from_other_numbers() {
    let text = format!(
        r#"(module {accept} {shutdown} {receive} {stat} {renumber} {poll} {SAY}
        (func (export "_start")
          (call $say (call $sock_accept (i32.const 99) (i32.const 0) (i32.const 12)))
          (call $say (call $sock_accept (i32.const 1) (i32.const 0) (i32.const 12)))
          (call $say (call $sock_shutdown (i32.const 99) (i32.const 1)))
          (call $say (call $sock_shutdown (i32.const 4) (i32.const 1)))
          (call $say (call $sock_shutdown (i32.const 3) (i32.const 1)))
          (call $say (call $sock_recv (i32.const 99) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 12) (i32.const 16)))
          (call $say (call $fd_filestat_get (i32.const 3) (i32.const 200)))
          (call $say (i32.load8_u offset=16 (i32.const 200)))
          (call $say (call $fd_renumber (i32.const 3) (i32.const 4)))
          (i32.store8 (i32.const 308) (i32.const 1)) (i32.store (i32.const 316) (i32.const 3))
          (i32.store8 (i32.const 356) (i32.const 1)) (i32.store (i32.const 364) (i32.const 99))
          (call $say (call $poll_oneoff (i32.const 300) (i32.const 500) (i32.const 2) (i32.const 12)))
          (call $done)))"#,
        accept = import("sock_accept", "i32 i32 i32"),
        shutdown = import("sock_shutdown", "i32 i32"),
        receive = import("sock_recv", "i32 i32 i32 i32 i32 i32"),
        stat = import("fd_filestat_get", "i32 i32"),
        renumber = import("fd_renumber", "i32 i32"),
        poll = import("poll_oneoff", "i32 i32 i32 i32"),
    );
    let Some(mut run) = Run::new(&text) else {
        return;
    };
    run.configuration.ports = vec![0];
    assert_eq!(output(&run), "08 57 08 57 53 08 00 06 58 08 ");
}
