//! Skipping loudly: what the machine lacks is printed by the test and listed at the end of the run.

use std::io::Write as _;
use std::path::Path;

/// Says why a test does not run here; `cargo xtask test` lists all such lines at its end.
pub fn skip(test: &str, reason: &str) {
    let mut line = format!("{test}: {reason}\n");
    eprint(&line);
    if let Some(file) = std::env::var_os("BERTH_SKIPS") {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(file);
        if let Ok(mut log) = log {
            line = line.replace('\r', " ");
            log.write_all(line.as_bytes())
                .expect("the list of skipped tests is writable");
        }
    }
}

fn eprint(line: &str) {
    let outcome = write!(std::io::stderr(), "skipped: {line}");
    outcome.expect("standard error is writable");
}

/// Whether a program is installed; skips the test `test` otherwise.
#[must_use]
pub fn available(test: &str, program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = Path::new(program).is_absolute() && Path::new(program).exists()
        || std::env::split_paths(&path)
            .chain(["/usr/sbin".into(), "/sbin".into()])
            .any(|folder| folder.join(program).is_file());
    if !found {
        skip(test, &format!("{program} is not installed"));
    }
    found
}
