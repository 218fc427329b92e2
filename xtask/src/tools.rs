//! What the tests need from Debian: installed when we are root, named otherwise.

use crate::shell::{self, Outcome};

/// A program, the Debian package it comes from, and what it is for.
const TOOLS: [(&str, &str, &str); 19] = [
    ("/bin/busybox", "busybox-static", "the busybox image"),
    ("debootstrap", "debootstrap", "the Debian image"),
    (
        "docker-registry",
        "docker-registry",
        "a real registry on loopback",
    ),
    (
        "skopeo",
        "skopeo",
        "a second client of registries and archives",
    ),
    ("buildah", "buildah", "a second builder"),
    ("getfattr", "attr", "attributes of files in two images"),
    ("podman", "podman", "a second engine that loads and saves"),
    (
        "htpasswd",
        "apache2-utils",
        "passwords of the test registry",
    ),
    ("clang-14", "clang-14", "the wasm twins"),
    ("wasm-ld-14", "lld-14", "the wasm twins"),
    ("c++", "g++", "the fuzz targets"),
    (
        "mkfs.btrfs",
        "btrfs-progs",
        "a file system whose files share their content",
    ),
    ("filefrag", "e2fsprogs", "where the content of files lies"),
    ("git", "git", "repositories that are built from"),
    ("openssl", "openssl", "signatures of images"),
    ("ssh-agent", "openssh-client", "keys of builds"),
    ("ip", "iproute2", "test hosts in network namespaces"),
    ("nft", "nftables", "reading the rules back"),
    (
        "linux.uml",
        "user-mode-linux",
        "a kernel with pure cgroup v2",
    ),
];
/// Files of packages that hold no program, and what they are for.
const FILES: [(&str, &str, &str); 2] = [
    (
        "/usr/include/wasm32-wasi/stdio.h",
        "wasi-libc",
        "the wasm twins",
    ),
    (
        "/usr/lib/llvm-14/lib/clang/14.0.6/lib/wasi/libclang_rt.builtins-wasm32.a",
        "libclang-rt-14-dev-wasm32",
        "the wasm twins",
    ),
];

/// Installs what is missing; where it cannot, says what to install and goes on.
pub(crate) fn install() -> Outcome {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|(package, _)| *package).collect();
    if !shell::is_root() || !shell::exists("apt-get") {
        println!("Missing Debian packages; the tests that need them will be skipped:");
        for (package, purpose) in missing {
            println!("  {package} ({purpose})");
        }
        println!(
            "  install them with: apt-get install {}",
            packages.join(" ")
        );
        return Ok(());
    }
    let apt = |arguments: &[&str]| {
        let mut command = shell::command("apt-get");
        command
            .args(["-qq", "-o", "Dpkg::Use-Pty=0"])
            .args(arguments);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    shell::run(&mut apt(&["update"]))?;
    shell::run(apt(&["install", "--yes", "--no-install-recommends"]).args(&packages))
}

fn missing() -> Vec<(&'static str, &'static str)> {
    let mut missing: Vec<(&str, &str)> = Vec::new();
    let programs = TOOLS.into_iter().filter(|(program, ..)| {
        if program.starts_with('/') {
            !std::path::Path::new(program).exists()
        } else {
            !shell::exists(program)
        }
    });
    let files = FILES
        .into_iter()
        .filter(|(file, ..)| !std::path::Path::new(file).exists());
    for (_, package, purpose) in programs.chain(files) {
        if !missing.iter().any(|(known, _)| *known == package) {
            missing.push((package, purpose));
        }
    }
    missing
}
