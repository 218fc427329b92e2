//! How listings look: Go templates, tables, sizes and durations as Docker prints them, filters.
//!
//! Everything here is pure: JSON values and text in, text out. Who prints it is the caller's matter.

pub mod filter;
pub mod human;
pub mod listing;
pub mod table;
pub mod template;
pub mod time;

pub use filter::Filters;
pub use listing::{Column, Layout};
pub use template::{Record, Template, TemplateError};
