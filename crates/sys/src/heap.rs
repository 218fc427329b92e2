//! Giving memory that is free in this process back to the system.

/// Returns the allocator's free pages to the kernel: for a process that did its allocating at the start
/// and will now wait for a long time. Does nothing where the C library has no such call.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes no pointer and locks the heap itself.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn trimming_leaves_what_is_in_use() {
        let kept = vec![7_u8; 1 << 16];
        drop(vec![1_u8; 1 << 20]);
        super::trim();
        assert!(kept.iter().all(|byte| *byte == 7));
    }
}
