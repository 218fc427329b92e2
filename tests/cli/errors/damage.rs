//! Files that are not what they should be, and disks that take no more.

use berth_testkit::{ImageArchive, Kind, Sandbox, Twin};

use super::assert_untouched;

#[test]
fn damaged_archives() {
    let sandbox = Sandbox::new();
    let whole = ImageArchive::twin(&Twin::new(Kind::Native, "hello"));
    let bytes = whole.bytes();
    let cut = sandbox.berth_with_input(&["load"], &bytes[..bytes.len() / 2]);
    assert_untouched(&sandbox);
    insta::assert_snapshot!(cut.hide_ids(), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot load the archive
    caused by: it is damaged or no tar archive: unexpected EOF during skip
    ");
    insta::assert_snapshot!(sandbox.berth_with_input(&["load"], b"not an archive at all"), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot load the archive
    caused by: it is damaged or no tar archive: failed to read entire block
    ");
    insta::assert_snapshot!(sandbox.berth_with_input(&["load"], b""), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot load the archive
    caused by: it is empty

    hint: berth load -i FILE
    ");
    insta::assert_snapshot!(sandbox.berth(&["load", "-i", "/nowhere.tar"]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot open /nowhere.tar
    caused by: No such file or directory
    ");
    assert_eq!(sandbox.berth(&["images", "-q"]).success(), "");
}

#[test]
fn a_layer_that_is_not_what_its_image_says() {
    let sandbox = Sandbox::new();
    let whole = ImageArchive::busybox();
    let mut bytes = whole.bytes().to_vec();
    let at = bytes
        .windows(6)
        .position(|window| window == b"root:x")
        .unwrap();
    bytes[at] = b'R';
    let screen = sandbox.berth_with_input(&["load"], &bytes).hide_ids();
    insta::assert_snapshot!(screen, @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot load the archive
    caused by: unpacked layer sha256:[ID] is damaged
    caused by: its content has the digest sha256:[ID]
    ");
    assert_eq!(sandbox.berth(&["images", "-q"]).success(), "");
}

#[test]
fn a_damaged_record_does_not_hide_the_others() {
    let sandbox = Sandbox::with_busybox();
    let damaged = sandbox
        .berth(&["create", "--name", "damaged", "busybox", "true"])
        .success();
    sandbox
        .berth(&["create", "--name", "whole", "busybox", "true"])
        .success();
    let record = sandbox
        .data()
        .join("containers")
        .join(&damaged)
        .join("record.json");
    std::fs::write(&record, "{ this is not").unwrap();
    let listed = sandbox
        .berth(&["ps", "-a", "--format", "{{.Names}}"])
        .hide_ids();
    insta::assert_snapshot!(listed, @"
    exit: 0
    --- stdout ---
    whole
    damaged
    --- stderr ---
    ");
    let inspected = sandbox
        .berth(&["inspect", "--type", "container", "damaged"])
        .hide_ids();
    insta::assert_snapshot!(inspected, @"
    exit: 1
    --- stdout ---
    []
    --- stderr ---
    error: container [ID] is damaged
    caused by: [SANDBOX]/data/containers/[ID]/record.json is damaged
    caused by: key must be a string at line 1 column 3

    hint: berth rm -f [ID]
    ");
    sandbox.berth(&["rm", "-f", &damaged]).success();
    assert_eq!(
        sandbox
            .berth(&["ps", "-a", "--format", "{{.Names}}"])
            .success(),
        "whole"
    );
}

#[test]
fn a_full_disk() {
    let sandbox = Sandbox::new();
    let data = sandbox.data();
    std::fs::create_dir(&data).unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
        .arg(&data)
        .status()
        .unwrap();
    assert!(mounted.success());
    let screen = sandbox
        .berth_with_input(&["load"], ImageArchive::busybox().bytes())
        .hide_ids();
    let images = sandbox.berth(&["images", "-q"]);
    let file = sandbox.path().join("large");
    std::fs::write(&file, vec![7; 2 << 20]).unwrap();
    let artifact = sandbox
        .berth(&["artifact", "add", "a", file.to_str().unwrap()])
        .hide_ids();
    std::process::Command::new("umount")
        .arg(&data)
        .status()
        .unwrap();
    insta::assert_snapshot!(screen, @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot load the archive
    caused by: cannot write to [SANDBOX]/data
    caused by: No space left on device

    hint: berth image prune
    ");
    assert_eq!(images.success(), "");
    insta::assert_snapshot!(artifact, @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot write to [SANDBOX]/data
    caused by: No space left on device

    hint: berth image prune
    ");
}
