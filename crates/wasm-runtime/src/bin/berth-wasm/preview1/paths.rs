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
//! wasmtime reports EROFS and EXDEV as I/O errors; what is mounted there is looked up when that happens.

use berth_wasm_runtime::configuration::Configuration;
use wasmtime::{Caller, Linker};
use wasmtime_wasi::p1::wasi_snapshot_preview1 as preview1;

use super::functions::Imports;
use super::memory::{Errno, IO, NOENT, NOTDIR, ROFS, SUCCESS, XDEV, bytes, split};
use super::{PREVIEW_1, State};
use crate::guest;
use crate::places::Known;

/// `oflags::directory`.
const DIRECTORY: i32 = 2;

/// The directories a guest has open, by number.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// `None` when the guest has closed it.
    root: Option<i32>,
    working_directory: Option<i32>,
    known: Known<i32>,
}

/// Two directories in which the two paths of one operation are looked for.
type Pair = (i32, i32);

impl Places {
    /// The preopened directories: `/` at `root`, and the working directory after it where it is another.
    pub(super) fn new(root: i32, configuration: &Configuration) -> Self {
        let mut known = Known::default();
        known.insert(root, configuration.root.as_deref().unwrap_or("/").into());
        let number = (configuration.working_directory != "/").then_some(root + 1);
        if let Some(number) = number {
            known.insert(number, guest::working_directory(configuration).into());
        }
        Self {
            root: Some(root),
            working_directory: number,
            known,
        }
    }

    /// A number means nothing any more.
    pub(super) fn closed(&mut self, number: i32) {
        self.known.remove(number);
        for place in [&mut self.root, &mut self.working_directory] {
            place.take_if(|place| *place == number);
        }
    }

    /// What was one number is another now, in place of what that was.
    fn moved(&mut self, from: i32, to: i32) {
        if from == to {
            return;
        }
        self.closed(to);
        if let Some(path) = self.known.remove(from) {
            self.known.insert(to, path);
        }
        for place in [&mut self.root, &mut self.working_directory] {
            if *place == Some(from) {
                *place = Some(to);
            }
        }
    }

    /// Where a path relative to this directory is looked for, in order.
    fn candidates(&self, directory: i32, absolute: bool) -> [Option<i32>; 2] {
        let root = self
            .root
            .filter(|_| self.working_directory == Some(directory));
        match root {
            Some(root) if absolute => [Some(root), Some(directory)],
            root => [Some(directory), root],
        }
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

/// The same for an operation on one path.
fn singles(
    caller: &mut Caller<'_, State>,
    directory: i32,
    path: i32,
) -> wasmtime::Result<impl Iterator<Item = Pair> + use<>> {
    Ok(candidates(caller, directory, path)?.map(|place| (place, place)))
}

/// The pairs of directories two paths are looked for in; each is given as directory and path.
fn pairs(
    caller: &mut Caller<'_, State>,
    from: (i32, i32),
    to: (i32, i32),
) -> wasmtime::Result<Vec<Pair>> {
    let from = candidates(caller, from.0, from.1)?;
    let to: Vec<i32> = candidates(caller, to.0, to.1)?.collect();
    let with_each = |from| to.iter().map(move |to| (from, *to));
    Ok(from.flat_map(with_each).collect())
}

fn is_absent(errno: Errno) -> bool {
    matches!(errno, NOENT | NOTDIR)
}

/// What the guest is told when an operation on `path` gave `errno`.
fn told(
    caller: &mut Caller<'_, State>,
    errno: Errno,
    directory: i32,
    path: Text,
) -> wasmtime::Result<Errno> {
    if errno != IO {
        return Ok(errno);
    }
    let (memory, state) = bytes(caller)?;
    let path = memory.text(path.0, path.1);
    let is_read_only = state.places.known.is_read_only(directory, &path);
    Ok(if is_read_only { ROFS } else { IO })
}

/// The same for an operation on two paths.
fn told_of_two(
    caller: &mut Caller<'_, State>,
    errno: Errno,
    (from, old): (i32, Text),
    (to, new): (i32, Text),
) -> wasmtime::Result<Errno> {
    if errno != IO {
        return Ok(errno);
    }
    let (memory, state) = bytes(caller)?;
    let (old_path, new_path) = (memory.text(old.0, old.1), memory.text(new.0, new.1));
    if state
        .places
        .known
        .are_apart((from, &old_path), (to, &new_path))
    {
        return Ok(XDEV);
    }
    told(caller, errno, to, new)
}

/// A text of the guest: address and length.
type Text = (i32, i32);

/// Tries one of wasmtime's functions in these directories until something is there; when nothing is, the
/// first of them has the word. The last expression says what the guest is told of a result.
macro_rules! try_in {
    ($caller:ident, $pairs:expr, |$from:ident, $to:ident| $function:ident($($argument:expr),*), |$errno:ident| $told:expr) => {{
        let mut absent = None;
        for ($from, $to) in $pairs {
            let (mut memory, state) = split(&mut $caller)?;
            let $errno = preview1::$function(&mut state.wasi, &mut memory, $($argument),*).await?;
            let $errno = $told?;
            // Between two file systems the kernel does not look whether there is anything.
            if !is_absent($errno) && !($errno == XDEV && absent.is_some()) {
                return Ok($errno);
            }
            absent.get_or_insert($errno);
        }
        Ok(absent.unwrap_or(NOENT))
    }};
}

/// A function whose first parameter is the directory of its one path.
macro_rules! in_directory {
    ($linker:ident, $imports:ident, $function:ident, ($path:ident, $length:ident), ($($argument:ident: $type:ty),*)) => {
        if $imports.has(stringify!($function)) {
            $linker.func_wrap_async(
                PREVIEW_1,
                stringify!($function),
                |mut caller: Caller<'_, State>, (directory, $($argument),*): (i32, $($type),*)| {
                    Box::new(async move {
                        let places = singles(&mut caller, directory, $path)?;
                        try_in!(
                            caller,
                            places,
                            |place, _same| $function(place, $($argument),*),
                            |errno| told(&mut caller, errno, place, ($path, $length))
                        )
                    })
                },
            )?;
        }
    };
}

/// A function of ours.
macro_rules! own {
    ($linker:ident, $imports:ident, $($name:literal => $function:ident;)*) => {
        $(if $imports.has($name) {
            $linker.func_wrap_async(PREVIEW_1, $name, |caller, arguments| {
                Box::new($function(caller, arguments))
            })?;
        })*
    };
}

/// Puts our path functions in front of wasmtime's.
pub(super) fn add(linker: &mut Linker<State>, imports: &Imports) -> wasmtime::Result<()> {
    in_directory!(linker, imports, path_create_directory, (path, length), (path: i32, length: i32));
    in_directory!(linker, imports, path_unlink_file, (path, length), (path: i32, length: i32));
    in_directory!(
        linker,
        imports,
        path_filestat_get,
        (path, length),
        (flags: i32, path: i32, length: i32, status: i32)
    );
    in_directory!(
        linker,
        imports,
        path_filestat_set_times,
        (path, length),
        (flags: i32, path: i32, length: i32, accessed: i64, modified: i64, which: i32)
    );
    in_directory!(
        linker,
        imports,
        path_readlink,
        (path, length),
        (path: i32, length: i32, buffer: i32, size: i32, used: i32)
    );
    own! { linker, imports,
        "path_remove_directory" => remove_directory;
        "path_open" => open;
        "path_rename" => rename;
        "path_link" => link;
        "path_symlink" => symlink;
        "fd_close" => close;
        "fd_renumber" => renumber;
    }
    Ok(())
}

/// wasmtime refuses a trailing slash here (bytecodealliance/wasmtime#11524); to the kernel it means what
/// this function demands anyway: a directory.
async fn remove_directory(
    mut caller: Caller<'_, State>,
    (directory, path, length): (i32, i32, i32),
) -> wasmtime::Result<Errno> {
    let (memory, _) = bytes(&mut caller)?;
    let text = memory.text(path, length);
    let slashes = text.len() - text.trim_end_matches('/').len();
    let shorter = match i32::try_from(slashes) {
        Ok(slashes) if slashes < length => length - slashes,
        _ => length,
    };
    let places = singles(&mut caller, directory, path)?;
    try_in!(
        caller,
        places,
        |place, _same| path_remove_directory(place, path, shorter),
        |errno| told(&mut caller, errno, place, (path, shorter))
    )
}

/// Directory, lookup flags, path, open flags, two sets of rights, descriptor flags, where the number goes.
type Open = (i32, i32, i32, i32, i32, i64, i64, i32, i32);

async fn open(mut caller: Caller<'_, State>, arguments: Open) -> wasmtime::Result<Errno> {
    let (directory, lookup, path, length, flags, rights, inherited, descriptor, opened) = arguments;
    let mut absent = None;
    for (place, _) in singles(&mut caller, directory, path)? {
        let (mut memory, state) = split(&mut caller)?;
        let errno = preview1::path_open(
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
        absent.get_or_insert(errno);
    }
    Ok(absent.unwrap_or(NOENT))
}

fn remember(
    caller: &mut Caller<'_, State>,
    place: i32,
    path: Text,
    opened: i32,
) -> wasmtime::Result<()> {
    let (memory, state) = bytes(caller)?;
    let text = memory.text(path.0, path.1);
    if let Ok(number) = memory.word(opened.cast_unsigned()) {
        state
            .places
            .known
            .opened(number.cast_signed(), place, &text);
    }
    Ok(())
}

async fn rename(
    mut caller: Caller<'_, State>,
    (from, old, old_length, to, new, new_length): (i32, i32, i32, i32, i32, i32),
) -> wasmtime::Result<Errno> {
    let places = pairs(&mut caller, (from, old), (to, new))?;
    try_in!(
        caller,
        places,
        |from, to| path_rename(from, old, old_length, to, new, new_length),
        |errno| told_of_two(
            &mut caller,
            errno,
            (from, (old, old_length)),
            (to, (new, new_length))
        )
    )
}

async fn link(
    mut caller: Caller<'_, State>,
    (from, flags, old, old_length, to, new, new_length): (i32, i32, i32, i32, i32, i32, i32),
) -> wasmtime::Result<Errno> {
    let places = pairs(&mut caller, (from, old), (to, new))?;
    try_in!(
        caller,
        places,
        |from, to| path_link(from, flags, old, old_length, to, new, new_length),
        |errno| told_of_two(
            &mut caller,
            errno,
            (from, (old, old_length)),
            (to, (new, new_length))
        )
    )
}

async fn symlink(
    mut caller: Caller<'_, State>,
    (target, target_length, directory, path, length): (i32, i32, i32, i32, i32),
) -> wasmtime::Result<Errno> {
    let places = singles(&mut caller, directory, path)?;
    try_in!(
        caller,
        places,
        |place, _same| path_symlink(target, target_length, place, path, length),
        |errno| told(&mut caller, errno, place, (path, length))
    )
}

pub(super) async fn close(
    mut caller: Caller<'_, State>,
    (number,): (i32,),
) -> wasmtime::Result<Errno> {
    let (mut memory, state) = split(&mut caller)?;
    let errno = preview1::fd_close(&mut state.wasi, &mut memory, number).await?;
    if errno == SUCCESS {
        state.places.closed(number);
    }
    Ok(errno)
}

async fn renumber(
    mut caller: Caller<'_, State>,
    (from, to): (i32, i32),
) -> wasmtime::Result<Errno> {
    let (mut memory, state) = split(&mut caller)?;
    let errno = preview1::fd_renumber(&mut state.wasi, &mut memory, from, to).await?;
    if errno == SUCCESS {
        state.places.moved(from, to);
    }
    Ok(errno)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn working_in(directory: &str) -> Configuration {
        Configuration {
            working_directory: directory.to_owned(),
            ..Configuration::default()
        }
    }

    #[test]
    fn the_working_directory_comes_before_the_root() {
        let places = Places::new(3, &working_in("/app"));
        assert_eq!(places.candidates(4, false), [Some(4), Some(3)]);
        assert_eq!(places.candidates(4, true), [Some(3), Some(4)]);
        assert_eq!(places.candidates(3, false), [Some(3), None]);
        assert_eq!(
            Places::new(3, &working_in("/")).candidates(3, true),
            [Some(3), None]
        );
    }

    #[test]
    fn numbers_lose_their_meaning_when_they_are_closed() {
        let mut places = Places::new(3, &working_in("/app"));
        places.moved(4, 9);
        assert_eq!(places.candidates(4, false), [Some(4), None]);
        assert_eq!(places.candidates(9, false), [Some(9), Some(3)]);
        places.closed(3);
        assert_eq!(places.candidates(9, false), [Some(9), None]);
        places.moved(9, 9);
        assert_eq!(places.working_directory, Some(9));
        places.moved(5, 9);
        assert_eq!(places.working_directory, None);
    }
}
