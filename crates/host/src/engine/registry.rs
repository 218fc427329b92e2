//! The operations that speak to registries.

use std::net::SocketAddr;
use std::path::Path;

use berth_contract::{Class, Result};
use berth_image::{
    Access, Composed, Composition, Found, Platform, Progress, PullOptions, Pulled, PushOptions,
    Pushed, Reference, RemoteDocument, RemoteEntry, ServeOptions,
};

use super::Engine;
use crate::hello;

impl Engine {
    /// Fetches an image; the built-in `hello` comes from berth itself.
    ///
    /// # Errors
    /// The registry does not answer, does not have it, or sends what is not what it promised.
    pub fn pull(
        &self,
        reference: &Reference,
        options: &PullOptions,
        progress: &dyn Progress,
    ) -> Result<Pulled> {
        self.require_root("cannot keep an image")?;
        let store = self.store();
        // What berth brings along is signed by nobody.
        if !hello::is_meant(reference) || !options.keys.is_empty() {
            return berth_image::pull(&store, reference, options, progress);
        }
        let name = reference.to_string();
        let platform = options.platform.as_ref();
        let updated = match store.find(&name, platform) {
            Ok(_) => false,
            Err(error) if error.class() == Class::NotFound => {
                hello::install(&store)?;
                true
            }
            Err(error) => return Err(error),
        };
        Ok(Pulled {
            image: store.find(&name, platform)?,
            updated,
        })
    }

    /// Pushes an image to a registry.
    ///
    /// # Errors
    /// It is not here, or the registry does not take it.
    pub fn push(
        &self,
        image: &str,
        destination: &Reference,
        options: &PushOptions,
        progress: &dyn Progress,
    ) -> Result<Pushed> {
        berth_image::push(&self.store(), image, destination, options, progress)
    }

    /// Pushes a wasm file to a registry as an artifact.
    ///
    /// # Errors
    /// It is no wasm, or the registry does not take it.
    pub fn push_wasm(
        &self,
        module: &Path,
        destination: &Reference,
        options: &PushOptions,
        progress: &dyn Progress,
    ) -> Result<Pushed> {
        let created = crate::format::time::rfc3339(berth_sys::clock::realtime());
        let how = (options, progress);
        berth_image::push_wasm(&self.store(), module, &created, destination, how)
    }

    /// Pushes the program of a wasm image to a registry as an artifact.
    ///
    /// # Errors
    /// Its program is no wasm, or the registry does not take it.
    pub fn push_wasm_image(
        &self,
        image: &str,
        destination: &Reference,
        options: &PushOptions,
        progress: &dyn Progress,
    ) -> Result<Pushed> {
        self.require_root("cannot read the image")?;
        berth_image::push_wasm_image(&self.store(), image, destination, options, progress)
    }

    /// The names that images here have in a repository.
    ///
    /// # Errors
    /// The list of images cannot be read.
    pub fn names_in(&self, repository: &Reference) -> Result<Vec<Reference>> {
        let here = self.store().list()?;
        let images = here.images.iter().flat_map(|image| image.names());
        let names = images.chain(here.lists.iter().flat_map(|list| list.names()));
        let names = names.cloned();
        let mut names: Vec<Reference> = names
            .filter(|name| name.name() == repository.name())
            .collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Searches registries for repositories.
    ///
    /// # Errors
    /// A registry does not answer, or lets nobody search.
    pub fn search(&self, term: &str, limit: usize, access: &Access) -> Result<Vec<Found>> {
        berth_image::search(term, limit, access)
    }

    /// Serves the images that are here as a registry, until the process ends.
    ///
    /// # Errors
    /// The address cannot be listened at, or a file cannot be used.
    pub fn serve_registry(
        &self,
        options: &ServeOptions,
        ready: &mut dyn FnMut(SocketAddr) -> Result<()>,
    ) -> Result<()> {
        self.require_root("cannot serve the images")?;
        berth_image::serve(&self.store(), options, ready)
    }

    /// A manifest or index as its registry has it.
    ///
    /// # Errors
    /// The registry does not answer or does not have it.
    pub fn remote_document(
        &self,
        reference: &Reference,
        access: &Access,
    ) -> Result<RemoteDocument> {
        berth_image::remote_document(reference, access)
    }

    /// What an image of a registry is as an entry of a list; nothing is kept here.
    ///
    /// # Errors
    /// The registry does not answer, or does not have it for the platform.
    pub fn remote_entries(
        &self,
        reference: &Reference,
        wanted: Option<&Platform>,
        all: bool,
        access: &Access,
    ) -> Result<Vec<RemoteEntry>> {
        berth_image::remote_entries(reference, wanted, all, access)
    }

    /// Makes an image of images that registries have, and pushes it.
    ///
    /// # Errors
    /// A source is not there, or a registry does not take the result.
    pub fn compose(
        &self,
        composition: &Composition<'_>,
        targets: &[Reference],
        progress: &dyn Progress,
    ) -> Result<Composed> {
        berth_image::compose(&self.store(), composition, targets, progress)
    }

    /// The tags of a repository, as the registry lists them.
    ///
    /// # Errors
    /// The registry does not answer or does not have it.
    pub fn tags(&self, repository: &Reference, access: &Access) -> Result<Vec<String>> {
        berth_image::tags(repository, access)
    }
}
