//! What the fuzz targets share: the language of Dockerfiles, without the engine around it, and places to
//! unpack into.

pub mod build;

/// A directory in memory, where there is one: a store syncs what it keeps.
///
/// # Panics
/// No directory can be made.
#[must_use]
pub fn place() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let made = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    made.expect("a directory can be made")
}
