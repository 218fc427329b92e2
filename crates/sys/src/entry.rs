//! The entry of a program that does without the standard library's own.
//!
//! Before `main`, the standard library maps a second stack, installs handlers that tell of a stack
//! overflow, and reads `/proc/self/maps` to know the stack's bounds; for a panic it brings a reader of
//! debugging information. In a program of which there are hundreds, and which is stripped, that costs
//! memory in each and 400 kB of code: `sscanf` with all it can parse, and a DWARF and ELF parser.

/// Makes a function `fn() -> u8` the entry of a program that is `#![no_main]`; it returns the exit status.
///
/// A panic still says where and why it happened, and aborts. The program is linked with
/// `-z muldefs`, so that its own answer to who called whom, nobody, comes before the C compiler's.
#[macro_export]
macro_rules! entry {
    ($run:path) => {
        #[unsafe(no_mangle)]
        extern "C" fn main(_count: i32, _arguments: *const *const u8) -> i32 {
            $crate::entry::enter($run)
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
pub fn enter(run: fn() -> u8) -> i32 {
    // SAFETY: no other thread runs, and ignoring a signal runs no code of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    i32::from(run())
}
