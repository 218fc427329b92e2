//! A pull that is interrupted or killed goes on where it stopped.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};

use berth_testkit::{ImageArchive, Layer, Sandbox, available};

use crate::registry::Registry;

/// So much of the layer passes at first, more than the kernel's buffers hold; then it stands still.
const LIMIT: u64 = 12 << 20;

/// Stands before a registry and counts what it sends.
struct Valve {
    port: u16,
    passed: Arc<AtomicU64>,
    stuck: Receiver<()>,
}

impl Valve {
    /// Lets `limit` bytes pass altogether, says so, and then nothing more; all of them without a limit.
    fn before(registry: u16, limit: Option<u64>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let passed = Arc::new(AtomicU64::new(0));
        let (sender, stuck) = channel();
        let count = Arc::clone(&passed);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let server = TcpStream::connect(("127.0.0.1", registry)).unwrap();
                let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
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
}

/// Sixteen megabytes that no compression makes smaller (Marsaglia's xorshift).
fn noise() -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(2 << 20).flatten().collect()
}

#[test]
fn a_pull_goes_on_where_it_was_killed() {
    let test = "a_pull_goes_on_where_it_was_killed";
    if !available(test, "docker-registry") || !available(test, "skopeo") {
        return;
    }
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox);
    let noise = noise();
    let layer = Layer::new().file("noise", 0o644, &noise).finish();
    let config = serde_json::json!({});
    let image = ImageArchive::new("noise", ("linux", "amd64"), &config, &layer);
    registry.push(&sandbox, &image, "noise:1");

    for signal in ["KILL", "INT"] {
        let data = sandbox.path().join(signal);
        let root = data.to_str().unwrap();
        let first = Valve::before(registry.port, Some(LIMIT));
        let name = format!("127.0.0.1:{}/noise:1", first.port);
        let pull = sandbox.start(&["--root", root, "pull", "--quiet", &name]);
        first.stuck.recv().unwrap();
        pull.signal(signal);
        drop(pull.finish());
        let kept: u64 = std::fs::read_dir(data.join("ingest"))
            .unwrap()
            .filter_map(|entry| entry.ok()?.metadata().ok())
            .filter(|metadata| metadata.is_file())
            .map(|metadata| metadata.len())
            .sum();
        assert!(kept > 0, "{kept} bytes were kept after {signal}");
        let second = Valve::before(registry.port, None);
        let name = format!("127.0.0.1:{}/noise:1", second.port);
        sandbox
            .berth(&["--root", root, "pull", "--quiet", &name])
            .success();
        let passed = second.passed.load(Ordering::SeqCst);
        let whole = noise.len() as u64 + (100 << 10);
        assert!(
            passed + kept < whole * 105 / 100,
            "{passed} more after {kept} ({signal})"
        );
    }
}
