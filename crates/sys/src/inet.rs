//! TCP and UDP sockets as a port's holder needs them, and moving bytes between sockets in the kernel.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::pipe::{PipeFlags, SpliceFlags};

/// How many connections may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// What a new pipe holds.
const CAPACITY: usize = 64 << 10;

fn socket(address: SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, kind, flags, None)?;
    if address.is_ipv6() {
        // IPv4 has a socket of its own: otherwise `[::]:80` and `0.0.0.0:80` would collide.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    Ok(socket)
}

/// A UDP socket whose messages go to an address, and which never waits.
///
/// # Errors
/// There is no way to the address.
pub fn connect_datagrams(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket(address, SocketType::DGRAM)?;
    rustix::net::connect(&socket, &address)?;
    Ok(socket.into())
}

/// Listens on a TCP address, without blocking in `accept`.
///
/// # Errors
/// The address is in use, not this host's, or its port needs a privilege.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address, SocketType::STREAM)?;
    // Connections of a predecessor in TIME_WAIT must not keep the port; a listening socket still does.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// Binds a UDP address, without blocking.
///
/// # Errors
/// As for [`listen`].
pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket(address, SocketType::DGRAM)?;
    rustix::net::bind(&socket, &address)?;
    Ok(UdpSocket::from(socket))
}

/// Begins a TCP connection; the socket becomes writable when it stands or has failed.
///
/// # Errors
/// It fails at once.
pub fn start_connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = socket(address, SocketType::STREAM)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
        Err(error) => Err(error.into()),
    }
}

/// Accepts a connection that does not block; `None` when none waits.
///
/// # Errors
/// No file is left, or the listener is broken. A connection that was given up meanwhile is none.
pub fn accept(listener: impl AsFd) -> io::Result<Option<TcpStream>> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    match rustix::net::accept_with(listener, flags) {
        Ok(socket) => Ok(Some(TcpStream::from(socket))),
        Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A pipe through which bytes are spliced from one socket to another.
#[derive(Debug)]
pub struct Splice {
    reader: OwnedFd,
    writer: OwnedFd,
    held: usize,
}

/// What became of an attempt to move bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// This many.
    Bytes(usize),
    /// None now; later perhaps.
    Nothing,
    /// The source has ended.
    End,
}

impl Splice {
    /// A pipe of the usual 64 KiB.
    ///
    /// # Errors
    /// No file is left.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Self {
            reader,
            writer,
            held: 0,
        })
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Fills it from a socket that does not block.
    ///
    /// # Errors
    /// The source is broken.
    pub fn fill(&mut self, source: impl AsFd) -> io::Result<Moved> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        match rustix::pipe::splice(source, None, &self.writer, None, CAPACITY, flags) {
            Ok(0) => Ok(Moved::End),
            Ok(count) => {
                self.held += count;
                Ok(Moved::Bytes(count))
            }
            // Either the socket has nothing or the pipe is full; whoever waits knows which it was.
            Err(Errno::AGAIN | Errno::INTR) => Ok(Moved::Nothing),
            Err(error) => Err(error.into()),
        }
    }

    /// Empties it into a socket that does not block.
    ///
    /// # Errors
    /// The target is broken.
    pub fn drain(&mut self, target: impl AsFd) -> io::Result<Moved> {
        if self.held == 0 {
            return Ok(Moved::Nothing);
        }
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        match rustix::pipe::splice(&self.reader, None, target, None, self.held, flags) {
            Ok(count) => {
                self.held -= count.min(self.held);
                Ok(Moved::Bytes(count))
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(Moved::Nothing),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn bytes_pass_through_the_kernel() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        assert!(listen(address).is_err());
        let mut client = TcpStream::connect(address).unwrap();
        let server = accept(&listener).unwrap().unwrap();
        assert!(accept(&listener).unwrap().is_none());
        let mut splice = Splice::new().unwrap();
        assert_eq!(splice.fill(&server).unwrap(), Moved::Nothing);
        client.write_all(b"hello").unwrap();
        assert_eq!(splice.fill(&server).unwrap(), Moved::Bytes(5));
        assert_eq!(splice.drain(&server).unwrap(), Moved::Bytes(5));
        let mut back = [0; 5];
        client.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"hello");
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(splice.fill(&server).unwrap(), Moved::End);
    }
}
