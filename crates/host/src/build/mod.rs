//! The builder: from a Dockerfile and its context to images.

pub mod dockerfile;
pub mod ignore;
pub mod scope;
