#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

/// The variants of `ErrorKind` as the source has them, so that nobody can add one and forget the list.
fn variants() -> Vec<&'static str> {
    let source = include_str!("../error.rs");
    let (_, body) = source.split_once("pub enum ErrorKind {").expect("the enum is in this file");
    let (body, _) = body.split_once("\n}").expect("the enum ends");
    body.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//"))
        .filter_map(|line| line.strip_suffix(','))
        .collect()
}

fn kinds() -> impl Strategy<Value = ErrorKind> {
    proptest::sample::select(ErrorKind::ALL)
}

#[test]
fn the_list_of_kinds_is_complete() {
    let listed: Vec<String> = ErrorKind::ALL.iter().map(|kind| format!("{kind:?}")).collect();
    assert_eq!(listed, variants());
}

#[test]
fn each_kind_has_its_class() {
    use ErrorKind as K;
    let classes = [
        (
            RetryClass::Transient,
            &[K::Dns, K::Connect, K::RequestTimeout, K::ConnectionLost, K::Protocol, K::ChecksumMismatch, K::Internal]
                [..],
        ),
        (RetryClass::Throttling, &[K::Throttled]),
        (RetryClass::Server, &[K::ServiceUnavailable]),
        (RetryClass::RefreshCredentials, &[K::ExpiredCredentials]),
        (RetryClass::FollowRegion, &[K::WrongRegion]),
        (RetryClass::ChangeChecksum, &[K::ChecksumUnsupported]),
        (RetryClass::CorrectClock, &[K::ClockSkew]),
    ];
    for kind in ErrorKind::ALL {
        let expected =
            classes.iter().find(|(_, kinds)| kinds.contains(kind)).map_or(RetryClass::Never, |(class, _)| *class);
        assert_eq!(kind.retry_class(), expected, "{kind:?}");
        assert_eq!(Error::new(*kind, "").retry_class(), expected);
    }
}

#[test]
fn what_the_caller_decided_is_never_tried_again() {
    use ErrorKind as K;
    for kind in
        [K::InvalidArgument, K::InvalidConfig, K::Cancelled, K::ShutDown, K::AccessDenied, K::PreconditionFailed]
    {
        assert_eq!(kind.retry_class(), RetryClass::Never, "{kind:?}");
    }
}

#[test]
fn summaries_tell_the_kinds_apart() {
    let summaries: HashSet<&str> = ErrorKind::ALL.iter().map(|kind| kind.summary()).collect();
    assert_eq!(summaries.len(), ErrorKind::ALL.len());
    for summary in summaries {
        assert!(!summary.is_empty() && !summary.ends_with('.') && summary.is_ascii(), "{summary}");
    }
}

#[test]
fn all_that_is_known_is_shown() {
    let answer = ServiceAnswer {
        status: 403,
        code: "AccessDenied".to_owned(),
        message: "Access Denied".to_owned(),
        request_id: Some("4442587FB7D0A2F9".to_owned()),
        extended_request_id: Some(
            "vlR7PnpV2Ce81l0PRw6jlUpck7Jo5ZsQjryTjKlc5aLWGVHPZLj5NeC6qMa0emYBDXOo6QBU0Wo".to_owned(),
        ),
        region: Some("eu-west-1".to_owned()),
        retry_after: None,
    };
    let error = Error::new(ErrorKind::AccessDenied, "no permission")
        .with_service(answer.clone())
        .in_object("photos", "2024/a.jpg")
        .in_operation("UploadPart")
        .in_part(PartNumber::new(7).unwrap())
        .in_file("/home/me/a.jpg")
        .after_attempts(3);
    let text = "access denied: no permission [HTTP 403 AccessDenied: Access Denied; request id 4442587FB7D0A2F9] \
                (UploadPart, s3://photos/2024/a.jpg, part 7, /home/me/a.jpg, after 3 attempts)";
    assert_eq!(error.to_string(), text);
    assert_eq!(format!("{error:?}"), format!("Error {{ kind: AccessDenied, {text} }}"));
    assert_eq!((error.kind(), error.message(), error.attempts()), (ErrorKind::AccessDenied, "no permission", 3));
    assert_eq!(error.service(), Some(&answer));
    assert_eq!(error.at().operation, Some("UploadPart"));
    assert_eq!(error.at().bucket.as_deref(), Some("photos"));
    assert_eq!(error.at().key.as_deref(), Some("2024/a.jpg"));
    assert_eq!(error.at().part.map(PartNumber::get), Some(7));
    assert_eq!(error.at().path.as_deref(), Some(std::path::Path::new("/home/me/a.jpg")));
}

#[test]
fn what_is_not_known_is_left_out() {
    assert_eq!(Error::new(ErrorKind::Dns, "").to_string(), "cannot resolve the host name");
    assert_eq!(Error::new(ErrorKind::Dns, "").after_attempts(1).to_string(), "cannot resolve the host name");
    let bare = ServiceAnswer { status: 500, ..ServiceAnswer::default() };
    assert_eq!(
        Error::new(ErrorKind::ServiceUnavailable, "").with_service(bare).to_string(),
        "the store failed [HTTP 500]"
    );
    assert_eq!(Error::internal("a lane is gone").kind(), ErrorKind::Internal);
    assert_eq!(Error::internal("a lane is gone").at(), &Place::default());
}

#[test]
fn a_clone_shares_and_a_change_does_not() {
    let first = Error::new(ErrorKind::Connect, "refused").with_source(std::io::Error::other("os error 111"));
    let second = first.clone().as_kind(ErrorKind::Tls).in_operation("GetObject");
    assert_eq!((first.kind(), second.kind()), (ErrorKind::Connect, ErrorKind::Tls));
    assert_eq!((first.at().operation, second.at().operation), (None, Some("GetObject")));
    let source = |error: &Error| StdError::source(error).map(ToString::to_string);
    assert_eq!(source(&first).as_deref(), Some("os error 111"));
    assert_eq!(source(&first), source(&second));
    assert!(StdError::source(&Error::internal("x")).is_none());
}

#[test]
fn errors_travel_between_threads() {
    fn travels<T: Send + Sync + 'static>() {}
    travels::<Error>();
}

proptest! {
    #[test]
    fn display_says_the_summary_and_the_message(kind in kinds(), message in "\\PC{0,20}", attempts: u32) {
        let error = Error::new(kind, message.as_str()).after_attempts(attempts);
        let text = error.to_string();
        prop_assert!(!text.is_empty());
        prop_assert!(text.starts_with(kind.summary()));
        prop_assert!(text.contains(&message));
        prop_assert_eq!(error.message(), message);
    }
}
