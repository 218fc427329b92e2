//! The help: the overview of all verbs, of one family, and of one verb.

use std::fmt::Write as _;

use clap::Command;

use super::command::bare_command;
use super::verb::{Action, Group, Verb};

const GROUPS: [(Group, &str); 4] = [
    (Group::Run, "Run"),
    (Group::Images, "Images"),
    (Group::VolumesAndNetworks, "Volumes & networks"),
    (Group::System, "System"),
];

/// Verbs that the overview names without a word about them, so that it stays on one screen; their families
/// tell what they do.
const NAMED_ONLY: [&str; 13] = [
    "attach", "restart", "create", "kill", "pause", "unpause", "wait", "rename", "top", "port",
    "import", "untag", "history",
];

/// The flags before the verb, as the overview lists them.
const GLOBAL_FLAGS: &str = "\
Global flags (before the command):
      --root DIR         Keep images, containers and volumes in DIR
      --runroot DIR      Keep the state of running containers in DIR
      --config DIR       Read registry logins from DIR/config.json [env: DOCKER_CONFIG]
      --offline          Ask no registry; use the images that are here
  -D, --debug            Tell what is done, step by step
  -l, --log-level LEVEL  Say only what is at least this grave: debug, info, warn, error
  -v, --version          Print the version
";

/// What `berth` alone and `berth --help` print.
pub(crate) fn overview(verbs: &[Verb]) -> String {
    let mut text = String::from(
        "Run native and wasm containers.\n\n\
         Examples:\n  \
           berth run hello\n  \
           berth run -it --rm busybox sh\n  \
           berth run -d --name web -p 8080:80 nginx\n\n\
         Usage: berth [FLAGS] COMMAND\n",
    );
    for (group, title) in GROUPS {
        let own = verbs.iter().filter(|verb| verb.group == group);
        let (named, listed): (Vec<&Verb>, Vec<&Verb>) =
            own.partition(|verb| NAMED_ONLY.contains(&verb.name));
        if !listed.is_empty() {
            write_verbs(&mut text, title, listed.into_iter());
        }
        if !named.is_empty() {
            let names: Vec<&str> = named.iter().map(|verb| verb.name).collect();
            let _always_ok = writeln!(text, "  Also: {}", names.join(", "));
        }
    }
    text.push('\n');
    text.push_str(GLOBAL_FLAGS);
    text.push_str("\nberth COMMAND --help tells more about one command.\n");
    text
}

/// What `berth container` and `berth container --help` print.
pub(crate) fn family(path: &str, family: &Verb, verbs: &[Verb]) -> String {
    let mut text = format!("{}.\n\nUsage: {path} COMMAND\n", family.about);
    write_verbs(
        &mut text,
        "Commands",
        verbs.iter().filter(|verb| verb.group != Group::Hidden),
    );
    let _always_ok = writeln!(
        text,
        "\n{path} COMMAND --help tells more about one command."
    );
    text
}

fn write_verbs<'verb>(text: &mut String, title: &str, verbs: impl Iterator<Item = &'verb Verb>) {
    let _always_ok = writeln!(text, "\n{title}:");
    for verb in verbs {
        let _always_ok = writeln!(text, "  {:<11}  {}", verb.name, verb.about);
    }
}

/// What `berth VERB --help` prints.
pub(crate) fn single(path: &str, verb: &Verb, arguments: fn(Command) -> Command) -> String {
    finished(path, verb, arguments).render_help().to_string()
}

fn finished(path: &str, verb: &Verb, arguments: fn(Command) -> Command) -> Command {
    let mut before = String::new();
    if !verb.examples.is_empty() {
        before.push_str("Examples:");
        for line in verb.examples.lines() {
            before.push_str("\n  ");
            before.push_str(line.trim());
        }
    }
    let mut about = String::from(verb.about);
    if !verb.aliases.is_empty() {
        let _always_ok = write!(about, " (also: {})", verb.aliases.join(", "));
    }
    bare_command(path, verb, arguments)
        .about(about)
        .before_help(before)
        .help_template("{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}")
}

/// The whole tree of commands, for completions and man pages. Costs milliseconds: for nothing else.
pub(crate) fn tree(verbs: &[Verb]) -> Command {
    let root = Command::new("berth").about("Run native and wasm containers");
    with_verbs(root, "berth", verbs)
}

fn with_verbs(mut command: Command, path: &str, verbs: &[Verb]) -> Command {
    for verb in verbs
        .iter()
        .filter(|verb| verb.group != Group::Hidden || path != "berth")
    {
        let path = format!("{path} {}", verb.name);
        let subcommand = match verb.action {
            Action::Single { arguments, .. } => finished(&path, verb, arguments),
            Action::Family(verbs) => {
                with_verbs(Command::new(verb.name).about(verb.about), &path, verbs)
            }
        };
        command = command.subcommand(subcommand.name(verb.name).aliases(verb.aliases));
    }
    command
}
