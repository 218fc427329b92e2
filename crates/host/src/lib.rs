//! Every operation of the engine, once: for the `berth` command and for the socket API alike.
//!
//! ```text
//!  CreateRequest ──► engine::create ──► record.json, config.json (OCI), launch.json   (DATA/containers/<id>)
//!                    engine::start  ──► berth-monitor ──► guest
//!                    engine::…      ──► the monitor's socket, or files when nothing runs
//! ```
//!
//! This library neither prints, nor reads the environment, nor exits.

#![forbid(unsafe_code)]

pub mod api;
pub mod build;
pub mod config;
pub mod engine;
pub mod format;
pub mod hello;
pub mod paths;
pub mod records;
pub mod volume;
pub mod zone;

pub use config::{Config, Overrides};
pub use engine::Engine;
