//! What kind of program a file is.

/// `MH_MAGIC_64`, as it stands in the file of a little-endian machine (`mach-o/loader.h`).
const MAGIC: [u8; 4] = [0xcf, 0xfa, 0xed, 0xfe];

/// `MH_EXECUTE`.
const EXECUTE: [u8; 4] = [2, 0, 0, 0];

/// Whether the file that begins with these bytes is a Mach-O program for the target's processor.
pub(super) fn is_program_for(target: &str, start: &[u8]) -> bool {
    // `CPU_TYPE_ARM64` and `CPU_TYPE_X86_64` (`mach/machine.h`).
    let processor: [u8; 4] = if target.starts_with("aarch64-") { [0x0c, 0, 0, 1] } else { [7, 0, 0, 1] };
    start.starts_with(&MAGIC) && start.get(4..8) == Some(&processor) && start.get(12..16) == Some(&EXECUTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_told_from_one_for_another_processor_and_from_a_library() {
        let header = |processor: u8, kind: u8| [&MAGIC[..], &[processor, 0, 0, 1, 0, 0, 0, 0, kind, 0, 0, 0]].concat();
        assert!(is_program_for("aarch64-apple-darwin", &header(0x0c, 2)));
        assert!(is_program_for("x86_64-apple-darwin", &header(7, 2)));
        assert!(!is_program_for("x86_64-apple-darwin", &header(0x0c, 2)));
        assert!(!is_program_for("aarch64-apple-darwin", &header(0x0c, 6)));
        assert!(!is_program_for("aarch64-apple-darwin", b"\x7fELF"));
    }
}
