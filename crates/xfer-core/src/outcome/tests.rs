#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn what_was_verified_is_said_in_words() {
    assert_eq!(Verified::FullObject(Algorithm::Crc64Nvme).to_string(), "full object, CRC64NVME");
    assert_eq!(Verified::EachPart(Algorithm::Sha256).to_string(), "each part, SHA256");
    assert_eq!(Verified::NotAvailable.to_string(), "not available");
}

#[test]
fn json_goes_both_ways() {
    for verified in
        [Verified::FullObject(Algorithm::Crc32c), Verified::EachPart(Algorithm::XxHash128), Verified::NotAvailable]
    {
        let json = serde_json::to_string(&verified).unwrap();
        assert_eq!(serde_json::from_str::<Verified>(&json).unwrap(), verified);
    }
    assert_eq!(serde_json::to_string(&Verified::FullObject(Algorithm::Crc32c)).unwrap(), r#"{"FullObject":"CRC32C"}"#);
}

#[test]
fn an_outcome_claims_nothing_at_first() {
    let outcome = TransferOutcome::of_bytes(9);
    assert_eq!((outcome.bytes, outcome.verified), (9, Verified::NotAvailable));
    assert_eq!((outcome.etag, outcome.version_id, outcome.body), (None, None, None));
    assert_eq!((outcome.attempts, outcome.retries, outcome.elapsed), (0, 0, Duration::ZERO));
}

#[test]
fn what_an_outcome_shows_is_not_the_object() {
    let outcome =
        TransferOutcome { body: Some(Bytes::from_static(b"for your eyes only")), ..TransferOutcome::of_bytes(18) };
    let shown = format!("{outcome:?}");
    assert!(shown.contains("18 bytes") && !shown.contains("eyes"), "{shown}");
}
