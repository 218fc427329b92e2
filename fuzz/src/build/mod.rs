//! The pure parts of the builder, compiled here so that the engine need not be.
#![allow(dead_code, reason = "only the language is fuzzed, not what carries it out")]

#[path = "../../../crates/host/src/build/adjustments.rs"]
pub mod adjustments;
#[path = "../../../crates/host/src/build/configure.rs"]
pub mod configure;
pub mod copy;
#[path = "../../../crates/host/src/build/dockerfile/mod.rs"]
pub mod dockerfile;
#[path = "../../../crates/host/src/build/ignore/mod.rs"]
pub mod ignore;
#[path = "../../../crates/host/src/build/scope.rs"]
pub mod scope;
#[path = "../../../crates/host/src/build/state.rs"]
pub mod state;
