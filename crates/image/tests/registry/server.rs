//! Debian's `docker-registry` on loopback, and skopeo.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A registry process that ends with its test.
pub(crate) struct Registry {
    /// `127.0.0.1:port`.
    pub(crate) address: String,
    directory: tempfile::TempDir,
    process: Child,
}

impl Registry {
    /// Starts a registry, a private one only for `me:secret`; `None`, loudly, where the programs are
    /// missing.
    pub(crate) fn start(private: bool) -> Option<Self> {
        Self::start_with(private, None)
    }

    /// Starts a registry that speaks HTTPS with a certificate nobody knows.
    pub(crate) fn start_secure() -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let (chain, key) = certificate(place.path(), "IP:127.0.0.1")?;
        let tls = format!(
            ", tls: {{certificate: {}, key: {}}}",
            chain.display(),
            key.display()
        );
        Self::start_with(false, Some(&tls))
    }

    fn start_with(private: bool, tls: Option<&str>) -> Option<Self> {
        for program in ["/usr/bin/docker-registry", "/usr/bin/skopeo"] {
            if !Path::new(program).exists() {
                println!("SKIPPED: {program} is not installed");
                return None;
            }
        }
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let address = format!("127.0.0.1:{port}");
        let mut config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\nhttp: {{addr: '{address}'{}}}\n",
            directory.path().join("data").display(),
            tls.unwrap_or_default()
        );
        if private {
            let passwords = directory.path().join("htpasswd");
            std::fs::write(&passwords, PASSWORDS).unwrap();
            config.push_str(&format!(
                "auth: {{htpasswd: {{realm: r, path: {}}}}}\n",
                passwords.display()
            ));
        }
        let path = directory.path().join("config.yml");
        std::fs::write(&path, config).unwrap();
        let mut process = Command::new("/usr/bin/docker-registry")
            .arg("serve")
            .arg(path)
            .env_clear()
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        loop {
            let line = lines.next().expect("the registry ended").unwrap();
            if line.contains("listening on") {
                break;
            }
        }
        // Whoever writes into a full pipe waits.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self {
            address,
            directory,
            process,
        })
    }

    /// Flips a byte in the largest blob.
    pub(crate) fn corrupt_largest_blob(&self) {
        let mut blobs = Vec::new();
        files(
            &self.directory.path().join("data/docker/registry/v2/blobs"),
            &mut blobs,
        );
        let largest = blobs
            .into_iter()
            .max_by_key(|path| path.metadata().unwrap().size())
            .unwrap();
        let mut bytes = std::fs::read(&largest).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        std::fs::write(largest, bytes).unwrap();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// `me:secret` with bcrypt, the only kind docker-registry takes.
const PASSWORDS: &str = "me:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n";

/// The certificate of an authority nobody knows, for one name, and its key; `None`, loudly, without openssl.
pub(crate) fn certificate(place: &Path, name: &str) -> Option<(PathBuf, PathBuf)> {
    let (chain, key) = (place.join("certificate.pem"), place.join("key.pem"));
    let made = Command::new("openssl")
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes".split(' '))
        .args("-days 2 -subj /CN=registry -addext".split(' '))
        .arg(format!("subjectAltName={name}"))
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&chain)
        .stderr(Stdio::null())
        .status();
    if made.is_ok_and(|status| status.success()) {
        return Some((chain, key));
    }
    println!("SKIPPED: openssl is not installed");
    None
}

/// Runs skopeo; `false`, loudly, where it is not installed.
pub(crate) fn skopeo(arguments: &[&str]) -> bool {
    if !Path::new("/usr/bin/skopeo").exists() {
        println!("SKIPPED: skopeo is not installed");
        return false;
    }
    let output = Command::new("/usr/bin/skopeo")
        .args(["--insecure-policy"])
        .args(arguments)
        .env("HOME", "/nonexistent")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    true
}
