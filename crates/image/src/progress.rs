//! What a pull or load reports while it works; showing it is the caller's.

use std::time::Duration;

use berth_contract::Digest;

/// Something that happened on the way to an image.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The registry is being asked what the reference means.
    Resolving {
        /// The reference in its familiar form.
        reference: &'a str,
    },
    /// The layers are known; each will end in `LayerDone`.
    Layers {
        /// Digest and size of every layer, bottom first.
        layers: &'a [(Digest, u64)],
    },
    /// More bytes of a layer are here.
    Downloading {
        /// The layer.
        layer: &'a Digest,
        /// Bytes here, including those of an earlier attempt.
        received: u64,
        /// All bytes.
        total: u64,
    },
    /// A layer's bytes are complete; it is still being unpacked.
    Downloaded {
        /// The layer.
        layer: &'a Digest,
    },
    /// A layer is complete.
    LayerDone {
        /// The layer.
        layer: &'a Digest,
        /// Whether it was here before.
        existed: bool,
    },
    /// Another pull is fetching a layer; this one waits for it.
    Waiting {
        /// The layer.
        layer: &'a Digest,
    },
    /// One of the hosts that stand for a registry failed, and the next one is asked.
    NextHost {
        /// The host that failed.
        failed: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// The registry does not answer, and what is here already is used in place of what it may have.
    Stale {
        /// The reference in its familiar form.
        reference: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A registry wants something to be known; it has answered all the same.
    Warned {
        /// The registry.
        registry: &'a str,
        /// What it says.
        text: &'a str,
    },
    /// More bytes of a layer are with the registry.
    Uploading {
        /// The layer.
        layer: &'a Digest,
        /// Bytes the registry has.
        sent: u64,
        /// All bytes.
        total: u64,
    },
    /// A layer is with the registry.
    Pushed {
        /// The layer.
        layer: &'a Digest,
        /// How it came there.
        how: &'a Provided,
    },
    /// A request failed and will be made again.
    Retrying {
        /// Why.
        reason: &'a str,
        /// When.
        wait: Duration,
    },
}

/// How a blob came to be with a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provided {
    /// It was there.
    Existed,
    /// It was there in another repository, this one.
    Mounted(String),
    /// It was sent.
    Uploaded,
}

/// Hears what happens; called from several threads.
pub trait Progress: Sync {
    /// Something happened.
    fn event(&self, event: &Event<'_>);
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _event: &Event<'_>) {}
}
