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
use super::files::{Files, View, view};
use super::places::{Search, at, without_slashes};

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

/// Tries an operation on a path in each place where it may be.
macro_rules! in_places {
    ($store:ident, $directory:ident, $path:ident, $name:ident(|$place:ident| $($argument:expr),*)) => {{
        let theirs = $store.with_getter::<WasiFilesystem>(inner);
        let mut search = Search::new();
        for number in $store.with(|mut access| access.get().places.candidates(&$directory)) {
            let $place = at(number);
            let outcome = <WasiFilesystem as Theirs<State>>::$name(&theirs, $($argument),*).await;
            let outcome =
                $store.with(|mut access| access.get().places.told(outcome, (number, &$path)));
            if let Some(outcome) = search.take(outcome) {
                return outcome;
            }
        }
        search.absent()
    }};
}

/// Tries an operation on two paths in each pair of places where they may be.
macro_rules! in_pairs {
    ($store:ident, ($from:ident, $old:ident), ($to:ident, $new:ident), $name:ident(|$source:ident, $target:ident| $($argument:expr),*)) => {{
        let theirs = $store.with_getter::<WasiFilesystem>(inner);
        let mut search = Search::new();
        for (source, target) in $store.with(|mut access| access.get().places.pairs(&$from, &$to)) {
            let ($source, $target) = (at(source), at(target));
            let outcome = <WasiFilesystem as Theirs<State>>::$name(&theirs, $($argument),*).await;
            let outcome = $store.with(|mut access| {
                let places = access.get().places;
                places.told_of_two(outcome, (source, &$old), (target, &$new))
            });
            if let Some(outcome) = search.take(outcome) {
                return outcome;
            }
        }
        search.absent()
    }};
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
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        if self.places.wants_root() {
            let kept = preopens::Host::get_directories(&mut self.inner)?;
            self.places.keep_root(&kept);
        }
        let directories = preopens::Host::get_directories(&mut self.inner)?;
        self.places.given(&directories);
        Ok(directories)
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

    async fn create_directory_at(
        store: &Store,
        directory: Resource<Descriptor>,
        path: String,
    ) -> FilesystemResult<()> {
        in_places!(
            store,
            directory,
            path,
            create_directory_at(|place| place, path.clone())
        )
    }

    async fn stat_at(
        store: &Store,
        directory: Resource<Descriptor>,
        flags: types::PathFlags,
        path: String,
    ) -> FilesystemResult<types::DescriptorStat> {
        in_places!(
            store,
            directory,
            path,
            stat_at(|place| place, flags, path.clone())
        )
    }

    async fn set_times_at(
        store: &Store,
        directory: Resource<Descriptor>,
        flags: types::PathFlags,
        path: String,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FilesystemResult<()> {
        in_places!(
            store,
            directory,
            path,
            set_times_at(|place| place, flags, path.clone(), accessed, modified)
        )
    }

    async fn link_at(
        store: &Store,
        from: Resource<Descriptor>,
        flags: types::PathFlags,
        old: String,
        to: Resource<Descriptor>,
        new: String,
    ) -> FilesystemResult<()> {
        in_pairs!(
            store,
            (from, old),
            (to, new),
            link_at(
                |source, target| source,
                flags,
                old.clone(),
                target,
                new.clone()
            )
        )
    }

    async fn open_at(
        store: &Store,
        directory: Resource<Descriptor>,
        lookup: types::PathFlags,
        path: String,
        how: types::OpenFlags,
        flags: types::DescriptorFlags,
    ) -> FilesystemResult<Resource<Descriptor>> {
        let theirs = store.with_getter::<WasiFilesystem>(inner);
        let mut search = Search::new();
        for number in store.with(|mut access| access.get().places.candidates(&directory)) {
            let outcome = <WasiFilesystem as Theirs<State>>::open_at(
                &theirs,
                at(number),
                lookup,
                path.clone(),
                how,
                flags,
            )
            .await;
            let outcome = store.with(|mut access| {
                let places = access.get().places;
                if let Ok(opened) = &outcome
                    && how.contains(types::OpenFlags::DIRECTORY)
                {
                    places.opened(opened.rep(), number, &path);
                }
                places.told(outcome, (number, &path))
            });
            if let Some(outcome) = search.take(outcome) {
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
        in_places!(
            store,
            directory,
            path,
            readlink_at(|place| place, path.clone())
        )
    }

    async fn remove_directory_at(
        store: &Store,
        directory: Resource<Descriptor>,
        path: String,
    ) -> FilesystemResult<()> {
        let path = without_slashes(path);
        in_places!(
            store,
            directory,
            path,
            remove_directory_at(|place| place, path.clone())
        )
    }

    async fn rename_at(
        store: &Store,
        from: Resource<Descriptor>,
        old: String,
        to: Resource<Descriptor>,
        new: String,
    ) -> FilesystemResult<()> {
        in_pairs!(
            store,
            (from, old),
            (to, new),
            rename_at(|source, target| source, old.clone(), target, new.clone())
        )
    }

    async fn symlink_at(
        store: &Store,
        directory: Resource<Descriptor>,
        target: String,
        path: String,
    ) -> FilesystemResult<()> {
        in_places!(
            store,
            directory,
            path,
            symlink_at(|place| place, target.clone(), path.clone())
        )
    }

    async fn unlink_file_at(
        store: &Store,
        directory: Resource<Descriptor>,
        path: String,
    ) -> FilesystemResult<()> {
        in_places!(
            store,
            directory,
            path,
            unlink_file_at(|place| place, path.clone())
        )
    }

    async fn metadata_hash_at(
        store: &Store,
        directory: Resource<Descriptor>,
        flags: types::PathFlags,
        path: String,
    ) -> FilesystemResult<types::MetadataHashValue> {
        in_places!(
            store,
            directory,
            path,
            metadata_hash_at(|place| place, flags, path.clone())
        )
    }
}
