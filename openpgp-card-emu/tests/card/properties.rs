//! What holds for every input.

use openpgp_card_emu::AlgorithmAttributes;
use openpgp_card_emu::host::{Response, read_public_key};
use proptest::prelude::*;

proptest! {
    #[test]
    fn no_bytes_make_a_host_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        prop_assert_eq!(Response::parse(&bytes).is_some(), bytes.len() >= 2);
        let _ = read_public_key(&bytes);
    }

    #[test]
    fn attributes_that_are_understood_survive_being_written_again(
        algorithm in prop_oneof![Just(1u8), Just(0x12), Just(0x13), Just(0x16), any::<u8>()],
        rest in proptest::collection::vec(any::<u8>(), 0..12),
    ) {
        let mut bytes = vec![algorithm];
        bytes.extend(rest);
        if let Some(attributes) = AlgorithmAttributes::decode(&bytes) {
            prop_assert_eq!(AlgorithmAttributes::decode(&attributes.encode()), Some(attributes));
        }
    }
}
