//! `RUN` as a step of a stage: what is executed, in which environment, with what mounted.

use std::fs::File;
use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, Result};

use super::agent::Agent;
use super::cache::Key;
use super::configure::words;
use super::dockerfile::MountKind;
use super::dockerfile::instruction::{Command as Words, Network, Run, Security};
use super::report::Step;
use super::request::OnFailure;
use super::run::{Command, Runner};
use super::run_mounts::{Confined, Mounted};
use super::scope::PROXIES;
use super::shell::Remains;
use super::stage_builder::{Made, StageBuilder};
use super::state::PATH;

/// Where a here-document with a `#!` line is executed.
pub(super) const SCRIPTS: &str = "/run/buildkit/pipes";

/// What helps with a command that failed.
const LOOK_AROUND: &str = "berth build --on-failure=shell opens a shell where it failed";

/// What a step holds while its command is executed.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Locks on cache mounts.
    pub(super) locks: Vec<File>,
    /// Sockets that lead to ssh agents; they end before their files are removed.
    pub(super) agents: Vec<Agent>,
    /// Files that are removed afterwards.
    pub(super) secrets: Vec<Scratch>,
}

/// A directory in memory that is removed when it is dropped.
#[derive(Debug)]
pub(super) struct Scratch(pub(super) PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // It lies in the run directory, which is gone after a restart anyway.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

impl StageBuilder<'_, '_> {
    /// Carries one out.
    pub(super) fn run(&mut self, run: &Run, step: Step<'_>) -> Result<()> {
        let request = self.build.request;
        if run.security == Security::Insecure && !request.allow_insecure {
            return Err(Error::new(
                Class::Denied,
                "cannot execute a command that is not confined",
            )
            .caused_by("RUN --security=insecure was not allowed")
            .hint("berth build --allow security.insecure"));
        }
        if run.network == Network::Host && !request.allow_host_network {
            return Err(Error::new(
                Class::Denied,
                "cannot execute a command in the network of the host",
            )
            .caused_by("RUN --network=host was not allowed")
            .hint("berth build --allow network.host"));
        }
        let (words, script) = self.script(run);
        let mut mounts = Vec::new();
        for mount in &run.mounts {
            let text = self.expanded(&mount.text)?;
            let kind =
                MountKind::parse(&text).map_err(|reason| Error::new(Class::Invalid, reason))?;
            mounts.push(kind);
        }
        let arguments = self.arguments();
        let key = self.run_key(run, (&words, script.as_ref()), &arguments, &mounts)?;
        let created_by = history(&words, &arguments);
        let confined = match run.security {
            Security::Sandbox => Confined::Yes,
            Security::Insecure => Confined::No,
        };
        self.layer(Made { created_by, key }, step, |this| {
            let mut held = Held::default();
            let mut command = this.command(run, words, &arguments);
            let mut mounted = Mounted::default();
            if let Some((name, content)) = &script {
                this.mount_script(name, content, &mut mounted, &mut held)?;
            }
            for mount in &mounts {
                this.mount(mount, confined, (&mut mounted, &mut held))?;
            }
            command.environment.extend(mounted.environment);
            command.secrets = this.secret_variables(&mounted.secrets, &mut held)?;
            command.host.mounts.extend(mounted.mounts);
            command.host.tmpfs.extend(mounted.tmpfs);
            command.targets.extend(mounted.targets);
            let runner = Runner {
                engine: this.build.engine,
                cancel: this.build.cancel,
                step,
                hint: (this.build.request.on_failure == OnFailure::End).then_some(LOOK_AROUND),
            };
            let assembly = &this.build.assembly;
            let layers = this.lowers()?;
            let mut written = None;
            let layer = runner.run(
                &command,
                &this.state,
                layers.clone(),
                |ended, upper| match ended {
                    Ok(()) => assembly.layer(upper, &this.state.layers, this.latest()),
                    Err(error) => {
                        written = this.kept(upper);
                        Err(error)
                    }
                },
            );
            if let Some(written) = written {
                let layers = std::iter::once(written).chain(layers).collect();
                *this.remains.borrow_mut() = Some(Remains {
                    command,
                    layers,
                    _held: held,
                });
            }
            layer
        })
    }

    /// What the result of a command depends on.
    fn run_key(
        &self,
        run: &Run,
        (words, script): (&[String], Option<&(String, String)>),
        arguments: &[String],
        mounts: &[MountKind],
    ) -> Result<Key> {
        let mut key = Key::new("run");
        key.layers(&self.state.layers);
        key.document(&self.state.config);
        key.text(&self.state.platform.to_string());
        key.document(&words);
        key.document(&arguments);
        key.text(&format!("{:?} {:?}", run.network, run.security));
        key.document(&self.build.request.host);
        if let Some((name, content)) = script {
            key.text(name);
            key.text(content);
        }
        for mount in mounts {
            self.describe_mount(mount, &mut key)?;
        }
        Ok(key)
    }

    /// What a failed command wrote, moved out of its container, if somebody may want to look at it.
    fn kept(&self, upper: &Path) -> Option<PathBuf> {
        let wanted = self.build.request.on_failure == OnFailure::Shell;
        if !wanted || self.build.cancel.is_over() {
            return None;
        }
        // Without it there is no shell, and the failure itself is told all the same.
        let place = self.build.assembly.directory().ok()?.join("written");
        std::fs::rename(upper, &place).ok().map(|()| place)
    }

    /// The words that are executed. A here-document that is the whole command is a script: with a `#!`
    /// line it is a file of its own, which comes back as name and content.
    fn script(&self, run: &Run) -> (Vec<String>, Option<(String, String)>) {
        let (Words::Shell(line), Some(first)) = (&run.command, run.heredocs.first()) else {
            return (words(&run.command, &self.state), None);
        };
        if run.heredocs.len() == 1 && line.trim() == first.opening_as_written(line) {
            let text = first.text();
            if text.starts_with("#!") {
                let path = format!("{SCRIPTS}/{}", first.name);
                let words = words(&Words::Shell(path), &self.state);
                return (words, Some((first.name.clone(), text)));
            }
            return (words(&Words::Shell(text), &self.state), None);
        }
        // Anything else is put together again for the shell.
        let mut full = line.clone();
        for document in &run.heredocs {
            full.push('\n');
            full.push_str(&document.content);
            full.push_str(&document.name);
        }
        (words(&Words::Shell(full), &self.state), None)
    }

    /// The arguments that are seen, `name=value`.
    fn arguments(&self) -> Vec<String> {
        self.state
            .scope
            .arguments()
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }

    fn command(&self, run: &Run, words: Vec<String>, arguments: &[String]) -> Command {
        let request = self.build.request;
        let mut environment = self.state.scope.environment();
        if !environment.iter().any(|pair| pair.starts_with("PATH=")) {
            environment.push(format!("PATH={PATH}"));
        }
        environment.extend(arguments.iter().cloned());
        for name in PROXIES {
            let known = environment
                .iter()
                .any(|pair| pair.split('=').next() == Some(name));
            if let Some(value) = request.arguments.get(name)
                && !known
            {
                environment.push(format!("{name}={value}"));
            }
        }
        let mut host = request.host.clone();
        match run.network {
            Network::Default => {}
            Network::None => host.network_mode = "none".to_owned(),
            Network::Host => host.network_mode = "host".to_owned(),
        }
        host.privileged |= run.security == Security::Insecure;
        let bound = host.binds.iter().filter_map(|bind| bind.split(':').nth(1));
        Command {
            words,
            environment,
            secrets: None,
            targets: bound.map(PathBuf::from).collect(),
            host,
        }
    }
}

fn history(words: &[String], arguments: &[String]) -> String {
    let mut text = "RUN ".to_owned();
    if !arguments.is_empty() {
        text.push_str(&format!("|{} {} ", arguments.len(), arguments.join(" ")));
    }
    text.push_str(&words.join(" "));
    text.push_str(" # buildkit");
    text
}
