//! What the guest is made of: its root file system and the runtime-spec that describes it.

use std::path::{Path, PathBuf};

use berth_contract::{Class, Error, Result, Rootfs, oci};
use berth_monitor::volume::CONTENT;

use super::{Draft, SHARED_MEMORY};
use crate::engine::id_maps::Maps;
use crate::engine::source::Source;
use crate::engine::spec::{self, EtcFiles, Inputs, Modules, Origin};
use crate::engine::storage::Storage;
use crate::engine::user::Identity;

impl Draft<'_> {
    pub(super) fn rootfs(&self, staging: &Path) -> Result<Rootfs> {
        let empty = self.engine.paths().data().join("layers/empty");
        if let Source::Directory(path) = &self.source {
            return Ok(Rootfs::Directory(path.clone()));
        }
        // A build takes the layer away at once and writes everything to disk at its end.
        let volatile = self.host.auto_remove || matches!(self.source, Source::Stack(_));
        let layers = self.source.layers(&empty);
        match berth_image::prepare_overlay(layers, staging, volatile)? {
            Rootfs::Overlay {
                lowers, volatile, ..
            } => Ok(Rootfs::Overlay {
                lowers,
                upper: self.home.join("upper"),
                work: self.home.join("work"),
                volatile,
            }),
            other @ Rootfs::Directory(_) => Ok(other),
        }
    }

    pub(super) fn spec(
        &mut self,
        identity: &Identity,
        storage: &Storage,
        etc: &EtcFiles,
        rootfs: &Rootfs,
    ) -> Result<oci::Spec> {
        let root = match rootfs {
            Rootfs::Directory(path) => path.clone(),
            Rootfs::Overlay { .. } => PathBuf::from("rootfs"),
        };
        let shared = self.shared_memory()?;
        let maps = self.host.id_mappings.as_ref().map(Maps::read).transpose()?;
        let built = spec::build(&Inputs {
            id: &self.id,
            config: &self.config,
            host: &self.host,
            hostname: &self.config.hostname,
            identity,
            namespaces: &self.namespaces,
            maps: maps.as_ref(),
            mounts: &storage.mounts,
            files: etc,
            shared_memory: shared.as_deref(),
            root: &root,
            capacity: &crate::engine::capacity::capacity(&self.host),
            modules: Modules::probe,
        })?;
        self.warnings.extend(built.warnings);
        Ok(built.spec)
    }

    /// `/dev/shm` of a container whose IPC namespace others may join is mounted where they find it too.
    fn shared_memory(&self) -> Result<Option<PathBuf>> {
        if self.host.ipc_mode == "shareable" {
            return Ok(Some(self.home.join(SHARED_MEMORY).join(CONTENT)));
        }
        let Origin::Container(other) = &self.namespaces.ipc else {
            return Ok(None);
        };
        let shared = self.engine.paths().container(other);
        let shared = shared.join(SHARED_MEMORY).join(CONTENT);
        if shared.is_dir() {
            return Ok(Some(shared));
        }
        Err(Error::new(
            Class::Invalid,
            "cannot join the IPC namespace of that container",
        )
        .caused_by("it was not made to be shared")
        .hint("start it with --ipc shareable"))
    }
}
