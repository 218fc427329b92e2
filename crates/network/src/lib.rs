//! A container's links, addresses and ports: set up, answer, tear down.

#![forbid(unsafe_code)]

mod request;

pub use request::{Attached, Endpoint, Join, Mode, Protocol, Publish, Published, Request};
