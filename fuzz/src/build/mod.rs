//! The pure parts of the builder, compiled here so that the engine need not be.

#[path = "../../../crates/host/src/build/dockerfile/mod.rs"]
pub mod dockerfile;
#[path = "../../../crates/host/src/build/ignore/mod.rs"]
pub mod ignore;
#[path = "../../../crates/host/src/build/scope.rs"]
pub mod scope;
