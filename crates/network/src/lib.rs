//! A container's links, addresses and ports: set up, answer, tear down.
//!
//! ```text
//!                       host                         ┊            container
//!   nft table           bridge ──── veth ────────────┊──── eth0   172.30.0.2/16, fd…::ac1e:2/64
//!   masquerade, maps    172.30.0.1                   ┊             default route through the bridge
//!   of published ports                               ┊
//!   port sockets ── proxy process (loopback clients) ┊
//! ```
//!
//! Life of one container's network: [`Network::reserve`] before the guest exists (host ports bound,
//! addresses taken, proxy started), [`Reservation::attach`] once its process does, and
//! [`Attachment::detach`] when it has ended. [`Network::release`] does the last for a container whose
//! monitor was lost.
//!
//! ```text
//! DATA/networks/<name>.json          a network's addresses, visible once complete; .lock beside it
//! RUN/ipam/<network>/<address>       symbolic link to the holder's container id: made or refused as a whole
//! RUN/ports/<id>.json                what is in the packet filter for a container
//! ```
//!
//! Links are never removed on stop: that takes 13–35 ms, and the kernel does it by itself when the
//! namespace goes.

#![forbid(unsafe_code)]

mod address;
mod attachment;
mod bridge;
mod definition;
mod firewall;
mod namespace;
mod port;
mod proxy;
mod published;
mod request;
pub mod resolv;
mod site;

pub use attachment::{Attachment, Network, Reservation};
pub use definition::{Description, Subnet};
pub use request::{Attached, Endpoint, Join, Mode, Protocol, Publish, Published, Request};
pub use site::Directories;
