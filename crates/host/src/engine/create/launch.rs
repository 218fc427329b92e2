//! What the monitor is told beside the runtime-spec.

use std::path::PathBuf;

use berth_contract::{ContainerName, Result, Rootfs};
use berth_monitor::launch::{Launch, NameFiles, RuntimeKind};
use berth_network::Mode;

use super::{Draft, SHARED_MEMORY};
use crate::engine::logging::{self, Subject};
use crate::engine::source::Source;
use crate::engine::storage::Storage;
use crate::engine::{network, policy};

impl Draft<'_> {
    pub(super) fn launch(
        &mut self,
        runtime: RuntimeKind,
        (rootfs, module): (Rootfs, Option<PathBuf>),
        name: &ContainerName,
        storage: &Storage,
    ) -> Result<Launch> {
        let (request, warnings) = network::request(
            &self.id,
            &self.config,
            &self.host,
            &self.request.networking_config,
        )?;
        self.warnings.extend(warnings);
        let paths = self.engine.paths();
        let networks = matches!(request.mode, Mode::Networks(_));
        let image_id = self.source.id();
        let subject = Subject {
            id: &self.id,
            name: name.as_str(),
            image_id: &image_id,
            config: &self.config,
        };
        let remove_with = if self.host.auto_remove {
            storage
                .anonymous
                .iter()
                .map(|volume| paths.volume(volume))
                .collect()
        } else {
            Vec::new()
        };
        let mut names = vec![self.config.hostname.clone()];
        if !self.config.domainname.is_empty() {
            names.insert(
                0,
                format!("{}.{}", self.config.hostname, self.config.domainname),
            );
        }
        let stack = match &self.source {
            Source::Stack(stack) => Some(stack),
            _ => None,
        };
        Ok(Launch {
            attended: stack.is_some(),
            environment: stack.and_then(|stack| stack.environment.clone()),
            id: self.id.clone(),
            runtime,
            rootfs,
            module,
            init: self.host.init == Some(true),
            terminal: self.config.tty,
            open_stdin: self.config.open_stdin,
            stdin_once: self.config.stdin_once,
            stop_signal: policy::stop_signal(&self.config)?,
            stop_timeout: policy::stop_timeout(&self.config),
            timeout: self.host.timeout,
            pid_file: self.host.pid_file.clone(),
            restart: policy::restart(&self.host)?,
            auto_remove: self.host.auto_remove,
            remove_with,
            mounted: storage
                .mounted
                .iter()
                .map(|volume| paths.volume(volume))
                .chain((self.host.ipc_mode == "shareable").then(|| self.home.join(SHARED_MEMORY)))
                .collect(),
            log: logging::prepare(subject, &self.host.log_config, &paths.log(&self.id))?,
            network: request,
            joined: self
                .namespaces
                .joined()
                .map(|(kind, other)| (kind.word().to_owned(), other.clone()))
                .collect(),
            names: NameFiles {
                hosts: networks.then(|| self.home.join("hosts")),
                names,
                gateway_names: Vec::new(),
            },
            directories: paths.directories(),
        })
    }
}
