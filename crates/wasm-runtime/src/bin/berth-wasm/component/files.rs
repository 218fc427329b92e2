//! `wasi:filesystem` of WASI 0.2: wasmtime's, with relative paths that start at the working directory and
//! read-only mounts named as such.

use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::types::{self, ErrorCode, HostDescriptor};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types as filesystem};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use super::State;
use super::places::{Places, Search, at, on_paths, without_slashes};

super::places::code!(ErrorCode);

/// The interface's implementation.
pub(super) struct Files;

/// Over a guest's resources.
pub(super) struct View<'a> {
    pub(super) inner: WasiFilesystemCtxView<'a>,
    pub(super) places: &'a mut Places,
}

/// Open directories and their paths.
pub(super) type Directories = Vec<(Resource<Descriptor>, String)>;

impl<'a> View<'a> {
    /// What the guest is given; ours is a set of its own, which the guest cannot close.
    pub(super) fn directories(
        &mut self,
        theirs: impl Fn(&mut WasiFilesystemCtxView<'a>) -> wasmtime::Result<Directories>,
    ) -> wasmtime::Result<Directories> {
        if self.places.wants_root() {
            let kept = theirs(&mut self.inner)?;
            self.places.keep_root(&kept);
        }
        let directories = theirs(&mut self.inner)?;
        self.places.given(&directories);
        Ok(directories)
    }
}

impl HasData for Files {
    type Data<'a> = View<'a>;
}

pub(super) fn view(state: &mut State) -> View<'_> {
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

/// Functions on a path, tried in each place where it may be.
macro_rules! in_places {
    (|$path:ident| $prepared:expr, follows: $follows:expr =>
        $($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(async fn $name(
            &mut self,
            directory: Resource<Descriptor>,
            $($argument: $type),*
        ) -> FsResult<$result> {
            let mut search = Search::new(self.places.starts(&directory, &$prepared));
            while let Some(start) = search.next() {
                let $path = start.1.clone();
                let outcome = self.inner.$name(at(start.0), $(Clone::clone(&$argument)),*).await;
                let outcome = self.places.told(outcome, (start.0, &$path));
                let lead = || self.places.lead(&start, $follows);
                if let Some(outcome) = search.take(&start, outcome, lead) {
                    return outcome;
                }
            }
            search.absent()
        })*
    };
}

/// Functions on two paths, tried in each pair of places where they may be.
macro_rules! in_pairs {
    ($($name:ident($($argument:ident: $type:ty)?);)*) => {
        $(async fn $name(
            &mut self,
            from: Resource<Descriptor>,
            $($argument: $type,)?
            old: String,
            to: Resource<Descriptor>,
            new: String,
        ) -> FsResult<()> {
            let mut search = Search::new(self.places.pairs((&from, &old), (&to, &new)));
            while let Some(starts) = search.next() {
                let ((source, old), (target, new)) = &starts;
                let outcome = self
                    .inner
                    .$name(at(*source), $($argument,)? old.clone(), at(*target), new.clone())
                    .await;
                let outcome = self.places.told_of_two(outcome, (*source, old), (*target, new));
                let lead = || self.places.lead_both(&starts);
                if let Some(outcome) = search.take(&starts, outcome, lead) {
                    return outcome;
                }
            }
            search.absent()
        })*
    };
}

impl preopens::Host for View<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Directories> {
        self.directories(preopens::Host::get_directories)
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

    on_paths! {}

    async fn open_at(
        &mut self,
        directory: Resource<Descriptor>,
        lookup: types::PathFlags,
        path: String,
        how: types::OpenFlags,
        flags: types::DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        let follows = lookup.contains(types::PathFlags::SYMLINK_FOLLOW);
        let mut search = Search::new(self.places.starts(&directory, &path));
        while let Some(start) = search.next() {
            let (number, path) = &start;
            let outcome = self
                .inner
                .open_at(at(*number), lookup, path.clone(), how, flags)
                .await;
            if let Ok(opened) = &outcome
                && how.contains(types::OpenFlags::DIRECTORY)
            {
                self.places.opened(opened.rep(), *number, path);
            }
            let outcome = self.places.told(outcome, (*number, path));
            let lead = || self.places.lead(&start, follows);
            if let Some(outcome) = search.take(&start, outcome, lead) {
                return outcome;
            }
        }
        search.absent()
    }

    async fn readlink_at(
        &mut self,
        directory: Resource<Descriptor>,
        path: String,
    ) -> FsResult<String> {
        let mut search = Search::new(self.places.starts(&directory, &path));
        while let Some(start) = search.next() {
            let outcome = self.inner.readlink_at(at(start.0), start.1.clone()).await;
            let outcome = self.places.read(&start, outcome);
            if let Some(outcome) = search.take(&start, outcome, || None) {
                return outcome;
            }
        }
        search.absent()
    }

    fn drop(&mut self, file: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.places.closed(file.rep());
        HostDescriptor::drop(&mut self.inner, file)
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
}

impl types::HostDirectoryEntryStream for View<'_> {
    unchanged! {
        read_directory_entry(stream: Resource<types::DirectoryEntryStream>) -> FsResult<Option<types::DirectoryEntry>>;
    }

    fn drop(&mut self, stream: Resource<types::DirectoryEntryStream>) -> wasmtime::Result<()> {
        types::HostDirectoryEntryStream::drop(&mut self.inner, stream)
    }
}
