#![allow(clippy::unwrap_used)]

use super::{Origin, Scheme};

#[test]
fn origins_are_read_and_written() {
    for (text, scheme, host, port, written) in [
        ("http://h", Scheme::Http, "h", 80, "http://h"),
        ("HTTPS://S3.Amazonaws.com/", Scheme::Https, "s3.amazonaws.com", 443, "https://s3.amazonaws.com"),
        ("http://h:80", Scheme::Http, "h", 80, "http://h"),
        ("https://my_bucket.h:9443", Scheme::Https, "my_bucket.h", 9443, "https://my_bucket.h:9443"),
        ("http://127.0.0.1:9000", Scheme::Http, "127.0.0.1", 9000, "http://127.0.0.1:9000"),
        ("http://[::1]:9000/", Scheme::Http, "::1", 9000, "http://[::1]:9000"),
        ("https://[2001:DB8::1]", Scheme::Https, "2001:db8::1", 443, "https://[2001:db8::1]"),
    ] {
        let origin: Origin = text.parse().unwrap();
        assert_eq!((origin.scheme(), origin.host(), origin.port()), (scheme, host, port), "{text}");
        assert_eq!(origin.to_string(), written);
        assert_eq!(written.parse::<Origin>().unwrap(), origin);
        assert_eq!(origin.literal().is_some(), host.contains("::") || host == "127.0.0.1");
    }
    let origin = Origin::new(Scheme::Https, "::1", 443).unwrap();
    assert_eq!((origin.authority(), origin.host_and_port()), ("[::1]".to_owned(), "[::1]:443".to_owned()));
    assert_eq!(Origin::new(Scheme::Http, "[::1]", 80).unwrap().host(), "::1");
}

#[test]
fn what_is_no_origin_is_refused_without_being_repeated() {
    for text in [
        "",
        "h",
        "h:80",
        "ftp://h",
        "http://",
        "http:///",
        "http://:80",
        "http://h:0",
        "http://h:65536",
        "http://h:+1",
        "http://h:x",
        "http://h/path",
        "http://h?q",
        "http://h#f",
        "http://user:secret@h",
        "http://a b",
        "http://a\r\nb",
        "http://[::1",
        "http://[::1]x",
        "http://[::1]:x",
        "http://::1",
        "http://[nonsense:]",
        "http://h%41",
    ] {
        let failure = text.parse::<Origin>().unwrap_err().to_string();
        assert!(!failure.contains("secret"), "{failure}");
    }
}
