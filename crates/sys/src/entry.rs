//! The entry of a program that does without the standard library's own.
//!
//! Before `main`, the standard library maps a second stack, installs handlers that tell of a stack
//! overflow, and reads `/proc/self/maps` to know the stack's bounds; for a panic it brings a reader of
//! debugging information. In a program of which there are hundreds, and which is stripped, that costs
//! memory in each and 400 kB of code: `sscanf` with all it can parse, and a DWARF and ELF parser.
//!
//! Such a program can also be seen under another command line than it was started with.

use std::ffi::{CStr, c_char};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// Makes a function `fn() -> u8` the entry of a program that is `#![no_main]`; it returns the exit status.
///
/// A panic still says where and why it happened, and aborts. The program is linked with
/// `-z muldefs`, so that its own answer to who called whom, nobody, comes before the C compiler's.
#[macro_export]
macro_rules! entry {
    ($run:path) => {
        #[unsafe(no_mangle)]
        extern "C" fn main(
            _count: i32,
            arguments: *const *mut std::ffi::c_char,
            environment: *const *mut std::ffi::c_char,
        ) -> i32 {
            $crate::entry::enter($run, arguments, environment)
        }

        #[cfg(panic = "abort")]
        #[unsafe(no_mangle)]
        extern "C" fn _Unwind_Backtrace(
            _frame: extern "C" fn(*mut u8, *mut u8) -> i32,
            _context: *mut u8,
        ) -> i32 {
            $crate::entry::END_OF_STACK
        }
    };
}

/// `_URC_END_OF_STACK` of the Itanium C++ ABI.
#[doc(hidden)]
pub const END_OF_STACK: i32 = 5;

/// What the standard library does before `main` and a supervisor needs: writing to a pipe that nobody
/// reads is an error, not the end. Its three streams are open already: whoever starts it sees to that.
#[doc(hidden)]
#[must_use]
pub fn enter(
    run: fn() -> u8,
    arguments: *const *mut c_char,
    environment: *const *mut c_char,
) -> i32 {
    // SAFETY: these are what the kernel made and the C library passes to `main`.
    unsafe { remember([arguments, environment]) };
    // SAFETY: no other thread runs, and ignoring a signal runs no code of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    i32::from(run())
}

/// Where the kernel has put the strings of the arguments, with those of the environment behind them; nothing in a
/// program with another entry.
static WORDS: AtomicPtr<c_char> = AtomicPtr::new(null_mut());
/// How many bytes the arguments are, and both together.
static LENGTHS: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

/// # Safety
/// Both are lists of strings that end with a null pointer, as `main` gets them.
unsafe fn remember(lists: [*const *mut c_char; 2]) {
    // SAFETY: a list has its null pointer at least.
    let begin = unsafe { *lists[0] };
    let mut end = begin;
    for (mut list, length) in lists.into_iter().zip(&LENGTHS) {
        // SAFETY: the list has not ended before this place. One string follows the other (execve(2)); what
        // follows them is none.
        while !end.is_null() && unsafe { *list } == end {
            // SAFETY: it is a string of the list.
            let word = unsafe { CStr::from_ptr(end) };
            // SAFETY: this is the byte behind the string, whose memory the kernel goes on to fill.
            end = unsafe { end.add(word.to_bytes_with_nul().len()) };
            // SAFETY: the null pointer that ends the list is still to come.
            list = unsafe { list.add(1) };
        }
        length.store(end.addr() - begin.addr(), Ordering::Relaxed);
    }
    WORDS.store(begin, Ordering::Relaxed);
}

/// Shows this process to others as if it had been started with these words and without an environment. What it
/// was started with is gone then, also for itself.
///
/// When the arguments' last byte is no NUL any more, the kernel shows what begins where they began up to the first
/// NUL, wherever that is (`get_mm_cmdline` in Linux' `fs/proc/base.c`).
pub fn show_as<'a>(words: impl IntoIterator<Item = &'a str>) {
    let [arguments, all] = LENGTHS
        .each_ref()
        .map(|length| length.load(Ordering::Relaxed));
    if arguments == 0 {
        return;
    }
    let begin = WORDS.load(Ordering::Relaxed).cast::<u8>();
    // SAFETY: `remember` has measured this memory, which stays as long as the process. Only the standard library's
    // arguments and environment lead there, and who calls this has done with them.
    let memory = unsafe { std::slice::from_raw_parts_mut(begin, all) };
    memory.fill(0);
    memory[arguments - 1] = b' ';
    let mut text = String::new();
    for word in words {
        text.push_str(word);
        text.push(' ');
    }
    let length = text.trim_end().len().min(all - 1);
    memory[..length].copy_from_slice(&text.as_bytes()[..length]);
    memory[length] = 0;
}
