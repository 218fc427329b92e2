//! A request on its way: as long as bytes of its body leave, it may take any time; standing still ends it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

/// Handed over at once.
const PIECE: u64 = 64 << 10;

/// When a body moved last.
#[derive(Debug, Clone)]
pub(super) struct Pulse(Arc<Mutex<Instant>>);

impl Pulse {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Awaits an answer for as long as the body moves at least once in `patience`; `None` when it does not.
pub(super) async fn watch<T>(
    answer: impl Future<Output = T>,
    pulse: &Pulse,
    patience: Duration,
) -> Option<T> {
    let mut answer = std::pin::pin!(answer);
    loop {
        let limit = pulse.last() + patience;
        match tokio::time::timeout_at(limit, &mut answer).await {
            Ok(answer) => return Some(answer),
            Err(_elapsed) if pulse.last() + patience > limit => {}
            Err(_elapsed) => return None,
        }
    }
}

/// A body that says when it moves.
pub(super) struct Sending {
    source: Source,
    pulse: Pulse,
}

enum Source {
    Bytes(Bytes),
    File { file: File, at: u64, left: u64 },
}

impl Sending {
    pub(super) fn bytes(bytes: Bytes, pulse: &Pulse) -> Self {
        Self {
            source: Source::Bytes(bytes),
            pulse: pulse.clone(),
        }
    }

    /// A file from its beginning.
    pub(super) fn file(file: File, left: u64, pulse: &Pulse) -> Self {
        Self {
            source: Source::File { file, at: 0, left },
            pulse: pulse.clone(),
        }
    }

    fn left(&self) -> u64 {
        match &self.source {
            Source::Bytes(bytes) => bytes.len() as u64,
            Source::File { left, .. } => *left,
        }
    }

    fn piece(&mut self) -> io::Result<Bytes> {
        let length = PIECE.min(self.left());
        let size = usize::try_from(length).unwrap_or(0);
        match &mut self.source {
            Source::Bytes(bytes) => Ok(bytes.split_to(size)),
            Source::File { file, at, left } => {
                let mut piece = vec![0; size];
                file.read_exact_at(&mut piece, *at)?;
                *at += length;
                *left -= length;
                Ok(piece.into())
            }
        }
    }
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.pulse.beat();
        if self.left() == 0 {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(self.piece().map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn a_slow_body_is_waited_for_and_a_still_one_is_not() {
        let patience = Duration::from_millis(100);
        let slow = block_on(async {
            let pulse = Pulse::new();
            let moving = async {
                for _ in 0..8 {
                    tokio::time::sleep(patience / 4).await;
                    pulse.beat();
                }
            };
            watch(moving, &pulse, patience).await
        });
        assert_eq!(slow, Some(()));
        let still =
            block_on(async { watch(std::future::pending::<()>(), &Pulse::new(), patience).await });
        assert_eq!(still, None);
    }

    #[test]
    fn all_bytes_arrive_and_each_piece_is_felt() {
        let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, &content).unwrap();
        let pulse = Pulse::new();
        let before = pulse.last();
        let bodies = [
            Sending::bytes(content.clone().into(), &pulse),
            Sending::file(file, content.len() as u64, &pulse),
        ];
        for body in bodies {
            let sent = block_on(async { body.collect().await.unwrap().to_bytes() });
            assert!(sent == content);
        }
        assert!(pulse.last() > before);
    }
}
