//! The promises of the store: names, ids, removal, collection, damage, volumes, archives.

#![expect(clippy::unwrap_used, reason = "what a test needs in order to begin")]

mod archives;
mod artifacts;
mod damage;
mod files;
mod foreign;
mod hostile;
mod names;
mod places;
mod removal;
mod save;
mod unsynced;

use std::path::PathBuf;

use berth_contract::{Digest, Result};
use berth_image::{Containers, FileEntry, ImageBuilder, Platform, Reference, Store, Use};

fn name(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

fn image(content: &str) -> ImageBuilder {
    let mut image = ImageBuilder::new(Platform::host());
    image.files = vec![
        FileEntry::Directory {
            path: "bin".into(),
            mode: 0o755,
        },
        FileEntry::File {
            path: "bin/tool".into(),
            mode: 0o755,
            content: content.into(),
        },
        FileEntry::Symlink {
            path: "sh".into(),
            target: "/bin/../bin/tool".into(),
        },
        FileEntry::Symlink {
            path: "loop".into(),
            target: "loop".into(),
        },
        FileEntry::Symlink {
            path: "out".into(),
            target: "../../../../etc/passwd".into(),
        },
    ];
    image
}

fn store() -> (tempfile::TempDir, Store) {
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(data.path());
    (data, store)
}

fn count(data: &tempfile::TempDir, directory: &str) -> usize {
    std::fs::read_dir(data.path().join(directory))
        .unwrap()
        .count()
}

/// Containers that use one image.
struct Using(Digest, bool, Vec<PathBuf>);

impl Containers for Using {
    fn using(&self, image: &Digest) -> Result<Vec<Use>> {
        let user = Use {
            container: "abc".into(),
            running: self.1,
        };
        Ok(if *image == self.0 {
            vec![user]
        } else {
            Vec::new()
        })
    }

    fn layers(&self) -> Result<Vec<PathBuf>> {
        Ok(self.2.clone())
    }
}

fn tar(entries: &[(&str, Option<&str>, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, link, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(content.len() as u64);
        match link {
            Some(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                builder.append_link(&mut header, path, target).unwrap();
            }
            None => builder.append_data(&mut header, path, *content).unwrap(),
        }
    }
    builder.into_inner().unwrap()
}

/// The digest of some bytes, by way of a program that is not ours.
fn digest(bytes: &[u8]) -> String {
    use std::io::Write as _;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let output = std::process::Command::new("sha256sum")
        .arg(file.path())
        .output()
        .unwrap();
    format!(
        "sha256:{}",
        &String::from_utf8(output.stdout).unwrap()[..64]
    )
}
