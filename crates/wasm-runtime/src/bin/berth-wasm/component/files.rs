//! `wasi:filesystem` of WASI 0.2: wasmtime's, with relative paths that start at the working directory and
//! read-only mounts named as such.
//!
//! Programs reach it through the same C library as preview 1, which drops the difference between
//! absolute and relative paths; `preview1/paths.rs` tells the story.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::filesystem::WasiFilesystemCtxView;
use wasmtime_wasi::p2::bindings::filesystem::types::{self, Descriptor, ErrorCode, HostDescriptor};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types as filesystem};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use super::State;

/// The directories a component has open, by the number of their resource.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// A root directory that the guest cannot close.
    root: Option<u32>,
    working: Vec<u32>,
    known: BTreeMap<u32, PathBuf>,
    working_directory: PathBuf,
}

impl Places {
    pub(super) fn new(working_directory: &str) -> Self {
        Self {
            working_directory: working_directory.into(),
            ..Self::default()
        }
    }

    /// Where a path relative to this directory is looked for, in order.
    fn candidates(&self, directory: u32) -> impl Iterator<Item = u32> + use<> {
        let second = if self.working.contains(&directory) {
            self.root
        } else {
            None
        };
        std::iter::once(directory).chain(second)
    }

    fn is_read_only(&self, directory: u32, path: &str) -> bool {
        let Some(base) = self.known.get(&directory) else {
            return false;
        };
        let full = base.join(path);
        full.ancestors()
            .find(|path| path.exists())
            .is_some_and(berth_sys::path::is_read_only)
    }
}

/// The interface's implementation.
struct Files;

struct View<'a> {
    inner: WasiFilesystemCtxView<'a>,
    places: &'a mut Places,
}

impl HasData for Files {
    type Data<'a> = View<'a>;
}

fn view(state: &mut State) -> View<'_> {
    let inner = WasiFilesystemCtxView {
        ctx: state.wasi.filesystem(),
        table: &mut state.table,
    };
    View {
        inner,
        places: &mut state.places,
    }
}

/// Puts our files in front of wasmtime's.
pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    filesystem::add_to_linker::<State, Files>(linker, view)?;
    preopens::add_to_linker::<State, Files>(linker, view)
}

impl View<'_> {
    /// What the guest is told when an operation on `path` had this result.
    fn told<T>(&self, result: FsResult<T>, directory: u32, path: &str) -> FsResult<T> {
        match result {
            Err(error)
                if is(&error, ErrorCode::Io) && self.places.is_read_only(directory, path) =>
            {
                Err(ErrorCode::ReadOnly.into())
            }
            result => result,
        }
    }
}

fn is(error: &FsError, code: ErrorCode) -> bool {
    error.downcast_ref().is_some_and(|found| *found == code)
}

fn is_absent<T>(result: &FsResult<T>) -> bool {
    result
        .as_ref()
        .is_err_and(|error| is(error, ErrorCode::NoEntry) || is(error, ErrorCode::NotDirectory))
}

fn at(number: u32) -> Resource<Descriptor> {
    Resource::new_borrow(number)
}

/// Tries an operation on a path in each place where it may be.
macro_rules! in_places {
    ($self:ident, $directory:ident, $path:ident, |$place:ident| $operation:expr) => {{
        let mut result = Err(ErrorCode::NoEntry.into());
        for number in $self.places.candidates($directory.rep()) {
            let $place = at(number);
            result = $operation.await;
            if !is_absent(&result) {
                return $self.told(result, number, &$path);
            }
        }
        result
    }};
}

impl preopens::Host for View<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        if self.places.root.is_none() {
            for (directory, name) in preopens::Host::get_directories(&mut self.inner)? {
                if name == "/" {
                    self.places.root = Some(directory.rep());
                    self.places
                        .known
                        .insert(directory.rep(), PathBuf::from("/"));
                }
            }
        }
        let directories = preopens::Host::get_directories(&mut self.inner)?;
        for (directory, name) in &directories {
            let path = if name == "." {
                self.places.working.push(directory.rep());
                self.places.working_directory.clone()
            } else {
                PathBuf::from(name)
            };
            self.places.known.insert(directory.rep(), path);
        }
        Ok(directories)
    }
}

impl types::Host for View<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        types::Host::convert_error_code(&mut self.inner, error)
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        types::Host::filesystem_error_code(&mut self.inner, error)
    }
}

/// Functions that are wasmtime's as they are.
macro_rules! unchanged {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(async fn $name(&mut self, $($argument: $type),*) -> $result {
            self.inner.$name($($argument),*).await
        })*
    };
}

impl HostDescriptor for View<'_> {
    unchanged! {
        advise(file: Resource<Descriptor>, offset: u64, length: u64, advice: types::Advice) -> FsResult<()>;
        sync_data(file: Resource<Descriptor>) -> FsResult<()>;
        get_flags(file: Resource<Descriptor>) -> FsResult<types::DescriptorFlags>;
        get_type(file: Resource<Descriptor>) -> FsResult<types::DescriptorType>;
        set_size(file: Resource<Descriptor>, size: u64) -> FsResult<()>;
        set_times(file: Resource<Descriptor>, accessed: types::NewTimestamp, modified: types::NewTimestamp) -> FsResult<()>;
        read(file: Resource<Descriptor>, length: u64, offset: u64) -> FsResult<(Vec<u8>, bool)>;
        write(file: Resource<Descriptor>, buffer: Vec<u8>, offset: u64) -> FsResult<u64>;
        read_directory(directory: Resource<Descriptor>) -> FsResult<Resource<types::DirectoryEntryStream>>;
        sync(file: Resource<Descriptor>) -> FsResult<()>;
        stat(file: Resource<Descriptor>) -> FsResult<types::DescriptorStat>;
        is_same_object(one: Resource<Descriptor>, other: Resource<Descriptor>) -> wasmtime::Result<bool>;
        metadata_hash(file: Resource<Descriptor>) -> FsResult<types::MetadataHashValue>;
    }

    async fn create_directory_at(
        &mut self,
        directory: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        in_places!(self, directory, path, |place| self
            .inner
            .create_directory_at(place, path.clone()))
    }

    async fn stat_at(
        &mut self,
        directory: Resource<Descriptor>,
        flags: types::PathFlags,
        path: String,
    ) -> FsResult<types::DescriptorStat> {
        in_places!(self, directory, path, |place| self.inner.stat_at(
            place,
            flags,
            path.clone()
        ))
    }

    async fn set_times_at(
        &mut self,
        directory: Resource<Descriptor>,
        flags: types::PathFlags,
        path: String,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FsResult<()> {
        in_places!(self, directory, path, |place| {
            self.inner
                .set_times_at(place, flags, path.clone(), accessed, modified)
        })
    }

    async fn link_at(
        &mut self,
        from: Resource<Descriptor>,
        flags: types::PathFlags,
        old: String,
        to: Resource<Descriptor>,
        new: String,
    ) -> FsResult<()> {
        let mut result = Err(ErrorCode::NoEntry.into());
        for (source, target) in pairs(self.places, &from, &to) {
            result = self
                .inner
                .link_at(at(source), flags, old.clone(), at(target), new.clone())
                .await;
            if !is_absent(&result) {
                return self.told(result, target, &new);
            }
        }
        result
    }

    async fn open_at(
        &mut self,
        directory: Resource<Descriptor>,
        lookup: types::PathFlags,
        path: String,
        how: types::OpenFlags,
        flags: types::DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        let mut result = Err(ErrorCode::NoEntry.into());
        for number in self.places.candidates(directory.rep()) {
            result = self
                .inner
                .open_at(at(number), lookup, path.clone(), how, flags)
                .await;
            if let (Ok(opened), Some(base)) = (&result, self.places.known.get(&number))
                && how.contains(types::OpenFlags::DIRECTORY)
            {
                let full = base.join(Path::new(&path));
                self.places.known.insert(opened.rep(), full);
            }
            if !is_absent(&result) {
                return self.told(result, number, &path);
            }
        }
        result
    }

    fn drop(&mut self, file: Resource<Descriptor>) -> wasmtime::Result<()> {
        // The number will name something else.
        self.places.known.remove(&file.rep());
        self.places.working.retain(|number| *number != file.rep());
        HostDescriptor::drop(&mut self.inner, file)
    }

    async fn readlink_at(
        &mut self,
        directory: Resource<Descriptor>,
        path: String,
    ) -> FsResult<String> {
        in_places!(self, directory, path, |place| self
            .inner
            .readlink_at(place, path.clone()))
    }

    async fn remove_directory_at(
        &mut self,
        directory: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        in_places!(self, directory, path, |place| self
            .inner
            .remove_directory_at(place, path.clone()))
    }

    async fn rename_at(
        &mut self,
        from: Resource<Descriptor>,
        old: String,
        to: Resource<Descriptor>,
        new: String,
    ) -> FsResult<()> {
        let mut result = Err(ErrorCode::NoEntry.into());
        for (source, target) in pairs(self.places, &from, &to) {
            result = self
                .inner
                .rename_at(at(source), old.clone(), at(target), new.clone())
                .await;
            if !is_absent(&result) {
                return self.told(result, target, &new);
            }
        }
        result
    }

    async fn symlink_at(
        &mut self,
        directory: Resource<Descriptor>,
        target: String,
        path: String,
    ) -> FsResult<()> {
        in_places!(self, directory, path, |place| self.inner.symlink_at(
            place,
            target.clone(),
            path.clone()
        ))
    }

    async fn unlink_file_at(
        &mut self,
        directory: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        in_places!(self, directory, path, |place| self
            .inner
            .unlink_file_at(place, path.clone()))
    }

    fn read_via_stream(
        &mut self,
        file: Resource<Descriptor>,
        offset: u64,
    ) -> FsResult<Resource<DynInputStream>> {
        self.inner.read_via_stream(file, offset)
    }

    fn write_via_stream(
        &mut self,
        file: Resource<Descriptor>,
        offset: u64,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.inner.write_via_stream(file, offset)
    }

    fn append_via_stream(
        &mut self,
        file: Resource<Descriptor>,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.inner.append_via_stream(file)
    }

    async fn metadata_hash_at(
        &mut self,
        directory: Resource<Descriptor>,
        flags: types::PathFlags,
        path: String,
    ) -> FsResult<types::MetadataHashValue> {
        in_places!(self, directory, path, |place| self.inner.metadata_hash_at(
            place,
            flags,
            path.clone()
        ))
    }
}

/// The pairs of directories two paths are looked for in.
fn pairs(
    places: &Places,
    from: &Resource<Descriptor>,
    to: &Resource<Descriptor>,
) -> Vec<(u32, u32)> {
    let second: Vec<u32> = places.candidates(to.rep()).collect();
    places
        .candidates(from.rep())
        .flat_map(|from| second.iter().map(move |to| (from, *to)).collect::<Vec<_>>())
        .collect()
}

impl types::HostDirectoryEntryStream for View<'_> {
    unchanged! {
        read_directory_entry(stream: Resource<types::DirectoryEntryStream>) -> FsResult<Option<types::DirectoryEntry>>;
    }

    fn drop(&mut self, stream: Resource<types::DirectoryEntryStream>) -> wasmtime::Result<()> {
        types::HostDirectoryEntryStream::drop(&mut self.inner, stream)
    }
}
