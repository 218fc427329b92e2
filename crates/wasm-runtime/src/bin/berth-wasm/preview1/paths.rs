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
//! wasmtime follows no link out of the directory where a path starts, and none to an absolute path. From the
//! directories a guest was given, `/` and a part of it, links lead where they lead natively; below those it
//! opened itself WASI's sandbox holds.
//!
//! wasmtime reports EROFS and EXDEV as I/O errors; what is mounted there is looked up when that happens.

use std::io;
use std::os::unix::ffi::OsStrExt as _;

use wasmtime::{Caller, Linker};
use wasmtime_wasi::p1::wasi_snapshot_preview1 as preview1;

use super::aside::Aside;
use super::functions::Imports;
use super::links::{both_led, give, lead, led};
use super::memory::{Errno, INVAL, IO, NOENT, NOTDIR, PERM, ROFS, SUCCESS, XDEV, bytes, split};
use super::{PREVIEW_1, State};

/// `oflags::directory`.
const DIRECTORY: i32 = 2;
/// `lookupflags::symlink_follow`.
const FOLLOW: i32 = 1;
/// The size of `filestat`.
const STATUS: usize = 64;

/// Two directories in which the two paths of one operation are looked for.
type Pair = (i32, i32);

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
pub(super) type Text = (i32, i32);

/// Tries one of wasmtime's functions in these directories until something is there; when nothing is, the
/// first of them has the word. The last expression says what the guest is told of a result.
macro_rules! try_in {
    ($caller:ident, $pairs:expr, |$from:ident, $to:ident| $function:ident($($argument:expr),*), |$errno:ident| $told:expr, led: $led:expr) => {{
        let mut absent = None;
        for ($from, $to) in $pairs {
            let (mut memory, state) = split(&mut $caller)?;
            let $errno = preview1::$function(&mut state.wasi, &mut memory, $($argument),*).await?;
            let mut $errno = $told?;
            if $errno == PERM
                && let Some(led) = $led
            {
                $errno = led;
            }
            // Between two file systems the kernel does not look whether there is anything.
            if !is_absent($errno) && !(matches!($errno, XDEV | PERM) && absent.is_some()) {
                return Ok($errno);
            }
            absent.get_or_insert($errno);
        }
        Ok(absent.unwrap_or(NOENT))
    }};
}

/// A function whose first parameter is the directory of its one path.
macro_rules! in_directory {
    ($linker:ident, $imports:ident, $function:ident, ($path:ident, $length:ident), follows: $follows:expr, ($result:ident, $left:expr), ($($argument:ident: $type:ty),*)) => {
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
                            |errno| told(&mut caller, errno, place, ($path, $length)),
                            led: led!(
                                caller,
                                (place, ($path, $length)),
                                follows: $follows,
                                |root, $path, $length, $result| $function(root, $($argument),*),
                                left: $left
                            )
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
    in_directory!(
        linker,
        imports,
        path_create_directory,
        (path, length),
        follows: false,
        (_nothing, None),
        (path: i32, length: i32)
    );
    in_directory!(
        linker,
        imports,
        path_unlink_file,
        (path, length),
        follows: false,
        (_nothing, None),
        (path: i32, length: i32)
    );
    in_directory!(
        linker,
        imports,
        path_filestat_get,
        (path, length),
        follows: flags & FOLLOW != 0,
        (status, Some((status, STATUS))),
        (flags: i32, path: i32, length: i32, status: i32)
    );
    in_directory!(
        linker,
        imports,
        path_filestat_set_times,
        (path, length),
        follows: flags & FOLLOW != 0,
        (_nothing, None),
        (flags: i32, path: i32, length: i32, accessed: i64, modified: i64, which: i32)
    );
    own! { linker, imports,
        "path_remove_directory" => remove_directory;
        "path_open" => open;
        "path_readlink" => read_link;
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
        |errno| told(&mut caller, errno, place, (path, shorter)),
        led: led!(
            caller,
            (place, (path, shorter)),
            follows: false,
            |root, path, length, _nothing| path_remove_directory(root, path, length),
            left: None
        )
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
            let (memory, _) = bytes(&mut caller)?;
            let text = memory.text(path, length);
            remember(&mut caller, place, &text, opened)?;
        }
        let mut errno = told(&mut caller, errno, place, (path, length))?;
        if errno == PERM
            && let Some(led) = led!(
                caller,
                (place, (path, length)),
                follows: lookup & FOLLOW != 0,
                |root, path, length, number| path_open(
                    root, lookup, path, length, flags, rights, inherited, descriptor, number
                ),
                left: Some((opened, size_of::<i32>()))
            )
        {
            errno = led;
            if errno == SUCCESS
                && flags & DIRECTORY != 0
                && let Some((root, led)) = lead(&mut caller, (place, (path, length)), true)?
            {
                remember(&mut caller, root, &led, opened)?;
            }
        }
        let goes_on = is_absent(errno) || (errno == PERM && absent.is_some());
        if !goes_on {
            return Ok(errno);
        }
        absent.get_or_insert(errno);
    }
    Ok(absent.unwrap_or(NOENT))
}

fn remember(
    caller: &mut Caller<'_, State>,
    place: i32,
    path: &str,
    opened: i32,
) -> wasmtime::Result<()> {
    let (memory, state) = bytes(caller)?;
    if let Ok(number) = memory.word(opened.cast_unsigned()) {
        state.places.known.opened(number.cast_signed(), place, path);
    }
    Ok(())
}

async fn read_link(
    mut caller: Caller<'_, State>,
    (directory, path, length, buffer, size, used): (i32, i32, i32, i32, i32, i32),
) -> wasmtime::Result<Errno> {
    let places = singles(&mut caller, directory, path)?;
    try_in!(
        caller,
        places,
        |place, _same| path_readlink(place, path, length, buffer, size, used),
        |errno| told(&mut caller, errno, place, (path, length)),
        led: {
            let (mut memory, state) = bytes(&mut caller)?;
            let target = state.places.target(place, &memory.text(path, length));
            target.map(|target| {
                let target = target.map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => NOENT,
                    _ => INVAL,
                })?;
                let size = usize::try_from(size.cast_unsigned()).unwrap_or(usize::MAX);
                let target = target.as_os_str().as_bytes();
                let target = &target[..target.len().min(size)];
                let count = u32::try_from(target.len()).unwrap_or_default();
                memory.put(buffer.cast_unsigned(), target)?;
                memory.put(used.cast_unsigned(), &count.to_le_bytes())
            })
            .map(|result: Result<(), Errno>| result.err().unwrap_or(SUCCESS))
        }
    )
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
        ),
        led: both_led!(
            caller,
            (from, (old, old_length)),
            (to, (new, new_length)),
            |from, old, old_length, to, new, new_length|
                path_rename(from, old, old_length, to, new, new_length)
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
        ),
        led: both_led!(
            caller,
            (from, (old, old_length)),
            (to, (new, new_length)),
            |from, old, old_length, to, new, new_length|
                path_link(from, flags, old, old_length, to, new, new_length)
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
        |errno| told(&mut caller, errno, place, (path, length)),
        led: match lead(&mut caller, (place, (path, length)), false)? {
            None => None,
            Some((root, led)) => {
                let (memory, state) = bytes(&mut caller)?;
                let target = memory.text(target, target_length);
                let mut aside = Aside::new();
                let (target, target_length) = aside.put(target.as_bytes());
                let (path, length) = aside.put(led.as_bytes());
                let wasi = &mut state.wasi;
                let errno = preview1::path_symlink(
                    wasi, &mut aside.memory(), target, target_length, root, path, length
                )
                .await?;
                Some(give(&mut caller, errno, (root, &led), (&aside, None))?)
            }
        }
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
        state.listings.closed(number);
    }
    Ok(errno)
}

pub(super) async fn renumber(
    mut caller: Caller<'_, State>,
    (from, to): (i32, i32),
) -> wasmtime::Result<Errno> {
    let (mut memory, state) = split(&mut caller)?;
    let errno = preview1::fd_renumber(&mut state.wasi, &mut memory, from, to).await?;
    if errno == SUCCESS && from != to {
        state.places.moved(from, to);
        state.listings.closed(to);
        state.listings.moved(from, to);
    }
    Ok(errno)
}
