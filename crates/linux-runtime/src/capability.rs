//! Capabilities as the kernel's bit masks.

use berth_contract::oci::Capabilities;

/// A set as the kernel's bit mask.
pub(crate) fn mask(set: Option<&Capabilities>) -> u64 {
    set.into_iter()
        .flatten()
        .fold(0, |mask, capability| mask | 1 << *capability as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use berth_contract::oci::Capability;

    #[test]
    fn numbers_are_the_kernels() {
        let one = |capability| mask(Some(&[capability].into_iter().collect()));
        assert_eq!(one(Capability::Chown), 1);
        assert_eq!(one(Capability::SysAdmin), 1 << 21);
        assert_eq!(one(Capability::CheckpointRestore), 1 << 40);
        // What Docker's containers show as CapBnd in /proc/self/status.
        assert_eq!(
            mask(Some(&crate::defaults::capabilities())),
            0x0000_0000_a804_25fb
        );
    }
}
