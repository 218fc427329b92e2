//! `RUN` as a step of a stage: what is executed, in which environment, with what mounted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, Result};

use super::agent::Agent;
use super::cache::Key;
use super::cache_mount::Hold;
use super::configure::words;
use super::dockerfile::MountKind;
use super::dockerfile::instruction::{Command as Words, Network, Run, Security};
use super::layers::Made;
use super::report::Step;
use super::request::OnFailure;
use super::run::{Command, Runner};
use super::run_mounts::{Confined, Mounted, Wanted};
use super::scope::{PATH, PROXIES, Scope};
use super::shell::Remains;
use super::stage_builder::StageBuilder;
use crate::api::types::DeviceRequest;
use crate::engine::{CDI_DIRECTORIES, NamedDevice, named_devices};

/// Where a here-document with a `#!` line is executed.
pub(super) const SCRIPTS: &str = "/dev/pipes";

/// What helps with a command that failed.
const LOOK_AROUND: &str = "berth build --on-failure=shell opens a shell where it failed";

/// What a step holds while its command is executed.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Locks on cache mounts.
    pub(super) locks: Vec<Hold>,
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
        self.check_rights(run)?;
        let devices = self.devices(run, step)?;
        let (words, script) = self.script(run);
        let mut mounts = Vec::new();
        for mount in &run.mounts {
            let text = self.expanded(&mount.text)?;
            let kind =
                MountKind::parse(&text).map_err(|reason| Error::new(Class::Invalid, reason))?;
            mounts.push(self.wanted(kind)?);
        }
        let key = self.run_key(run, (&words, script.as_ref()), &mounts);
        let created_by = history(&words, &self.state.scope);
        let confined = match run.security {
            Security::Sandbox => Confined::Yes,
            Security::Insecure => Confined::No,
        };
        self.layer(Made { created_by, key }, step, |this| {
            let mut held = Held::default();
            let mut command = this.command(run, words);
            command.host.device_requests.extend(devices);
            let mut mounted = Mounted::default();
            if let Some((name, content)) = &script {
                this.mount_script(name, content, &mut mounted, &mut held)?;
            }
            let caches = this.lock_caches(&mounts, &mut held)?;
            for mount in &mounts {
                this.mount(mount, confined, &caches, (&mut mounted, &mut held))?;
            }
            let read = mounted.read;
            command.environment.extend(mounted.environment);
            command.secrets = this.secret_variables(&mounted.secrets, &mut held)?;
            command.host.mounts.extend(mounted.mounts);
            command.host.tmpfs.extend(mounted.tmpfs);
            command.targets.extend(mounted.targets);
            let runner = Runner {
                engine: this.build.engine,
                cancel: this.build.cancel,
                step,
                builder: &this.build.alive.path,
                deletion: &this.build.deletion,
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
            Ok((layer?, read))
        })
    }

    /// Whether a command may have what it asks for.
    fn check_rights(&self, run: &Run) -> Result<()> {
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
        Ok(())
    }

    /// The devices that a command is given: those that are there and that it may have.
    fn devices(&self, run: &Run, step: Step<'_>) -> Result<Option<DeviceRequest>> {
        let allowed = &self.build.request.allow_devices;
        let mut names: Vec<String> = Vec::new();
        for device in &run.devices {
            let found = named_devices(&device.name)?;
            if found.is_empty() && device.required {
                let message = format!("cannot give the device {}", device.name);
                return Err(Error::new(Class::NotFound, message).caused_by(format!(
                    "no file in {} describes it",
                    CDI_DIRECTORIES.join(" or ")
                )));
            }
            if found.is_empty() {
                step.note(&format!(
                    "there is no device {}: going on without it",
                    device.name
                ));
            }
            for NamedDevice { name, is_allowed } in found {
                let kind = name.split('=').next().unwrap_or_default();
                let may = |right: &String| {
                    matches!(right.as_str(), "") || *right == name || right == kind
                };
                if !is_allowed && !allowed.iter().any(may) {
                    let message = format!("cannot give the device {name}");
                    return Err(Error::new(Class::Denied, message)
                        .caused_by("RUN --device was not allowed")
                        .hint(format!("berth build --allow device={name}")));
                }
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        Ok((!names.is_empty()).then(|| DeviceRequest {
            driver: "cdi".to_owned(),
            device_ids: names,
            ..DeviceRequest::default()
        }))
    }

    /// What the result of a command depends on.
    fn run_key(
        &self,
        run: &Run,
        (words, script): (&[String], Option<&(String, String)>),
        mounts: &[Wanted],
    ) -> Key {
        let mut key = Key::new("run");
        key.layers(&self.state.layers);
        // Of the config what a command sees: labels, ports or the image's own command are none of its business.
        key.text(&self.state.config.user);
        key.text(&self.state.config.working_dir);
        key.text(&self.state.platform.to_string());
        key.document(&words);
        key.document(&self.state.scope.of_commands());
        key.text(&format!("{:?} {:?}", run.network, run.security));
        key.text(&format!("{:?}", run.devices));
        key.text(self.hostname());
        key.document(&self.build.request.host);
        if let Some((name, content)) = script {
            key.text(name);
            key.text(content);
        }
        for mount in mounts {
            Self::describe_mount(mount, &mut key);
        }
        key
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

    fn hostname(&self) -> &str {
        let name = self
            .build
            .request
            .arguments
            .get("BUILDKIT_SANDBOX_HOSTNAME");
        name.map_or("", String::as_str)
    }

    fn command(&self, run: &Run, words: Vec<String>) -> Command {
        let request = self.build.request;
        let mut environment = self.state.scope.of_commands();
        let has = |environment: &[String], name: &str| {
            let mut names = environment.iter().filter_map(|pair| pair.split('=').next());
            names.any(|known| known == name)
        };
        if !has(&environment, "PATH") {
            environment.push(format!("PATH={PATH}"));
        }
        for name in PROXIES {
            if let Some(value) = proxy(&request.arguments, name)
                && !has(&environment, name)
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
            hostname: self.hostname().to_owned(),
            secrets: None,
            targets: bound.map(PathBuf::from).collect(),
            host,
        }
    }
}

/// The value of a proxy variable: that of its own name, else that of its name in the other case.
fn proxy<'a>(arguments: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    let other = |known: &&String| known.eq_ignore_ascii_case(name);
    let own = arguments.get(name);
    let value = own.or_else(|| {
        arguments
            .keys()
            .find(other)
            .and_then(|key| arguments.get(key))
    });
    value.map(String::as_str)
}

fn history(words: &[String], scope: &Scope) -> String {
    let mut text = "RUN ".to_owned();
    let declared: Vec<_> = scope.declarations().collect();
    if !declared.is_empty() {
        text.push_str(&format!("|{} ", declared.len()));
    }
    for (name, value) in declared {
        text.push_str(&format!("{name}={value} "));
    }
    text.push_str(&words.join(" "));
    text.push_str(" # buildkit");
    text
}
