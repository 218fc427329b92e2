//! A file system whose files can share their content: what COPY copies there takes no room of its own.

use std::process::{Command, Stdio};

use berth_testkit::{Sandbox, available, skip};

/// Runs in a mount namespace of its own, with which the mount and the loop device go.
const STEPS: &str = r#"
    truncate -s 300M "$PLACE/disk"
    mkfs.btrfs -q "$PLACE/disk"
    mkdir "$PLACE/disks"
    mount -o loop "$PLACE/disk" "$PLACE/disks" || exit 75
    cd "$PLACE/disks"
    mkdir context
    head -c 8388608 /dev/urandom > context/big
    printf 'FROM scratch\nCOPY big /big\n' > context/Dockerfile
    "$0" --root "$PWD/data" --runroot "$PLACE/run" build -q -t shared context
    sync -f .
    filefrag -v context/big
"#;
/// What [`STEPS`] ends with where nothing can be mounted.
const NO_MOUNT: i32 = 75;

#[test]
fn copies_share_their_content() {
    let test = "copies_share_their_content";
    if !["mkfs.btrfs", "filefrag"]
        .iter()
        .all(|program| available(test, program))
    {
        return;
    }
    let sandbox = Sandbox::new();
    let output = Command::new("unshare")
        .args(["--mount", "--propagation=private", "sh", "-ec", STEPS])
        .arg(sandbox.command(&[]).get_program())
        .env("PLACE", sandbox.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.code() == Some(NO_MOUNT) {
        return skip(test, said(&output.stderr).trim());
    }
    assert!(output.status.success(), "{}", said(&output.stderr));
    let extents = said(&output.stdout);
    let lengths = extents.lines().filter(|line| line.contains("..")).count();
    let shared = extents
        .lines()
        .filter(|line| line.contains("shared"))
        .count();
    assert!(lengths > 0 && lengths == shared, "{extents}");
}
