//! `docs/cli.md` is what `--help` prints: the two cannot drift apart.
//!
//! `BERTH_UPDATE=1 cargo xtask test reference` writes the page anew.

use std::fmt::Write as _;
use std::path::Path;

use berth_testkit::Sandbox;

/// The families whose verbs are not repeated elsewhere at the top level.
const FAMILIES: [&str; 9] = [
    "container",
    "image",
    "builder",
    "manifest",
    "artifact",
    "volume",
    "network",
    "system",
    "serve",
];

#[test]
fn the_reference_is_what_help_prints() {
    let sandbox = Sandbox::new();
    let help = |arguments: &[&str]| sandbox.berth(&[arguments, &["--help"]].concat()).success();
    let overview = help(&[]);
    let mut page =
        String::from("# The command line\n\nWhat `--help` prints, command by command.\n");
    section(&mut page, "berth", &overview);
    for verb in verbs(&overview) {
        let text = help(&[verb]);
        section(&mut page, &format!("berth {verb}"), &text);
        if !FAMILIES.contains(&verb) {
            continue;
        }
        for inner in verbs(&text).filter(|inner| !verbs(&overview).any(|outer| outer == *inner)) {
            section(
                &mut page,
                &format!("berth {verb} {inner}"),
                &help(&[verb, inner]),
            );
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    #[expect(
        clippy::disallowed_methods,
        reason = "the developer asks for the page to be written"
    )]
    if std::env::var_os("BERTH_UPDATE").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == page,
        "docs/cli.md is stale: BERTH_UPDATE=1 cargo xtask test reference"
    );
}

fn section(page: &mut String, title: &str, text: &str) {
    write!(page, "\n## {title}\n\n```\n{text}\n```\n").unwrap();
}

/// The commands a help text lists: two spaces, a name, more spaces, what it does.
fn verbs(help: &str) -> impl Iterator<Item = &str> {
    help.lines().filter_map(|line| {
        let entry = line.strip_prefix("  ")?;
        let (name, about) = entry.split_once("  ")?;
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase());
        (is_name && !about.trim().is_empty()).then_some(name)
    })
}
