//! Carrying mounts out: volumes are made, missing directories of the host too, images are looked up.

use std::path::{Path, PathBuf};

use berth_contract::{Class, ContainerId, Error, Result, VolumeName};
use berth_image::{Merged, Store};
use berth_monitor::volume::{self as membership, Held};
use berth_sys::error::Explain as _;
use berth_sys::fault;

use super::mount::{
    Material, New, Planned, Source, Wish, bind_options, check_driver, image_volume, subpath_option,
    wishes,
};
use super::ownership::Ownership;
use super::volumes::{random_name, read};
use crate::api::types::{ContainerConfig, HostConfig, MountKind, MountPoint};
use crate::paths::Paths;
use crate::records::{Record, find};
use crate::volume::{self, Volume};

/// All mounts of a container, and the volumes that were made for it alone.
#[derive(Debug, Default)]
pub(super) struct Storage {
    pub(super) mounts: Vec<Planned>,
    pub(super) anonymous: Vec<VolumeName>,
    /// Volumes with a file system of their own.
    pub(super) mounted: Vec<VolumeName>,
    /// Layers of mounted images, which must not be collected.
    pub(super) layers: Vec<PathBuf>,
}

/// What carrying mounts out needs.
#[derive(Debug)]
pub(super) struct Workshop<'a> {
    pub(super) id: &'a ContainerId,
    pub(super) paths: &'a Paths,
    pub(super) store: &'a Store,
    pub(super) image: &'a Merged,
    /// Whether the program is one of these files, which a mount at `/` would hide.
    pub(super) has_root_of_its_own: bool,
    pub(super) now: u64,
}

impl Workshop<'_> {
    /// Plans the mounts of a request: explicit ones, then `--volumes-from`, then the image's volumes.
    pub(super) fn plan(&self, config: &ContainerConfig, host: &HostConfig) -> Result<Storage> {
        check_driver(&host.volume_driver)?;
        let mut all = wishes(host)?;
        for text in &host.volumes_from {
            for wish in self.taken_over(text)? {
                add(&mut all, wish);
            }
        }
        for text in config.volumes.keys() {
            add(&mut all, image_volume(text)?);
        }
        self.check_root(&all)?;
        let mut storage = Storage::default();
        let made = all.iter().try_for_each(|wish| {
            let planned = self.carry_out(wish, &mut storage)?;
            storage.mounts.push(planned);
            Ok(())
        });
        match made {
            Ok(()) => Ok(storage),
            Err(error) => {
                self.undo(&storage);
                Err(error)
            }
        }
    }

    /// A module without files around it can be given any root; every other program lies in its own.
    fn check_root(&self, wishes: &[Wish]) -> Result<()> {
        let covers = wishes.iter().any(|wish| wish.destination == Path::new("/"));
        if !covers || !self.has_root_of_its_own {
            return Ok(());
        }
        let refused = Error::new(Class::Invalid, "the mount destination cannot be /");
        Err(refused.hint("to run a directory as root file system, use --rootfs"))
    }

    /// Gives up the volumes of a container that will not be.
    pub(super) fn undo(&self, storage: &Storage) {
        for name in &storage.anonymous {
            if membership::leave(&self.paths.volume(name), self.id) {
                // The failure that brought us here is the one to tell; what stays is an unused volume.
                drop(volume::remove(self.paths, name));
            }
        }
        for mount in storage
            .mounts
            .iter()
            .filter_map(|mount| mount.point.as_ref())
        {
            if let Ok(name) = mount.name.parse() {
                membership::forget(&self.paths.volume(&name), self.id);
            }
        }
    }

    fn taken_over(&self, text: &str) -> Result<Vec<Wish>> {
        let (name, mode) = text.split_once(':').unwrap_or((text, "rw"));
        let words = || mode.split(',');
        if !words().all(|word| matches!(word, "rw" | "ro" | "z" | "Z")) {
            return Err(
                Error::new(Class::Invalid, format!("invalid --volumes-from {text:?}"))
                    .hint("write CONTAINER[:ro]"),
            );
        }
        let read_only = words().any(|word| word == "ro");
        let id = find(self.paths, name)?;
        let record = Record::read(&self.paths.container(&id))?
            .ok_or_else(|| Error::new(Class::NotFound, format!("no such container: {name}")))?;
        let mut wishes = Vec::new();
        for point in record.mounts {
            let source = match point.kind {
                MountKind::Bind => Source::Host {
                    path: PathBuf::from(&point.source),
                    create: false,
                },
                MountKind::Volume => {
                    let name: VolumeName = point.name.parse()?;
                    if record.anonymous_volumes.contains(&name) {
                        Source::TakenOver { name }
                    } else {
                        let new = New::plain(false);
                        Source::Volume { name, new }
                    }
                }
                MountKind::Tmpfs | MountKind::Image => continue,
            };
            wishes.push(Wish {
                read_only: !point.rw || read_only,
                propagation: Some(point.propagation).filter(|word| !word.is_empty()),
                subpath: point.subpath,
                ownership: Ownership::taken_over(&point.mode),
                mode: point.mode,
                ..Wish::new(PathBuf::from(point.destination), source)
            });
        }
        Ok(wishes)
    }

    fn carry_out(&self, wish: &Wish, storage: &mut Storage) -> Result<Planned> {
        let (material, options, kind, name, source) = match &wish.source {
            Source::Host { path, create } => {
                host_path(path, *create)?;
                let source = path.display().to_string();
                (
                    Material::Path(path.clone()),
                    bind_options(wish),
                    MountKind::Bind,
                    None,
                    source,
                )
            }
            Source::Volume { name, new } => self.volume(wish, name, new, storage)?,
            Source::Anonymous(new) => self.volume(wish, &random_name()?, new, storage)?,
            Source::TakenOver { name } => self.volume(wish, name, &New::plain(false), storage)?,
            Source::Tmpfs { options, .. } => {
                let mut options = options.clone();
                if wish.read_only && !options.iter().any(|option| option == "ro") {
                    options.push("ro".to_owned());
                }
                (
                    Material::Tmpfs,
                    options,
                    MountKind::Tmpfs,
                    None,
                    String::new(),
                )
            }
            Source::Image { reference } => {
                let image = self.store.find(reference, None)?;
                let layers = image.layers();
                storage.layers.extend(layers.iter().cloned());
                let mut options = vec!["ro".to_owned(), "nosuid".to_owned(), "nodev".to_owned()];
                options.extend(subpath_option(wish));
                (
                    Material::Layers(layers),
                    options,
                    MountKind::Image,
                    None,
                    reference.clone(),
                )
            }
        };
        let volume = matches!(kind, MountKind::Volume);
        let bind = matches!(kind, MountKind::Bind);
        let listed = !matches!(wish.source, Source::Tmpfs { listed: false, .. });
        let point = listed.then(|| MountPoint {
            kind,
            name: name.unwrap_or_default(),
            source,
            destination: wish.destination.display().to_string(),
            driver: if volume {
                "local".to_owned()
            } else {
                String::new()
            },
            mode: wish.mode.clone(),
            rw: !wish.read_only,
            propagation: match (&wish.propagation, bind) {
                (Some(word), _) => word.clone(),
                (None, true) => "rprivate".to_owned(),
                (None, false) => String::new(),
            },
            subpath: wish.subpath.clone(),
        });
        Ok(Planned {
            destination: wish.destination.clone(),
            material,
            options,
            ownership: wish.ownership.clone(),
            mapping: None,
            point,
        })
    }

    /// Makes the volume unless it is there, counts this container among its users, and fills it while
    /// it is empty. One that nobody named goes with its last container, unless that was told its name.
    fn volume(
        &self,
        wish: &Wish,
        name: &VolumeName,
        new: &New,
        storage: &mut Storage,
    ) -> Result<Carried> {
        let anonymous = !matches!(wish.source, Source::Volume { .. });
        let asked = Volume {
            name: name.clone(),
            created: self.now,
            labels: new.labels.clone(),
            anonymous,
            options: new.options.clone(),
        };
        volume::ensure(self.paths, &asked, Some(self.id))?;
        let known = read(self.paths, name)?.unwrap_or(asked);
        let directory = self.paths.volume(name);
        let joined = membership::join(&directory, self.id)
            .explain(|| format!("cannot use the volume {name}"))?;
        if known.anonymous && !joined {
            return Err(
                Error::new(Class::Conflict, format!("cannot use the volume {name}"))
                    .caused_by("it goes with a container that is being removed"),
            );
        }
        fault::point("host-volume-joined");
        if anonymous {
            storage.anonymous.push(name.clone());
        }
        if new.copy && wish.subpath.is_none() {
            let held = known.mount(self.paths)?;
            let filled = volume::fill(self.paths, name, self.image, &wish.destination);
            held.map_or(Ok(()), Held::release)?;
            filled?;
        }
        if !known.options.is_empty() {
            storage.mounted.push(name.clone());
        }
        let data = volume::content(self.paths, name);
        let source = data.display().to_string();
        Ok((
            Material::Path(data),
            bind_options(wish),
            MountKind::Volume,
            Some(name.to_string()),
            source,
        ))
    }
}

type Carried = (Material, Vec<String>, MountKind, Option<String>, String);

/// Explicit mounts win over inherited ones at the same place.
fn add(all: &mut Vec<Wish>, wish: Wish) {
    if !all
        .iter()
        .any(|known| known.destination == wish.destination)
    {
        all.push(wish);
    }
}

fn host_path(path: &Path, create: bool) -> Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && create => {
            std::fs::create_dir_all(path)
                .explain(|| format!("cannot make the directory {}", path.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::new(
            Class::Invalid,
            format!("the bind source {} does not exist", path.display()),
        )
        .hint(format!("mkdir -p {}", path.display()))
        .hint("use -v, which makes it")),
        Err(error) => Err(error).explain(|| format!("cannot use {}", path.display())),
    }
}
