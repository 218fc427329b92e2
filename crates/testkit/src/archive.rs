//! Images made on the spot, as docker-archives that `berth load` reads.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::twin::{Kind, Twin};

/// One image in a docker-archive.
#[derive(Debug, Clone)]
pub struct ImageArchive {
    bytes: Vec<u8>,
}

/// A layer under construction.
pub struct Layer {
    tar: tar::Builder<Vec<u8>>,
}

impl std::fmt::Debug for Layer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Layer").finish_non_exhaustive()
    }
}

impl Default for Layer {
    fn default() -> Self {
        Self::new()
    }
}

impl Layer {
    /// An empty layer.
    #[must_use]
    pub fn new() -> Self {
        Self {
            tar: tar::Builder::new(Vec::new()),
        }
    }

    /// Adds a file.
    #[must_use]
    pub fn file(mut self, path: &str, mode: u32, content: &[u8]) -> Self {
        let mut header = header(tar::EntryType::Regular, mode);
        header.set_size(content.len() as u64);
        self.tar
            .append_data(&mut header, path, content)
            .expect("a tar entry fits");
        self
    }

    /// Adds a directory.
    #[must_use]
    pub fn directory(mut self, path: &str, mode: u32) -> Self {
        let mut header = header(tar::EntryType::Directory, mode);
        self.tar
            .append_data(&mut header, path, &[][..])
            .expect("a tar entry fits");
        self
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn symlink(mut self, path: &str, target: &str) -> Self {
        let mut header = header(tar::EntryType::Symlink, 0o777);
        self.tar
            .append_link(&mut header, path, target)
            .expect("a tar entry fits");
        self
    }

    /// The finished tar.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.tar
            .into_inner()
            .expect("a tar in memory can be finished")
    }
}

fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(1_700_000_000);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header
}

impl ImageArchive {
    /// An image `name` of one layer, with this `config` member of the image's configuration.
    #[must_use]
    pub fn new(name: &str, platform: (&str, &str), config: &Value, layer: &[u8]) -> Self {
        let (os, architecture) = platform;
        let configuration = json!({
            "architecture": architecture,
            "os": os,
            "created": "2023-11-14T22:13:20Z",
            "config": config,
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", hash(layer))] },
            "history": [{ "created": "2023-11-14T22:13:20Z", "created_by": "berth-testkit" }],
        });
        let configuration = configuration.to_string();
        let config_name = format!("{}.json", hash(configuration.as_bytes()));
        let manifest = json!([{
            "Config": config_name, "RepoTags": [name], "Layers": ["layer/layer.tar"],
        }]);
        let bytes = Layer::new()
            .file(&config_name, 0o644, configuration.as_bytes())
            .file("layer/layer.tar", 0o644, layer)
            .file("manifest.json", 0o644, manifest.to_string().as_bytes())
            .finish();
        Self { bytes }
    }

    /// `busybox:latest`: Debian's static busybox and a link for each applet.
    #[must_use]
    pub fn busybox() -> Self {
        let program = std::fs::read("/bin/busybox").expect("busybox-static is installed");
        let list = std::process::Command::new("/bin/busybox")
            .arg("--list")
            .output();
        let applets =
            String::from_utf8(list.expect("busybox runs").stdout).expect("names are text");
        let mut layer = Layer::new();
        for (folder, mode) in [
            ("bin/", 0o755),
            ("dev/", 0o755),
            ("etc/", 0o755),
            ("home/", 0o755),
            ("proc/", 0o755),
            ("root/", 0o700),
            ("sys/", 0o755),
            ("tmp/", 0o1777),
            ("var/", 0o755),
        ] {
            layer = layer.directory(folder, mode);
        }
        layer = layer.file("bin/busybox", 0o755, &program);
        for applet in applets.lines().filter(|applet| *applet != "busybox") {
            layer = layer.symlink(&format!("bin/{applet}"), "busybox");
        }
        let users = b"root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000:guest:/home:/bin/sh\n";
        let groups = b"root:x:0:\nguest:x:1000:\nextra:x:2000:guest\n";
        let layer = layer
            .file("etc/passwd", 0o644, users)
            .file("etc/group", 0o644, groups);
        let config = json!({ "Env": ["PATH=/bin"], "Cmd": ["sh"] });
        Self::new(
            "busybox:latest",
            ("linux", native()),
            &config,
            &layer.finish(),
        )
    }

    /// A twin program as the entrypoint of an image named after it.
    #[must_use]
    pub fn twin(twin: &Twin) -> Self {
        let config = json!({ "Entrypoint": ["/program"], "ExposedPorts": { "7777/tcp": {} } });
        Self::twin_with(twin, &config)
    }

    /// As [`ImageArchive::twin`], with another `config`; the program is `/program`.
    #[must_use]
    pub fn twin_with(twin: &Twin, config: &Value) -> Self {
        let layer = Layer::new()
            .file("program", 0o755, &twin.program())
            .directory("data/", 0o777)
            .directory("work/", 0o777)
            .file("work/marker", 0o644, b"here")
            .directory("tmp/", 0o1777)
            .finish();
        Self::new(&twin.image(), platform(twin.kind()), config, &layer)
    }

    /// Several twins of one kind in one image, each at `/NAME`; the first is the entrypoint.
    #[must_use]
    pub fn twins(name: &str, twins: &[Twin]) -> Self {
        let mut layer = Layer::new()
            .directory("data/", 0o777)
            .directory("tmp/", 0o1777);
        for twin in twins {
            layer = layer.file(twin.name(), 0o755, &twin.program());
        }
        let first = twins.first().expect("an image holds at least one twin");
        let config = json!({ "Entrypoint": [format!("/{}", first.name())] });
        Self::new(name, platform(first.kind()), &config, &layer.finish())
    }

    /// The archive.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn platform(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Native => ("linux", native()),
        Kind::Wasm => ("wasi", "wasm"),
    }
}

/// This machine's architecture as image-spec spells it.
fn native() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    }
}

fn hash(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes any text");
            text
        })
}
