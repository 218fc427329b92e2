//! What `ADD` fetches: files over HTTP, repositories with the host's git.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use berth_contract::{Class, Error, Result};
use berth_image::{Merged, PullOptions, is_archive, urls_without_secrets};
use berth_sys::error::Explain as _;
use berth_sys::file::{Links, Time};
use sha2::Digest as _;

use super::copy::Item;

/// More than any file that belongs into an image.
const SIZE_LIMIT: u64 = 64 << 30;

/// Variables that name a repository, as hooks have them: `git rev-parse --local-env-vars`.
const OF_ONE_REPOSITORY: [&str; 17] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// How something is fetched.
#[derive(Debug)]
pub(super) struct Wish<'a> {
    /// What its content must be.
    pub(super) checksum: Option<&'a str>,
    /// Whether `.git` is kept.
    pub(super) keep_git_directory: bool,
    /// Whether an archive is unpacked.
    pub(super) unpack: bool,
    /// Where it goes.
    pub(super) into: &'a Path,
    /// How the network is reached.
    pub(super) options: &'a PullOptions,
}

/// Whether a source is fetched.
#[must_use]
pub fn is_remote(source: &str) -> bool {
    let lower = source.to_ascii_lowercase();
    ["http://", "https://", "git://", "ssh://", "git@"]
        .iter()
        .any(|prefix| lower.starts_with(prefix))
}

/// Whether a source that is fetched is a repository.
#[must_use]
pub fn is_repository(source: &str) -> bool {
    let lower = source.to_ascii_lowercase();
    let path = lower.split(['#', '?']).next().unwrap_or_default();
    ["git://", "ssh://", "git@"]
        .iter()
        .any(|prefix| lower.starts_with(prefix))
        || path.ends_with(".git")
}

/// Fetches a source.
pub(super) fn fetch(source: &str, wish: &Wish<'_>) -> Result<Item> {
    if is_repository(source) {
        return clone(source, wish);
    }
    let shown = urls_without_secrets(source);
    let path = wish.into.join("fetched");
    let cannot = || format!("cannot write {}", path.display());
    let mut download = berth_image::download(source, wish.options)?;
    let time = download.modified().map_or(
        Time {
            seconds: 0,
            nanoseconds: 0,
        },
        |seconds| Time {
            seconds,
            nanoseconds: 0,
        },
    );
    let name = file_name(source).ok_or_else(|| {
        Error::new(
            Class::Invalid,
            format!("cannot tell the name of the file {shown}"),
        )
    })?;
    let mut file = File::create_new(&path).explain(cannot)?;
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0_u8; 128 << 10];
    let mut total = 0_u64;
    loop {
        let length = download
            .read(&mut buffer)
            .explain(|| format!("cannot fetch {shown}"))?;
        if length == 0 {
            break;
        }
        total += length as u64;
        if total > SIZE_LIMIT {
            return Err(Error::new(Class::Invalid, format!("{shown} is too large")));
        }
        hasher.update(&buffer[..length]);
        file.write_all(&buffer[..length]).explain(cannot)?;
    }
    if let Some(expected) = wish.checksum {
        let found = berth_contract::Digest::sha256(hasher.finalize().into()).to_string();
        if found != expected {
            return Err(
                Error::new(Class::Invalid, format!("digest mismatch for {shown}")).caused_by(
                    format!("its content has the digest {found}, not {expected}"),
                ),
            );
        }
    }
    let unpack = wish.unpack && {
        let mut file = File::open(&path).explain(cannot)?;
        is_archive(&mut file).explain(|| format!("cannot read {}", path.display()))?
    };
    Ok(Item::Fetched {
        name,
        path,
        unpack,
        time,
    })
}

/// The last part of a URL's path.
fn file_name(source: &str) -> Option<OsString> {
    let path = source.split(['?', '#']).next()?;
    let after = path.split_once("://")?.1;
    let name = after.split_once('/')?.1.rsplit('/').next()?;
    (!name.is_empty() && !matches!(name, "." | "..")).then(|| OsString::from(name))
}

/// A repository, and what of it is meant: `URL#REF:DIRECTORY`, or `?ref=…&subdir=…`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Repository {
    /// Where it is.
    pub(crate) url: String,
    /// Branch, tag or commit.
    pub(crate) reference: Option<String>,
    /// The directory within.
    pub(crate) directory: Option<String>,
}

impl Repository {
    pub(crate) fn parse(source: &str) -> std::result::Result<Self, String> {
        let (rest, fragment) = source.split_once('#').unwrap_or((source, ""));
        let (url, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (reference, directory) = fragment.split_once(':').unwrap_or((fragment, ""));
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let mut repository = Self {
            url: url.to_owned(),
            reference: some(reference),
            directory: some(directory),
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "ref" | "branch" | "tag" | "commit" | "checksum" => {
                    repository.reference = some(value);
                }
                "subdir" => repository.directory = some(value),
                _ => return Err(format!("unexpected query parameter {key:?}")),
            }
        }
        // What begins with a hyphen would be an option of git.
        let is_option =
            |text: &Option<String>| text.as_ref().is_some_and(|text| text.starts_with('-'));
        if repository.url.starts_with('-') || is_option(&repository.reference) {
            return Err("it begins with a hyphen".to_owned());
        }
        Ok(repository)
    }
}

/// Fetches a repository into a directory; the part that is meant, and the commit.
///
/// # Errors
/// There is no git, or the repository cannot be reached.
pub fn check_out(source: &str, into: &Path, keep: bool) -> Result<(PathBuf, String)> {
    let shown = urls_without_secrets(source);
    let invalid = |reason: String| {
        Error::new(Class::Invalid, format!("cannot fetch {shown}")).caused_by(reason)
    };
    let repository = Repository::parse(source).map_err(invalid)?;
    let tree = into.join("repository");
    fs::create_dir(&tree).explain(|| format!("cannot make {}", tree.display()))?;
    let git = |arguments: &[&str]| git(&shown, &tree, arguments);
    git(&["init", "--quiet"])?;
    git(&["remote", "add", "origin", &repository.url])?;
    fetch_commit(&git, repository.reference.as_deref()).map_err(|error| match error {
        Missed::Git(error) => error,
        Missed::Reference(name) => Error::new(Class::NotFound, format!("cannot fetch {shown}"))
            .caused_by(format!("it has no branch, tag or commit {name:?}")),
    })?;
    git(&[
        "submodule",
        "update",
        "--quiet",
        "--init",
        "--recursive",
        "--depth",
        "1",
    ])?;
    let commit = git(&["rev-parse", "HEAD"])?.trim().to_owned();
    if !keep {
        fs::remove_dir_all(tree.join(".git")).explain(|| "cannot remove .git".into())?;
    }
    let path = match &repository.directory {
        Some(directory) => beneath(&tree, directory)
            .explain(|| format!("cannot use the directory {directory:?} of {shown}"))?,
        None => tree,
    };
    Ok((path, commit))
}

/// Why there is nothing to check out.
enum Missed {
    Git(Error),
    Reference(String),
}

impl From<Error> for Missed {
    fn from(error: Error) -> Self {
        Self::Git(error)
    }
}

/// Fetches a branch, tag or commit, or what the repository's HEAD is, and checks it out.
fn fetch_commit(
    git: &impl Fn(&[&str]) -> Result<String>,
    reference: Option<&str>,
) -> std::result::Result<(), Missed> {
    let wanted = reference.unwrap_or("HEAD");
    if git(&["fetch", "--quiet", "--depth", "1", "origin", wanted]).is_ok() {
        git(&["checkout", "--quiet", "FETCH_HEAD"])?;
        return Ok(());
    }
    // A server that sends no single commit, or nothing shallow, sends everything.
    let mut fetch = vec!["fetch", "--quiet", "--tags", "origin"];
    fetch.push("+refs/heads/*:refs/remotes/origin/*");
    if reference.is_none() {
        fetch.push("+HEAD:refs/remotes/origin/HEAD");
    }
    git(&fetch)?;
    let branch = wanted.strip_prefix("refs/heads/").unwrap_or(wanted);
    let commit = [
        format!("refs/remotes/origin/{branch}"),
        format!("refs/tags/{wanted}"),
        wanted.to_owned(),
    ]
    .iter()
    .find_map(|name| {
        let name = format!("{name}^{{commit}}");
        git(&[
            "rev-parse",
            "--quiet",
            "--verify",
            "--end-of-options",
            &name,
        ])
        .ok()
    })
    .ok_or_else(|| Missed::Reference(wanted.to_owned()))?;
    git(&["checkout", "--quiet", "--detach", commit.trim()])?;
    Ok(())
}

/// A directory of a checkout. Links come from whoever wrote the repository: they are followed within it and
/// nowhere else (the class of CVE-2024-23651).
fn beneath(tree: &Path, directory: &str) -> io::Result<PathBuf> {
    let opened = Merged::open(&[tree.to_owned()]).map_err(io::Error::other)?;
    let place = opened.place(Path::new(directory), Links::InRoot)?;
    match place.entry {
        // What was found has no links on its way any more, and nobody else writes to the checkout.
        Some(entry) if entry.is_directory() => Ok(tree.join(place.path)),
        Some(_) => Err(io::ErrorKind::NotADirectory.into()),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

fn clone(source: &str, wish: &Wish<'_>) -> Result<Item> {
    let (path, commit) = check_out(source, wish.into, wish.keep_git_directory)?;
    if let Some(expected) = wish.checksum
        && !commit.starts_with(expected)
    {
        return Err(Error::new(
            Class::Invalid,
            format!("expected checksum to match {expected}, got {commit}"),
        ));
    }
    Ok(Item::Directory(path))
}

fn git(shown: &str, tree: &Path, arguments: &[&str]) -> Result<String> {
    let cannot = || format!("cannot fetch {shown}");
    let mut command = Command::new("git");
    for name in OF_ONE_REPOSITORY {
        command.env_remove(name);
    }
    let output = command
        .arg("-C")
        .arg(tree)
        .args([
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "protocol.ext.allow=never",
            // A submodule of somebody else's is no way to the host's own repositories (CVE-2022-39253).
            "-c",
            "protocol.file.allow=never",
            "-c",
            "advice.detachedHead=false",
        ])
        .args(arguments)
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::new(Class::Unsupported, cannot())
                .caused_by("the program git is not installed")
                .hint("install git"),
            _ => Error::new(Class::Internal, cannot()).caused_by(error),
        })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let reason = match said.trim() {
            "" => format!("git ended with {}", output.status),
            said => urls_without_secrets(said),
        };
        return Err(Error::new(Class::Unavailable, cannot()).caused_by(reason));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_name_a_part_of_themselves() {
        let parsed = |text: &str| {
            let found = Repository::parse(text)?;
            Ok::<_, String>((found.url, found.reference, found.directory))
        };
        let own = |text: &str| Some(text.to_owned());
        for (text, url, reference, directory) in [
            ("https://a/b.git", "https://a/b.git", None, None),
            (
                "https://a/b.git#v1:sub/dir",
                "https://a/b.git",
                own("v1"),
                own("sub/dir"),
            ),
            ("git@a:b.git#:sub", "git@a:b.git", None, own("sub")),
            (
                "https://a/b.git?branch=x&subdir=y",
                "https://a/b.git",
                own("x"),
                own("y"),
            ),
        ] {
            assert_eq!(
                parsed(text),
                Ok((url.to_owned(), reference, directory)),
                "{text}"
            );
        }
        assert!(parsed("https://a/b.git?what=1").is_err());
        assert!(parsed("--upload-pack=x.git").is_err() && parsed("https://a/b.git#--x").is_err());
    }

    #[test]
    fn a_directory_of_a_checkout_lies_within_it() {
        let scratch = tempfile::tempdir().unwrap();
        let tree = scratch.path().join("tree");
        fs::create_dir_all(tree.join("a/etc")).unwrap();
        fs::create_dir(scratch.path().join("outside")).unwrap();
        fs::write(tree.join("file"), "").unwrap();
        for (name, target) in [
            ("out", "/etc"),
            ("up", "../outside"),
            ("a/in", "../a"),
            ("a/absolute", "/a"),
        ] {
            std::os::unix::fs::symlink(target, tree.join(name)).unwrap();
        }
        let found = |name: &str| beneath(&tree, name).ok();
        for (name, path) in [
            ("a", Some("a")),
            ("a/in/etc", Some("a/etc")),
            ("a/absolute", Some("a")),
            ("a/../a/./etc", Some("a/etc")),
            ("../../a", Some("a")),
            ("out", None),
            ("up", None),
            ("file", None),
            ("missing", None),
        ] {
            assert_eq!(found(name), path.map(|path| tree.join(path)), "{name}");
        }
    }

    #[test]
    fn names_come_from_the_path() {
        for (source, name) in [
            ("https://a/b/c.txt?x=/y", Some("c.txt")),
            ("http://a/b/", None),
            ("http://a", None),
            ("http://a/..", None),
        ] {
            assert_eq!(file_name(source), name.map(OsString::from), "{source}");
        }
        assert!(is_remote("HTTPS://a/b") && is_remote("git@a:b") && !is_remote("a/b"));
        assert!(is_repository("https://a/b.git#c") && !is_repository("https://a/b.tar"));
    }
}
