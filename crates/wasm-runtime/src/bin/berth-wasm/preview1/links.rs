//! Links that lead out of the directory where a path starts, which wasmtime does not follow: its functions
//! are called once more, from the root, with the path that such links make.

use wasmtime::Caller;

use super::State;
use super::aside::Aside;
use super::memory::{Errno, IO, ROFS, SUCCESS, bytes};
use super::paths::Text;

/// Calls one of wasmtime's functions where the links in two paths lead, if one of them leads elsewhere.
macro_rules! both_led {
    ($caller:ident, ($from:expr, $old:expr), ($to:expr, $new:expr), |$source:ident, $path:ident, $length:ident, $target:ident, $other:ident, $other_length:ident| $function:ident($($argument:expr),*)) => {{
        let ends = [($from, $old), ($to, $new)];
        let led = [lead(&mut $caller, ends[0], false)?, lead(&mut $caller, ends[1], false)?];
        if led.iter().all(Option::is_none) {
            None
        } else {
            let (memory, _) = bytes(&mut $caller)?;
            let unled = ends.map(|(place, (path, length))| (place, memory.text(path, length)));
            let [one, other] = led;
            let [first, second] = unled;
            let ($source, one) = one.unwrap_or(first);
            let ($target, other) = other.unwrap_or(second);
            let mut aside = Aside::new();
            let ($path, $length) = aside.put(one.as_bytes());
            let ($other, $other_length) = aside.put(other.as_bytes());
            let (_, state) = bytes(&mut $caller)?;
            let errno =
                preview1::$function(&mut state.wasi, &mut aside.memory(), $($argument),*).await?;
            Some(give(&mut $caller, errno, ($target, &other), (&aside, None))?)
        }
    }};
}

/// Where the links in this path lead, if elsewhere.
pub(super) fn lead(
    caller: &mut Caller<'_, State>,
    (directory, path): (i32, Text),
    follows: bool,
) -> wasmtime::Result<Option<(i32, String)>> {
    let (memory, state) = bytes(caller)?;
    let path = memory.text(path.0, path.1);
    Ok(state.places.lead(directory, &path, follows))
}

/// Gives the guest what was left aside for it, and tells it how that ended.
pub(super) fn give(
    caller: &mut Caller<'_, State>,
    errno: Errno,
    (root, path): (i32, &str),
    (aside, left): (&Aside, Option<(i32, usize)>),
) -> wasmtime::Result<Errno> {
    let (mut memory, state) = bytes(caller)?;
    if errno == IO && state.places.known.is_read_only(root, path) {
        return Ok(ROFS);
    }
    let given = match left {
        Some((place, size)) if errno == SUCCESS => aside.copy(&mut memory, place, size),
        _ => Ok(()),
    };
    Ok(given.err().unwrap_or(errno))
}

/// Calls one of wasmtime's functions where the links in a path lead; `None` when that is nowhere else.
/// What it leaves, and how much, is given to the guest.
macro_rules! led {
    ($caller:ident, ($place:expr, $text:expr), follows: $follows:expr, |$root:ident, $path:ident, $length:ident, $result:ident| $function:ident($($argument:expr),*), left: $left:expr) => {{
        let left: Option<(i32, usize)> = $left;
        match lead(&mut $caller, ($place, $text), $follows)? {
            None => None,
            Some(($root, led)) => {
                let mut aside = Aside::new();
                let ($path, $length) = aside.put(led.as_bytes());
                let $result = aside.result();
                let (_, state) = bytes(&mut $caller)?;
                let errno = preview1::$function(&mut state.wasi, &mut aside.memory(), $($argument),*).await?;
                Some(give(&mut $caller, errno, ($root, &led), (&aside, left))?)
            }
        }
    }};
}

pub(super) use {both_led, led};
