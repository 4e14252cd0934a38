#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;

fn ask(line: &str, headers: &str, text: &str) -> Answer {
    let head = format!("{line} HTTP/1.1\r\n{headers}\r\n");
    let request = Request::parse(head.as_bytes()).unwrap().unwrap().0;
    answer(&request, &Body { text: text.to_owned(), ..Body::default() }, &Uploads::default())
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn text(answer: &Answer) -> &str {
    let Content::Text(text) = &answer.content else { panic!("no text: {answer:?}") };
    text
}

#[test]
fn a_large_object_looks_as_if_stored_in_parts() {
    let key = "/b/get/size-20MiB/object";
    let whole = ask(&format!("GET {key}"), "x-amz-checksum-mode: ENABLED\r\n", "");
    assert_eq!((whole.status, &whole.content), (200, &Content::Stream { from: 0, length: 20 << 20 }));
    let crc = base64_of(ALGORITHM, crate::stream::Stream::get().crc(0, 20 << 20));
    assert_eq!((header(&whole, "x-amz-checksum-crc64nvme"), whole.checksums), (Some(crc.as_str()), 1));
    assert!(header(&whole, "ETag").unwrap().ends_with("-3\""));

    let first = ask(&format!("GET {key}?partNumber=1"), "x-amz-checksum-mode: ENABLED\r\n", "");
    assert_eq!((first.status, &first.content), (206, &Content::Stream { from: 0, length: PART }));
    assert_eq!(header(&first, "Content-Range"), Some("bytes 0-8388607/20971520"));
    assert_eq!(header(&first, "x-amz-mp-parts-count"), Some("3"));
    assert_eq!((header(&first, "x-amz-checksum-crc64nvme"), first.checksums), (None, 0));

    let last = ask(&format!("GET {key}?partNumber=3"), "", "");
    assert_eq!(last.content, Content::Stream { from: 2 * PART, length: 4 << 20 });
    assert_eq!(ask(&format!("GET {key}?partNumber=4"), "", "").status, 416);
    assert_eq!(ask(&format!("GET {key}?partNumber=0"), "", "").status, 416);

    let head = ask(&format!("HEAD {key}"), "x-amz-checksum-mode: ENABLED\r\n", "");
    assert_eq!((head.status, &head.content), (200, &Content::Described(20 << 20)));
    assert_eq!(header(&head, "x-amz-checksum-crc64nvme"), Some(crc.as_str()));
}

#[test]
fn a_small_object_is_its_own_first_part() {
    let first = ask("GET /b/size-1KiB/000001?partNumber=1", "x-amz-checksum-mode: ENABLED\r\n", "");
    let start = Object::of("size-1KiB/000001").unwrap().start;
    assert_eq!((first.status, &first.content), (206, &Content::Stream { from: start, length: 1024 }));
    assert_eq!(header(&first, "x-amz-mp-parts-count"), None);
    assert!(header(&first, "x-amz-checksum-crc64nvme").is_some());
    let empty = ask("GET /b/size-0/x?partNumber=1", "", "");
    assert_eq!((empty.status, &empty.content), (200, &Content::Stream { from: 0, length: 0 }));
}

#[test]
fn ranges_are_those_of_the_object() {
    let get = |range: &str| ask("GET /b/size-1000/x", &format!("Range: {range}\r\n"), "");
    assert_eq!(get("bytes=10-19").content, Content::Stream { from: 10, length: 10 });
    assert_eq!(get("bytes=990-2000").content, Content::Stream { from: 990, length: 10 });
    assert_eq!(get("bytes=-1").content, Content::Stream { from: 999, length: 1 });
    assert_eq!(get("bytes=0-").status, 206);
    for range in ["bytes=1000-", "bytes=7-6"] {
        assert_eq!(get(range).status, 416, "{range}");
    }
    assert_eq!(ask("GET /b/object", "", "").status, 404);
}

#[test]
fn if_match_is_honoured() {
    let etag = ask("HEAD /b/size-9MiB/x", "", "").headers.lines().next().unwrap().replace("ETag", "If-Match");
    assert_eq!(ask("GET /b/size-9MiB/x", &format!("{etag}\r\n"), "").status, 200);
    assert_eq!(ask("GET /b/size-9MiB/x", "If-Match: \"other\"\r\n", "").status, 412);
}

#[test]
fn a_list_comes_in_pages_and_ends() {
    let prefix = "/b?list-type=2&prefix=many%2Fsize-1KiB%2Fcount-2500%2F";
    let mut line = prefix.to_owned();
    let mut keys = Vec::new();
    loop {
        let page = ask(&format!("GET {line}"), "", "");
        keys.extend(elements(text(&page), "Key").iter().map(ToString::to_string));
        match elements(text(&page), "NextContinuationToken").first() {
            Some(token) => line = format!("{prefix}&continuation-token={token}"),
            None => break,
        }
    }
    assert_eq!(keys.len(), 2500);
    assert_eq!(keys[2499], "many/size-1KiB/count-2500/002499");
    keys.dedup();
    assert_eq!(keys.len(), 2500);
    assert_eq!(elements(text(&ask("GET /b?list-type=2&prefix=other", "", "")), "Key").len(), 0);
}

#[test]
fn deletes_tell_each_key_unless_asked_not_to() {
    let two = "<Key>size-1/a</Key><Key>size-1/b</Key>";
    let answer = ask("POST /b?delete", "", two);
    assert_eq!(elements(text(&answer), "Deleted").len(), 2);
    assert_eq!((answer.verdict, answer.deleted), (Some(Ok(())), 2));
    let quiet = ask("POST /b?delete", "", &format!("<Quiet>true</Quiet>{two}<Key>unknown</Key>"));
    assert_eq!(elements(text(&quiet), "Deleted").len(), 0);
    assert!(quiet.verdict.unwrap().is_err());
    assert_eq!(ask("DELETE /b/size-1/a", "", "").status, 204);
}
