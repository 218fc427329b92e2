//! Putting berth in place: programs, manual pages, completions.

use std::path::{Path, PathBuf};

use crate::programs;
use crate::shell::{self, Outcome};

/// `cargo xtask install [--prefix DIR]`: `berth` into `bin`, its three helpers into `libexec/berth`.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    let prefix = match arguments {
        [] => PathBuf::from("/usr/local"),
        [flag, prefix] if flag == "--prefix" => PathBuf::from(prefix),
        _ => return Err("install takes only --prefix DIR".into()),
    };
    let built = programs::build()?;
    for name in programs::names() {
        let folder = if name == "berth" {
            "bin"
        } else {
            "libexec/berth"
        };
        programs::place(&built.join(name), &prefix.join(folder).join(name))?;
    }
    write_manual(&prefix.join("share/man/man1"))?;
    for (shell_name, path) in [
        ("bash", "share/bash-completion/completions/berth"),
        ("zsh", "share/zsh/site-functions/_berth"),
        ("fish", "share/fish/vendor_completions.d/berth.fish"),
    ] {
        write_completion(shell_name, &prefix.join(path))?;
    }
    println!("installed below {}", prefix.display());
    Ok(())
}

/// `cargo xtask man DIR`.
pub(crate) fn manual(arguments: &[String]) -> Outcome {
    let [folder] = arguments else {
        return Err("man takes a directory".into());
    };
    programs::build()?;
    write_manual(Path::new(folder))
}

/// `cargo xtask completions DIR`.
pub(crate) fn completions(arguments: &[String]) -> Outcome {
    let [folder] = arguments else {
        return Err("completions takes a directory".into());
    };
    programs::build()?;
    for (shell_name, file) in [
        ("bash", "berth.bash"),
        ("zsh", "_berth"),
        ("fish", "berth.fish"),
    ] {
        write_completion(shell_name, &Path::new(folder).join(file))?;
    }
    Ok(())
}

fn write_manual(folder: &Path) -> Outcome {
    make(folder)?;
    shell::run(
        shell::command(programs::folder()?.join("berth"))
            .arg("__man")
            .arg(folder),
    )
}

fn write_completion(shell_name: &str, file: &Path) -> Outcome {
    make(file.parent().unwrap_or(Path::new(".")))?;
    let berth = programs::folder()?.join("berth");
    let script = shell::read(shell::command(berth).args(["completion", shell_name]))?;
    std::fs::write(file, script).map_err(|error| format!("{}: {error}", file.display()))
}

fn make(folder: &Path) -> Outcome {
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}
