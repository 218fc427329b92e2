//! The four programs, each built by itself so that features do not unify across them.

use std::path::{Path, PathBuf};

use crate::shell::{self, Outcome};

/// One of the four.
pub(crate) struct Program {
    package: &'static str,
    name: &'static str,
    feature: Option<&'static str>,
    /// Of which there is one for every running container.
    resident: bool,
    /// Linked at a fixed address (ARCHITECTURE.md, "Build").
    fixed: bool,
}

/// What a resident program is built by (Cargo.toml).
const RESIDENT_PROFILE: &str = "monitor";
/// The most bytes it may have.
const RESIDENT_LIMIT: u64 = 1_500_000;

const PROGRAMS: [Program; 4] = [
    Program {
        package: "berth-host",
        name: "berth",
        feature: None,
        resident: false,
        fixed: false,
    },
    Program {
        package: "berth-monitor",
        name: "berth-monitor",
        feature: None,
        resident: true,
        fixed: true,
    },
    Program {
        package: "berth-wasm-runtime",
        name: "berth-wasm",
        feature: Some("executor"),
        resident: false,
        fixed: true,
    },
    Program {
        package: "berth-wasm-runtime",
        name: "berth-wasmc",
        feature: Some("compiler"),
        resident: false,
        fixed: false,
    },
];

/// Builds all four and returns the folder that holds them.
pub(crate) fn build() -> Outcome<PathBuf> {
    for program in &PROGRAMS {
        build_one(program)?;
    }
    folder()
}

/// Builds a program; a resident one is put beside the others.
fn build_one(program: &Program) -> Outcome {
    let mut cargo = shell::cargo();
    let profile = if program.resident {
        RESIDENT_PROFILE
    } else {
        "release"
    };
    cargo.args(["rustc", "--profile", profile]);
    cargo.args(selection(program));
    if program.fixed {
        // Of all crates only this one sees the flag, and the code of the others comes along in the link.
        cargo.args(["--", "-C", "relocation-model=static"]);
    }
    if program.resident {
        // What several functions have in common becomes one: 26 kB of the program.
        cargo.args(["-C", "llvm-args=-enable-machine-outliner=always"]);
    }
    shell::run(&mut cargo)?;
    let release = folder()?;
    let built = match program.resident {
        true => release.with_file_name(RESIDENT_PROFILE),
        false => release.clone(),
    };
    place(&built.join(program.name), &release.join(program.name))
}

/// Puts a program where it is started from, aside and then in place: a running one is never written to.
///
/// It is written at once, whatever wrote it before. The page cache then holds it in large folios, and a
/// page fault maps sixteen pages of one as fast as a single page of the small folios that a linker's
/// writing through a mapping leaves: an eighth of the time, for the hundreds of faults of a start.
pub(crate) fn place(from: &Path, to: &Path) -> Outcome {
    let aside = to.with_extension("new");
    let put = || {
        std::fs::create_dir_all(to.parent().unwrap_or(Path::new("/")))?;
        std::fs::write(&aside, std::fs::read(from)?)?;
        std::fs::set_permissions(&aside, std::fs::metadata(from)?.permissions())?;
        std::fs::rename(&aside, to)
    };
    put().map_err(|error| format!("{}: {error}", to.display()))
}

fn selection(program: &Program) -> impl Iterator<Item = &'static str> {
    let feature = program.feature.iter();
    ["--package", program.package, "--bin", program.name]
        .into_iter()
        .chain(feature.flat_map(|feature| ["--features", *feature]))
}

/// A resident program must stay small, and static: it runs in no root but the host's, and no loader may
/// delay the start of a container.
pub(crate) fn check_resident(problems: &mut Vec<String>) -> Outcome {
    for program in PROGRAMS.iter().filter(|program| program.resident) {
        build_one(program)?;
        let path = folder()?.join(program.name);
        let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let size = bytes.len() as u64;
        if size > RESIDENT_LIMIT {
            problems.push(format!(
                "{} has {size} bytes, more than {RESIDENT_LIMIT}",
                program.name
            ));
        }
        if is_dynamic(&bytes) {
            problems.push(format!("{} is not static", program.name));
        }
        println!("{} has {size} bytes", program.name);
    }
    Ok(())
}

/// Whether an ELF program names a loader (`PT_INTERP`, elf(5)).
fn is_dynamic(elf: &[u8]) -> bool {
    const LOADER: [u8; 4] = 3_u32.to_le_bytes();
    let number = |at: usize, size: usize| {
        let bytes = elf.get(at..at + size).unwrap_or_default();
        bytes
            .iter()
            .rev()
            .fold(0_usize, |number, byte| number << 8 | usize::from(*byte))
    };
    let (headers, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    (0..count).any(|place| {
        elf.get(headers + place * size..)
            .is_some_and(|one| one.starts_with(&LOADER))
    })
}

/// Where release programs lie: below the host's own triple, because `.cargo/config.toml` names a target.
pub(crate) fn folder() -> Outcome<PathBuf> {
    Ok(shell::target().join(shell::host_triple()?).join("release"))
}

/// The names of the programs.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    PROGRAMS.iter().map(|program| program.name)
}

/// Builds everything and runs the built-in image with both runtimes, in folders of its own.
pub(crate) fn hello() -> Outcome {
    let programs = build()?;
    let place = shell::target().join("hello");
    let berth = |arguments: &[&str]| {
        let mut command = shell::command(programs.join("berth"));
        command
            .arg("--root")
            .arg(place.join("data"))
            .arg("--runroot")
            .arg(place.join("run"));
        command.args(arguments);
        command
    };
    shell::run(&mut berth(&["run", "--rm", "hello"]))?;
    shell::run(&mut berth(&[
        "run",
        "--rm",
        "--platform",
        "wasi/wasm",
        "hello",
    ]))?;
    // The bridge these folders' containers were on; a person's own berth keeps its bridge.
    shell::read(&mut berth(&["network", "prune", "--force"]))?;
    println!(
        "\nThe programs are in {}; `cargo xtask install` puts them in place.",
        programs.display()
    );
    Ok(())
}
