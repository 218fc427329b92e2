//! Where a build's files and its Dockerfile come from.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, Result};
use berth_host::Engine;
use berth_host::build::ignore::clean;
use berth_host::build::{LINK_OUT_OF_CONTEXT, check_out, is_link, is_remote, is_repository};
use berth_image::{Assembly, PullOptions};
use berth_sys::file::{Directory, Links};

use super::signals::interruptible;

/// What a Dockerfile is called when nothing else is said.
const NAMES: [&str; 3] = ["Dockerfile", "Containerfile", "dockerfile"];
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
    /// Where a context lies that came from elsewhere; it goes with this.
    pub(super) scratch: Option<Assembly>,
    /// Whether there is a Dockerfile and nothing beside it.
    is_alone: bool,
}

/// Finds context and Dockerfile from the argument and `-f`; an ignore file that is named counts in place of theirs.
pub(super) fn find(
    path: Option<&str>,
    (file, ignore): (Option<&str>, Option<&Path>),
    engine: &Engine,
    options: &PullOptions,
    keep_git: bool,
) -> Result<Found> {
    let mut found = find_all(path, file, engine, options, keep_git)?;
    if let Some(path) = ignore {
        let opened = File::open(path).map_err(|error| cannot(path, error))?;
        found.ignore = text(path, opened)?;
    }
    Ok(found)
}

fn find_all(
    path: Option<&str>,
    file: Option<&str>,
    engine: &Engine,
    options: &PullOptions,
    keep_git: bool,
) -> Result<Found> {
    let Some(path) = path else {
        return Err(Error::new(Class::Invalid, "berth build needs PATH")
            .hint("usage: berth build [OPTIONS] PATH|URL|-")
            .hint("berth build . builds the Dockerfile of this directory"));
    };
    if path == "-" {
        if file == Some("-") {
            return Err(Error::new(
                Class::Invalid,
                "cannot read both the context and the Dockerfile from standard input",
            )
            .hint("berth build - takes a Dockerfile alone, or an archive with one in it"));
        }
        let found = received(&mut io::stdin().lock(), file, engine)?;
        if file.is_some() && found.is_alone {
            return Err(Error::new(
                Class::Invalid,
                "cannot use --file with a Dockerfile as context",
            ));
        }
        return Ok(found);
    }
    if is_remote(path) {
        return remote(path, file, engine, (options, keep_git));
    }
    if let Some(url) = at_github(path) {
        return remote(&url, file, engine, (options, keep_git));
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
    in_directory(
        parent.unwrap_or(Path::new(".")),
        Some(&path.display().to_string()),
    )
}

/// An archive of a context, or a Dockerfile alone, which then has an empty context.
fn received(source: &mut dyn io::Read, file: Option<&str>, engine: &Engine) -> Result<Found> {
    let scratch = engine.store().assembly()?;
    let kept = scratch.directory()?.join("received");
    let cannot = |error: io::Error| {
        Error::new(Class::Unavailable, "cannot read the context").caused_by(error)
    };
    let mut received = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&kept)
        .map_err(cannot)?;
    io::copy(source, &mut received).map_err(cannot)?;
    io::Seek::rewind(&mut received).map_err(cannot)?;
    let directory = scratch.directory()?;
    if berth_image::is_archive(&mut received).map_err(cannot)? {
        berth_image::unpack_archive(received, &directory)
            .map_err(|error| error.context("cannot unpack the context"))?;
        return within(&directory, file, scratch);
    }
    Ok(Found {
        directory,
        name: "Dockerfile".to_owned(),
        text: text(Path::new("-"), received)?,
        ignore: String::new(),
        scratch: Some(scratch),
        is_alone: true,
    })
}

/// The old short form of a repository there, unless a file is called like that.
fn at_github(path: &str) -> Option<String> {
    let rest = path.strip_prefix("github.com/")?;
    let (repository, part) = rest.split_at(rest.find(['#', '?']).unwrap_or(rest.len()));
    let repository = repository.trim_end_matches('/').trim_end_matches(".git");
    let url = format!("https://github.com/{repository}.git{part}");
    (!Path::new(path).exists()).then_some(url)
}

fn remote(
    source: &str,
    file: Option<&str>,
    engine: &Engine,
    (options, keep_git): (&PullOptions, bool),
) -> Result<Found> {
    let interrupt = &options.access.interrupt;
    if !is_repository(source) {
        let fetch = || received(&mut berth_image::download(source, options)?, file, engine);
        return interruptible(interrupt, fetch);
    }
    let scratch = engine.store().assembly()?;
    let into = scratch.directory()?;
    let fetch = || check_out(source, &into, keep_git, interrupt);
    within(&interruptible(interrupt, fetch)?, file, scratch)
}

/// A context that came from elsewhere: its Dockerfile is looked for in it, and no link leads out.
fn within(directory: &Path, file: Option<&str>, scratch: Assembly) -> Result<Found> {
    let root = Directory::open(directory).map_err(|error| cannot(directory, error))?;
    if file == Some("-") {
        return Ok(Found {
            directory: directory.to_owned(),
            name: "Dockerfile".to_owned(),
            text: standard_input()?,
            ignore: ignore_file(directory)?,
            scratch: Some(scratch),
            is_alone: false,
        });
    }
    // An absolute path is one of this machine: the context's own begin at its root.
    if let Some(file) = file.filter(|file| file.starts_with('/') && Path::new(file).is_file()) {
        let found = in_directory(directory, Some(file))?;
        return Ok(Found {
            scratch: Some(scratch),
            ..found
        });
    }
    let names: Vec<&str> = match file {
        Some(file) => vec![file],
        None => NAMES.to_vec(),
    };
    for name in names {
        let Some(text) = read_beneath(&root, Path::new(name)) else {
            continue;
        };
        let own = Path::new(name).with_added_extension("dockerignore");
        let ignore = match read_beneath(&root, &own) {
            Some(ignore) => ignore?,
            None => ignore_file(directory)?,
        };
        return Ok(Found {
            directory: directory.to_owned(),
            name: name.to_owned(),
            text: text?,
            ignore,
            scratch: Some(scratch),
            is_alone: false,
        });
    }
    Err(Error::new(Class::NotFound, "no Dockerfile in the context")
        .hint("berth build -f FILE names another one"))
}

fn in_directory(directory: &Path, file: Option<&str>) -> Result<Found> {
    let missing = |error: io::Error| {
        let message = format!("cannot use the context {}", directory.display());
        Error::new(Class::NotFound, message).caused_by(error)
    };
    let absolute = std::path::absolute(directory).map_err(missing)?;
    let context = Surroundings {
        root: Directory::open(&absolute).map_err(missing)?,
        path: PathBuf::from(clean(&absolute.to_string_lossy())),
    };
    let (name, text, at) = match file {
        Some("-") => ("Dockerfile".to_owned(), standard_input()?, None),
        Some(file) => {
            let at = context.location(Path::new(file));
            let opened = context.open(&at);
            let text = text(&at, opened.map_err(|error| context.cannot(&at, error))?)?;
            let name = at.file_name().unwrap_or_default();
            (name.to_string_lossy().into_owned(), text, Some(at))
        }
        None => context.default_file(directory)?,
    };
    let own = match at.map(|at| at.with_added_extension("dockerignore")) {
        Some(path) => context.ignore_file(&path)?,
        None => None,
    };
    let ignore = match own {
        Some(ignore) => ignore,
        None => ignore_file(directory)?,
    };
    Ok(Found {
        directory: absolute,
        name,
        text,
        ignore,
        scratch: None,
        is_alone: false,
    })
}

/// A directory of the host as a context. It may be somebody else's: what is read of it to begin with cannot be a link
/// to what is not in it, as none of the files that are copied can.
struct Surroundings {
    root: Directory,
    /// Absolute, without `..`.
    path: PathBuf,
}

impl Surroundings {
    /// Where a file that was named is: as seen from the working directory, else, as with Podman, from the context.
    fn location(&self, file: &Path) -> PathBuf {
        let within = self.path.join(file);
        if file.is_relative() && !file.exists() && within.exists() {
            return within;
        }
        file.to_owned()
    }

    /// The path as it is within the context, if it is written as one of it.
    fn within(&self, path: &Path) -> Option<PathBuf> {
        let absolute = std::path::absolute(path).ok()?;
        let absolute = PathBuf::from(clean(&absolute.to_string_lossy()));
        absolute.strip_prefix(&self.path).ok().map(Path::to_owned)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        let Some(within) = self.within(path) else {
            return File::open(path);
        };
        match self.root.file(&within, Links::InRoot) {
            // A pipe that somebody writes to, which is not what a link leads to.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput && !path.is_symlink() => {
                // Nor what lies in a directory that a link leads to.
                let (root, path) = (self.path.canonicalize()?, path.canonicalize()?);
                if !path.starts_with(root) {
                    return Err(error);
                }
                File::open(path)
            }
            opened => opened,
        }
    }

    /// The ignore file of a Dockerfile's own, if there is one.
    fn ignore_file(&self, path: &Path) -> Result<Option<String>> {
        let is_link = || match self.within(path) {
            Some(within) => is_link(&self.root, &within),
            None => path.is_symlink(),
        };
        match self.open(path) {
            Ok(file) => text(path, file).map(Some),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot(path, error)),
            Err(_) if is_link() => Err(cannot_follow(path)),
            Err(_) => Ok(None),
        }
    }

    /// `Dockerfile`, else `Containerfile`, else `dockerfile`.
    fn default_file(&self, directory: &Path) -> Result<(String, String, Option<PathBuf>)> {
        for name in NAMES {
            let path = directory.join(name);
            match self.root.file(Path::new(name), Links::InRoot) {
                Ok(file) => return Ok((name.to_owned(), text(&path, file)?, Some(path))),
                Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {}
                Err(error) => return Err(self.cannot(&path, error)),
            }
        }
        let message = format!("no Dockerfile in {}", directory.display());
        Err(Error::new(Class::NotFound, message).hint("berth build -f FILE names another one"))
    }

    fn cannot(&self, path: &Path, error: io::Error) -> Error {
        let leads_out = error.kind() == io::ErrorKind::NotFound
            && self.within(path).is_some()
            && std::fs::metadata(path).is_ok();
        if !leads_out {
            return cannot(path, error);
        }
        cannot_follow(path)
    }
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
        if let Some(text) = read_beneath(&root, Path::new(name)) {
            return text;
        }
    }
    Ok(String::new())
}

/// A text file beneath a directory, which links cannot lead out of; `None` when it is not there.
fn read_beneath(root: &Directory, path: &Path) -> Option<Result<String>> {
    match root.file(path, Links::InRoot) {
        Ok(file) => Some(text(path, file)),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Some(Err(cannot(path, error))),
        Err(_) => is_link(root, path).then(|| Err(cannot_follow(path))),
    }
}

fn text(path: &Path, file: File) -> Result<String> {
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

fn cannot_follow(path: &Path) -> Error {
    Error::new(Class::NotFound, format!("cannot read {}", path.display()))
        .caused_by(LINK_OUT_OF_CONTEXT)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_of_a_repository_is_one() {
        for (path, url) in [
            ("github.com/a/b", Some("https://github.com/a/b.git")),
            (
                "github.com/a/b.git#v1:sub",
                Some("https://github.com/a/b.git#v1:sub"),
            ),
            ("a/github.com/b", None),
        ] {
            assert_eq!(at_github(path).as_deref(), url, "{path}");
        }
    }
}
