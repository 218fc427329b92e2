//! A real Debian root, made with debootstrap once for all tests.

use std::path::PathBuf;
use std::process::Command;

use crate::{available, skip, twins};

/// A tar of a minimal Debian with python3 and procps, made once for all runs of the tests; skips the test
/// `test` where it cannot be made.
#[must_use]
pub fn debian_root(test: &str) -> Option<PathBuf> {
    if !available(test, "debootstrap") {
        return None;
    }
    let folder = twins().parent()?.join("debian");
    std::fs::create_dir_all(&folder).expect("the folder of the Debian root is writable");
    let lock = std::fs::File::create(folder.join("lock"))
        .expect("the folder of the Debian root is writable");
    lock.lock()
        .expect("the folder of the Debian root is writable");
    let tar = folder.join("root.tar");
    if !tar.exists() {
        let script = "cd $1; rm -rf root; . /etc/os-release; \
             mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | \
               awk '/^URIs:/ {print $2} /^deb / {for (i = 2; i <= NF; i++) if ($i ~ /:\\/\\//) print $i}' | \
               grep -v security | head -1); \
             debootstrap --variant=minbase --include=python3-minimal,procps $VERSION_CODENAME root $mirror && \
             rm -rf root/var/cache/apt/archives/*.deb root/var/lib/apt/lists/* && \
             tar -C root --numeric-owner --exclude=./dev/* -cf root.tar.partial . && \
             mv root.tar.partial root.tar && rm -rf root";
        let output = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(&folder)
            .output()
            .expect("the folder of the Debian root is writable");
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stdout);
            skip(
                test,
                &format!(
                    "debootstrap failed: {}",
                    said.lines().last().unwrap_or_default()
                ),
            );
            return None;
        }
    }
    Some(tar)
}
