#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn unset_is_the_clients() {
    let config = TransferConfig::new();
    config.validate().unwrap();
    assert_eq!(config.multipart_chunksize, None);
    assert_eq!(config.max_request_concurrency, None);
    assert_eq!(config.multipart_threshold, None);
    assert_eq!(config.progress_interval, None);
}

#[test]
fn what_is_set_is_there() {
    let config = TransferConfig::new()
        .multipart_chunksize(1)
        .multipart_threshold(2)
        .max_request_concurrency(3)
        .progress_interval(Duration::from_nanos(4));
    config.validate().unwrap();
    assert_eq!(config.multipart_chunksize, Some(1));
    assert_eq!(config.multipart_threshold, Some(2));
    assert_eq!(config.max_request_concurrency, Some(3));
    assert_eq!(config.progress_interval, Some(Duration::from_nanos(4)));
}

#[test]
fn nothing_may_be_zero() {
    let new = TransferConfig::new;
    for (config, name) in [
        (new().multipart_chunksize(0), "multipart_chunksize"),
        (new().multipart_threshold(0), "multipart_threshold"),
        (new().max_request_concurrency(0), "max_request_concurrency"),
        (new().progress_interval(Duration::ZERO), "progress_interval"),
    ] {
        let error = config.validate().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert_eq!(error.message(), format!("Provided parameter {name} of value 0 must be greater than 0."));
    }
}
