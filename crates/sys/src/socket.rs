//! Unix sockets: by name within a directory, in pairs, with files as passengers (`SCM_RIGHTS`)
//! and with the peer's identity (`SO_PEERCRED`).
//!
//! Names are resolved through `/proc/self/fd/N/NAME`, so that the 108 bytes of `sockaddr_un` never limit
//! where a run directory may lie. Abstract names are not offered: every container on the host's network
//! could reach them (CVE-2020-15257).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, unlinkat};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind,
    connect as connect_socket, listen, recvmsg, sendmsg, socket_with, socketpair, sockopt,
};

/// How many files one message may carry.
pub const MAXIMUM_FILES: usize = 8;

/// Whether to wait until something can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Wait.
    Yes,
    /// Give `WouldBlock` instead.
    No,
}

/// What a socket carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Messages {
    /// Bytes without bounds.
    Stream,
    /// Each message by itself.
    Datagrams,
}

/// Who is at the other end, as the kernel recorded it when the connection was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its pid at that time.
    pub pid: i32,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}

/// Two connected ends, both closed on exec.
///
/// # Errors
/// The process or the system has no file left.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// A listening socket with mode 0600.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
}

impl Listener {
    /// Listens at `name` in `directory`; a socket of that name that is there already is replaced.
    ///
    /// # Errors
    /// The name cannot be made.
    pub fn bind(directory: impl AsFd, name: &str) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // The name's mode is the socket's own mode less the umask (unix_bind_bsd), so it is private
        // from the moment it is visible.
        rustix::fs::fchmod(&socket, Mode::from_raw_mode(0o600))?;
        let address = address(directory.as_fd(), name)?;
        match bind(&socket, &address) {
            Err(rustix::io::Errno::ADDRINUSE) => {
                unlinkat(&directory, name, AtFlags::empty())?;
                bind(&socket, &address)?;
            }
            result => result?,
        }
        listen(&socket, 128)?;
        Ok(Self { socket })
    }

    /// The next connection, or `None` when nobody is waiting.
    ///
    /// # Errors
    /// The process or the system has no file left.
    pub fn accept(&self) -> io::Result<Option<OwnedFd>> {
        match accept_with(&self.socket, SocketFlags::CLOEXEC) {
            Ok(connection) => Ok(Some(connection)),
            Err(
                rustix::io::Errno::AGAIN | rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED,
            ) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Connects to `name` in `directory`.
///
/// # Errors
/// `NotFound` without the name, `ConnectionRefused` when nobody listens any more.
pub fn connect(directory: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect_socket(&socket, &address(directory.as_fd(), name)?)?;
    Ok(socket)
}

/// Connects to the socket at a path without ever waiting, now or later.
///
/// # Errors
/// `NotFound` without the path, `ConnectionRefused` when nobody listens there.
pub fn connect_to(path: &Path, messages: Messages) -> io::Result<OwnedFd> {
    let kind = match messages {
        Messages::Stream => SocketType::STREAM,
        Messages::Datagrams => SocketType::DGRAM,
    };
    let directory = std::fs::File::open(path.parent().unwrap_or(Path::new("/")))?;
    let name = path.file_name().unwrap_or_default();
    let name = name.to_str().ok_or(io::ErrorKind::InvalidInput)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, kind, flags, None)?;
    connect_socket(&socket, &address(directory.as_fd(), name)?)?;
    Ok(socket)
}

/// How a connection that was begun without waiting came out.
///
/// # Errors
/// Why there is none.
pub fn outcome(socket: impl AsFd) -> io::Result<()> {
    sockopt::socket_error(socket)??;
    Ok(())
}

/// Whether a send failed because no message may be that long.
#[must_use]
pub fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error())
}

fn address(directory: BorrowedFd<'_>, name: &str) -> io::Result<SocketAddrUnix> {
    Ok(SocketAddrUnix::new(format!(
        "/proc/self/fd/{}/{name}",
        directory.as_raw_fd()
    ))?)
}

/// Who is at the other end.
///
/// # Errors
/// The file is not a unix socket.
pub fn peer(socket: impl AsFd) -> io::Result<Peer> {
    let credentials = sockopt::socket_peercred(socket)?;
    Ok(Peer {
        pid: credentials.pid.as_raw_nonzero().get(),
        uid: credentials.uid.as_raw(),
        gid: credentials.gid.as_raw(),
    })
}

/// Sends what fits of `pieces`, with `files` (at most [`MAXIMUM_FILES`]) on the first byte.
///
/// # Errors
/// `WouldBlock`, or `BrokenPipe` when the other end is gone (never a signal).
pub fn send(
    socket: impl AsFd,
    pieces: &[IoSlice<'_>],
    files: &[BorrowedFd<'_>],
    wait: Wait,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAXIMUM_FILES))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "too many files for one message",
        ));
    }
    let mut flags = SendFlags::NOSIGNAL;
    if wait == Wait::No {
        flags |= SendFlags::DONTWAIT;
    }
    loop {
        match sendmsg(&socket, pieces, &mut control, flags) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Receives what is there into `buffer`, and appends the files that came with it; 0 is the end.
///
/// # Errors
/// `WouldBlock`, or the connection was reset.
pub fn receive(
    socket: impl AsFd,
    buffer: &mut [u8],
    files: &mut Vec<OwnedFd>,
    wait: Wait,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAXIMUM_FILES))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut flags = RecvFlags::CMSG_CLOEXEC;
    if wait == Wait::No {
        flags |= RecvFlags::DONTWAIT;
    }
    let count = loop {
        match recvmsg(&socket, &mut [IoSliceMut::new(buffer)], &mut control, flags) {
            Err(rustix::io::Errno::INTR) => {}
            result => break result?.bytes,
        }
    };
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            files.extend(rights);
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn files_travel_with_the_first_byte() {
        let (left, right) = pair().unwrap();
        let (reader, writer) = crate::pipe::pair().unwrap();
        let sent = send(
            &left,
            &[IoSlice::new(b"hello")],
            &[writer.as_fd()],
            Wait::Yes,
        )
        .unwrap();
        assert_eq!(sent, 5);
        drop(writer);
        let (mut buffer, mut files) = ([0_u8; 16], Vec::new());
        assert_eq!(
            receive(&right, &mut buffer, &mut files, Wait::Yes).unwrap(),
            5
        );
        assert_eq!(files.len(), 1);
        crate::pipe::write(&files[0], b"x").unwrap();
        assert_eq!(crate::pipe::read(&reader, &mut buffer).unwrap(), 1);
        let nothing = receive(&right, &mut buffer, &mut files, Wait::No).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_long_directory_is_no_obstacle_and_the_name_is_private() {
        let folder = std::env::temp_dir()
            .join(format!("berth-socket-{}", std::process::id()))
            .join("d".repeat(120));
        std::fs::create_dir_all(&folder).unwrap();
        let directory = std::fs::File::open(&folder).unwrap();
        let _stale = Listener::bind(&directory, "s").unwrap();
        let listener = Listener::bind(&directory, "s").unwrap();
        let mode = std::fs::metadata(folder.join("s"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(listener.accept().unwrap().is_none());
        let client = connect(&directory, "s").unwrap();
        let server = listener.accept().unwrap().unwrap();
        assert_eq!(
            peer(&server).unwrap().pid,
            i32::try_from(std::process::id()).unwrap()
        );
        drop(server);
        let gone = send(&client, &[IoSlice::new(b"x")], &[], Wait::Yes).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::BrokenPipe);
        std::fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }
}
