//! A program that stands for a project of its language.

fn main() { println!("x"); }
