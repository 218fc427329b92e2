//! Compiled modules: each is made once per module and engine, and mapped ever after.
//!
//! ```text
//! DATA/wasm/<sha256 of the module>-<engine>.cwasm     a compiled module; never written again, only unlinked
//! DATA/wasm/known/<identity of a file> ─► <sha256>    symbolic links as a memo: one readlink, no hashing
//! DATA/wasm/known/<identity of berth-wasmc> ─► <engine>
//! DATA/wasm/<random>.partial                          being made; garbage once its maker is gone
//! ```
//!
//! *Engine* is wasmtime's own compatibility hash: full version, settings, CPU features. wasmtime itself
//! checks its major version only, so a patch release that repairs the compiler must change our key.
//!
//! An *identity* is device, inode, size and both times to the nanosecond. It is believed only for files
//! that guests cannot write; theirs are hashed every time.

use std::fs::{DirBuilder, File, Metadata};
use std::io::{Read as _, Seek as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use berth_contract::{Class, Digest, Error, Result};
use berth_sys::error::Explain as _;
use sha2::{Digest as _, Sha256};

use crate::compile::Compiler;

/// A module larger than this is refused; the largest known (Ruby with its library) has 31 MB.
pub const LARGEST_MODULE: u64 = 512 << 20;

/// Hashing less than this takes no longer than a few system calls, and files come and go.
const WORTH_A_MEMO: u64 = 1 << 20;

/// The directory of compiled modules.
#[derive(Debug, Clone)]
pub struct Cache {
    directory: PathBuf,
    compiler: Compiler,
    function: Option<String>,
}

impl Cache {
    /// Uses (and makes) a directory; `compiler` is the path of `berth-wasmc`.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn open(directory: &Path, compiler: &Path) -> Result<Self> {
        let known = directory.join(KNOWN);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&known)
            .explain(|| {
                format!(
                    "cannot make the directory of compiled modules {}",
                    known.display()
                )
            })?;
        Ok(Self {
            directory: directory.to_owned(),
            compiler: Compiler::new(compiler),
            function: None,
        })
    }

    /// Takes modules that have this function in place of an entry of their own.
    #[must_use]
    pub fn entered_at(self, function: Option<String>) -> Self {
        Self { function, ..self }
    }

    /// Turns wasm in text form into a module, in the compiler's jail.
    ///
    /// # Errors
    /// The text cannot be read, or is no module (class `CannotInvoke`).
    pub fn assemble(&self, text: &File, module: &File) -> Result<()> {
        self.compiler.assemble(&read(text)?, module)
    }

    /// The compiled form of a module that lies in a file of the host's own, which no guest can write.
    ///
    /// # Errors
    /// The module cannot be read, or cannot be run (class `CannotInvoke`).
    pub fn compiled(&self, module: &File) -> Result<PathBuf> {
        let engine = self.engine()?;
        let metadata = module
            .metadata()
            .explain(|| "cannot read the wasm module".to_owned())?;
        if metadata.size() < WORTH_A_MEMO {
            return self.compiled_bytes(&read(module)?);
        }
        let memo = self.memo(&metadata);
        if let Some(digest) = read_memo(&memo).filter(|text| is_digest(text)) {
            let path = self.place(&digest, &engine);
            if path.exists() {
                return Ok(path);
            }
        }
        let bytes = read(module)?;
        let digest = hash(&bytes);
        let path = self.made(&digest, &engine, &bytes)?;
        write_memo(&memo, &digest);
        Ok(path)
    }

    /// The compiled form of a module whose digest is known because its bytes were verified when stored.
    ///
    /// # Errors
    /// As for [`Cache::compiled`].
    pub fn compiled_blob(&self, digest: &Digest, module: &File) -> Result<PathBuf> {
        if digest.algorithm() != "sha256" {
            return self.compiled(module);
        }
        let engine = self.engine()?;
        let path = self.place(digest.hex(), &engine);
        if path.exists() {
            return Ok(path);
        }
        let bytes = read(module)?;
        // What is compiled must be what its name says, whoever damaged the store.
        self.made(&hash(&bytes), &engine, &bytes)
    }

    /// The compiled form of a module that a guest can write: nothing about its file is believed.
    ///
    /// # Errors
    /// As for [`Cache::compiled`].
    pub fn compiled_bytes(&self, module: &[u8]) -> Result<PathBuf> {
        self.made(&hash(module), &self.engine()?, module)
    }

    /// The compiled form of a module that a guest can write, if it is here already.
    ///
    /// # Errors
    /// The compiler does not say what it is.
    pub(crate) fn known_bytes(&self, module: &[u8]) -> Result<Option<PathBuf>> {
        let path = self.place(&hash(module), &self.engine()?);
        Ok(path.exists().then_some(path))
    }

    /// Removes every compiled module whose source `is_used` does not know; returns the bytes freed.
    ///
    /// A guest that runs one of them keeps it mapped; its next start compiles again. What is known of
    /// files is forgotten: most of them are gone.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn prune(&self, is_used: &dyn Fn(&Digest) -> bool) -> Result<u64> {
        let unreadable = || format!("cannot read {}", self.directory.display());
        let known = self.directory.join(KNOWN);
        for memo in std::fs::read_dir(&known).explain(unreadable)?.flatten() {
            // One that stays behind is as good as before.
            std::fs::remove_file(memo.path()).ok();
        }
        let mut freed = 0;
        for entry in std::fs::read_dir(&self.directory).explain(unreadable)? {
            let entry = entry.explain(unreadable)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(hex) = name
                .strip_suffix(SUFFIX)
                .and_then(|name| name.split('-').next())
            else {
                continue;
            };
            let is_kept = format!("sha256:{hex}")
                .parse()
                .is_ok_and(|digest| is_used(&digest));
            let size = entry.metadata().map_or(0, |metadata| metadata.len());
            if !is_kept && std::fs::remove_file(entry.path()).is_ok() {
                freed += size;
            }
        }
        Ok(freed)
    }

    fn place(&self, digest: &str, engine: &str) -> PathBuf {
        self.directory.join(format!("{digest}-{engine}{SUFFIX}"))
    }

    fn memo(&self, metadata: &Metadata) -> PathBuf {
        self.directory.join(KNOWN).join(identity(metadata))
    }

    /// What compiled code depends on beside the module; asked of the compiler once per installed compiler.
    fn engine(&self) -> Result<String> {
        let program = self.compiler.path();
        let metadata = program
            .metadata()
            .explain(|| format!("cannot find {}", program.display()))?;
        // The same disk can come up in a machine with another CPU, for which the code would not load.
        let memo =
            self.directory
                .join(KNOWN)
                .join(format!("{}-{:x}", identity(&metadata), processor()));
        if let Some(engine) = read_memo(&memo).filter(|text| is_engine(text)) {
            return Ok(engine);
        }
        let engine = self.compiler.engine()?;
        if !is_engine(&engine) {
            return Err(Error::new(
                Class::Internal,
                format!("{} does not say what it is", program.display()),
            ));
        }
        write_memo(&memo, &engine);
        Ok(engine)
    }

    fn made(&self, digest: &str, engine: &str, module: &[u8]) -> Result<PathBuf> {
        let path = self.place(digest, engine);
        if !path.exists() {
            let place = (self.directory.as_path(), path.as_path());
            self.compiler
                .compile(module, self.function.as_deref(), place)?;
        }
        Ok(path)
    }
}

const KNOWN: &str = "known";
const SUFFIX: &str = ".cwasm";

fn identity(metadata: &Metadata) -> String {
    format!(
        "{:x}-{:x}-{:x}-{:x}.{:x}-{:x}.{:x}",
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    )
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_engine(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn read_memo(path: &Path) -> Option<String> {
    std::fs::read_link(path)
        .ok()?
        .into_os_string()
        .into_string()
        .ok()
}

/// A memo that cannot be written costs time later and nothing else.
fn write_memo(path: &Path, text: &str) {
    if std::os::unix::fs::symlink(text, path).is_err() && read_memo(path).as_deref() != Some(text) {
        std::fs::remove_file(path).ok();
        std::os::unix::fs::symlink(text, path).ok();
    }
}

fn read(module: &File) -> Result<Vec<u8>> {
    let unreadable = || "cannot read the wasm module".to_owned();
    let mut file = module.try_clone().explain(unreadable)?;
    file.rewind().explain(unreadable)?;
    let mut bytes = Vec::new();
    file.take(LARGEST_MODULE + 1)
        .read_to_end(&mut bytes)
        .explain(unreadable)?;
    if bytes.len() as u64 > LARGEST_MODULE {
        return Err(Error::new(
            Class::CannotInvoke,
            "the wasm module is larger than 512 MiB",
        ));
    }
    Ok(bytes)
}

fn hash(bytes: &[u8]) -> String {
    Digest::sha256(Sha256::digest(bytes).into())
        .hex()
        .to_owned()
}

/// The CPU features code generation looks at, as bits.
#[cfg(target_arch = "x86_64")]
fn processor() -> u32 {
    let features = [
        std::is_x86_feature_detected!("sse3"),
        std::is_x86_feature_detected!("ssse3"),
        std::is_x86_feature_detected!("sse4.1"),
        std::is_x86_feature_detected!("sse4.2"),
        std::is_x86_feature_detected!("popcnt"),
        std::is_x86_feature_detected!("avx"),
        std::is_x86_feature_detected!("avx2"),
        std::is_x86_feature_detected!("fma"),
        std::is_x86_feature_detected!("bmi1"),
        std::is_x86_feature_detected!("bmi2"),
        std::is_x86_feature_detected!("lzcnt"),
        std::is_x86_feature_detected!("avx512f"),
        std::is_x86_feature_detected!("avx512dq"),
        std::is_x86_feature_detected!("avx512vl"),
        std::is_x86_feature_detected!("avx512bitalg"),
        std::is_x86_feature_detected!("avx512vbmi"),
        std::is_x86_feature_detected!("cmpxchg16b"),
    ];
    features
        .into_iter()
        .fold(0, |bits, has| bits << 1 | u32::from(has))
}

/// The CPU features code generation looks at, as bits.
#[cfg(target_arch = "aarch64")]
fn processor() -> u32 {
    let features = [
        std::arch::is_aarch64_feature_detected!("lse"),
        std::arch::is_aarch64_feature_detected!("paca"),
        std::arch::is_aarch64_feature_detected!("fp16"),
    ];
    features
        .into_iter()
        .fold(0, |bits, has| bits << 1 | u32::from(has))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memos_are_replaced_and_checked() {
        let directory = tempfile::tempdir().unwrap();
        let memo = directory.path().join("memo");
        write_memo(&memo, "one");
        write_memo(&memo, "two");
        assert_eq!(read_memo(&memo).as_deref(), Some("two"));
        assert!(is_digest(&hash(b"x")));
        assert!(!is_digest("../../etc/passwd"));
    }

    #[test]
    fn an_identity_changes_with_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, b"one").unwrap();
        let first = identity(&path.metadata().unwrap());
        std::fs::write(&path, b"two!").unwrap();
        assert_ne!(first, identity(&path.metadata().unwrap()));
    }

    #[test]
    fn pruning_keeps_what_is_used() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path(), Path::new("/nowhere")).unwrap();
        let (kept, gone) = (hash(b"kept"), hash(b"gone"));
        for digest in [&kept, &gone] {
            std::fs::write(cache.place(digest, "0123456789abcdef"), b"code").unwrap();
        }
        assert_eq!(cache.prune(&|digest| digest.hex() == kept).unwrap(), 4);
        assert!(cache.place(&kept, "0123456789abcdef").exists());
        assert!(!cache.place(&gone, "0123456789abcdef").exists());
    }
}
