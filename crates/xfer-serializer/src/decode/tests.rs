//! Answers as stores give them, and what they are taken for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use xfer_core::checksum::{Algorithm, Checksum, ChecksumKind};
use xfer_core::error::RetryClass;
use xfer_core::id::PartNumber;
use xfer_core::range::ByteRange;

use super::*;

const NONE: [(&str, &str); 0] = [];

fn answer<'a>(operation: Operation, status: u16, headers: &'a dyn Headers, body: &'a str) -> Answer<'a> {
    Answer::new(operation, status, headers).with_body(body.as_bytes())
}

fn xml(code: &str) -> String {
    format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>why</Message></Error>")
}

#[test]
fn codes() {
    use ErrorKind as K;
    for (status, code, kind) in [
        (404, "NoSuchKey", K::NoSuchKey),
        (404, "NoSuchVersion", K::NoSuchKey),
        (404, "NoSuchBucket", K::NoSuchBucket),
        (404, "NoSuchUpload", K::NoSuchUpload),
        (403, "AccessDenied", K::AccessDenied),
        (403, "InvalidAccessKeyId", K::AccessDenied),
        (403, "SignatureDoesNotMatch", K::AccessDenied),
        (400, "InvalidToken", K::AccessDenied),
        (400, "AuthorizationHeaderMalformed", K::AccessDenied),
        (400, "ExpiredToken", K::ExpiredCredentials),
        (400, "TokenRefreshRequired", K::ExpiredCredentials),
        (503, "SlowDown", K::Throttled),
        (503, "ServiceUnavailable", K::Throttled),
        (503, "Whatever", K::Throttled),
        (429, "TooManyRequests", K::Throttled),
        (400, "RequestLimitExceeded", K::Throttled),
        (400, "Throttling", K::Throttled),
        (500, "InternalError", K::ServiceUnavailable),
        (502, "Whatever", K::ServiceUnavailable),
        (504, "Whatever", K::ServiceUnavailable),
        (409, "OperationAborted", K::ServiceUnavailable),
        (409, "ConditionalRequestConflict", K::ServiceUnavailable),
        (400, "RequestTimeout", K::RequestTimeout),
        (408, "Whatever", K::RequestTimeout),
        (403, "RequestTimeTooSkewed", K::ClockSkew),
        (403, "RequestExpired", K::ClockSkew),
        (301, "PermanentRedirect", K::WrongRegion),
        (307, "TemporaryRedirect", K::WrongRegion),
        (400, "IllegalLocationConstraintException", K::WrongRegion),
        (412, "PreconditionFailed", K::PreconditionFailed),
        (416, "InvalidRange", K::InvalidRange),
        (400, "BadDigest", K::ChecksumMismatch),
        (400, "InvalidDigest", K::ChecksumMismatch),
        (400, "XAmzContentSHA256Mismatch", K::ChecksumMismatch),
        (400, "EntityTooLarge", K::TooLarge),
        (400, "EntityTooSmall", K::Rejected),
        (400, "InvalidPart", K::Rejected),
        (400, "InvalidRequest", K::Rejected),
        (403, "InvalidObjectState", K::Rejected),
        (405, "MethodNotAllowed", K::Rejected),
        (501, "NotImplemented", K::Rejected),
    ] {
        let error = error(&answer(Operation::UploadPart, status, &NONE, &xml(code)));
        assert_eq!(error.kind(), kind, "{status} {code}");
        let service = error.service().unwrap();
        assert_eq!((service.status, service.code.as_str(), service.message.as_str()), (status, code, "why"));
        assert_eq!(error.at().operation, Some("UploadPart"));
    }
}

#[test]
fn statuses_without_a_body() {
    use ErrorKind as K;
    for (operation, status, kind) in [
        (Operation::HeadObject, 404, K::NoSuchKey),
        (Operation::GetObject, 404, K::NoSuchKey),
        (Operation::DeleteObject, 404, K::NoSuchKey),
        (Operation::PutObject, 404, K::NoSuchBucket),
        (Operation::CreateMultipartUpload, 404, K::NoSuchBucket),
        (Operation::UploadPart, 404, K::NoSuchUpload),
        (Operation::ListParts, 404, K::NoSuchUpload),
        (Operation::HeadObject, 400, K::Rejected),
        (Operation::HeadObject, 401, K::AccessDenied),
        (Operation::HeadObject, 403, K::AccessDenied),
        (Operation::HeadObject, 412, K::PreconditionFailed),
        (Operation::GetObject, 304, K::PreconditionFailed),
        (Operation::GetObject, 416, K::InvalidRange),
        (Operation::PutObject, 413, K::TooLarge),
        (Operation::PutObject, 429, K::Throttled),
        (Operation::PutObject, 500, K::ServiceUnavailable),
        (Operation::PutObject, 503, K::Throttled),
        (Operation::PutObject, 599, K::ServiceUnavailable),
        (Operation::PutObject, 302, K::Protocol),
        (Operation::PutObject, 101, K::Protocol),
    ] {
        for body in ["", "<html><body><h1>Sorry</h1></body></html>", "plain text", "<Error>", "<Error/>", "\u{0}\u{1}"]
        {
            let error = error(&answer(operation, status, &NONE, body));
            assert_eq!(error.kind(), kind, "{operation} {status} {body:?}");
            assert_eq!(error.service().unwrap().code, status.to_string());
        }
    }
}

#[test]
fn regions() {
    let region = |operation, status, headers: &[(&'static str, &'static str)], body: &str| {
        let error = error(&answer(operation, status, &headers.to_vec(), body));
        assert_eq!(error.kind(), ErrorKind::WrongRegion);
        assert_eq!(error.retry_class(), RetryClass::FollowRegion);
        error.service().unwrap().region.clone()
    };
    let hint = [("x-amz-bucket-region", "eu-west-1")];
    assert_eq!(region(Operation::HeadObject, 400, &hint, "").as_deref(), Some("eu-west-1"));
    assert_eq!(region(Operation::HeadObject, 301, &hint, "").as_deref(), Some("eu-west-1"));
    assert_eq!(region(Operation::GetObject, 301, &hint, &xml("PermanentRedirect")).as_deref(), Some("eu-west-1"));
    let body = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message><Region>eu-west-2</Region></Error>";
    assert_eq!(region(Operation::PutObject, 400, &NONE, body).as_deref(), Some("eu-west-2"));
    assert_eq!(region(Operation::GetObject, 307, &NONE, ""), None);
}

#[test]
fn a_region_of_blanks_is_none() {
    let of = |region: &str| {
        let body = format!("<Error><Code>AuthorizationHeaderMalformed</Code>{region}</Error>");
        let error = error(&answer(Operation::PutObject, 400, &NONE, &body));
        (error.kind(), error.service().unwrap().region.clone())
    };
    for nothing in ["", "<Region/>", "<Region></Region>", "<Region> \n</Region>"] {
        assert_eq!(of(nothing), (ErrorKind::AccessDenied, None), "{nothing}");
    }
    assert_eq!(of("<Region>\n eu-west-1 </Region>"), (ErrorKind::WrongRegion, Some("eu-west-1".to_owned())));
}

#[test]
fn stores_that_take_no_trailers() {
    let kind = |sent, status, code: &str, message: &str| {
        let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
        error(&Answer { checksum_sent: sent, ..answer(Operation::PutObject, status, &NONE, &body) }).kind()
    };
    use ChecksumSent::{Header, None, Trailer};
    use ErrorKind as K;
    for (sent, status, code, message, wanted) in [
        (Trailer, 400, "XAmzContentSHA256Mismatch", "", K::ChecksumUnsupported),
        (Trailer, 400, "InvalidRequest", "", K::ChecksumUnsupported),
        (Trailer, 400, "InvalidArgument", "", K::ChecksumUnsupported),
        (Trailer, 411, "MissingContentLength", "", K::ChecksumUnsupported),
        (Trailer, 501, "NotImplemented", "A header you provided", K::ChecksumUnsupported),
        (Trailer, 400, "BadDigest", "", K::ChecksumMismatch),
        (Trailer, 400, "RequestTimeout", "", K::RequestTimeout),
        (Trailer, 403, "AccessDenied", "", K::AccessDenied),
        (Header, 400, "InvalidRequest", "Checksum algorithm is not supported", K::ChecksumUnsupported),
        (Header, 501, "NotImplemented", "x-amz-checksum-crc64nvme", K::ChecksumUnsupported),
        (Header, 400, "InvalidRequest", "something else", K::Rejected),
        (Header, 400, "XAmzContentSHA256Mismatch", "", K::ChecksumMismatch),
        (None, 400, "InvalidRequest", "checksum", K::Rejected),
        (None, 411, "MissingContentLength", "", K::Rejected),
    ] {
        assert_eq!(kind(sent, status, code, message), wanted, "{sent:?} {status} {code}");
    }
}

#[test]
fn what_is_kept_of_an_error() {
    let body = "\u{feff}<Error xmlns=\"x\"><Code> SignatureDoesNotMatch </Code><Message>do &amp; check\u{1b}[31m</Message>\
                <AWSAccessKeyId>AKIDSECRET</AWSAccessKeyId><StringToSign>SIGNME</StringToSign>\
                <RequestId>R2</RequestId><HostId>H2</HostId><Extra><Deep>1</Deep></Extra></Error>";
    let error = error(&answer(Operation::PutObject, 403, &NONE, body));
    let service = error.service().unwrap();
    assert_eq!(service.code, "SignatureDoesNotMatch");
    assert!(service.message.starts_with("do & check") && !service.message.contains('\u{1b}'), "{:?}", service.message);
    assert_eq!((service.request_id.as_deref(), service.extended_request_id.as_deref()), (Some("R2"), Some("H2")));
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("AKIDSECRET") && !shown.contains("SIGNME"), "{shown}");
}

#[test]
fn nothing_that_is_kept_of_an_error_is_long() {
    let long = "x\u{1b}".repeat(100_000);
    let body = format!(
        "<Error><Code>{long}</Code><Message>{long}</Message><Region>{long}</Region><RequestId>{long}</RequestId>\
         <HostId>{long}</HostId></Error>"
    );
    let headers = vec![("x-amz-bucket-region", long.as_str())];
    for headers in [&headers, &vec![]] {
        let error = error(&answer(Operation::PutObject, 400, headers, &body));
        let service = error.service().unwrap();
        let texts = [Some(&service.code), Some(&service.message), service.region.as_ref(), service.request_id.as_ref()];
        for text in texts.into_iter().chain([service.extended_request_id.as_ref()]) {
            let text = text.unwrap();
            assert!(text.len() <= 1024 && !text.contains('\u{1b}'), "{} bytes", text.len());
        }
    }
}

#[test]
fn an_error_is_understood_as_far_as_it_can_be_read() {
    for body in [
        "<Error><Code>SlowDown</Code><Message>why</Message>",
        "<Error><Code>SlowDown</Code><Message>why</Message><Resou",
        "<Error><Code>SlowDown</Code><Message>why</Message><Resource>/a&b</Resource></Error>",
        "<Error><Code>SlowDown</Code><Message>why</Message><Resource>a&nbsp;b</Resource></Error>",
        "<Error><Code>SlowDown</Code><Message>why</Message><Message>not</Message><Code>AccessDenied</Code></Error>",
        "<Error><Code>SlowDown</Code><Message>why</Message><Extra><Code>AccessDenied</Code></Extra></Error>",
        "<Error><Extra><Code>AccessDenied</Code></Extra><Code>SlowDown</Code><Message>why</Message></Error>",
        "<Error><Code>SlowDown</Code><Message>why</Other></Error>",
        "<Error><Code>SlowDown</Code><Message>why</Message></Error><junk>",
        "<Error><Code>Slow<!-- but steady -->Down</Code><Message><![CDATA[why]]></Message></Error>",
        "<Error><Code>Slow&#68;own</Code><Message>&#x77;hy</Message></Error>",
        "<e:Error xmlns:e=\"x\"><e:Code a=\"b\">SlowDown</e:Code><e:Message>why</e:Message></e:Error>",
        "<!DOCTYPE Error [<!ENTITY a \"b\">]><Error><Code>SlowDown</Code><Message>why</Message></Error>",
        "<ErrorResponse><Error><Code>SlowDown</Code><Message>why</Message><Mess",
        "<ErrorResponse><Error><Type>Sender</Type><Code>SlowDown</Code><Message>why</Message></Error>\
         <RequestId>R</RequestId></ErrorResponse>",
    ] {
        for status in [200, 400] {
            let answer = answer(Operation::CompleteMultipartUpload, status, &NONE, body);
            let error = complete_multipart_upload(&answer).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Throttled, "{body}");
            assert_eq!(error.service().unwrap().message, "why", "{body}");
        }
    }
    // What was cut off may have had another meaning.
    for body in ["<Error><Code>Slow", "<Error><Code>SlowDown", "<Error><Message>why</Message>", "<Error><Code>&nbsp;"] {
        let error = error(&answer(Operation::PutObject, 400, &NONE, body));
        assert_eq!(error.kind(), ErrorKind::Rejected, "{body}");
    }
}

#[test]
fn hostile_bodies_cost_no_more_than_their_length() {
    let many = |count: usize, one: &dyn Fn(usize) -> String| (0..count).map(one).collect::<String>();
    let attributes = many(20_000, &|n| format!(" a{n}=\"1\""));
    for body in [
        format!("<Error>{}", "<a>".repeat(100_000)),
        format!("<Error{attributes}><Code>SlowDown</Code></Error>"),
        format!("<Error><Code{attributes}>SlowDown</Code></Error>"),
        format!("<Error>{}</Error>", many(20_000, &|n| format!("<a{n}>1</a{n}>"))),
        format!("<Error>{}</Error>", many(20_000, &|n| format!("<Message>{n}</Message>"))),
        format!("<Error><Code>{}</Code></Error>", "&amp;".repeat(60_000)),
        format!("<Error><Code>{}</Code></Error>", "<![CDATA[a]]>".repeat(30_000)),
        "<?a?>".repeat(60_000),
        "<".repeat(300_000),
        format!("<ListPartsResult>{}</ListPartsResult>", "<Part><X/></Part><Y/>".repeat(20_000)),
    ] {
        let start = std::time::Instant::now();
        for status in [200, 400] {
            let answer = answer(Operation::ListParts, status, &NONE, &body);
            let _ = (error(&answer), list_parts(&answer), complete_multipart_upload(&answer));
        }
        // A second or two without optimisation; what goes with the square of the length would take minutes.
        assert!(start.elapsed() < Duration::from_secs(20), "{:?} for {}", start.elapsed(), &body[..60]);
    }
}

#[test]
fn the_headers_request_id_comes_first() {
    let headers = vec![("X-Amz-Request-Id", "R1"), ("X-Amz-Id-2", "H1")];
    let body = "<ErrorResponse><Error><Code>SlowDown</Code></Error></ErrorResponse>";
    let error = error(&answer(Operation::PutObject, 400, &headers, body));
    assert_eq!(error.kind(), ErrorKind::Throttled);
    let service = error.service().unwrap();
    assert_eq!((service.request_id.as_deref(), service.extended_request_id.as_deref()), (Some("R1"), Some("H1")));
}

#[test]
fn put() {
    let headers = vec![
        ("ETag", "\"e\""),
        ("x-amz-version-id", "v"),
        ("x-amz-checksum-crc32", "y/Q5Jg=="),
        ("x-amz-checksum-type", "FULL_OBJECT"),
    ];
    let stored = put_object(&answer(Operation::PutObject, 200, &headers, "")).unwrap();
    assert_eq!(stored.etag.as_deref(), Some("\"e\""));
    assert_eq!(stored.version_id.as_deref(), Some("v"));
    assert_eq!(stored.checksum, Some(Checksum::of(Algorithm::Crc32, b"123456789")));
    assert_eq!(stored.checksum_kind, Some(ChecksumKind::FullObject));
    let stored = put_object(&answer(Operation::PutObject, 200, &vec![("etag", "")], "")).unwrap();
    assert_eq!(stored, xfer_core::job::StoredObject::default());
}

#[test]
fn create() {
    let id = |body: &str| create_multipart_upload(&answer(Operation::CreateMultipartUpload, 200, &NONE, body));
    let good = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><InitiateMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                <Bucket>b</Bucket><Key>k</Key><UploadId>u&amp;1</UploadId></InitiateMultipartUploadResult>";
    assert_eq!(&*id(good).unwrap(), "u&1");
    for bad in [
        "",
        "<html/>",
        "<InitiateMultipartUploadResult><Key>k</Key></InitiateMultipartUploadResult>",
        "<InitiateMultipartUploadResult><UploadId> </UploadId></InitiateMultipartUploadResult>",
        "<InitiateMultipartUploadResult><UploadId>u",
    ] {
        let error = id(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{bad}");
        assert_eq!(error.service().unwrap().status, 200);
    }
}

#[test]
fn part() {
    let etag = upload_part(&answer(Operation::UploadPart, 200, &vec![("etag", "\"p\"")], "")).unwrap();
    assert_eq!(&*etag, "\"p\"");
    for headers in [vec![], vec![("etag", " ")]] {
        let error = upload_part(&answer(Operation::UploadPart, 200, &headers, "")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
    }
}

#[test]
fn complete() {
    let decode = |status, body: &str| {
        let headers = vec![("x-amz-version-id", "v")];
        complete_multipart_upload(&answer(Operation::CompleteMultipartUpload, status, &headers, body))
    };
    // Blanks keep the connection open while the store works.
    let body = "  \n <?xml version=\"1.0\"?>\n<CompleteMultipartUploadResult><Location>l</Location><ETag>&quot;e-2&quot;</ETag>\
                <ChecksumCRC32>y/Q5Jg==</ChecksumCRC32><ChecksumType>FULL_OBJECT</ChecksumType></CompleteMultipartUploadResult>";
    let stored = decode(200, body).unwrap();
    assert_eq!(stored.etag.as_deref(), Some("\"e-2\""));
    assert_eq!(stored.version_id.as_deref(), Some("v"));
    assert_eq!(stored.checksum, Some(Checksum::of(Algorithm::Crc32, b"123456789")));
    assert_eq!(stored.checksum_kind, Some(ChecksumKind::FullObject));

    for composite in [
        "<ChecksumCRC32>y/Q5Jg==-2</ChecksumCRC32>",
        "<ChecksumCRC32>y/Q5Jg==</ChecksumCRC32><ChecksumType>COMPOSITE</ChecksumType>",
    ] {
        let body = format!("<CompleteMultipartUploadResult><ETag></ETag>{composite}</CompleteMultipartUploadResult>");
        let stored = decode(200, &body).unwrap();
        assert_eq!((stored.etag, stored.checksum), (None, None));
    }

    let headers = vec![("etag", "\"h-2\"")];
    for body in [
        "<CompleteMultipartUploadResult><ETag></ETag></CompleteMultipartUploadResult>",
        "<?xml version=\"1.0\"?><CompleteMultipartUploadResult/>",
    ] {
        let answer = answer(Operation::CompleteMultipartUpload, 200, &headers, body);
        let stored = complete_multipart_upload(&answer).unwrap();
        assert_eq!(stored.etag.as_deref(), Some("\"h-2\""), "from where there is one");
    }

    for (code, kind) in [
        ("InternalError", ErrorKind::ServiceUnavailable),
        ("SlowDown", ErrorKind::Throttled),
        ("AccessDenied", ErrorKind::AccessDenied),
        ("InvalidPart", ErrorKind::Rejected),
    ] {
        let error = decode(200, &format!("\n{}", xml(code))).unwrap_err();
        assert_eq!(error.kind(), kind, "{code} within a 200");
        assert_eq!(error.service().unwrap().status, 200);
    }
    for bad in ["", "   ", "<html/>", "<Error></Error>"] {
        assert_eq!(decode(200, bad).unwrap_err().kind(), ErrorKind::Protocol, "{bad:?}");
    }
    assert_eq!(decode(412, "").unwrap_err().kind(), ErrorKind::PreconditionFailed);
}

#[test]
fn a_key_that_xml_cannot_hold_does_not_hide_the_result() {
    for key in ["a&b", "a&nbsp;b", "a&#0;b", "a\u{1}b", "a&#x1;b", "a<!-- -->b", "<b/>"] {
        let body = format!(
            "<CompleteMultipartUploadResult><Key>{key}</Key><ETag>&quot;e-2&quot;</ETag></CompleteMultipartUploadResult>"
        );
        let answer = answer(Operation::CompleteMultipartUpload, 200, &NONE, &body);
        assert_eq!(complete_multipart_upload(&answer).unwrap().etag.as_deref(), Some("\"e-2\""), "{key:?}");
        let body = format!(
            "<InitiateMultipartUploadResult><Key>{key}</Key><UploadId>u</UploadId></InitiateMultipartUploadResult>"
        );
        let answer = Answer::new(Operation::CreateMultipartUpload, 200, &NONE).with_body(body.as_bytes());
        assert_eq!(&*create_multipart_upload(&answer).unwrap(), "u", "{key:?}");
    }
}

#[test]
fn half_a_result_is_none() {
    let cut = |body: &'static str| (1..body.len()).map(move |length| &body[..length]);
    for body in cut("<CompleteMultipartUploadResult><ETag>&quot;e-2&quot;</ETag></CompleteMultipartUploadResult>") {
        let answer = answer(Operation::CompleteMultipartUpload, 200, &NONE, body);
        assert_eq!(complete_multipart_upload(&answer).unwrap_err().kind(), ErrorKind::Protocol, "{body}");
    }
    for body in cut("<ListPartsResult><Part><PartNumber>1</PartNumber><ETag>e</ETag><Size>10</Size></Part>\
         <IsTruncated>true</IsTruncated></ListPartsResult>")
    {
        let answer = answer(Operation::ListParts, 200, &NONE, body);
        assert_eq!(list_parts(&answer).unwrap_err().kind(), ErrorKind::Protocol, "{body}");
    }
}

#[test]
fn abort() {
    let gone =
        |status, body: &str| abort_multipart_upload(&answer(Operation::AbortMultipartUpload, status, &NONE, body));
    assert!(!gone(204, "").unwrap());
    assert!(gone(404, &xml("NoSuchUpload")).unwrap());
    assert!(gone(404, "").unwrap());
    assert_eq!(gone(404, &xml("NoSuchBucket")).unwrap_err().kind(), ErrorKind::NoSuchBucket);
    assert_eq!(gone(500, "").unwrap_err().kind(), ErrorKind::ServiceUnavailable);
}

#[test]
fn delete() {
    let headers = vec![("x-amz-version-id", "v")];
    assert_eq!(delete_object(&answer(Operation::DeleteObject, 204, &headers, "")).unwrap().as_deref(), Some("v"));
    assert_eq!(delete_object(&answer(Operation::DeleteObject, 200, &NONE, "")).unwrap(), None);
}

const FULL: (&str, &str) = ("x-amz-checksum-crc32", "y/Q5Jg==");

fn get(status: u16, headers: &[(&str, &str)], asked: Option<(u64, u64)>) -> Result<xfer_core::job::ObjectFacts, Error> {
    let headers = headers.to_vec();
    let asked = asked.map(|(start, end)| ByteRange::new(start, end));
    get_object(&answer(Operation::GetObject, status, &headers, ""), asked)
}

#[test]
fn whole_objects() {
    let facts = get(
        200,
        &[
            ("content-length", "9"),
            ("etag", "\"e\""),
            ("x-amz-version-id", "v"),
            FULL,
            ("x-amz-checksum-crc64nvme", "rosUhgp5mIg="),
        ],
        None,
    )
    .unwrap();
    assert_eq!(
        (facts.size, facts.start, facts.etag.as_deref(), facts.version_id.as_deref()),
        (9, 0, Some("\"e\""), Some("v"))
    );
    assert_eq!(
        facts.checksums,
        [Checksum::of(Algorithm::Crc64Nvme, b"123456789"), Checksum::of(Algorithm::Crc32, b"123456789")],
        "best first"
    );
    assert_eq!(get(200, &[("content-length", "0")], None).unwrap().size, 0);
    for no_checksum in [
        &[("content-length", "9"), ("x-amz-checksum-crc32", "y/Q5Jg==-2")][..],
        &[("content-length", "9"), FULL, ("x-amz-checksum-type", "COMPOSITE")],
        &[("content-length", "9"), FULL, ("x-amz-mp-parts-count", "2")],
        &[("content-length", "9"), ("x-amz-checksum-crc32", "nonsense")],
    ] {
        assert_eq!(get(200, no_checksum, None).unwrap().checksums, [], "{no_checksum:?}");
    }
}

#[test]
fn ranges() {
    let facts = get(206, &[("content-length", "4"), ("content-range", "bytes 4-7/9"), FULL], Some((4, 8))).unwrap();
    assert_eq!((facts.size, facts.start), (4, 4));
    assert_eq!(facts.checksums, [], "the object's checksum is not the range's");
    let facts = get(206, &[("content-range", "bytes 0-8/9"), FULL], Some((0, 100))).unwrap();
    assert_eq!((facts.size, facts.checksums.len()), (9, 1), "all of it");
    // 200 with Content-Range, as some say it; 200 without, when all of it was asked for.
    assert_eq!(get(200, &[("content-length", "4"), ("content-range", "bytes 4-7/9")], Some((4, 8))).unwrap().start, 4);
    assert_eq!(get(200, &[("content-length", "9")], Some((0, 9))).unwrap().size, 9);
    assert_eq!(get(206, &[("content-range", "bytes 4-7/*")], Some((4, 8))).unwrap().size, 4);
    // A range of the caller's own, whose place is not known beforehand.
    assert_eq!(get(206, &[("content-range", "bytes 5-8/9")], None).unwrap().start, 5);
}

#[test]
fn wrong_lengths_and_ranges() {
    for (status, headers, asked) in [
        (200, &[][..], None),
        (200, &[("content-length", "nine")], None),
        (200, &[("content-length", "+9")], None),
        (200, &[("content-length", "18446744073709551616")], None),
        (206, &[("content-range", "bytes +4-+7/+9")], Some((4, 8))),
        (206, &[("content-range", "bytes 4-7/-9")], Some((4, 8))),
        (200, &[("content-length", "9")], Some((4, 8))),
        (206, &[("content-length", "4")], Some((4, 8))),
        (206, &[("content-range", "bytes */9")], Some((4, 8))),
        (206, &[("content-range", "bytes 4-3/9")], Some((4, 8))),
        (206, &[("content-range", "bytes 4-9/9")], Some((4, 10))),
        (206, &[("content-range", "bytes 4-18446744073709551615/*")], Some((4, 8))),
        (206, &[("content-range", "lines 4-7/9")], Some((4, 8))),
        (206, &[("content-range", "bytes 3-7/9")], Some((4, 8))),
        (206, &[("content-range", "bytes 4-6/9")], Some((4, 8))),
        (206, &[("content-length", "5"), ("content-range", "bytes 4-7/9")], Some((4, 8))),
        (204, &[], None),
    ] {
        let error = get(status, headers, asked).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{status} {headers:?}");
    }
}

#[test]
fn another_object_than_before() {
    let decode = |status, etag: &'static str, wanted: &'static str| {
        let headers = vec![("content-length", "4"), ("content-range", "bytes 4-7/9"), ("etag", etag)];
        let answer = Answer { if_match: Some(wanted), ..answer(Operation::GetObject, status, &headers, "") };
        get_object(&answer, Some(ByteRange::new(4, 8))).map(|_| ()).map_err(|error| error.kind())
    };
    assert_eq!(decode(206, "\"a\"", "\"a\""), Ok(()));
    assert_eq!(decode(206, "a", "\"a\""), Ok(()), "some leave the quotes out");
    assert_eq!(decode(206, "\"b\"", "\"a\""), Err(ErrorKind::ObjectModified));
    assert_eq!(decode(412, "\"b\"", "\"a\""), Err(ErrorKind::ObjectModified));
}

#[test]
fn parts() {
    let list = |body: &str| list_parts(&answer(Operation::ListParts, 200, &NONE, body));
    let body = "<ListPartsResult><Bucket>b</Bucket><IsTruncated>true</IsTruncated><NextPartNumberMarker>2</NextPartNumberMarker>\
                <Part><PartNumber>1</PartNumber><LastModified>t</LastModified><ETag>&quot;a&quot;</ETag><Size>5242880</Size>\
                <ChecksumCRC32>y/Q5Jg==</ChecksumCRC32></Part><Owner><ID>o</ID></Owner>\
                <Part><PartNumber>2</PartNumber><ETag>b</ETag><Size>9</Size></Part></ListPartsResult>";
    let listed = list(body).unwrap();
    assert_eq!(listed.next, PartNumber::new(2));
    assert_eq!(listed.parts.len(), 2);
    assert_eq!((&*listed.parts[0].etag, listed.parts[0].size), ("\"a\"", 5_242_880));
    assert_eq!(listed.parts[0].checksum, Some(Checksum::of(Algorithm::Crc32, b"123456789")));
    assert_eq!((listed.parts[1].number, &listed.parts[1].checksum), (PartNumber::new(2).unwrap(), &None));
    let empty = list("<ListPartsResult><IsTruncated>false</IsTruncated></ListPartsResult>").unwrap();
    assert_eq!((empty.parts.len(), empty.next), (0, None));
    for bad in [
        "",
        "<ListPartsResult><IsTruncated>true</IsTruncated></ListPartsResult>",
        "<ListPartsResult><Part><PartNumber>0</PartNumber><ETag>a</ETag><Size>1</Size></Part></ListPartsResult>",
        "<ListPartsResult><Part><PartNumber>2</PartNumber><ETag>a</ETag><Size>1</Size></Part>\
         <Part><PartNumber>1</PartNumber><ETag>a</ETag><Size>1</Size></Part></ListPartsResult>",
        "<ListPartsResult><Part><PartNumber>1</PartNumber><ETag>a</ETag><Size>x</Size></Part></ListPartsResult>",
        "<ListPartsResult><Part><PartNumber>1</PartNumber><Size>1</Size></Part></ListPartsResult>",
        "<ListPartsResult><IsTruncated>perhaps</IsTruncated></ListPartsResult>",
    ] {
        assert_eq!(list(bad).unwrap_err().kind(), ErrorKind::Protocol, "{bad}");
    }
}

#[test]
fn sessions() {
    let body = "<CreateSessionResult><Credentials><SessionToken>TOKEN</SessionToken><SecretAccessKey>SECRET</SecretAccessKey>\
                <AccessKeyId>AK</AccessKeyId><Expiration>1970-01-01T00:05:00Z</Expiration></Credentials></CreateSessionResult>";
    let session = create_session(&answer(Operation::CreateSession, 200, &NONE, body)).unwrap();
    assert_eq!(session.expires(), SystemTime::UNIX_EPOCH + Duration::from_secs(300));
    let shown = format!("{session:?}");
    assert!(!shown.contains("TOKEN") && !shown.contains("SECRET"), "{shown}");
    for bad in
        ["<CreateSessionResult/>", &body.replace("TOKEN", ""), &body.replace("SECRET", " "), &body.replace("AK", "")]
    {
        let error = create_session(&answer(Operation::CreateSession, 200, &NONE, bad)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{bad}");
        assert!(!format!("{error} {error:?}").contains("SECRET"), "{error}");
    }
}

#[test]
fn times() {
    let headers = vec![("Date", "Fri, 24 May 2013 00:00:00 GMT")];
    assert_eq!(server_time(&headers), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_369_353_600)));
    assert_eq!(server_time(&vec![("date", "yesterday")]), None);
}

#[test]
fn ages() {
    let date = ("Date", "Fri, 24 May 2013 00:00:00 GMT");
    let age = |modified| object_age(&vec![date, ("Last-Modified", modified)]);
    assert_eq!(age("Thu, 23 May 2013 23:59:50 GMT"), Some(Duration::from_secs(10)));
    // Two machines, two clocks.
    assert_eq!(age("Fri, 24 May 2013 00:00:01 GMT"), Some(Duration::ZERO));
    assert_eq!((age("once"), object_age(&vec![date])), (None, None));
    assert_eq!(object_age(&vec![("last-modified", "Thu, 23 May 2013 23:59:50 GMT")]), None);
}

#[test]
fn pauses_that_the_store_asks_for() {
    let date = ("Date", "Fri, 24 May 2013 00:00:00 GMT");
    let secs = Duration::from_secs;
    for (text, pause) in [
        ("0", Some(secs(0))),
        (" 120 ", Some(secs(120))),
        ("99999999999999999999999", Some(secs(u64::MAX))),
        ("Fri, 24 May 2013 00:01:30 GMT", Some(secs(90))),
        ("Thu, 23 May 2013 23:00:00 GMT", Some(secs(0))),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
    ] {
        assert_eq!(retry_after(&vec![("Retry-After", text), date]), pause, "{text}");
    }
    assert_eq!(retry_after(&vec![date]), None);
    // Without a date of the store's, by the clock of this machine.
    let later = DateTime::from(SystemTime::now() + secs(100)).fmt(Format::HttpDate).unwrap();
    let pause = retry_after(&vec![("retry-after", later)]).unwrap();
    assert!(pause > secs(60) && pause <= secs(100), "{pause:?}");

    let asked = vec![("retry-after", "7")];
    let of = |status| error(&answer(Operation::GetObject, status, &asked, "")).service().unwrap().retry_after;
    for (status, pause) in [(429, Some(secs(7))), (500, Some(secs(7))), (503, Some(secs(7))), (403, None), (301, None)]
    {
        assert_eq!(of(status), pause, "{status}");
    }
}

#[test]
fn http_headers() {
    let mut headers = http::HeaderMap::new();
    headers.insert("etag", http::HeaderValue::from_static("\"p\""));
    assert_eq!(&*upload_part(&Answer::new(Operation::UploadPart, 200, &headers)).unwrap(), "\"p\"");
}

#[test]
fn any_bytes_are_survived() {
    use proptest::prelude::*;
    let bodies = || {
        let xml = "<?(Error|CompleteMultipartUploadResult|ListPartsResult|Part|Code|/|>|<|&|;|#1| ){0,16}";
        prop_oneof![any::<Vec<u8>>(), xml.prop_map(String::into_bytes)]
    };
    let values = || {
        let range = "(bytes |)[0-9+-]{0,3}-[0-9]{0,21}/[0-9*]{0,3}";
        let date =
            "[A-Z][a-z]{2}, [0-9]{0,3} (Feb|May|) [0-9]{0,5} [0-9]{0,2}:[0-9]{0,3}:[0-9]{0,2}(.[0-9]{0,12}|) GMT";
        prop_oneof![any::<String>(), range, date]
    };
    proptest!(|(status in 100_u16..1_000, body in bodies(), value in values())| {
        let names = ["content-range", "content-length", "etag", "x-amz-checksum-crc32", "date", "last-modified", "retry-after"];
        let headers = names.map(|name| (name, value.as_str()));
        for operation in Operation::ALL {
            let answer = Answer::new(*operation, status, &headers).with_body(&body);
            let _ = error(&answer);
            let _ = get_object(&answer, Some(ByteRange::new(1, 2)));
            let _ = (put_object(&answer), delete_object(&answer), upload_part(&answer), create_session(&answer));
            let _ = (create_multipart_upload(&answer), complete_multipart_upload(&answer), abort_multipart_upload(&answer));
            let _ = list_parts(&answer);
            let _ = (server_time(&headers), object_age(&headers), retry_after(&headers));
        }
    });
}
