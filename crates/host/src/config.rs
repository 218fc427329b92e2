//! Where berth keeps its things and finds its programs, from flags, the user and the environment.
//!
//! The environment is handed in: libraries do not read it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, Result};

use crate::engine::Preference;

/// Looks an environment variable up.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Directories that flags name in place of the default ones.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--root`.
    pub data: Option<PathBuf>,
    /// `--runroot`.
    pub run: Option<PathBuf>,
}

/// The engine's directories and programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Durable data: `/var/lib/berth`, or `$XDG_DATA_HOME/berth`.
    pub data: PathBuf,
    /// Volatile data: `/run/berth`, or `$XDG_RUNTIME_DIR/berth`.
    pub run: PathBuf,
    /// Where `berth-monitor`, `berth-wasm` and `berth-wasmc` lie.
    pub programs: PathBuf,
    /// `berth` itself.
    pub executable: PathBuf,
    /// What an image that is both native and wasm runs as.
    pub prefer: Option<Preference>,
}

/// What `config.json` may say; `/etc/berth` for root, `$XDG_CONFIG_HOME/berth` for others.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    /// `native` or `wasm`.
    prefer: Option<String>,
}

impl File {
    fn read(uid: u32, environment: Environment<'_>) -> Result<Self> {
        let folder = match uid {
            0 => Some(PathBuf::from("/etc")),
            _ => directory(environment, "XDG_CONFIG_HOME")
                .or_else(|| directory(environment, "HOME").map(|home| home.join(".config"))),
        };
        let Some(path) = folder.map(|folder| folder.join("berth/config.json")) else {
            return Ok(Self::default());
        };
        let cannot = || format!("cannot use {}", path.display());
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| Error::new(Class::Invalid, cannot()).caused_by(error)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Error::new(Class::Denied, cannot()).caused_by(error)),
        }
    }

    fn prefer(&self) -> Result<Option<Preference>> {
        match self.prefer.as_deref() {
            None => Ok(None),
            Some("native") => Ok(Some(Preference::Native)),
            Some("wasm") => Ok(Some(Preference::Wasm)),
            Some(other) => Err(Error::new(
                Class::Invalid,
                format!("the configuration prefers {other:?}"),
            )
            .hint("prefer is native or wasm")),
        }
    }
}

impl Config {
    /// The configuration of the user `uid` whose `berth` is `executable`.
    ///
    /// # Errors
    /// A directory is not absolute, or an ordinary user's environment names none.
    pub fn resolve(
        overrides: Overrides,
        uid: u32,
        environment: Environment<'_>,
        executable: &Path,
    ) -> Result<Self> {
        let data = match overrides.data {
            Some(path) => path,
            None if uid == 0 => PathBuf::from("/var/lib/berth"),
            None => user_data(environment)?.join("berth"),
        };
        let run = match overrides.run {
            Some(path) => path,
            None if uid == 0 => PathBuf::from("/run/berth"),
            None => user_run(environment, uid).join("berth"),
        };
        Ok(Self {
            data: absolute(data, "--root")?,
            run: absolute(run, "--runroot")?,
            programs: programs_beside(executable),
            executable: executable.to_owned(),
            prefer: File::read(uid, environment)?.prefer()?,
        })
    }
}

fn absolute(path: PathBuf, flag: &str) -> Result<PathBuf> {
    if path.is_absolute() {
        return Ok(path);
    }
    std::path::absolute(&path).map_err(|error| {
        Error::new(
            Class::Invalid,
            format!("cannot use {} as {flag}", path.display()),
        )
        .caused_by(error)
    })
}

fn directory(environment: Environment<'_>, name: &str) -> Option<PathBuf> {
    // The XDG base directory specification: relative paths are invalid and must be ignored.
    environment(name)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}

fn user_data(environment: Environment<'_>) -> Result<PathBuf> {
    directory(environment, "XDG_DATA_HOME")
        .or_else(|| directory(environment, "HOME").map(|home| home.join(".local/share")))
        .ok_or_else(|| {
            Error::new(
                Class::Invalid,
                "cannot tell where to keep images and containers",
            )
            .caused_by("neither HOME nor XDG_DATA_HOME is set")
            .hint("use --root DIR")
        })
}

fn user_run(environment: Environment<'_>, uid: u32) -> PathBuf {
    directory(environment, "XDG_RUNTIME_DIR")
        .unwrap_or_else(|| PathBuf::from(format!("/tmp/berth-run-{uid}")))
}

/// Beside the program itself, as cargo lays them out, else `../libexec/berth`, as they are installed.
fn programs_beside(executable: &Path) -> PathBuf {
    let here = executable.parent().unwrap_or(Path::new("/"));
    if here.join("berth-monitor").exists() {
        return here.to_owned();
    }
    let installed = here
        .parent()
        .unwrap_or(Path::new("/"))
        .join("libexec/berth");
    if installed.join("berth-monitor").exists() {
        installed
    } else {
        here.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(uid: u32, variables: &[(&str, &str)]) -> Result<Config> {
        let environment = |name: &str| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| OsString::from(value))
        };
        Config::resolve(
            Overrides::default(),
            uid,
            &environment,
            Path::new("/opt/bin/berth"),
        )
    }

    #[test]
    fn root_and_users_have_their_own_directories() {
        let root = resolve(0, &[("HOME", "/root"), ("XDG_DATA_HOME", "/elsewhere")]).unwrap();
        assert_eq!(root.data, Path::new("/var/lib/berth"));
        assert_eq!(root.run, Path::new("/run/berth"));
        let user = resolve(
            1000,
            &[("HOME", "/home/u"), ("XDG_RUNTIME_DIR", "/run/user/1000")],
        );
        let user = user.unwrap();
        assert_eq!(user.data, Path::new("/home/u/.local/share/berth"));
        assert_eq!(user.run, Path::new("/run/user/1000/berth"));
        let relative = resolve(1000, &[("HOME", "/home/u"), ("XDG_DATA_HOME", "data")]).unwrap();
        assert_eq!(relative.data, Path::new("/home/u/.local/share/berth"));
        assert!(resolve(1000, &[]).is_err());
    }
}
