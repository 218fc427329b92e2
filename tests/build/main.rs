//! Building images with the real program: what a Dockerfile says is what an image holds.

#![expect(clippy::unwrap_used, reason = "a failing step fails the test")]

mod cache;
mod contexts;
mod copy;
mod corpus;
mod failures;
mod idioms;
mod killed;
mod outputs;
mod project;
mod remote_cache;
mod repositories;
mod run;
mod safety;
mod stages;
mod tree;
mod wasm;
