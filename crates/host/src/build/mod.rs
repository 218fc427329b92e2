//! The builder: from a Dockerfile and its context to images.
//!
//! ```text
//!  BuildRequest ─► dockerfile: what it says ─► builder: the stages as a graph, independent ones at once
//!                                                  │ stage_builder: one instruction after the other
//!                       configure: the config ◄────┼────► copy_step, copy: files ─┐
//!                                                  └────► run_step, run: a container over the layers
//!                                          cache: known already? ◄───────────────┤
//!  image store ◄── output: config, manifest, index, names ◄──────── layers ◄─────┘
//! ```

mod adjustments;
mod agent;
mod annotations;
mod builder;
mod cache;
mod cache_mount;
mod checks;
mod configure;
mod contexts;
mod copy;
mod copy_step;
mod deletion;
pub mod dockerfile;
mod graph;
pub mod ignore;
mod jobs;
mod layers;
mod memory;
mod output;
mod prune;
mod remote;
mod remote_cache;
mod report;
mod repository;
mod request;
mod run;
mod run_caches;
mod run_mounts;
mod run_step;
pub mod scope;
mod shell;
mod stage_builder;
mod state;
mod stubs;
mod time;

pub use adjustments::Adjustments;
pub use annotations::{Annotation, Annotations};
pub use builder::Built;
pub use cache::{BuildCache, CachedStep};
pub use cache_mount::CacheMount;
pub use checks::check_directive_of;
pub use contexts::{LINK_OUT_OF_CONTEXT, is_link};
pub use prune::{CacheEntry, CachePruning};
pub use remote::is_remote;
pub use remote_cache::{CacheExport, CachePlace};
pub use report::{Event, Quiet, Report};
pub use repository::{check_out, is_repository};
pub use request::{
    BuildRequest, Cancel, Destination, NamedContext, NoCache, OnFailure, Output, Secret, Squash,
};
pub use shell::FailedPlace;
pub use time::epoch_of;
