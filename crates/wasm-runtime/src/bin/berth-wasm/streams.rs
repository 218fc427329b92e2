//! The guest's standard streams: plain reads and writes on files 0, 1 and 2, without threads.
//!
//! Writing goes out at once: what a guest wrote before it was ended is in the log. Reading waits in the
//! event loop where the file allows it; files and `/dev/null` are always ready.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use berth_sys::{fd, pipe};
use bytes::Bytes;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

/// The most that one read takes: what a pipe holds.
const READ_SIZE: usize = 64 * 1024;
/// The most that one write is asked to take.
const WRITE_SIZE: usize = 1 << 20;

/// Standard input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input(());

/// Registered with the event loop when a guest first waits; `None` for files that are always ready.
static WAITING: OnceLock<Option<AsyncFd<OwnedFd>>> = OnceLock::new();

impl Input {
    /// The one standard input of the process.
    pub(crate) fn shared() -> Self {
        Self(())
    }

    #[expect(
        deprecated,
        reason = "the replacement is unsafe; an `OwnedFd` keeps its contract by itself"
    )]
    fn waiting() -> Option<&'static AsyncFd<OwnedFd>> {
        let register = || {
            let own = fd::duplicate(io::stdin()).ok()?;
            AsyncFd::with_interest(own, Interest::READABLE).ok()
        };
        WAITING.get_or_init(register).as_ref()
    }

    /// Nothing is read that would block: the file may be shared, so it stays in blocking mode.
    fn is_ready() -> bool {
        fd::wait_readable(io::stdin().as_fd(), Some(Duration::ZERO)).unwrap_or(true)
    }

    /// Waits until a read would not block.
    pub(crate) fn poll_ready(self, context: &mut Context<'_>) -> Poll<()> {
        let Some(waiting) = Self::waiting() else {
            return Poll::Ready(());
        };
        loop {
            if Self::is_ready() {
                return Poll::Ready(());
            }
            match ready!(waiting.poll_read_ready(context)) {
                Ok(mut guard) => guard.clear_ready(),
                Err(_) => return Poll::Ready(()),
            }
        }
    }
}

impl IsTerminal for Input {
    fn is_terminal(&self) -> bool {
        io::IsTerminal::is_terminal(&io::stdin())
    }
}

impl StdinStream for Input {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(*self)
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(*self)
    }
}

#[async_trait::async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        std::future::poll_fn(|context| self.poll_ready(context)).await;
    }
}

#[async_trait::async_trait]
impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 || !Self::is_ready() {
            return Ok(Bytes::new());
        }
        let mut buffer = vec![0; size.min(READ_SIZE)];
        match pipe::read(io::stdin(), &mut buffer) {
            Ok(0) => Err(StreamError::Closed),
            Ok(count) => {
                buffer.truncate(count);
                Ok(buffer.into())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Bytes::new()),
            Err(error) => Err(failed(error)),
        }
    }
}

impl AsyncRead for Input {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_ready(context));
        let count = pipe::read(io::stdin(), buffer.initialize_unfilled())?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

/// Standard output or standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Output {
    /// File 1.
    Standard,
    /// File 2.
    Error,
}

impl Output {
    fn write_some(self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard => pipe::write(io::stdout(), bytes),
            Self::Error => pipe::write(io::stderr(), bytes),
        }
    }

    fn write_all(self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = self.write_some(bytes)?;
            bytes = &bytes[count..];
        }
        Ok(())
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        match self {
            Self::Standard => io::IsTerminal::is_terminal(&io::stdout()),
            Self::Error => io::IsTerminal::is_terminal(&io::stderr()),
        }
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(*self)
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(*self)
    }
}

#[async_trait::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.write_all(&bytes).map_err(failed)
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_SIZE)
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.write_some(buffer))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A reader that went away is a closed stream, so that C libraries say EPIPE and not EIO.
fn failed(error: io::Error) -> StreamError {
    if error.kind() == io::ErrorKind::BrokenPipe {
        StreamError::Closed
    } else {
        StreamError::LastOperationFailed(error.into())
    }
}
