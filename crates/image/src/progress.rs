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
    /// A request failed and will be made again.
    Retrying {
        /// Why.
        reason: &'a str,
        /// When.
        wait: Duration,
    },
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
