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
        (RetryClass::Throttling, &[K::Throttled, K::TooManyOpenFiles]),
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
                (UploadPart, s3://photos/2024/a.jpg, part 7, /home/me/a.jpg, after 3 attempts); \
                check the credentials and what they permit";
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
    assert_eq!(Error::new(ErrorKind::Cancelled, "").to_string(), "the transfer was cancelled");
    assert_eq!(Error::new(ErrorKind::Cancelled, "").after_attempts(1).to_string(), "the transfer was cancelled");
    let bare = ServiceAnswer { status: 500, ..ServiceAnswer::default() };
    assert_eq!(
        Error::new(ErrorKind::ServiceUnavailable, "").with_service(bare).to_string(),
        "the store failed [HTTP 500]; try again later"
    );
    let digits = ServiceAnswer { status: 405, code: "405".to_owned(), ..ServiceAnswer::default() };
    assert_eq!(
        Error::new(ErrorKind::Rejected, "").with_service(digits).to_string(),
        "the store refused the request [HTTP 405]"
    );
    assert_eq!(Error::internal("a lane is gone").kind(), ErrorKind::Internal);
    assert_eq!(Error::internal("a lane is gone").at(), &Place::default());
}

#[test]
fn nobodys_key_forges_a_line_of_a_log() {
    let answer = ServiceAnswer {
        status: 404,
        code: "No\u{7}".to_owned(),
        message: "gone\r\nERROR root: all is lost".to_owned(),
        request_id: Some("\u{1b}[2J".to_owned()),
        ..ServiceAnswer::default()
    };
    let error = Error::new(ErrorKind::NoSuchKey, "first\nsecond")
        .with_service(answer)
        .in_object("b", "a\n2026-01-01 ERROR \u{202e}txt.exe\u{2028}é\u{85}")
        .in_file("/tmp/\u{1b}]0;title\u{7}");
    let text = "no such object: first\\nsecond [HTTP 404 No\\u{7}: gone\\r\\nERROR root: all is lost; request id \\u{1b}[2J] \
                (s3://b/a\\n2026-01-01 ERROR \\u{202e}txt.exe\\u{2028}é\\u{85}, /tmp/\\u{1b}]0;title\\u{7}); check the bucket and the key";
    assert_eq!(error.to_string(), text);
    assert_eq!(format!("{error:?}"), format!("Error {{ kind: NoSuchKey, {text} }}"));
    assert_eq!(error.message(), "first\nsecond", "the parts are as they were given");
}

#[test]
fn the_region_is_told_to_who_is_in_another() {
    let answer = ServiceAnswer { status: 301, region: Some("eu-west-1".to_owned()), ..ServiceAnswer::default() };
    let told = |kind| Error::new(kind, "").with_service(answer.clone()).to_string();
    let text = "the bucket is in another region [HTTP 301; region eu-west-1]; make the client for the bucket's region";
    assert_eq!(told(ErrorKind::WrongRegion), text);
    assert!(!told(ErrorKind::NoSuchKey).contains("eu-west-1"));
}

#[test]
fn advice_is_words_for_the_end_of_a_line() {
    for kind in ErrorKind::ALL {
        if let Some(advice) = kind.advice() {
            assert!(!advice.is_empty() && !advice.ends_with('.') && advice.is_ascii(), "{kind:?}: {advice}");
            assert!(Error::new(*kind, "x").to_string().ends_with(&format!("; {advice}")), "{kind:?}");
        }
    }
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
    fn display_says_the_summary_and_the_message(kind in kinds(), message in "(?s).{0,20}", attempts: u32) {
        let error = Error::new(kind, message.as_str()).after_attempts(attempts);
        let text = error.to_string();
        prop_assert!(!text.is_empty());
        prop_assert!(text.starts_with(kind.summary()));
        let bends_lines = |text: &str| text.contains(|c: char| c.is_control() || c == '\u{2028}' || c == '\u{2029}');
        prop_assert!(!bends_lines(&text));
        if message.is_ascii() && !bends_lines(&message) {
            prop_assert!(text.contains(&message));
        }
        prop_assert_eq!(error.message(), message);
    }
}
