#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

fn hex(checksum: &Checksum) -> String {
    checksum.value().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn algorithms() -> impl Strategy<Value = Algorithm> {
    proptest::sample::select(Algorithm::ALL.to_vec())
}

fn combining() -> impl Strategy<Value = Algorithm> {
    proptest::sample::select(Algorithm::ALL.into_iter().filter(|a| a.combines()).collect::<Vec<_>>())
}

/// The check values of the CRC catalogue (reveng) and of FIPS 180-4. Those of xxHash, here and below, are what Python's `xxhash` 4.1, which
/// wraps the reference implementation (0.8), gives as `xxh64`, `xxh3_64` and `xxh3_128`.
#[test]
fn published_vectors() {
    for (algorithm, bytes, value) in [
        (Algorithm::Crc32, "123456789", "cbf43926"),
        (Algorithm::Crc32c, "123456789", "e3069283"),
        (Algorithm::Crc64Nvme, "123456789", "ae8b14860a799888"),
        (Algorithm::Sha1, "123456789", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
        (Algorithm::Sha1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (Algorithm::Sha256, "123456789", "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
        (Algorithm::Sha256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            Algorithm::Sha512,
            "123456789",
            "d9e6762dd1c8eaf6d61b3c6192fc408d4d6d5f1176d0c29169bc24e71c3f274a\
             d27fcd5811b313d681f7e55ec02d73d499c95455b6b5bb503acf574fba8ffe85",
        ),
        (Algorithm::XxHash64, "123456789", "8cb841db40e6ae83"),
        (Algorithm::XxHash64, "abc", "44bc2cf5ad770999"),
        (Algorithm::XxHash3, "123456789", "72dcb18b67a17dff"),
        (Algorithm::XxHash3, "abc", "78af5f94892f3950"),
        (Algorithm::XxHash128, "123456789", "33119477ede5dcd5e9716427681d5860"),
        (Algorithm::XxHash128, "abc", "06b05ab6733a618578af5f94892f3950"),
    ] {
        assert_eq!(hex(&Checksum::of(algorithm, bytes.as_bytes())), value, "{algorithm} of {bytes}");
    }
}

#[test]
fn vectors_of_nothing() {
    for (algorithm, value) in [
        (Algorithm::Crc32, "00000000"),
        (Algorithm::Crc32c, "00000000"),
        (Algorithm::Crc64Nvme, "0000000000000000"),
        (Algorithm::Sha1, "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        (Algorithm::Sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (
            Algorithm::Sha512,
            "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
             47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
        ),
        (Algorithm::XxHash64, "ef46db3751d8e999"),
        (Algorithm::XxHash3, "2d06800538d394c2"),
        (Algorithm::XxHash128, "99aa06d3014798d86001c324468d497f"),
    ] {
        assert_eq!(hex(&Checksum::of(algorithm, b"")), value, "{algorithm}");
    }
}

/// Longer than the 240 bytes up to which XXH3 takes another way.
#[test]
fn vectors_of_longer_bytes() {
    let bytes: Vec<u8> = (0..5).flat_map(|_| 0..251).collect();
    for (algorithm, value) in [
        (Algorithm::XxHash64, "8abc0ca97811a7d2"),
        (Algorithm::XxHash3, "acaa4ac9c85b4031"),
        (Algorithm::XxHash128, "a939d5319378d3c4acaa4ac9c85b4031"),
    ] {
        assert_eq!(hex(&Checksum::of(algorithm, &bytes)), value, "{algorithm}");
    }
}

#[test]
fn names_and_headers() {
    let mut headers = HashSet::new();
    for algorithm in Algorithm::ALL {
        let name = algorithm.name();
        assert_eq!(name.parse(), Ok(algorithm));
        assert_eq!(name.to_lowercase().parse(), Ok(algorithm));
        assert_eq!(algorithm.to_string(), name);
        assert_eq!(algorithm.header(), format!("x-amz-checksum-{}", name.to_lowercase()));
        assert_eq!(serde_json::to_string(&algorithm).unwrap(), format!("{name:?}"));
        assert_eq!(serde_json::from_str::<Algorithm>(&format!("{name:?}")).unwrap(), algorithm);
        assert!(headers.insert(algorithm.header()));
    }
    for unknown in ["", "MD5", "CRC64", "CRC32 ", "SHA-256"] {
        let error = unknown.parse::<Algorithm>().unwrap_err();
        assert_eq!(error.to_string(), format!("unknown checksum algorithm {unknown:?}"));
    }
    for kind in [ChecksumKind::FullObject, ChecksumKind::Composite] {
        assert_eq!(serde_json::to_string(&kind).unwrap(), format!("{:?}", kind.name()));
    }
}

#[test]
fn lists_of_algorithms_have_each_once() {
    let all: HashSet<Algorithm> = Algorithm::ALL.into_iter().collect();
    let preferred: HashSet<Algorithm> = Algorithm::BY_PREFERENCE.into_iter().collect();
    assert_eq!(all.len(), Algorithm::ALL.len());
    assert_eq!(all, preferred);
}

#[test]
fn only_crcs_combine() {
    let combining: Vec<Algorithm> = Algorithm::ALL.into_iter().filter(|algorithm| algorithm.combines()).collect();
    assert_eq!(combining, [Algorithm::Crc32c, Algorithm::Crc32, Algorithm::Crc64Nvme]);
    for algorithm in Algorithm::ALL {
        let (a, b) = (Checksum::of(algorithm, b"a"), Checksum::of(algorithm, b"b"));
        assert_eq!(a.then(&b, 1).is_some(), algorithm.combines(), "{algorithm}");
    }
    let (crc32, crc32c) = (Checksum::of(Algorithm::Crc32, b"a"), Checksum::of(Algorithm::Crc32c, b"b"));
    assert_eq!(crc32.then(&crc32c, 1), None);
}

#[test]
fn what_a_multipart_object_gets() {
    for algorithm in Algorithm::ALL {
        let expected =
            if algorithm == Algorithm::Crc64Nvme { ChecksumKind::FullObject } else { ChecksumKind::Composite };
        assert_eq!(algorithm.default_kind(), expected);
    }
}

#[test]
fn texts_that_are_no_values() {
    for text in ["", "y/Q5Jg", "y/Q5Jg==-3", "y/Q5Jgo=", "y_Q5Jg==", "cbf43926", "=", "y/Q5Jg==,y/Q5Jg=="] {
        assert_eq!(Checksum::from_base64(Algorithm::Crc32, text), None, "{text}");
    }
    let crc32 = Checksum::of(Algorithm::Crc32, b"123456789");
    assert_eq!(Checksum::from_base64(Algorithm::Crc32, " y/Q5Jg== "), Some(crc32.clone()));
    assert_eq!(Checksum::from_base64(Algorithm::Crc64Nvme, "y/Q5Jg=="), None);
    // Four bytes either way, and yet not the same checksum.
    assert_ne!(Checksum::from_base64(Algorithm::Crc32c, "y/Q5Jg=="), Some(crc32));
}

#[test]
fn a_value_shows_its_algorithm() {
    let checksum = Checksum::of(Algorithm::Crc32, b"123456789");
    assert_eq!(format!("{checksum:?}"), "CRC32:y/Q5Jg==");
    assert_eq!(checksum.to_string(), "CRC32 y/Q5Jg==");
    assert_eq!(format!("{:?}", Hasher::new(Algorithm::Sha1)), "Hasher { algorithm: Sha1, .. }");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pieces_do_not_matter(
        algorithm in algorithms(),
        bytes in proptest::collection::vec(any::<u8>(), 0..2_000),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let mut hasher = Hasher::new(algorithm);
        let mut from = 0;
        for cut in cuts.into_iter().chain([bytes.len()]) {
            hasher.update(&bytes[from..cut]);
            from = cut;
        }
        prop_assert_eq!(hasher.algorithm(), algorithm);
        prop_assert_eq!(hasher.finish(), Checksum::of(algorithm, &bytes));
    }

    #[test]
    fn a_clone_is_a_state_to_return_to(
        algorithm in algorithms(),
        kept in proptest::collection::vec(any::<u8>(), 0..600),
        lost in proptest::collection::vec(any::<u8>(), 0..600),
        next in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(&kept);
        let mut resumed = hasher.clone();
        hasher.update(&lost);
        let broken = hasher.finish();
        resumed.update(&next);
        prop_assert_eq!(resumed.finish(), Checksum::of(algorithm, &[kept.clone(), next].concat()));
        prop_assert_eq!(broken, Checksum::of(algorithm, &[kept, lost].concat()));
        prop_assert_eq!(hasher.finish(), hasher.finish());
    }

    #[test]
    fn the_whole_follows_from_the_parts(
        algorithm in combining(),
        parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..6),
    ) {
        let mut whole = Checksum::of(algorithm, b"");
        for part in &parts {
            whole = whole.then(&Checksum::of(algorithm, part), part.len() as u64).unwrap();
        }
        prop_assert_eq!(whole, Checksum::of(algorithm, &parts.concat()));
    }

    #[test]
    fn it_does_not_matter_which_parts_are_joined_first(
        algorithm in combining(),
        a in proptest::collection::vec(any::<u8>(), 0..300),
        b in proptest::collection::vec(any::<u8>(), 0..300),
        c in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let of = |bytes: &[u8]| Checksum::of(algorithm, bytes);
        let (b_length, c_length) = (b.len() as u64, c.len() as u64);
        let left = of(&a).then(&of(&b), b_length).unwrap().then(&of(&c), c_length).unwrap();
        let right = of(&a).then(&of(&b).then(&of(&c), c_length).unwrap(), b_length + c_length).unwrap();
        prop_assert_eq!(left, right);
    }

    #[test]
    fn nothing_changes_nothing(algorithm in combining(), bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (empty, some) = (Checksum::of(algorithm, b""), Checksum::of(algorithm, &bytes));
        prop_assert_eq!(some.then(&empty, 0).unwrap(), some.clone());
        prop_assert_eq!(empty.then(&some, bytes.len() as u64).unwrap(), some);
    }

    #[test]
    fn values_survive_a_header(algorithm in algorithms(), bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let checksum = Checksum::of(algorithm, &bytes);
        prop_assert_eq!(checksum.value().len(), algorithm.len());
        prop_assert_eq!(checksum.algorithm(), algorithm);
        prop_assert_eq!(Checksum::from_base64(algorithm, &checksum.to_base64()), Some(checksum));
    }

    #[test]
    fn no_header_crashes_the_reader(algorithm in algorithms(), text: String) {
        if let Some(checksum) = Checksum::from_base64(algorithm, &text) {
            prop_assert_eq!(checksum.to_base64(), text.trim());
        }
    }

    #[test]
    fn one_changed_bit_is_noticed(
        algorithm in algorithms(),
        bytes in proptest::collection::vec(any::<u8>(), 1..300),
        at: prop::sample::Index,
        bit in 0..8_u8,
    ) {
        let mut broken = bytes.clone();
        let at = at.index(bytes.len());
        broken[at] ^= 1 << bit;
        prop_assert_ne!(Checksum::of(algorithm, &bytes), Checksum::of(algorithm, &broken));
    }
}
