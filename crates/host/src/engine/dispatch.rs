//! Which runtime an image is for: decided from what the image is, never by trying.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, ImageFacts, ProgramKind, Result, Runtime, Verdict};
use berth_image::Merged;
use berth_monitor::launch::RuntimeKind;
use berth_sys::error::Explain as _;

use super::mount::{Material, Planned};
use super::spec::variable_name;

/// As the kernel: a script's interpreter may be a script, four times over.
const MAXIMUM_SCRIPTS: usize = 4;
/// Enough for any `#!` line.
const HEAD: u64 = 256;
/// Where programs are looked for when the environment has no `PATH`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A guest's files as they will be: the image, and what is mounted over it.
#[derive(Debug)]
pub(super) struct Files<'a> {
    pub(super) image: &'a Merged,
    pub(super) mounts: &'a [Planned],
}

/// A program as the guest will find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    /// What it is, after following `#!` to the interpreter.
    pub(super) kind: ProgramKind,
    /// Where that is.
    pub(super) path: PathBuf,
    /// Where a wasm program is entered, when the command says so: `PATH#FUNCTION`.
    pub(super) function: Option<String>,
}

impl Files<'_> {
    /// Finds a command as `execvp` will: by its path, else along `PATH`. Behind a wasm program's name there
    /// may be `#FUNCTION`.
    pub(super) fn program(
        &self,
        command: &str,
        env: &[String],
        cwd: &str,
    ) -> Result<Option<Program>> {
        // A file's own name may have the sign in it.
        if let Some(found) = self.named(command, env, cwd)? {
            return Ok(Some(found));
        }
        let Some((name, function)) = command.split_once('#') else {
            return Ok(None);
        };
        let found = self.named(name, env, cwd)?;
        Ok(found
            .filter(|found| found.kind.is_wasm())
            .map(|found| Program {
                function: Some(function.to_owned()),
                ..found
            }))
    }

    fn named(&self, command: &str, env: &[String], cwd: &str) -> Result<Option<Program>> {
        for path in candidates(command, env, cwd) {
            let Some(mut head) = self.head(&path)? else {
                continue;
            };
            let mut path = path;
            for _ in 0..MAXIMUM_SCRIPTS {
                let ProgramKind::Script { interpreter } = ProgramKind::from_head(&head) else {
                    break;
                };
                path = super::spec::clean(&interpreter);
                match self.head(&path)? {
                    Some(next) => head = next,
                    None => return Ok(None),
                }
            }
            return Ok(Some(Program {
                kind: ProgramKind::from_head(&head),
                path,
                function: None,
            }));
        }
        Ok(None)
    }

    /// Opens a file of the guest.
    pub(super) fn open(&self, path: &Path) -> Result<Option<std::fs::File>> {
        // The deepest mount that holds the path is the one the guest sees.
        let mount = self
            .mounts
            .iter()
            .filter(|mount| path.starts_with(&mount.destination))
            .max_by_key(|mount| mount.destination.components().count());
        let Some(mount) = mount else {
            return self.image.open_file(path);
        };
        let below = path.strip_prefix(&mount.destination).unwrap_or(path);
        match &mount.material {
            Material::Tmpfs => Ok(None),
            Material::Layers(layers) => Merged::open(layers)?.open_file(below),
            Material::Path(source) if source.is_dir() => {
                Merged::open(std::slice::from_ref(source))?.open_file(below)
            }
            Material::Path(source) if below.as_os_str().is_empty() && source.is_file() => {
                std::fs::File::open(source)
                    .map(Some)
                    .explain(|| format!("cannot read {}", source.display()))
            }
            Material::Path(_) => Ok(None),
        }
    }

    fn head(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.open(path)? else {
            return Ok(None);
        };
        let mut head = Vec::new();
        file.take(HEAD)
            .read_to_end(&mut head)
            .explain(|| format!("cannot read {} of the container", path.display()))?;
        Ok(Some(head))
    }
}

fn candidates(command: &str, env: &[String], cwd: &str) -> Vec<PathBuf> {
    if command.contains('/') {
        let path = Path::new("/").join(cwd).join(command);
        return vec![super::spec::clean(&path.display().to_string())];
    }
    let path = env
        .iter()
        .rev()
        .find(|variable| variable_name(variable) == "PATH")
        .and_then(|variable| variable.split_once('='))
        .map_or(PATH, |(_, value)| value);
    path.split(':')
        .map(|directory| super::spec::clean(&format!("{directory}/{command}")))
        .collect()
}

/// Asks the runtimes in turn; a refusal names `program` when that is what is wrong.
pub(super) fn choose(
    facts: &ImageFacts,
    program: Option<&Path>,
    runtimes: &[(RuntimeKind, &dyn Runtime)],
) -> Result<RuntimeKind> {
    let mut refusal = None;
    for (kind, runtime) in runtimes {
        match runtime.accepts(facts) {
            Verdict::Mine => return Ok(*kind),
            Verdict::NotMine => {}
            Verdict::Refused { reason, hint } => refusal = refusal.or(Some((reason, hint))),
        }
    }
    let error = match (&facts.program, program) {
        (Some(ProgramKind::Unknown), Some(path)) => Error::new(
            Class::CannotInvoke,
            format!("cannot run {}", path.display()),
        ),
        _ => Error::new(Class::Unsupported, "cannot run this image here"),
    };
    Err(match refusal {
        Some((reason, hint)) => error.caused_by(reason).hint(hint),
        None => error.caused_by(format!(
            "it is made for {}/{}",
            facts.os, facts.architecture
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const WASM: &[u8] = b"\0asm\x01\0\0\0";

    #[test]
    fn scripts_lead_to_their_interpreter_and_mounts_count() {
        let base = std::env::temp_dir().join(format!("berth-dispatch-{}", std::process::id()));
        let (layer, volume) = (base.join("layer"), base.join("volume"));
        fs::create_dir_all(layer.join("bin")).unwrap();
        fs::create_dir_all(&volume).unwrap();
        fs::write(layer.join("bin/script"), "#!/bin/inner\n").unwrap();
        fs::write(layer.join("bin/inner"), "#! /opt/interpreter -x\n").unwrap();
        fs::write(layer.join("bin/round"), "#!/bin/round\n").unwrap();
        fs::write(volume.join("interpreter"), WASM).unwrap();
        let image = Merged::open(&[layer]).unwrap();
        let mounts = [Planned {
            destination: "/opt".into(),
            material: Material::Path(volume),
            options: Vec::new(),
            ownership: crate::engine::ownership::Ownership::default(),
            mapping: None,
            point: None,
        }];
        let files = Files {
            image: &image,
            mounts: &mounts,
        };
        let found = files
            .program("script", &["PATH=/x:/bin".into()], "/")
            .unwrap()
            .unwrap();
        assert_eq!(
            (found.kind, found.path),
            (ProgramKind::WasmModule, "/opt/interpreter".into())
        );
        assert!(
            files
                .program("script", &["PATH=/x".into()], "/")
                .unwrap()
                .is_none()
        );
        assert!(files.program("./script", &[], "/bin").unwrap().is_some());
        let entered = files.program("/opt/interpreter#a#b", &[], "/").unwrap();
        assert_eq!(entered.unwrap().function.as_deref(), Some("a#b"));
        assert!(files.program("/bin/round#a", &[], "/").unwrap().is_none());
        let round = files.program("/bin/round", &[], "/").unwrap().unwrap();
        assert!(matches!(round.kind, ProgramKind::Script { .. }));
        let bare = Files {
            image: &image,
            mounts: &[],
        };
        assert!(bare.program("script", &[], "/").unwrap().is_none());
        fs::remove_dir_all(base).unwrap();
    }
}
