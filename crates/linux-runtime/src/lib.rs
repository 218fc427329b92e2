//! linux-runtime
