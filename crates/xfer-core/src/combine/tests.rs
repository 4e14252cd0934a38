#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crc_fast::CrcAlgorithm;
use proptest::prelude::*;

use crate::checksum::{Algorithm, Checksum};

const ALL: [(Algorithm, CrcAlgorithm); 3] = [
    (Algorithm::Crc32, CrcAlgorithm::Crc32IsoHdlc),
    (Algorithm::Crc32c, CrcAlgorithm::Crc32Iscsi),
    (Algorithm::Crc64Nvme, CrcAlgorithm::Crc64Nvme),
];

fn number(checksum: &Checksum) -> u64 {
    checksum.value().iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

proptest! {
    #[test]
    fn the_checksum_of_the_whole_follows_from_those_of_its_pieces(
        data in proptest::collection::vec(any::<u8>(), 0..300),
        cut in any::<proptest::sample::Index>(),
    ) {
        let (first, second) = data.split_at(cut.index(data.len() + 1));
        for (algorithm, _) in ALL {
            let (a, b) = (Checksum::of(algorithm, first), Checksum::of(algorithm, second));
            prop_assert_eq!(a.then(&b, second.len() as u64), Some(Checksum::of(algorithm, &data)));
        }
    }

    #[test]
    fn it_agrees_with_the_library_at_any_length(
        seed in any::<u64>(),
        length in prop_oneof![any::<u64>().prop_map(|n| n >> 4), 0..100u64, Just(8 << 20), Just(5 << 30)],
    ) {
        for (algorithm, library) in ALL {
            let (a, b) = (Checksum::of(algorithm, &seed.to_le_bytes()), Checksum::of(algorithm, &seed.to_be_bytes()));
            let expected = crc_fast::checksum_combine(library, number(&a), number(&b), length);
            prop_assert_eq!(number(&a.then(&b, length).unwrap()), expected);
        }
    }
}

#[test]
fn the_greatest_length_is_no_overflow() {
    for (algorithm, _) in ALL {
        let a = Checksum::of(algorithm, b"a");
        assert!(a.then(&a, u64::MAX).is_some());
    }
}
