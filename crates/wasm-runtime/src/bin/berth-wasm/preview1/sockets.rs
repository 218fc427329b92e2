//! Listening sockets for preview 1, which can accept and talk but has no way to listen.
//!
//! ```text
//! 3 … 2+n     one listener for each exposed TCP port, in order (the LISTEN_FDS convention)
//! 3+n …       preopened directories
//! 1000000 …   accepted connections
//! ```
//!
//! wasmtime's own `sock_*` functions only say ENOTSOCK or EBADF, so these stand in front of them, and of the
//! functions that take any descriptor. A placeholder directory keeps each listener's number taken in
//! wasmtime's own table.

#![expect(
    clippy::map_err_ignore,
    reason = "WASI tells guests codes and no causes"
)]

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use berth_contract::{Class, Error, Result};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use wasmtime::{Caller, Linker};
use wasmtime_wasi::p1::wasi_snapshot_preview1 as preview1;

use super::memory::{
    AGAIN, BADF, CONNRESET, Errno, INVAL, IO, MFILE, Memory, NOTCONN, NOTSUP, PIPE, SUCCESS, bytes,
    split,
};
use super::{PREVIEW_1, State, paths, poll};

/// The first number of a listener.
pub(super) const FIRST_LISTENER: i32 = 3;
/// The first number of a connection.
const FIRST_CONNECTION: i32 = 1_000_000;
/// How many connections one guest may hold.
const MOST_CONNECTIONS: usize = 10_000;
/// Bytes read or written at once: they are copied, and the copy counts for the guest's limit.
const AT_ONCE: usize = 64 * 1024;
/// `fdflags::nonblock`.
const NONBLOCK: u16 = 4;
/// `filetype::socket_stream`.
const SOCKET_STREAM: u8 = 6;
/// Read, set flags, write, get status, poll, shut down, accept.
const RIGHTS: u64 = 1 << 1 | 1 << 3 | 1 << 6 | 1 << 21 | 1 << 27 | 1 << 28 | 1 << 29;

/// A socket of the guest, in non-blocking mode whatever the guest sees.
pub(super) enum Socket {
    Listener(AsyncFd<TcpListener>, Mode),
    Connection(AsyncFd<TcpStream>, Mode),
}

/// Whether calls of the guest wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Waits,
    Returns,
}

/// All sockets of the guest, by number.
#[derive(Default)]
pub(super) struct Sockets(BTreeMap<i32, Socket>);

#[expect(
    deprecated,
    reason = "the replacement is unsafe; these own their sockets and keep its contract"
)]
fn watched<T: AsRawFd>(socket: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(socket, Interest::READABLE | Interest::WRITABLE)
}

impl Sockets {
    /// Listens on these ports, on all addresses of both families where there are both.
    pub(super) fn listen(ports: &[u16]) -> Result<Self> {
        let mut sockets = BTreeMap::new();
        for (port, number) in ports.iter().zip(FIRST_LISTENER..) {
            let failed = |error: io::Error| {
                Error::new(Class::Conflict, format!("cannot listen on port {port}"))
                    .caused_by(error)
            };
            let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, *port))
                .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)))
                .map_err(failed)?;
            listener.set_nonblocking(true).map_err(failed)?;
            let listener = watched(listener).map_err(failed)?;
            sockets.insert(number, Socket::Listener(listener, Mode::Waits));
        }
        Ok(Self(sockets))
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, number: i32) -> Option<&Socket> {
        self.0.get(&number)
    }

    fn connection(&self, number: i32) -> Result<(&AsyncFd<TcpStream>, Mode), Errno> {
        match self.0.get(&number) {
            Some(Socket::Connection(stream, mode)) => Ok((stream, *mode)),
            Some(Socket::Listener(..)) => Err(NOTCONN),
            None => Err(BADF),
        }
    }

    fn add(&mut self, stream: TcpStream, mode: Mode) -> Result<i32, Errno> {
        if self.0.len() >= MOST_CONNECTIONS {
            return Err(MFILE);
        }
        stream
            .set_nonblocking(true)
            .map_err(|error| errno(&error))?;
        let next = self
            .0
            .last_key_value()
            .map_or(FIRST_CONNECTION, |(last, _)| FIRST_CONNECTION.max(last + 1));
        self.0.insert(
            next,
            Socket::Connection(watched(stream).map_err(|error| errno(&error))?, mode),
        );
        Ok(next)
    }
}

fn errno(error: &io::Error) -> Errno {
    match error.kind() {
        io::ErrorKind::WouldBlock => AGAIN,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => CONNRESET,
        io::ErrorKind::BrokenPipe => PIPE,
        io::ErrorKind::NotConnected => NOTCONN,
        io::ErrorKind::InvalidInput => INVAL,
        io::ErrorKind::Unsupported => NOTSUP,
        _ => IO,
    }
}

fn flattened(result: Result<(), Errno>) -> Errno {
    result.err().unwrap_or(SUCCESS)
}

/// Does `work` now, or when the socket is ready for it if the guest waits.
async fn when_ready<T: AsRawFd, R>(
    socket: &AsyncFd<T>,
    mode: Mode,
    interest: Interest,
    mut work: impl FnMut(&T) -> io::Result<R>,
) -> Result<R, Errno> {
    if mode == Mode::Waits {
        return socket
            .async_io(interest, work)
            .await
            .map_err(|error| errno(&error));
    }
    // Readiness is forgotten when a ready socket would block after all, so that a poll waits; and it may
    // have come unseen while the guest did not wait for anything, so the socket has the last word.
    match socket.try_io(interest, &mut work) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => work(socket.get_ref()),
        result => result,
    }
    .map_err(|error| errno(&error))
}

/// Puts our functions in front of wasmtime's.
pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap_async(PREVIEW_1, "sock_accept", |caller, arguments| {
        Box::new(accept(caller, arguments))
    })?;
    linker.func_wrap_async(PREVIEW_1, "sock_recv", |caller, arguments| {
        Box::new(receive(caller, arguments))
    })?;
    linker.func_wrap_async(PREVIEW_1, "sock_send", |caller, arguments| {
        Box::new(send(caller, arguments))
    })?;
    linker.func_wrap(PREVIEW_1, "sock_shutdown", shutdown)?;
    linker.func_wrap_async(PREVIEW_1, "fd_read", |caller, arguments| {
        Box::new(read(caller, arguments))
    })?;
    linker.func_wrap_async(PREVIEW_1, "fd_write", |caller, arguments| {
        Box::new(write(caller, arguments))
    })?;
    linker.func_wrap_async(PREVIEW_1, "fd_close", |caller, arguments| {
        Box::new(close(caller, arguments))
    })?;
    linker.func_wrap_async(PREVIEW_1, "fd_fdstat_get", |caller, arguments| {
        Box::new(status(caller, arguments))
    })?;
    linker.func_wrap_async(PREVIEW_1, "fd_filestat_get", |caller, arguments| {
        Box::new(file_status(caller, arguments))
    })?;
    linker.func_wrap_async(PREVIEW_1, "fd_renumber", |caller, arguments| {
        Box::new(renumber(caller, arguments))
    })?;
    linker.func_wrap(PREVIEW_1, "fd_fdstat_set_flags", set_flags)?;
    linker.func_wrap(PREVIEW_1, "fd_prestat_get", prestat)?;
    linker.func_wrap_async(PREVIEW_1, "poll_oneoff", |caller, arguments| {
        Box::new(poll::poll(caller, arguments))
    })?;
    Ok(())
}

async fn accept(
    mut caller: Caller<'_, State>,
    arguments: (i32, i32, i32),
) -> wasmtime::Result<Errno> {
    let (number, flags, place) = arguments;
    if caller.data().sockets.get(number).is_none() {
        let (mut memory, state) = split(&mut caller)?;
        return preview1::sock_accept(&mut state.wasi, &mut memory, number, flags, place);
    }
    let accepted = match caller.data().sockets.get(number) {
        Some(Socket::Listener(listener, mode)) => {
            when_ready(listener, *mode, Interest::READABLE, |listener| {
                Ok(listener.accept()?.0)
            })
            .await
        }
        Some(Socket::Connection(..)) => Err(INVAL),
        None => Err(BADF),
    };
    let mode = if flags & i32::from(NONBLOCK) == 0 {
        Mode::Waits
    } else {
        Mode::Returns
    };
    let (mut memory, state) = bytes(&mut caller)?;
    let result = accepted
        .and_then(|stream| state.sockets.add(stream, mode))
        .and_then(|number| memory.put(place.cast_unsigned(), &number.to_le_bytes()));
    Ok(flattened(result))
}

/// Reads into the first of the guest's buffers; the bytes pass through ours because the guest's memory
/// may not be held while it waits.
async fn take(
    caller: &mut Caller<'_, State>,
    number: i32,
    vectors: (i32, i32),
    flags: u16,
) -> wasmtime::Result<Result<usize, Errno>> {
    const PEEK: u16 = 1;
    let (mut memory, _) = bytes(caller)?;
    let span = match memory.first_vector(vectors.0.cast_unsigned(), vectors.1.cast_unsigned()) {
        Ok(span) => span,
        Err(errno) => return Ok(Err(errno)),
    };
    let size = match memory.slice(span) {
        Ok(slice) => slice.len().min(AT_ONCE),
        Err(errno) => return Ok(Err(errno)),
    };
    let mut buffer = vec![0; size];
    let count = match caller.data().sockets.connection(number) {
        Ok((stream, mode)) => {
            when_ready(stream, mode, Interest::READABLE, |mut stream| {
                if flags & PEEK == 0 {
                    stream.read(&mut buffer)
                } else {
                    stream.peek(&mut buffer)
                }
            })
            .await
        }
        Err(errno) => Err(errno),
    };
    let (mut memory, _) = bytes(caller)?;
    Ok(count.and_then(|count| {
        memory.slice(span)?[..count].copy_from_slice(&buffer[..count]);
        Ok(count)
    }))
}

async fn give(
    caller: &mut Caller<'_, State>,
    number: i32,
    vectors: (i32, i32),
) -> wasmtime::Result<Result<usize, Errno>> {
    let (mut memory, _) = bytes(caller)?;
    let content = memory
        .first_vector(vectors.0.cast_unsigned(), vectors.1.cast_unsigned())
        .and_then(|span| memory.slice(span))
        .map(|content| content[..content.len().min(AT_ONCE)].to_vec());
    let content = match content {
        Ok(content) => content,
        Err(errno) => return Ok(Err(errno)),
    };
    Ok(match caller.data().sockets.connection(number) {
        Ok((stream, mode)) => {
            when_ready(stream, mode, Interest::WRITABLE, |mut stream| {
                stream.write(&content)
            })
            .await
        }
        Err(errno) => Err(errno),
    })
}

fn counted(
    caller: &mut Caller<'_, State>,
    count: Result<usize, Errno>,
    place: i32,
) -> wasmtime::Result<Errno> {
    let (mut memory, _) = bytes(caller)?;
    Ok(flattened(count.and_then(|count| {
        let count = u32::try_from(count).map_err(|_| INVAL)?;
        memory.put(place.cast_unsigned(), &count.to_le_bytes())
    })))
}

async fn receive(
    mut caller: Caller<'_, State>,
    arguments: (i32, i32, i32, i32, i32, i32),
) -> wasmtime::Result<Errno> {
    let (number, vectors, count, flags, size_place, flags_place) = arguments;
    if caller.data().sockets.get(number).is_none() {
        let (mut memory, state) = split(&mut caller)?;
        let (wasi, memory) = (&mut state.wasi, &mut memory);
        return preview1::sock_recv(
            wasi,
            memory,
            number,
            vectors,
            count,
            flags,
            size_place,
            flags_place,
        );
    }
    let flags = u16::try_from(flags).unwrap_or_default();
    let taken = take(&mut caller, number, (vectors, count), flags).await?;
    if taken.is_ok() {
        let (mut memory, _) = bytes(&mut caller)?;
        if let Err(errno) = memory.put(flags_place.cast_unsigned(), &0_u16.to_le_bytes()) {
            return Ok(errno);
        }
    }
    counted(&mut caller, taken, size_place)
}

async fn send(
    mut caller: Caller<'_, State>,
    arguments: (i32, i32, i32, i32, i32),
) -> wasmtime::Result<Errno> {
    let (number, vectors, count, flags, size_place) = arguments;
    if caller.data().sockets.get(number).is_none() {
        let (mut memory, state) = split(&mut caller)?;
        let (wasi, memory) = (&mut state.wasi, &mut memory);
        return preview1::sock_send(wasi, memory, number, vectors, count, flags, size_place);
    }
    let given = give(&mut caller, number, (vectors, count)).await?;
    counted(&mut caller, given, size_place)
}

fn shutdown(mut caller: Caller<'_, State>, number: i32, how: i32) -> wasmtime::Result<Errno> {
    if caller.data().sockets.get(number).is_none() {
        let (mut memory, state) = split(&mut caller)?;
        return preview1::sock_shutdown(&mut state.wasi, &mut memory, number, how);
    }
    let how = match how {
        1 => Shutdown::Read,
        2 => Shutdown::Write,
        3 => Shutdown::Both,
        _ => return Ok(INVAL),
    };
    let connection = caller.data().sockets.connection(number);
    Ok(flattened(connection.and_then(|(stream, _)| {
        stream
            .get_ref()
            .shutdown(how)
            .map_err(|error| errno(&error))
    })))
}

async fn read(
    mut caller: Caller<'_, State>,
    arguments: (i32, i32, i32, i32),
) -> wasmtime::Result<Errno> {
    let (number, vectors, count, place) = arguments;
    if caller.data().sockets.get(number).is_none() {
        let (mut memory, state) = split(&mut caller)?;
        return preview1::fd_read(&mut state.wasi, &mut memory, number, vectors, count, place)
            .await;
    }
    let taken = take(&mut caller, number, (vectors, count), 0).await?;
    counted(&mut caller, taken, place)
}

async fn write(
    mut caller: Caller<'_, State>,
    arguments: (i32, i32, i32, i32),
) -> wasmtime::Result<Errno> {
    let (number, vectors, count, place) = arguments;
    if caller.data().sockets.get(number).is_none() {
        let (mut memory, state) = split(&mut caller)?;
        return preview1::fd_write(&mut state.wasi, &mut memory, number, vectors, count, place)
            .await;
    }
    let given = give(&mut caller, number, (vectors, count)).await?;
    counted(&mut caller, given, place)
}

async fn close(mut caller: Caller<'_, State>, (number,): (i32,)) -> wasmtime::Result<Errno> {
    match caller.data_mut().sockets.0.remove(&number) {
        // The placeholder goes with its listener.
        Some(Socket::Connection(..)) => return Ok(SUCCESS),
        Some(Socket::Listener(..)) | None => {}
    }
    paths::close(caller, (number,)).await
}

async fn status(mut caller: Caller<'_, State>, arguments: (i32, i32)) -> wasmtime::Result<Errno> {
    let (number, place) = arguments;
    let mode = match caller.data().sockets.get(number) {
        Some(Socket::Listener(_, mode) | Socket::Connection(_, mode)) => *mode,
        None => {
            let (mut memory, state) = split(&mut caller)?;
            return preview1::fd_fdstat_get(&mut state.wasi, &mut memory, number, place).await;
        }
    };
    let mut text = [0; 24];
    text[0] = SOCKET_STREAM;
    let flags = if mode == Mode::Returns { NONBLOCK } else { 0 };
    text[2..4].copy_from_slice(&flags.to_le_bytes());
    text[8..16].copy_from_slice(&RIGHTS.to_le_bytes());
    text[16..24].copy_from_slice(&RIGHTS.to_le_bytes());
    let (mut memory, _) = bytes(&mut caller)?;
    Ok(flattened(memory.put(place.cast_unsigned(), &text)))
}

/// A socket as a file has a kind and nothing else.
async fn file_status(
    mut caller: Caller<'_, State>,
    (number, place): (i32, i32),
) -> wasmtime::Result<Errno> {
    if caller.data().sockets.get(number).is_none() {
        let (mut memory, state) = split(&mut caller)?;
        return preview1::fd_filestat_get(&mut state.wasi, &mut memory, number, place).await;
    }
    let mut text = [0; 64];
    text[16] = SOCKET_STREAM;
    let (mut memory, _) = bytes(&mut caller)?;
    Ok(flattened(memory.put(place.cast_unsigned(), &text)))
}

/// Sockets and files are in two tables, so that neither can take a number of the other's.
async fn renumber(caller: Caller<'_, State>, (from, to): (i32, i32)) -> wasmtime::Result<Errno> {
    let sockets = &caller.data().sockets;
    if sockets.get(from).is_some() || sockets.get(to).is_some() {
        return Ok(NOTSUP);
    }
    paths::renumber(caller, (from, to)).await
}

fn set_flags(mut caller: Caller<'_, State>, number: i32, flags: i32) -> wasmtime::Result<Errno> {
    let wanted = if flags & i32::from(NONBLOCK) == 0 {
        Mode::Waits
    } else {
        Mode::Returns
    };
    if let Some(Socket::Listener(_, mode) | Socket::Connection(_, mode)) =
        caller.data_mut().sockets.0.get_mut(&number)
    {
        *mode = wanted;
        return Ok(SUCCESS);
    }
    let (mut memory, state) = split(&mut caller)?;
    preview1::fd_fdstat_set_flags(&mut state.wasi, &mut memory, number, flags)
}

/// A listener is no preopened directory, and the search for those goes on behind it: its tag is one that
/// no library knows, and all of them skip.
fn prestat(mut caller: Caller<'_, State>, number: i32, place: i32) -> wasmtime::Result<Errno> {
    const NO_DIRECTORY: u8 = 1;
    if caller.data().sockets.get(number).is_some() {
        let (mut memory, _) = bytes(&mut caller)?;
        return Ok(flattened(
            memory.put(place.cast_unsigned(), &[NO_DIRECTORY, 0, 0, 0, 0, 0, 0, 0]),
        ));
    }
    let (mut memory, state) = split(&mut caller)?;
    preview1::fd_prestat_get(&mut state.wasi, &mut memory, number, place)
}

/// What a poll needs to know about a number that is no socket.
pub(super) fn is_socket(
    memory: &Memory<'_>,
    sockets: &Sockets,
    subscription: u32,
) -> Result<bool, Errno> {
    let [tag] = memory.get(subscription.checked_add(8).ok_or(BADF)?)?;
    if tag == 0 {
        return Ok(false);
    }
    let number = memory.word(subscription.checked_add(16).ok_or(BADF)?)?;
    Ok(sockets.get(number.cast_signed()).is_some())
}
