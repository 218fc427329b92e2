//! The Docker Engine API's vocabulary: the CLI, the records on disk and the socket API share it.

pub mod types;
