//! Paths of a preview 1 guest: relative ones start at the working directory, and a read-only mount is
//! named as such.
//!
//! Preview 1 has no working directory, and C libraries drop a path's leading slash before they look for
//! a preopened directory: `/etc/x` and `etc/x` arrive here as the same text. wasi-libc passes a pointer
//! into the program's own string, though, so that the slash still stands before it: such a path is looked
//! up in `/` first and then in the working directory, any other one the other way round. Rust's standard
//! library and programs that change their directory pass copies. For them two things differ from a native
//! program: an absolute path that also exists below the working directory means that one, and a file
//! newly made directly in `/` lands in the working directory.
//!
//! wasmtime reports EROFS as an I/O error; what the mount says is looked up when that happens.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wasmtime::{Caller, Linker};
use wasmtime_wasi::p1::wasi_snapshot_preview1 as preview1;

use super::memory::{Errno, IO, NOENT, NOTDIR, ROFS, SUCCESS, bytes, split};
use super::{PREVIEW_1, State};

/// `oflags::directory`.
const DIRECTORY: i32 = 2;

/// The directories a guest has open, by number.
#[derive(Debug, Default)]
pub(super) struct Places {
    root: i32,
    working_directory: Option<i32>,
    known: BTreeMap<i32, PathBuf>,
}

impl Places {
    /// The preopened directories: `/` at `root`, and the working directory after it where it is another.
    pub(super) fn new(root: i32, working_directory: &str) -> Self {
        let mut known = BTreeMap::from([(root, PathBuf::from("/"))]);
        let is_root = Path::new(working_directory) == Path::new("/");
        let number = (!is_root).then_some(root + 1);
        if let Some(number) = number {
            known.insert(number, PathBuf::from(working_directory));
        }
        Self {
            root,
            working_directory: number,
            known,
        }
    }

    /// Where a path relative to this directory is looked for, in order.
    fn candidates(&self, directory: i32, absolute: bool) -> [Option<i32>; 2] {
        if self.working_directory != Some(directory) {
            return [Some(directory), None];
        }
        if absolute {
            [Some(self.root), Some(directory)]
        } else {
            [Some(directory), Some(self.root)]
        }
    }

    fn is_read_only(&self, directory: i32, path: &str) -> bool {
        let Some(base) = self.known.get(&directory) else {
            return false;
        };
        let full = base.join(path);
        full.ancestors()
            .find(|path| path.exists())
            .is_some_and(berth_sys::path::is_read_only)
    }
}

/// Where the path at an address of the guest's memory is looked for, in order.
fn candidates(
    caller: &mut Caller<'_, State>,
    directory: i32,
    path: i32,
) -> wasmtime::Result<impl Iterator<Item = i32> + use<>> {
    let (memory, state) = bytes(caller)?;
    let absolute = memory.follows_slash(path);
    let places = state.places.candidates(directory, absolute);
    Ok(places.into_iter().flatten())
}

fn is_absent(errno: Errno) -> bool {
    matches!(errno, NOENT | NOTDIR)
}

/// What the guest is told when an operation on `path` gave `errno`.
fn told(
    caller: &mut Caller<'_, State>,
    errno: Errno,
    directory: i32,
    path: (i32, i32),
) -> wasmtime::Result<Errno> {
    if errno != IO {
        return Ok(errno);
    }
    let (memory, state) = bytes(caller)?;
    let text = memory.text(path.0, path.1);
    Ok(if state.places.is_read_only(directory, &text) {
        ROFS
    } else {
        IO
    })
}

/// A function whose first parameter is the directory.
macro_rules! in_directory {
    ($linker:ident, $function:ident, ($path:ident, $length:ident), ($($argument:ident: $type:ty),*)) => {
        $linker.func_wrap_async(
            PREVIEW_1,
            stringify!($function),
            |mut caller: Caller<'_, State>, (directory, $($argument),*): (i32, $($type),*)| {
                Box::new(async move {
                    let mut errno = NOENT;
                    for place in candidates(&mut caller, directory, $path)? {
                        let (mut memory, state) = split(&mut caller)?;
                        errno = preview1::$function(&mut state.wasi, &mut memory, place, $($argument),*).await?;
                        if !is_absent(errno) {
                            return told(&mut caller, errno, place, ($path, $length));
                        }
                    }
                    Ok(errno)
                })
            },
        )?;
    };
}

/// Puts our path functions in front of wasmtime's.
pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    in_directory!(linker, path_create_directory, (path, length), (path: i32, length: i32));
    in_directory!(linker, path_remove_directory, (path, length), (path: i32, length: i32));
    in_directory!(linker, path_unlink_file, (path, length), (path: i32, length: i32));
    in_directory!(linker, path_filestat_get, (path, length), (flags: i32, path: i32, length: i32, status: i32));
    in_directory!(
        linker,
        path_filestat_set_times,
        (path, length),
        (flags: i32, path: i32, length: i32, accessed: i64, modified: i64, which: i32)
    );
    in_directory!(
        linker,
        path_readlink,
        (path, length),
        (path: i32, length: i32, buffer: i32, size: i32, used: i32)
    );
    linker.func_wrap_async(PREVIEW_1, "path_open", |caller, arguments| {
        Box::new(open(caller, arguments))
    })?;
    linker.func_wrap_async(PREVIEW_1, "path_rename", |caller, arguments| {
        Box::new(rename(caller, arguments))
    })?;
    linker.func_wrap_async(PREVIEW_1, "path_link", |caller, arguments| {
        Box::new(link(caller, arguments))
    })?;
    linker.func_wrap_async(PREVIEW_1, "path_symlink", |caller, arguments| {
        Box::new(symlink(caller, arguments))
    })?;
    Ok(())
}

/// Directory, lookup flags, path, open flags, two sets of rights, descriptor flags, where the number goes.
type Open = (i32, i32, i32, i32, i32, i64, i64, i32, i32);

async fn open(mut caller: Caller<'_, State>, arguments: Open) -> wasmtime::Result<Errno> {
    let (directory, lookup, path, length, flags, rights, inherited, descriptor, opened) = arguments;
    let mut errno = NOENT;
    for place in candidates(&mut caller, directory, path)? {
        let (mut memory, state) = split(&mut caller)?;
        errno = preview1::path_open(
            &mut state.wasi,
            &mut memory,
            place,
            lookup,
            path,
            length,
            flags,
            rights,
            inherited,
            descriptor,
            opened,
        )
        .await?;
        if errno == SUCCESS && flags & DIRECTORY != 0 {
            remember(&mut caller, place, (path, length), opened)?;
        }
        if !is_absent(errno) {
            return told(&mut caller, errno, place, (path, length));
        }
    }
    Ok(errno)
}

fn remember(
    caller: &mut Caller<'_, State>,
    place: i32,
    path: (i32, i32),
    opened: i32,
) -> wasmtime::Result<()> {
    let (memory, state) = bytes(caller)?;
    let text = memory.text(path.0, path.1);
    if let (Ok(number), Some(base)) = (
        memory.word(opened.cast_unsigned()),
        state.places.known.get(&place),
    ) {
        let full = base.join(text);
        state.places.known.insert(number.cast_signed(), full);
    }
    Ok(())
}

/// The pairs of directories two paths are looked for in; each is given as directory and path.
fn pairs(
    caller: &mut Caller<'_, State>,
    from: (i32, i32),
    to: (i32, i32),
) -> wasmtime::Result<Vec<(i32, i32)>> {
    let from = candidates(caller, from.0, from.1)?;
    let to: Vec<i32> = candidates(caller, to.0, to.1)?.collect();
    let with_each = |from| to.iter().map(move |to| (from, *to));
    Ok(from.flat_map(with_each).collect())
}

async fn rename(
    mut caller: Caller<'_, State>,
    arguments: (i32, i32, i32, i32, i32, i32),
) -> wasmtime::Result<Errno> {
    let (from, old, old_length, to, new, new_length) = arguments;
    let mut errno = NOENT;
    for (from, to) in pairs(&mut caller, (from, old), (to, new))? {
        let (mut memory, state) = split(&mut caller)?;
        errno = preview1::path_rename(
            &mut state.wasi,
            &mut memory,
            from,
            old,
            old_length,
            to,
            new,
            new_length,
        )
        .await?;
        if !is_absent(errno) {
            return told(&mut caller, errno, to, (new, new_length));
        }
    }
    Ok(errno)
}

async fn link(
    mut caller: Caller<'_, State>,
    arguments: (i32, i32, i32, i32, i32, i32, i32),
) -> wasmtime::Result<Errno> {
    let (from, flags, old, old_length, to, new, new_length) = arguments;
    let mut errno = NOENT;
    for (from, to) in pairs(&mut caller, (from, old), (to, new))? {
        let (mut memory, state) = split(&mut caller)?;
        errno = preview1::path_link(
            &mut state.wasi,
            &mut memory,
            from,
            flags,
            old,
            old_length,
            to,
            new,
            new_length,
        )
        .await?;
        if !is_absent(errno) {
            return told(&mut caller, errno, to, (new, new_length));
        }
    }
    Ok(errno)
}

async fn symlink(
    mut caller: Caller<'_, State>,
    arguments: (i32, i32, i32, i32, i32),
) -> wasmtime::Result<Errno> {
    let (target, target_length, directory, path, length) = arguments;
    let mut errno = NOENT;
    for place in candidates(&mut caller, directory, path)? {
        let (mut memory, state) = split(&mut caller)?;
        errno = preview1::path_symlink(
            &mut state.wasi,
            &mut memory,
            target,
            target_length,
            place,
            path,
            length,
        )
        .await?;
        if !is_absent(errno) {
            return told(&mut caller, errno, place, (path, length));
        }
    }
    Ok(errno)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_working_directory_comes_before_the_root() {
        let places = Places::new(3, "/app");
        assert_eq!(places.candidates(4, false), [Some(4), Some(3)]);
        assert_eq!(places.candidates(4, true), [Some(3), Some(4)]);
        assert_eq!(places.candidates(3, false), [Some(3), None]);
        assert_eq!(Places::new(3, "/").candidates(3, true), [Some(3), None]);
    }
}
