//! Repositories, which the host's git fetches: what a source means, and its checkout.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use berth_contract::{Class, Error, Result, Signal};
use berth_image::{Interrupt, Merged, urls_without_secrets};
use berth_sys::error::Explain as _;
use berth_sys::file::Links;
use berth_sys::{memory_file, pidfd};

use super::builder::NOTICE;
use super::dockerfile::boolean;
use super::remote::decoded;

/// More than git says of itself.
const SAID_LIMIT: usize = 64 << 10;
/// How long git may take to end the programs it has started.
const GRACE: Duration = Duration::from_secs(1);

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

/// Whether a source that is fetched is a repository.
#[must_use]
pub fn is_repository(source: &str) -> bool {
    let lower = source.to_ascii_lowercase();
    let path = lower.split(['#', '?']).next().unwrap_or_default();
    ["git://", "ssh://"]
        .iter()
        .any(|prefix| lower.starts_with(prefix))
        || path.ends_with(".git")
        || is_of_ssh(source)
}

/// Whether a source is `USER@HOST:PATH`, as git and scp have it.
pub(super) fn is_of_ssh(source: &str) -> bool {
    let is_made_of = |text: &str, others: &[u8]| {
        let mut bytes = text.bytes();
        !text.is_empty() && bytes.all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
    };
    let parts = || {
        let (user, rest) = source.split_once('@')?;
        let (host, _) = rest.split_once(':')?;
        Some((user, host))
    };
    parts().is_some_and(|(user, host)| is_made_of(user, b"-_") && is_made_of(host, b"-."))
}

/// A repository, and what of it is meant: `URL#REF:DIRECTORY`, or `?ref=…&subdir=…`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Repository {
    /// Where it is.
    url: String,
    /// Branch, tag or commit.
    reference: Option<String>,
    /// The directory within.
    directory: Option<String>,
    /// What the commit begins with.
    pub(super) checksum: Option<String>,
    /// Whether `.git` is kept, if it is said.
    pub(super) keeps_git_directory: Option<bool>,
    /// Whether submodules are fetched, if it is said.
    submodules: Option<bool>,
}

impl Repository {
    pub(super) fn parse(source: &str) -> std::result::Result<Self, String> {
        let (rest, fragment) = source.split_once('#').unwrap_or((source, ""));
        let (url, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (reference, directory) = fragment.split_once(':').unwrap_or((fragment, ""));
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let mut repository = Self {
            url: url.to_owned(),
            reference: some(reference),
            directory: some(directory),
            ..Self::default()
        };
        let (mut tag, mut branch) = (None, None);
        let mut seen = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value);
            if seen.contains(&key) {
                return Err(format!("query {key:?} has multiple values"));
            }
            seen.push(key);
            if value.is_empty() && !matches!(key, "submodules" | "keep-git-dir") {
                return Err(format!("query {key:?} has no value"));
            }
            match key {
                "ref" => agree("ref", &mut repository.reference, value)?,
                "subdir" => agree("subdir", &mut repository.directory, value)?,
                "tag" => tag = Some(value),
                "branch" => branch = Some(value),
                "checksum" | "commit" => repository.checksum = Some(value),
                "keep-git-dir" => repository.keeps_git_directory = Some(truth(key, &value)?),
                "submodules" => repository.submodules = Some(truth(key, &value)?),
                _ => return Err(format!("unexpected query {key:?}")),
            }
        }
        if tag.is_some() && branch.is_some() {
            return Err("branch conflicts with tag".to_owned());
        }
        for (name, prefix) in [(tag, "refs/tags/"), (branch, "refs/heads/")] {
            if let Some(name) = name {
                let short = name.strip_prefix(prefix).unwrap_or(&name);
                agree("ref", &mut repository.reference, format!("{prefix}{short}"))?;
            }
        }
        if repository.reference.is_none() {
            repository.reference.clone_from(&repository.checksum);
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

/// Takes a value that is not contradicted.
fn agree(what: &str, own: &mut Option<String>, value: String) -> std::result::Result<(), String> {
    match own {
        Some(other) if *other != value => Err(format!("{what} conflicts: {other:?} vs {value:?}")),
        _ => {
            *own = Some(value);
            Ok(())
        }
    }
}

fn truth(key: &str, value: &str) -> std::result::Result<bool, String> {
    match value {
        "" => Ok(true),
        value => boolean(value).ok_or_else(|| format!("invalid {key} value: {value:?}")),
    }
}

/// Fetches a repository into a directory; the part that is meant. `keep` says what becomes of `.git` when the
/// source does not.
///
/// # Errors
/// There is no git, the repository cannot be reached, or it was asked to end.
pub fn check_out(source: &str, into: &Path, keep: bool, interrupt: &Interrupt) -> Result<PathBuf> {
    let mut repository = Repository::parse(source).map_err(|reason| unfit(source, reason))?;
    repository.keeps_git_directory.get_or_insert(keep);
    repository.check_out(source, into, interrupt)
}

/// A source that cannot be fetched as it is.
pub(super) fn unfit(source: &str, reason: String) -> Error {
    let shown = urls_without_secrets(source);
    Error::new(Class::Invalid, format!("cannot fetch {shown}")).caused_by(reason)
}

impl Repository {
    /// Fetches it into a directory; the part that is meant.
    pub(super) fn check_out(
        &self,
        source: &str,
        into: &Path,
        interrupt: &Interrupt,
    ) -> Result<PathBuf> {
        let shown = urls_without_secrets(source);
        let tree = into.join("repository");
        fs::create_dir(&tree).explain(|| format!("cannot make {}", tree.display()))?;
        let (url, logins) = apart(&self.url);
        let git = Git {
            shown: &shown,
            tree: &tree,
            interrupt,
            logins,
        };
        git.run(&["init", "--quiet"])?;
        git.run(&["remote", "add", "origin", &url])?;
        self.fetch(&git)?;
        let commit = git.run(&["rev-parse", "HEAD"])?;
        if let Some(expected) = &self.checksum
            && !commit.starts_with(expected.as_str())
        {
            let reason = format!(
                "expected checksum to match {expected}, got {}",
                commit.trim()
            );
            return Err(unfit(source, reason));
        }
        if self.submodules != Some(false) {
            let update = ["submodule", "update", "--quiet", "--init", "--recursive"];
            let shallow = git.run(&[&update[..], &["--depth", "1"]].concat());
            if let Err(error) = shallow {
                if git.interrupt.is_asked() {
                    return Err(error);
                }
                git.run(&update)?;
            }
        }
        if self.keeps_git_directory == Some(true) {
            // As BuildKit leaves it: nothing tells how and when it was fetched.
            git.run(&["reflog", "expire", "--all", "--expire=now"])?;
            drop(fs::remove_file(tree.join(".git/FETCH_HEAD")));
        } else {
            fs::remove_dir_all(tree.join(".git")).explain(|| "cannot remove .git".into())?;
        }
        match &self.directory {
            Some(directory) => beneath(&tree, directory)
                .explain(|| format!("cannot use the directory {directory:?} of {shown}")),
            None => Ok(tree),
        }
    }

    /// Fetches the branch, tag or commit, or what the repository's HEAD is, and checks it out.
    fn fetch(&self, git: &Git<'_>) -> Result<()> {
        let wanted = self.reference.as_deref().unwrap_or("HEAD");
        let shallow = git.run(&["fetch", "--quiet", "--depth", "1", "origin", wanted]);
        if shallow.is_ok() {
            git.run(&["checkout", "--quiet", "FETCH_HEAD"])?;
            return Ok(());
        }
        if git.interrupt.is_asked() {
            return shallow.map(drop);
        }
        // A server that sends no single commit, or nothing shallow, sends everything.
        let mut fetch = vec!["fetch", "--quiet", "--tags", "origin"];
        fetch.push("+refs/heads/*:refs/remotes/origin/*");
        if self.reference.is_none() {
            fetch.push("+HEAD:refs/remotes/origin/HEAD");
        }
        git.run(&fetch)?;
        let branch = wanted.strip_prefix("refs/heads/").unwrap_or(wanted);
        let names = [
            format!("refs/remotes/origin/{branch}"),
            format!("refs/tags/{wanted}"),
            wanted.to_owned(),
        ];
        let verify = ["rev-parse", "--quiet", "--verify", "--end-of-options"];
        let commit = names.iter().find_map(|name| {
            let name = format!("{name}^{{commit}}");
            git.run(&[&verify[..], &[&name]].concat()).ok()
        });
        let commit = commit.ok_or_else(|| {
            Error::new(Class::NotFound, format!("cannot fetch {}", git.shown))
                .caused_by(format!("it has no branch, tag or commit {wanted:?}"))
        })?;
        git.run(&["checkout", "--quiet", "--detach", commit.trim()])?;
        Ok(())
    }
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

/// A URL of the web without its login, and what tells git to use it for that server all the same: what git keeps, for
/// its submodules too, names nobody.
fn apart(url: &str) -> (String, Vec<(String, String)>) {
    let parts = || {
        let (scheme, rest) = url.split_once("://")?;
        let is_web = ["http", "https", "ftp", "ftps"]
            .iter()
            .any(|web| scheme.eq_ignore_ascii_case(web));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (login, host) = authority.rsplit_once('@').filter(|_| is_web)?;
        Some((scheme, login, host, path))
    };
    let Some((scheme, login, host, path)) = parts() else {
        return (url.to_owned(), Vec::new());
    };
    let bare = format!("{scheme}://{host}{path}");
    // The longest counts, and whoever builds may have his own for the server.
    let pairs = [path, "/"].map(|path| {
        (
            format!("url.{scheme}://{login}@{host}{path}.insteadOf"),
            format!("{scheme}://{host}{path}"),
        )
    });
    (bare, pairs.into())
}

/// The host's git, in a checkout.
struct Git<'a> {
    /// The source, as it is shown.
    shown: &'a str,
    tree: &'a Path,
    interrupt: &'a Interrupt,
    /// Settings that are in no file and on no command line.
    logins: Vec<(String, String)>,
}

impl Git<'_> {
    /// Runs it; what it says.
    fn run(&self, arguments: &[&str]) -> Result<String> {
        let cannot = || format!("cannot fetch {}", self.shown);
        let mut command = Command::new("git");
        for name in OF_ONE_REPOSITORY {
            command.env_remove(name);
        }
        let file = |name: &str| memory_file::empty(name).explain(cannot);
        command.env("GIT_CONFIG_COUNT", self.logins.len().to_string());
        for (index, (key, value)) in self.logins.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{index}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        let (output, errors) = (file("git output")?, file("git errors")?);
        let writer = |file: &OwnedFd| file.try_clone().map(Stdio::from).explain(cannot);
        command
            .arg("-C")
            .arg(self.tree)
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
            .stdout(writer(&output)?)
            .stderr(writer(&errors)?);
        let said = |file| memory_file::read(&file, SAID_LIMIT).explain(cannot);
        let status = self.wait(command)?;
        if !status.success() {
            let said = said(errors)?;
            let said = String::from_utf8_lossy(&said);
            let reason = match said.trim() {
                "" => format!("git ended with {status}"),
                said => urls_without_secrets(said),
            };
            return Err(Error::new(Class::Unavailable, cannot()).caused_by(reason));
        }
        Ok(String::from_utf8_lossy(&said(output)?).into_owned())
    }

    /// Starts it and waits, but no longer than it is wanted.
    fn wait(&self, mut command: Command) -> Result<ExitStatus> {
        let cannot = || format!("cannot fetch {}", self.shown);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::new(Class::Unsupported, cannot())
                .caused_by("the program git is not installed")
                .hint("install git"),
            _ => Error::new(Class::Internal, cannot()).caused_by(error),
        })?;
        // It is collected below only, so the pid is its own until then.
        let process = i32::try_from(child.id())
            .map_err(io::Error::other)
            .and_then(pidfd::open)
            .explain(cannot)?;
        let ended = |limit| pidfd::wait_ended(process.as_fd(), Some(limit)).explain(cannot);
        while !ended(NOTICE)? {
            if !self.interrupt.is_asked() {
                continue;
            }
            // It ends the programs it has started when it may; one that has ended needs no signal.
            pidfd::signal(&process, Signal::TERM).ok();
            if !ended(GRACE)? {
                pidfd::signal(&process, Signal::KILL).ok();
            }
            child.wait().explain(cannot)?;
            return Err(super::run::cancelled());
        }
        child.wait().explain(cannot)
    }
}

#[cfg(test)]
mod tests;
