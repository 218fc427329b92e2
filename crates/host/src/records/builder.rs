//! Containers of builds: `containers/<id>/builder` is a further name of the file that the build holds locked as long as
//! it goes on, so whoever looks at the container knows whether somebody still wants it.

use std::fs;
use std::path::Path;

use berth_contract::Result;
use berth_sys::error::Explain as _;

const NAME: &str = "builder";

/// Who makes a step of a build in a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builder {
    /// Nobody: it is no build's.
    None,
    /// A build that goes on.
    Alive,
    /// One that was killed.
    Gone,
}

impl Builder {
    /// That of the container in this directory.
    pub(crate) fn of(container: &Path) -> Self {
        let held = fs::File::open(container.join(NAME)).and_then(berth_sys::lock::is_held);
        match held {
            Ok(true) => Self::Alive,
            Ok(false) => Self::Gone,
            Err(_) => Self::None,
        }
    }
}

/// Makes a container one of the build that holds this file locked.
pub(crate) fn mark_as_built(container: &Path, lock: &Path) -> Result<()> {
    fs::hard_link(lock, container.join(NAME))
        .explain(|| "cannot make a container of a build".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_its_builders_as_long_as_that_lives() {
        let folder = tempfile::tempdir().unwrap();
        let container = folder.path().join("container");
        fs::create_dir(&container).unwrap();
        let directory = fs::File::open(folder.path()).unwrap();
        let lock = berth_sys::lock::Lock::take(&directory, "lock").unwrap();
        assert_eq!(Builder::of(&container), Builder::None);
        mark_as_built(&container, &folder.path().join("lock")).unwrap();
        fs::remove_file(folder.path().join("lock")).unwrap();
        assert_eq!(Builder::of(&container), Builder::Alive);
        drop(lock);
        assert_eq!(Builder::of(&container), Builder::Gone);
    }
}
