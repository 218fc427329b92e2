//! The executor.

fn main() {}
