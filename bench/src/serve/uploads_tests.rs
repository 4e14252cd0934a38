#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;

const PART: u64 = 6 << 20;
const KEY: &str = "up/size-15MiB/object";
const SIZE: u64 = 15 << 20;

fn request(headers: &str) -> Request {
    let head = format!("POST /b/{KEY}?uploadId=x HTTP/1.1\r\n{headers}\r\n");
    Request::parse(head.as_bytes()).unwrap().unwrap().0
}

fn body(from: u64, length: u64) -> Body {
    Body { length, text: String::new(), sums: Some(Sums { crc64: Stream::get().crc(from, length), given: None }) }
}

/// Stores parts, and completes with them.
fn upload(parts: &[(u64, u64, u64)], edit: impl Fn(String) -> String, headers: &str) -> Result<bool, String> {
    let uploads = Uploads::default();
    let id = uploads.create(KEY);
    let mut list = String::new();
    for (number, from, length) in parts {
        let etag = uploads.store(&id, *number, &body(*from, *length)).unwrap().unwrap();
        list += &format!("<Part><PartNumber>{number}</PartNumber><ETag>&quot;{etag}&quot;</ETag></Part>");
    }
    uploads.complete(&id, &request(headers), &edit(list))
}

#[test]
fn an_upload_is_right_when_every_part_is_where_it_belongs() {
    let right = [(1, 0, PART), (2, PART, PART), (3, 2 * PART, SIZE - 2 * PART)];
    assert_eq!(upload(&right, |list| list, ""), Ok(true));
    for quote in ["\"", "&#34;", ""] {
        assert_eq!(upload(&right, |list| list.replace("&quot;", quote), ""), Ok(true), "{quote}");
    }
    let sum = base64_of(ALGORITHM, Stream::get().crc(0, SIZE));
    assert_eq!(upload(&right, |list| list, &format!("x-amz-checksum-crc64nvme: {sum}\r\n")), Ok(true));
    for (what, parts) in [
        ("not the bytes", vec![(1, PART, PART), (2, 0, PART), (3, 2 * PART, SIZE - 2 * PART)]),
        ("bytes instead of", vec![(1, 0, PART), (2, PART, PART)]),
        ("is only", vec![(1, 0, 100), (2, 100, SIZE - 100)]),
    ] {
        let error = upload(&parts, |list| list, "").unwrap_err();
        assert!(error.contains(what), "{error}");
    }
    let error = upload(&right, |list| list, "x-amz-checksum-crc64nvme: AAAAAAAAAAA=\r\n").unwrap_err();
    assert!(error.contains("the whole"), "{error}");
}

#[test]
fn the_list_has_to_be_in_order_and_of_what_was_stored() {
    let right = [(1, 0, PART), (2, PART, PART), (3, 2 * PART, SIZE - 2 * PART)];
    for (what, from, to) in [
        ("is listed behind", "<PartNumber>2", "<PartNumber>1"),
        ("was not stored", "<PartNumber>3", "<PartNumber>4"),
        ("with ETag", "&quot;0", "&quot;1"),
    ] {
        let error = upload(&right, |list| list.replace(from, to), "").unwrap_err();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn unknown_uploads_are_told_apart_from_wrong_ones() {
    let uploads = Uploads::default();
    assert_eq!(uploads.store("no", 1, &body(0, 1)), Ok(None));
    assert_eq!(uploads.complete("no", &request(""), ""), Ok(false));
    assert!(!uploads.abort("no"));
    let id = uploads.create(KEY);
    uploads.store(&id, 7, &body(0, 10)).unwrap();
    let parts = uploads.parts(&id).unwrap();
    assert_eq!((parts.len(), parts[0].0, parts[0].2), (1, 7, 10));
    assert!(uploads.abort(&id));
    assert_eq!(uploads.parts(&id), None);
}

#[test]
fn a_whole_object_is_checked_against_its_key_and_its_checksum() {
    let size = 1024;
    let key = "up/size-1KiB/000003";
    let start = Object::of(key).unwrap().start;
    assert_eq!(check_whole(key, &body(start, size)), Ok(()));
    assert!(check_whole(key, &body(0, size)).unwrap_err().contains("bytes are wrong"));
    assert!(check_whole(key, &body(start, size - 1)).unwrap_err().contains("instead of"));
    assert!(check_whole("up/object", &body(start, size)).unwrap_err().contains("no size"));
    assert_eq!(check_whole("up/object", &Body { length: 9, ..Body::default() }), Ok(()), "not looked at");
    let given = Given::new("x-amz-checksum-crc32", "AAAAAA==").unwrap();
    let mut wrong = body(start, size);
    wrong.sums.as_mut().unwrap().given = Some((given, "BBBBBB==".to_owned()));
    assert!(check_whole(key, &wrong).unwrap_err().contains("crc32"));
}
