//! A registry's answers, held up on their way: what a pull does that stands still.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};

/// Stands before a registry and counts what it sends.
#[derive(Debug)]
pub struct Valve {
    port: u16,
    passed: Arc<AtomicU64>,
    stuck: Receiver<()>,
}

impl Valve {
    /// Lets `limit` bytes pass altogether, says so, and then nothing more; all of them without a limit.
    #[must_use]
    pub fn before(registry: u16, limit: Option<u64>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback connection");
        let port = listener.local_addr().expect("an address").port();
        let passed = Arc::new(AtomicU64::new(0));
        let (sender, stuck) = channel();
        let count = Arc::clone(&passed);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("a loopback connection");
                let server =
                    TcpStream::connect(("127.0.0.1", registry)).expect("a loopback connection");
                let (mut from, mut to) = (
                    client.try_clone().expect("a second file"),
                    server.try_clone().expect("a second file"),
                );
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                let (count, sender) = (Arc::clone(&count), sender.clone());
                std::thread::spawn(move || {
                    let (mut from, mut to) = (server, client);
                    let mut buffer = vec![0; 64 << 10];
                    while let Ok(length @ 1..) = from.read(&mut buffer) {
                        if to.write_all(&buffer[..length]).is_err() {
                            return;
                        }
                        let all = count.fetch_add(length as u64, Ordering::SeqCst);
                        if limit.is_some_and(|limit| all + length as u64 > limit) {
                            // Whoever waits for it may have gone; the connection stays open.
                            sender.send(()).ok();
                            std::thread::park();
                        }
                    }
                });
            }
        });
        Self {
            port,
            passed,
            stuck,
        }
    }

    /// Where it listens, on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many bytes it let pass.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::SeqCst)
    }

    /// Waits until nothing passes any more.
    pub fn wait_until_stuck(&self) {
        self.stuck.recv().expect("a client of the registry");
    }
}

/// Sixteen megabytes that no compression makes smaller (Marsaglia's xorshift).
#[must_use]
pub fn noise() -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(2 << 20).flatten().collect()
}
