//! Where a saved image goes: a tar, the same bytes for the same images, or a directory.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use berth_contract::{Class, Digest, Error, Result};
use berth_sys::error::Explain as _;
use sha2::Digest as _;

/// Takes files by name.
pub(super) enum Sink<'a> {
    Tar(tar::Builder<io::BufWriter<&'a mut dyn Write>>),
    Directory(PathBuf),
}

impl<'a> Sink<'a> {
    pub(super) fn tar(output: &'a mut dyn Write) -> Self {
        Self::Tar(tar::Builder::new(io::BufWriter::with_capacity(
            256 << 10,
            output,
        )))
    }

    /// Makes the directory unless it is there.
    pub(super) fn directory(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path).explain(|| format!("cannot make {}", path.display()))?;
        Ok(Self::Directory(path.to_owned()))
    }

    /// The directory that it is.
    pub(super) fn root(&self) -> Option<&Path> {
        match self {
            Self::Tar(_) => None,
            Self::Directory(root) => Some(root),
        }
    }

    /// Makes a directory within.
    pub(super) fn folder(&mut self, name: &str) -> Result<()> {
        match self {
            Self::Tar(tar) => {
                let mut header = header(tar::EntryType::Directory, 0o755, 0);
                tar.append_data(&mut header, format!("{name}/"), io::empty())
                    .map_err(unwritable)
            }
            Self::Directory(root) => {
                let path = root.join(name);
                std::fs::create_dir_all(&path).explain(|| format!("cannot make {}", path.display()))
            }
        }
    }

    /// Writes a small file.
    pub(super) fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.stream(name, bytes.len() as u64, bytes)
    }

    /// Writes a file of exactly `size` bytes.
    pub(super) fn stream(&mut self, name: &str, size: u64, content: impl Read) -> Result<()> {
        match self {
            Self::Tar(tar) => {
                let mut header = header(tar::EntryType::Regular, 0o644, size);
                tar.append_data(&mut header, name, content.take(size))
                    .map_err(unwritable)
            }
            Self::Directory(root) => {
                let path = root.join(name);
                // Others may read what lies there already.
                let write = |aside: &Path| {
                    let mut file = File::create(aside)?;
                    io::copy(&mut content.take(size), &mut file)
                };
                super::layout::put(&path, write)
                    .map(drop)
                    .explain(|| format!("cannot write {}", path.display()))
            }
        }
    }

    /// Writes a blob of the store and fails if it is not what its digest says.
    pub(super) fn blob(&mut self, name: &str, path: &Path, digest: &Digest) -> Result<()> {
        let cannot = || format!("cannot read {}", path.display());
        let file = File::open(path).explain(cannot)?;
        let size = file.metadata().explain(cannot)?.len();
        let mut checked = Checked {
            file: io::BufReader::with_capacity(256 << 10, file),
            short: sha2::Sha256::new(),
            long: (digest.algorithm() == "sha512").then(sha2::Sha512::new),
        };
        self.stream(name, size, &mut checked)?;
        if checked.digest() == *digest {
            return Ok(());
        }
        Err(
            Error::new(Class::Internal, format!("blob {digest} is damaged"))
                .hint("berth system check --repair"),
        )
    }

    /// Ends the archive.
    pub(super) fn finish(self) -> Result<()> {
        match self {
            Self::Tar(tar) => {
                let finish = || tar.into_inner()?.flush();
                finish().map_err(unwritable)
            }
            Self::Directory(_) => Ok(()),
        }
    }
}

fn unwritable(error: io::Error) -> Error {
    let class = match error.raw_os_error() {
        Some(_) => berth_sys::error::class(&error),
        None => Class::Internal,
    };
    Error::new(class, "cannot write the archive").caused_by(error)
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    // The beginning of time, as Docker has it: an archive does not depend on when it was made.
    header.set_mtime(0);
    header
}

/// A blob's bytes, hashed as they pass.
struct Checked {
    file: io::BufReader<File>,
    short: sha2::Sha256,
    long: Option<sha2::Sha512>,
}

impl Checked {
    fn digest(self) -> Digest {
        match self.long {
            Some(long) => crate::store::sha512(long),
            None => Digest::sha256(self.short.finalize().into()),
        }
    }
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        match &mut self.long {
            Some(long) => long.update(&buffer[..length]),
            None => self.short.update(&buffer[..length]),
        }
        Ok(length)
    }
}
