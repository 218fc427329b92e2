//! Building images with the real program: what a Dockerfile says is what an image holds.

#![expect(clippy::unwrap_used, reason = "a failing step fails the test")]

mod adjustments;
mod cache;
mod caches;
mod contexts;
mod copy;
mod corpus;
mod dockerfiles;
mod failures;
mod frontend;
mod idioms;
mod killed;
mod outputs;
mod project;
mod pulling;
mod rebuilt_stages;
mod remote_cache;
mod repositories;
mod run;
mod safety;
mod shell;
mod stages;
mod terminal;
mod tree;
mod wasm;
