//! wasmtime's functions, of which a module gets those it imports: defining all 46 takes a tenth of the
//! time that a small program runs.

use std::collections::BTreeSet;

use wasmtime::{Caller, Linker, Module};
use wasmtime_wasi::p1::wasi_snapshot_preview1 as preview1;

use super::memory::{Errno, split};
use super::{PREVIEW_1, State};

/// The functions a module imports, by name.
pub(super) struct Imports(BTreeSet<String>);

impl Imports {
    pub(super) fn of(module: &Module) -> Self {
        let names = module
            .imports()
            .filter(|import| import.module() == PREVIEW_1)
            .map(|import| import.name().to_owned());
        Self(names.collect())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

/// Functions that answer at once.
macro_rules! immediate {
    ($linker:ident, $imports:ident, $($name:ident($($argument:ident: $type:ty),*);)*) => {
        $(if $imports.has(stringify!($name)) {
            $linker.func_wrap(
                PREVIEW_1,
                stringify!($name),
                |mut caller: Caller<'_, State>, $($argument: $type),*| -> wasmtime::Result<Errno> {
                    let (mut memory, state) = split(&mut caller)?;
                    preview1::$name(&mut state.wasi, &mut memory, $($argument),*)
                },
            )?;
        })*
    };
}

/// Functions that may wait.
macro_rules! waiting {
    ($linker:ident, $imports:ident, $($name:ident($($argument:ident: $type:ty),*);)*) => {
        $(if $imports.has(stringify!($name)) {
            $linker.func_wrap_async(
                PREVIEW_1,
                stringify!($name),
                |mut caller: Caller<'_, State>, ($($argument,)*): ($($type,)*)| {
                    Box::new(async move {
                        let (mut memory, state) = split(&mut caller)?;
                        preview1::$name(&mut state.wasi, &mut memory, $($argument),*).await
                    })
                },
            )?;
        })*
    };
}

/// Adds those of wasmtime's functions that no file of ours stands in front of.
#[expect(
    clippy::cognitive_complexity,
    reason = "a table: one branch for each function"
)]
pub(super) fn add(linker: &mut Linker<State>, imports: &Imports) -> wasmtime::Result<()> {
    immediate! { linker, imports,
        args_get(pointers: i32, texts: i32);
        args_sizes_get(count: i32, size: i32);
        environ_get(pointers: i32, texts: i32);
        environ_sizes_get(count: i32, size: i32);
        clock_res_get(clock: i32, result: i32);
        clock_time_get(clock: i32, precision: i64, result: i32);
        fd_allocate(number: i32, offset: i64, length: i64);
        fd_fdstat_set_flags(number: i32, flags: i32);
        fd_fdstat_set_rights(number: i32, base: i64, inherited: i64);
        fd_prestat_get(number: i32, result: i32);
        fd_prestat_dir_name(number: i32, name: i32, length: i32);
        fd_tell(number: i32, result: i32);
        proc_raise(signal: i32);
        sched_yield();
        random_get(buffer: i32, length: i32);
        sock_accept(number: i32, flags: i32, result: i32);
        sock_recv(number: i32, vectors: i32, count: i32, flags: i32, size: i32, result: i32);
        sock_send(number: i32, vectors: i32, count: i32, flags: i32, size: i32);
        sock_shutdown(number: i32, how: i32);
    }
    waiting! { linker, imports,
        fd_advise(number: i32, offset: i64, length: i64, advice: i32);
        fd_close(number: i32);
        fd_datasync(number: i32);
        fd_fdstat_get(number: i32, result: i32);
        fd_filestat_get(number: i32, result: i32);
        fd_filestat_set_size(number: i32, size: i64);
        fd_filestat_set_times(number: i32, accessed: i64, modified: i64, which: i32);
        fd_pread(number: i32, vectors: i32, count: i32, offset: i64, size: i32);
        fd_pwrite(number: i32, vectors: i32, count: i32, offset: i64, size: i32);
        fd_read(number: i32, vectors: i32, count: i32, size: i32);
        fd_renumber(from: i32, to: i32);
        fd_seek(number: i32, offset: i64, whence: i32, result: i32);
        fd_sync(number: i32);
        fd_write(number: i32, vectors: i32, count: i32, size: i32);
        poll_oneoff(subscriptions: i32, events: i32, count: i32, result: i32);
    }
    Ok(())
}
