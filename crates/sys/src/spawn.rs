//! Starting a program with exactly the files it is meant to have.
//!
//! ```text
//! child:  0 1 2  /dev/null      3 4 …  the given files, in order      nothing else
//! ```

use std::ffi::{CString, OsStr};
use std::io;
use std::mem::MaybeUninit;
#[expect(
    clippy::disallowed_types,
    reason = "this is crates/sys: the one place for it"
)]
use std::os::fd::FromRawFd as _;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// What is executed.
#[derive(Debug, Clone, Copy)]
pub enum Executable<'a> {
    /// The file at a path.
    Path(&'a Path),
    /// An open file.
    Open(BorrowedFd<'a>),
}

/// A program to start in a session of its own, with default signals and an empty environment.
#[derive(Debug)]
pub struct Program<'a> {
    /// The executable.
    pub executable: Executable<'a>,
    /// All arguments, the program's own name first.
    pub arguments: &'a [&'a OsStr],
    /// What it finds open from number 3 on.
    pub files: &'a [BorrowedFd<'a>],
}

impl Program<'_> {
    /// Starts it and returns its pid as soon as `execve` has succeeded.
    ///
    /// It becomes a child of this process, to be reaped by it or, when this process ends first, by init.
    ///
    /// # Errors
    /// The executable cannot be executed, or no process is left.
    pub fn spawn(&self) -> io::Result<i32> {
        let arguments = self
            .arguments
            .iter()
            .map(|argument| text(argument))
            .collect::<io::Result<Vec<_>>>()?;
        close_on_exec()?;
        let files: Vec<OwnedFd> = self
            .files
            .iter()
            .map(|file| self.above_the_targets(file))
            .collect::<io::Result<_>>()?;
        // Kept until the program runs: the child executes it after its files are in place, and must find
        // it at a number that none of them took. A socket there is EACCES.
        let mut open = None;
        let path = match self.executable {
            Executable::Path(path) => text(path.as_os_str())?,
            Executable::Open(file) => {
                let file = open.insert(self.above_the_targets(&file)?);
                let path = format!("/proc/self/fd/{}", file.as_raw_fd());
                CString::new(path).map_err(io::Error::other)?
            }
        };
        let mut actions = Actions::new()?;
        for number in 0..3 {
            actions.open_null(number)?;
        }
        for (file, number) in files.iter().zip(3..) {
            actions.place(file, number)?;
        }
        let attributes = Attributes::new_session()?;
        start(&path, &arguments, &actions, &attributes)
    }

    /// A duplicate that no `dup2` onto a target overwrites.
    fn above_the_targets(&self, file: &BorrowedFd<'_>) -> io::Result<OwnedFd> {
        let lowest = i32::try_from(self.files.len() + 3).map_err(io::Error::other)?;
        Ok(rustix::io::fcntl_dupfd_cloexec(file, lowest)?)
    }
}

/// The file this process was started with at `number` (3 and up), closed on exec from now on.
///
/// # Errors
/// No file is open there.
///
/// Call it once for each number, before anything else is opened: it takes ownership.
pub fn inherited(number: i32) -> io::Result<OwnedFd> {
    if number < 3 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "numbers below 3 are stdio",
        ));
    }
    // SAFETY: the number is only looked at; whether it is open is what the call tells.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the file is open (checked above) and, by this function's contract, nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn text(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(io::Error::other)
}

/// Marks everything above stdio, so that files this process itself inherited without the mark do not
/// leak further (CVE-2024-21626 was such a file).
fn close_on_exec() -> io::Result<()> {
    let (first, last) = (3_u32, u32::MAX);
    // SAFETY: close_range with this flag changes no memory and closes nothing in this process.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            last,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn start(
    path: &CString,
    arguments: &[CString],
    actions: &Actions,
    attributes: &Attributes,
) -> io::Result<i32> {
    let mut pointers: Vec<*mut libc::c_char> = arguments
        .iter()
        .map(|argument| argument.as_ptr().cast_mut())
        .collect();
    pointers.push(std::ptr::null_mut());
    let environment = [std::ptr::null_mut::<libc::c_char>()];
    let mut pid = 0;
    // SAFETY: all pointers are to null-terminated arrays that outlive the call; the child shares this
    // memory until execve (CLONE_VFORK) and neither posix_spawn nor execve writes through them.
    let code = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            path.as_ptr(),
            actions.0.as_ptr(),
            attributes.0.as_ptr(),
            pointers.as_ptr(),
            environment.as_ptr(),
        )
    };
    checked(code)?;
    Ok(pid)
}

fn checked(code: libc::c_int) -> io::Result<()> {
    if code == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(code))
    }
}

struct Actions(Box<MaybeUninit<libc::posix_spawn_file_actions_t>>);

impl Actions {
    fn new() -> io::Result<Self> {
        let mut actions = Box::new(MaybeUninit::uninit());
        // SAFETY: the call initialises the memory it is given.
        checked(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        Ok(Self(actions))
    }

    fn open_null(&mut self, number: i32) -> io::Result<()> {
        let path = c"/dev/null".as_ptr();
        // SAFETY: initialised by `new`; the call copies the path.
        checked(unsafe {
            libc::posix_spawn_file_actions_addopen(
                self.0.as_mut_ptr(),
                number,
                path,
                libc::O_RDWR,
                0,
            )
        })
    }

    fn place(&mut self, file: &OwnedFd, number: i32) -> io::Result<()> {
        // SAFETY: initialised by `new`; the numbers are only recorded.
        checked(unsafe {
            libc::posix_spawn_file_actions_adddup2(self.0.as_mut_ptr(), file.as_raw_fd(), number)
        })
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: initialised by `new`, destroyed once.
        unsafe { libc::posix_spawn_file_actions_destroy(self.0.as_mut_ptr()) };
    }
}

struct Attributes(Box<MaybeUninit<libc::posix_spawnattr_t>>);

impl Attributes {
    fn new_session() -> io::Result<Self> {
        let mut memory = Box::new(MaybeUninit::uninit());
        // SAFETY: the call initialises the memory it is given.
        checked(unsafe { libc::posix_spawnattr_init(memory.as_mut_ptr()) })?;
        let mut attributes = Self(memory);
        let (mut all, mut none) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: initialises the set.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        // SAFETY: initialises the set.
        unsafe { libc::sigemptyset(none.as_mut_ptr()) };
        let flags = i32::from(libc::POSIX_SPAWN_SETSID)
            | libc::POSIX_SPAWN_SETSIGMASK
            | libc::POSIX_SPAWN_SETSIGDEF;
        let flags = libc::c_short::try_from(flags).map_err(io::Error::other)?;
        // SAFETY: initialised above.
        checked(unsafe { libc::posix_spawnattr_setflags(attributes.0.as_mut_ptr(), flags) })?;
        // SAFETY: both initialised above; the set is copied.
        checked(unsafe {
            libc::posix_spawnattr_setsigdefault(attributes.0.as_mut_ptr(), all.as_ptr())
        })?;
        // SAFETY: both initialised above; the set is copied.
        checked(unsafe {
            libc::posix_spawnattr_setsigmask(attributes.0.as_mut_ptr(), none.as_ptr())
        })?;
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised by `new_session`, destroyed once.
        unsafe { libc::posix_spawnattr_destroy(self.0.as_mut_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::fd::AsFd as _;

    fn reap(pid: i32) {
        nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None).unwrap();
    }

    #[test]
    fn the_child_has_the_given_files_and_no_others() {
        let (reader, writer) = crate::pipe::pair().unwrap();
        // A file of ours without the mark, as a careless parent leaves it.
        let careless = rustix::io::dup(&reader).unwrap();
        let arguments = [
            "sh",
            "-c",
            "ls /proc/self/fd >&3; ls -l /proc/self/fd/0 >&3",
        ];
        let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        let files = [writer.as_fd()];
        let program = Program {
            executable: Executable::Path(Path::new("/bin/sh")),
            arguments: &arguments,
            files: &files,
        };
        let pid = program.spawn().unwrap();
        drop(writer);
        let mut output = String::new();
        let mut file = std::fs::File::from(reader);
        file.read_to_string(&mut output).unwrap();
        reap(pid);
        drop(careless);
        // 4 is `ls` reading the directory itself.
        assert!(output.starts_with("0\n1\n2\n3\n4\n"), "{output}");
        assert!(!output.contains("\n5\n"), "{output}");
        assert!(output.contains("/dev/null"), "{output}");
    }

    #[test]
    fn an_open_executable_is_found_below_the_files_that_are_given() {
        let executable = std::fs::File::open("/bin/true").unwrap();
        let (socket, _other) = crate::socket::pair().unwrap();
        let count = usize::try_from(executable.as_raw_fd()).unwrap() - 2;
        let program = Program {
            executable: Executable::Open(executable.as_fd()),
            arguments: &[OsStr::new("true")],
            files: &vec![socket.as_fd(); count],
        };
        reap(program.spawn().unwrap());
    }

    #[test]
    fn a_missing_program_is_an_error_at_once() {
        let program = Program {
            executable: Executable::Path(Path::new("/nowhere")),
            arguments: &[],
            files: &[],
        };
        assert_eq!(program.spawn().unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
