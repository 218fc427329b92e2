//! `wasi:filesystem` of WASI 0.3: the same as `files` does for 0.2.

use wasmtime::AsContextMut as _;
use wasmtime::component::{Access, Accessor, FutureReader, Linker, Resource, StreamReader};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystem, WasiFilesystemCtxView};
use wasmtime_wasi::p3::bindings::filesystem::types::{
    self, ErrorCode, HostDescriptorWithStore as Theirs,
};
use wasmtime_wasi::p3::bindings::filesystem::{preopens, types as filesystem};
use wasmtime_wasi::p3::filesystem::{FilesystemError, FilesystemResult};

use super::State;
use super::files::{Directories, Files, View, view};
use super::places::{Search, at, on_paths, without_slashes};

super::places::code!(ErrorCode);

/// Puts our files in front of wasmtime's.
pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    filesystem::add_to_linker::<State, Files>(linker, view)?;
    preopens::add_to_linker::<State, Files>(linker, view)
}

/// wasmtime's own files in our state.
fn inner(state: &mut State) -> WasiFilesystemCtxView<'_> {
    view(state).inner
}

type Store = Accessor<State, Files>;

/// Functions that are wasmtime's as they are.
macro_rules! unchanged {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(async fn $name(store: &Store, $($argument: $type),*) -> $result {
            let store = store.with_getter::<WasiFilesystem>(inner);
            <WasiFilesystem as Theirs<State>>::$name(&store, $($argument),*).await
        })*
    };
}

/// The same for those that hand out streams.
macro_rules! streaming {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(fn $name(mut store: Access<'_, State, Self>, $($argument: $type),*) -> wasmtime::Result<$result> {
            let store = Access::<State, WasiFilesystem>::new(store.as_context_mut(), inner);
            <WasiFilesystem as Theirs<State>>::$name(store, $($argument),*)
        })*
    };
}

/// Functions on a path, tried in each place where it may be.
macro_rules! in_places {
    (|$path:ident| $prepared:expr, follows: $follows:expr =>
        $($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(async fn $name(
            store: &Store,
            directory: Resource<Descriptor>,
            $($argument: $type),*
        ) -> FilesystemResult<$result> {
            let theirs = store.with_getter::<WasiFilesystem>(inner);
            let starts = store.with(|mut access| access.get().places.starts(&directory, &$prepared));
            let mut search = Search::new(starts);
            while let Some(start) = search.next() {
                let $path = start.1.clone();
                let outcome = <WasiFilesystem as Theirs<State>>::$name(
                    &theirs,
                    at(start.0),
                    $(Clone::clone(&$argument)),*
                )
                .await;
                let taken = store.with(|mut access| {
                    let places = access.get().places;
                    let outcome = places.told(outcome, (start.0, &$path));
                    search.take(&start, outcome, || places.lead(&start, $follows))
                });
                if let Some(outcome) = taken {
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
            store: &Store,
            from: Resource<Descriptor>,
            $($argument: $type,)?
            old: String,
            to: Resource<Descriptor>,
            new: String,
        ) -> FilesystemResult<()> {
            let theirs = store.with_getter::<WasiFilesystem>(inner);
            let pairs =
                store.with(|mut access| access.get().places.pairs((&from, &old), (&to, &new)));
            let mut search = Search::new(pairs);
            while let Some(starts) = search.next() {
                let ((source, old), (target, new)) = &starts;
                let outcome = <WasiFilesystem as Theirs<State>>::$name(
                    &theirs,
                    at(*source),
                    $($argument,)?
                    old.clone(),
                    at(*target),
                    new.clone(),
                )
                .await;
                let taken = store.with(|mut access| {
                    let places = access.get().places;
                    let outcome = places.told_of_two(outcome, (*source, old), (*target, new));
                    search.take(&starts, outcome, || places.lead_both(&starts))
                });
                if let Some(outcome) = taken {
                    return outcome;
                }
            }
            search.absent()
        })*
    };
}

impl types::Host for View<'_> {
    fn convert_error_code(&mut self, error: FilesystemError) -> wasmtime::Result<ErrorCode> {
        types::Host::convert_error_code(&mut self.inner, error)
    }
}

impl types::HostDescriptor for View<'_> {
    fn drop(&mut self, file: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.places.closed(file.rep());
        types::HostDescriptor::drop(&mut self.inner, file)
    }
}

impl preopens::Host for View<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Directories> {
        self.directories(preopens::Host::get_directories)
    }
}

impl Theirs<State> for Files {
    streaming! {
        read_via_stream(file: Resource<Descriptor>, offset: u64)
            -> (StreamReader<u8>, FutureReader<Result<(), ErrorCode>>);
        write_via_stream(file: Resource<Descriptor>, data: StreamReader<u8>, offset: u64)
            -> FutureReader<Result<(), ErrorCode>>;
        append_via_stream(file: Resource<Descriptor>, data: StreamReader<u8>)
            -> FutureReader<Result<(), ErrorCode>>;
        read_directory(directory: Resource<Descriptor>)
            -> (StreamReader<types::DirectoryEntry>, FutureReader<Result<(), ErrorCode>>);
    }

    unchanged! {
        advise(file: Resource<Descriptor>, offset: u64, length: u64, advice: types::Advice) -> FilesystemResult<()>;
        sync_data(file: Resource<Descriptor>) -> FilesystemResult<()>;
        get_flags(file: Resource<Descriptor>) -> FilesystemResult<types::DescriptorFlags>;
        get_type(file: Resource<Descriptor>) -> FilesystemResult<types::DescriptorType>;
        set_size(file: Resource<Descriptor>, size: u64) -> FilesystemResult<()>;
        set_times(file: Resource<Descriptor>, accessed: types::NewTimestamp, modified: types::NewTimestamp) -> FilesystemResult<()>;
        sync(file: Resource<Descriptor>) -> FilesystemResult<()>;
        stat(file: Resource<Descriptor>) -> FilesystemResult<types::DescriptorStat>;
        is_same_object(one: Resource<Descriptor>, other: Resource<Descriptor>) -> wasmtime::Result<bool>;
        metadata_hash(file: Resource<Descriptor>) -> FilesystemResult<types::MetadataHashValue>;
    }

    on_paths! {}

    async fn open_at(
        store: &Store,
        directory: Resource<Descriptor>,
        lookup: types::PathFlags,
        path: String,
        how: types::OpenFlags,
        flags: types::DescriptorFlags,
    ) -> FilesystemResult<Resource<Descriptor>> {
        let theirs = store.with_getter::<WasiFilesystem>(inner);
        let follows = lookup.contains(types::PathFlags::SYMLINK_FOLLOW);
        let starts = store.with(|mut access| access.get().places.starts(&directory, &path));
        let mut search = Search::new(starts);
        while let Some(start) = search.next() {
            let (number, path) = &start;
            let outcome = <WasiFilesystem as Theirs<State>>::open_at(
                &theirs,
                at(*number),
                lookup,
                path.clone(),
                how,
                flags,
            )
            .await;
            let taken = store.with(|mut access| {
                let places = access.get().places;
                if let Ok(opened) = &outcome
                    && how.contains(types::OpenFlags::DIRECTORY)
                {
                    places.opened(opened.rep(), *number, path);
                }
                let outcome = places.told(outcome, (*number, path));
                search.take(&start, outcome, || places.lead(&start, follows))
            });
            if let Some(outcome) = taken {
                return outcome;
            }
        }
        search.absent()
    }

    async fn readlink_at(
        store: &Store,
        directory: Resource<Descriptor>,
        path: String,
    ) -> FilesystemResult<String> {
        let theirs = store.with_getter::<WasiFilesystem>(inner);
        let starts = store.with(|mut access| access.get().places.starts(&directory, &path));
        let mut search = Search::new(starts);
        while let Some(start) = search.next() {
            let outcome = <WasiFilesystem as Theirs<State>>::readlink_at(
                &theirs,
                at(start.0),
                start.1.clone(),
            )
            .await;
            let outcome = store.with(|mut access| access.get().places.read(&start, outcome));
            if let Some(outcome) = search.take(&start, outcome, || None) {
                return outcome;
            }
        }
        search.absent()
    }
}
