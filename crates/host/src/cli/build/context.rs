//! Where a build's files and its Dockerfile come from.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, Result};
use berth_sys::file::{Directory, Links};

/// More than any Dockerfile or ignore file has.
const TEXT_LIMIT: u64 = 8 << 20;

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    /// The context.
    pub(super) directory: PathBuf,
    /// The Dockerfile's name in messages.
    pub(super) name: String,
    /// The Dockerfile.
    pub(super) text: String,
    /// The ignore file.
    pub(super) ignore: String,
}

/// Finds context and Dockerfile from the argument and `-f`.
pub(super) fn find(path: Option<&str>, file: Option<&str>) -> Result<Found> {
    let Some(path) = path else {
        return Err(Error::new(Class::Invalid, "berth build needs PATH")
            .hint("usage: berth build [OPTIONS] PATH")
            .hint("berth build . builds the Dockerfile of this directory"));
    };
    if path == "-" {
        return Err(Error::new(
            Class::Unsupported,
            "cannot read the context from standard input",
        )
        .hint("berth build -f - . reads the Dockerfile from it"));
    }
    let path = Path::new(path);
    let metadata = std::fs::metadata(path).map_err(|error| {
        Error::new(
            Class::NotFound,
            format!("cannot use the context {}", path.display()),
        )
        .caused_by(error)
    })?;
    if metadata.is_dir() {
        return in_directory(path, file);
    }
    // The Dockerfile itself: its directory is the context.
    if file.is_some() {
        return Err(Error::new(
            Class::Invalid,
            format!("cannot use the context {}", path.display()),
        )
        .caused_by("it is a file, and --file names another one"));
    }
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    in_directory(
        parent.unwrap_or(Path::new(".")),
        Some(&path.display().to_string()),
    )
    .map(|found| Found { name, ..found })
}

fn in_directory(directory: &Path, file: Option<&str>) -> Result<Found> {
    let absolute = std::path::absolute(directory).map_err(|error| {
        Error::new(
            Class::NotFound,
            format!("cannot use the context {}", directory.display()),
        )
        .caused_by(error)
    })?;
    let (name, text, own_ignore) = match file {
        Some("-") => ("Dockerfile".to_owned(), standard_input()?, None),
        Some(file) => {
            let text = read(Path::new(file))?;
            let name = Path::new(file)
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            (name, text, Some(format!("{file}.dockerignore")))
        }
        None => default_file(directory)?,
    };
    let ignore = match own_ignore
        .as_deref()
        .map(|path| read_beneath(None, Path::new(path)))
    {
        Some(Some(text)) => text?,
        _ => ignore_file(directory)?,
    };
    Ok(Found {
        directory: absolute,
        name,
        text,
        ignore,
    })
}

/// `Dockerfile`, else `Containerfile`, else `dockerfile`.
fn default_file(directory: &Path) -> Result<(String, String, Option<String>)> {
    for name in ["Dockerfile", "Containerfile", "dockerfile"] {
        let path = directory.join(name);
        if let Some(text) = read_beneath(None, &path) {
            return Ok((
                name.to_owned(),
                text?,
                Some(format!("{}.dockerignore", path.display())),
            ));
        }
    }
    Err(Error::new(
        Class::NotFound,
        format!("no Dockerfile in {}", directory.display()),
    )
    .hint("berth build -f FILE names another one"))
}

fn ignore_file(directory: &Path) -> Result<String> {
    let root = Directory::open(directory).map_err(|error| {
        Error::new(
            Class::NotFound,
            format!("cannot open the context {}", directory.display()),
        )
        .caused_by(error)
    })?;
    for name in [".dockerignore", ".containerignore"] {
        if let Some(text) = read_beneath(Some(&root), Path::new(name)) {
            return text;
        }
    }
    Ok(String::new())
}

/// A text file; `None` when it is not there. Beneath a directory links cannot lead out of it.
fn read_beneath(root: Option<&Directory>, path: &Path) -> Option<Result<String>> {
    let file = match root {
        Some(root) => root.file(path, Links::InRoot),
        None => std::fs::File::open(path),
    };
    match file {
        Ok(file) => Some(text(path, file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(Err(cannot(path, error))),
    }
}

fn read(path: &Path) -> Result<String> {
    match std::fs::File::open(path) {
        Ok(file) => text(path, file),
        Err(error) => Err(cannot(path, error)),
    }
}

fn text(path: &Path, file: std::fs::File) -> Result<String> {
    let mut text = Vec::new();
    file.take(TEXT_LIMIT)
        .read_to_end(&mut text)
        .map_err(|error| cannot(path, error))?;
    String::from_utf8(text).map_err(|error| {
        Error::new(Class::Invalid, format!("cannot read {}", path.display())).caused_by(error)
    })
}

fn cannot(path: &Path, error: io::Error) -> Error {
    Error::new(Class::NotFound, format!("cannot read {}", path.display())).caused_by(error)
}

fn standard_input() -> Result<String> {
    let mut text = String::new();
    io::stdin()
        .lock()
        .take(TEXT_LIMIT)
        .read_to_string(&mut text)
        .map_err(|error| {
            Error::new(
                Class::Unavailable,
                "cannot read the Dockerfile from standard input",
            )
            .caused_by(error)
        })?;
    Ok(text)
}
