//! Connections on which nothing happens: a client that says nothing, or takes nothing of what it asked for.
//!
//! hyper times the headers of a request once it knows the version of HTTP, and nothing else; there are only so
//! many connections, and who holds them in silence would keep everybody else out.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// As long as the words that HTTP/2 begins with: what tells the versions apart.
const BEGINNING: usize = 24;

/// How long a client that was answered may go on sending what nobody wants: were the connection closed before
/// it has read the answer, what it sends would be refused, and the answer be lost with that.
const LINGER: Duration = Duration::from_secs(1);

/// A time that may pass while nothing moves.
#[derive(Debug)]
struct Limit {
    patience: Duration,
    until: Pin<Box<Sleep>>,
    runs: bool,
}

impl Limit {
    fn new(patience: Duration) -> Self {
        Self {
            patience,
            until: Box::pin(sleep(patience)),
            runs: false,
        }
    }

    /// Lets time pass for what is pending, and anew for what comes after something came.
    fn watch<T>(&mut self, context: &mut Context<'_>, what: Poll<T>) -> Result<Poll<T>, io::Error> {
        if what.is_ready() {
            self.runs = false;
            return Ok(what);
        }
        if !std::mem::replace(&mut self.runs, true) {
            self.until.as_mut().reset(Instant::now() + self.patience);
        }
        self.passed(context).map(|()| what)
    }

    fn passed(&mut self, context: &mut Context<'_>) -> Result<(), io::Error> {
        match self.until.as_mut().poll(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// A connection that ends when its client does not begin, or takes nothing.
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    beginning: Limit,
    taking: Limit,
    heard: usize,
    ended: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        Self {
            stream,
            beginning: Limit::new(patience),
            taking: Limit::new(patience),
            heard: 0,
            ended: None,
        }
    }

    fn taken<T>(
        &mut self,
        context: &mut Context<'_>,
        how: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        // Who is answered has begun.
        self.heard = BEGINNING;
        let watched = self.taking.watch(context, how);
        watched.unwrap_or_else(|late| Poll::Ready(Err(late)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.heard += buffer.filled().len() - before;
        // All of the beginning has one time, however slowly it drips.
        if read.is_pending()
            && self.heard < BEGINNING
            && let Err(late) = self.beginning.passed(context)
        {
            return Poll::Ready(Err(late));
        }
        read
    }
}

impl<S: AsyncRead + Unpin> Patient<S> {
    /// Reads what still comes, for a while, from a client that was told that this is the end.
    fn linger(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let until = self.ended.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        let mut space = [MaybeUninit::uninit(); 8192];
        while until.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::uninit(&mut space);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                // It has closed its side as well, or is gone.
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let how = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.taken(context, how)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let how = Pin::new(&mut self.stream).poll_flush(context);
        match how.is_ready() {
            // Nothing may have been written: that is no answer.
            true => how,
            false => self.taken(context, how),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ended.is_none() {
            let how = Pin::new(&mut self.stream).poll_shutdown(context);
            ready!(self.taken(context, how))?;
        }
        self.linger(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let how = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.taken(context, how)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// The body of a request, given up when nothing of it comes any more.
#[derive(Debug)]
pub(super) struct Sent {
    body: Incoming,
    coming: Limit,
}

impl Sent {
    pub(super) fn new(body: Incoming, patience: Duration) -> Self {
        Self {
            body,
            coming: Limit::new(patience),
        }
    }
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let next = Pin::new(&mut self.body).poll_frame(context);
        match self.coming.watch(context, next) {
            Ok(next) => next.map(|next| next.map(|frame| frame.map_err(io::Error::other))),
            Err(late) => Poll::Ready(Some(Err(late))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[test]
    fn only_silence_and_taking_nothing_end_a_connection() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let patience = Duration::from_millis(50);
        runtime.block_on(async {
            let (near, mut far) = duplex(64);
            let mut patient = Patient::new(near, patience);
            far.write_all(b"PRI * HTTP").await.unwrap();
            let silent = patient.read_to_end(&mut Vec::new()).await.unwrap_err();
            assert_eq!(silent.kind(), io::ErrorKind::TimedOut);

            let (near, mut far) = duplex(64);
            let mut patient = Patient::new(near, patience);
            far.write_all(&[b'x'; BEGINNING]).await.unwrap();
            patient.read_exact(&mut [0; BEGINNING]).await.unwrap();
            let late = tokio::time::timeout(4 * patience, patient.read_u8()).await;
            assert!(
                late.is_err(),
                "who has begun may think about what to ask next"
            );
            let taken = patient.write_all(&[b'x'; 65]).await.unwrap_err();
            assert_eq!(taken.kind(), io::ErrorKind::TimedOut);
        });
    }

    #[test]
    fn what_comes_after_the_end_is_taken_until_the_client_has_ended_too() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (near, mut far) = duplex(64);
            let mut patient = Patient::new(near, Duration::from_secs(60));
            let client = async {
                // It was told of the end, and is not through yet.
                assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
                far.write_all(&[b'x'; 100_000]).await.unwrap();
                drop(far);
            };
            tokio::join!(client, async { patient.shutdown().await.unwrap() });

            let (near, _far) = duplex(64);
            let mut patient = Patient::new(near, Duration::from_secs(60));
            let begun = Instant::now();
            patient.shutdown().await.unwrap();
            assert!(
                begun.elapsed() >= LINGER,
                "nor is it waited for without end"
            );
        });
    }
}
