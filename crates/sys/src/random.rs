//! Random bytes from the kernel (`getrandom(2)`).

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// 32 bytes nobody can predict: enough for an id.
///
/// # Errors
/// The kernel's generator cannot be reached; that happens under a foreign seccomp filter only.
pub fn bytes() -> io::Result<[u8; 32]> {
    let mut bytes = [0_u8; 32];
    let mut filled = 0;
    while filled < bytes.len() {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        assert_ne!(bytes().unwrap(), bytes().unwrap());
    }
}
