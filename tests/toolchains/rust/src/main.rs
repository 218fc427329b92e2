//! A Rust guest: arguments, environment, files, time, and a status of its own.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    println!("rust got {arguments:?}");
    println!("GREETING={}", std::env::var("GREETING").unwrap_or_default());
    std::fs::create_dir_all("/data/from-rust")?;
    std::fs::File::create("/data/from-rust/file")?.write_all(b"rust was here")?;
    println!("read back: {}", std::fs::read_to_string("/data/from-rust/file")?);
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    println!("clock runs: {}", elapsed.is_ok_and(|time| time.as_secs() > 1_600_000_000));
    std::process::exit(if arguments.first().is_some_and(|first| first == "fail") { 1 } else { 0 });
}
