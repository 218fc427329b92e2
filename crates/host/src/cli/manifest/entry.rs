//! Finding the images that are to be entries of a list: here, else in their registry.

use berth_contract::{Class, Digest, Result};
use berth_host::Engine;
use berth_image::{EntryChange, Platform, Reference, RemoteEntry, Store};

use crate::cli::Context;
use crate::cli::pull::first;
use crate::cli::registry::{RegistryFlags, access};

/// The flags about images that are not here.
#[derive(Debug, clap::Args)]
pub(super) struct Lookup {
    /// Of images for several platforms, add all
    #[arg(long)]
    all: bool,
    /// Accept plain HTTP and unknown certificates
    #[arg(long)]
    insecure: bool,
    #[command(flatten)]
    registry: RegistryFlags,
}

/// An image that was found.
pub(super) enum Entry {
    /// Here, under this name; with all its platforms or one.
    Here(String, bool),
    /// In a registry, where it stays.
    Remote(Vec<RemoteEntry>),
}

impl Lookup {
    /// Looks for one of the images that are named: here first, as Podman does; `docker://` means its registry
    /// alone.
    pub(super) fn find(
        &self,
        context: &Context,
        engine: &Engine,
        (image, all): (&str, &[String]),
        wanted: Option<Platform>,
    ) -> Result<Entry> {
        let name = image.strip_prefix("docker://");
        let absent = match name {
            Some(_) => None,
            None => match engine.store().find(image, None) {
                Ok(_) => return Ok(Entry::Here(image.to_owned(), self.all)),
                Err(error) if error.class() == Class::NotFound => Some(error),
                Err(error) => return Err(error),
            },
        };
        let mut access = access(context, &self.registry, all)?;
        access.insecure |= self.insecure;
        if let (true, Some(absent)) = (access.offline, absent) {
            return Err(absent.caused_by("it is not here, and --offline forbids to ask for it"));
        }
        let candidates = access.candidates(name.unwrap_or(image))?;
        let found = first(&candidates, |reference| {
            engine.remote_entries(reference, wanted.as_ref(), self.all, &access)
        });
        found.map(|(_, entries)| Entry::Remote(entries))
    }
}

impl Entry {
    /// Adds it to a list; says the digests of the entries.
    pub(super) fn add(
        self,
        store: &Store,
        list: &Reference,
        change: &EntryChange,
    ) -> Result<Vec<Digest>> {
        match self {
            Self::Here(image, all) => store.add_to_list(list, &image, all, change),
            Self::Remote(entries) => store.add_remote_to_list(list, &entries, change),
        }
    }
}
