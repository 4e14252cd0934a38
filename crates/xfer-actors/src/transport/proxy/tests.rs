#![allow(clippy::unwrap_used)]

use super::{ProxyPolicy, ProxyRules, Route};
use crate::transport::{Origin, ProxyFailure, TransportError};

fn rules(env: &[(&str, &str)]) -> ProxyRules {
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    ProxyRules::new(&ProxyPolicy::FromEnv(env)).unwrap()
}

/// `-` direct, `f` forward, `t` tunnel, and the proxy's host.
fn route(rules: &ProxyRules, origin: &str) -> String {
    match rules.route(&origin.parse::<Origin>().unwrap()) {
        Route::Direct => "-".to_owned(),
        Route::Forward(proxy) => format!("f {}", proxy.origin.host_and_port()),
        Route::Tunnel(proxy) => format!("t {}", proxy.origin.host_and_port()),
    }
}

#[test]
fn the_environment_chooses_the_proxy() {
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);
    let cases: &[Case<'_>] = &[
        (&[], "-", "-"),
        (&[("http_proxy", "http://p:1")], "f p:1", "-"),
        (&[("HTTP_PROXY", "http://p:1")], "f p:1", "-"),
        (&[("HTTP_PROXY", "http://p:1"), ("REQUEST_METHOD", "GET")], "-", "-"),
        (&[("http_proxy", "http://p:1"), ("REQUEST_METHOD", "GET")], "f p:1", "-"),
        (&[("https_proxy", "p:1")], "-", "t p:1"),
        (&[("HTTPS_PROXY", "http://[::1]:1/")], "-", "t [::1]:1"),
        (&[("all_proxy", "http://p")], "f p:1080", "t p:1080"),
        (&[("all_proxy", "http://p:1"), ("https_proxy", "http://q:2")], "f p:1", "t q:2"),
        (&[("http_proxy", "http://low:1"), ("HTTP_PROXY", "http://up:1")], "f low:1", "-"),
        (&[("http_proxy", ""), ("ALL_PROXY", "http://p:1")], "f p:1", "t p:1"),
        (&[("all_proxy", "http://p:1"), ("NO_PROXY", "*")], "-", "-"),
        (&[("all_proxy", "http://p:1"), ("no_proxy", "other, s3.test")], "-", "-"),
    ];
    for (env, http, https) in cases {
        let rules = rules(env);
        assert_eq!(route(&rules, "http://s3.test"), *http, "{env:?}");
        assert_eq!(route(&rules, "https://s3.test"), *https, "{env:?}");
    }
}

#[test]
fn no_proxy_is_a_list_of_suffixes() {
    for (list, origin, direct) in [
        ("example.com", "http://example.com", true),
        ("example.com", "http://s3.example.com", true),
        ("example.com", "http://badexample.com", false),
        (".example.com", "http://s3.example.com", true),
        (".example.com", "http://example.com", true),
        ("*.example.com", "http://s3.example.com", true),
        ("EXAMPLE.com", "http://Example.COM", true),
        ("example.com.", "http://example.com", true),
        ("s3.example.com", "http://example.com", false),
        ("example.com:9000", "http://example.com:9000", true),
        ("example.com:9000", "http://example.com", false),
        ("a,b  c\td", "http://c", true),
        ("a,b  c\td", "http://d", true),
        ("a,b  c\td", "http://e", false),
        ("127.0.0.1", "http://127.0.0.1:9000", true),
        ("0.0.1", "http://127.0.0.1:9000", false),
        ("::1", "http://[::1]:9000", true),
        ("[::1]:80", "http://[::1]:9000", false),
        ("[::1]:9000", "http://[::1]:9000", true),
        ("0:0:0:0:0:0:0:1", "http://[::1]", true),
        ("10.0.0.0/8", "http://10.1.2.3:9000", true),
        ("10.0.0.0/8", "http://11.1.2.3", false),
        ("10.0.0.0/8", "http://10.example.com", false),
        ("10.0.0.0/8:9000", "http://10.1.2.3:9000", true),
        ("10.0.0.0/8:9000", "http://10.1.2.3", false),
        ("fd00::/8", "http://[fd12::1]:9000", true),
        ("fd00::/8", "http://[fe80::1]", false),
        ("0.0.0.0/0", "http://[::1]", false),
        ("10.0.0.0/33", "http://10.0.0.0", false),
        ("", "http://127.0.0.1", false),
        ("", "http://localhost", false),
        (",. ,:x,", "http://x", false),
    ] {
        let policy = ProxyPolicy::Explicit { url: "http://p:1".to_owned(), no_proxy: list.to_owned() };
        let rules = ProxyRules::new(&policy).unwrap();
        assert_eq!(route(&rules, origin) == "-", direct, "{list:?} {origin}");
    }
}

#[test]
fn credentials_are_encoded_and_never_shown() {
    let policy = ProxyPolicy::Explicit { url: "http://Aladdin:open%20sesame@p:1".to_owned(), no_proxy: String::new() };
    let rules = ProxyRules::new(&policy).unwrap();
    let Route::Forward(proxy) = rules.route(&"http://h".parse().unwrap()) else { unreachable!() };
    assert_eq!(proxy.authorization.as_deref(), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
    for shown in [format!("{policy:?}"), format!("{rules:?}")] {
        assert!(!shown.contains("sesame") && !shown.contains("QWxh"), "{shown}");
    }
}

#[test]
fn urls_that_cannot_be_used_are_refused_without_being_repeated() {
    for url in
        ["https://u:secret@p:1", "socks5://secret:1", "http://u:secret@", "http://p:secret", "http://u:secret@p:0"]
    {
        let failure =
            ProxyRules::new(&ProxyPolicy::Explicit { url: url.to_owned(), no_proxy: String::new() }).unwrap_err();
        assert!(matches!(&failure, TransportError::Proxy { failure: ProxyFailure::Url(_), .. }));
        assert!(!format!("{failure} {failure:?}").contains("secret"));
    }
}
