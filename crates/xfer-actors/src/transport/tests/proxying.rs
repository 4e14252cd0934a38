//! Through a proxy: plain requests in absolute form, TLS through a tunnel.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

use super::kit::*;
use super::tls::{Authority, tls_server};
use crate::transport::*;

fn through(proxy: std::net::SocketAddr) -> ProxyPolicy {
    ProxyPolicy::Explicit { url: format!("http://user:pass%40word@{proxy}"), no_proxy: String::new() }
}

#[test]
fn plain_requests_go_to_the_proxy_in_absolute_form() {
    lane(async {
        let proxy = server(|_, mut stream| async move {
            while let Some(request) = read_request(&mut stream).await? {
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{request}", request.len());
                stream.write_all(answer.as_bytes()).await?;
            }
            Ok(())
        })
        .await;
        let pool = pool(TransportConfig { proxy: through(proxy), ..Default::default() });
        // Its name is the proxy's to resolve.
        let origin: Origin = "http://bucket.s3.test:9000".parse().unwrap();
        for turn in 0..2 {
            let mut connection = pool.checkout(&origin).await.unwrap();
            assert_eq!((connection.is_reused(), connection.absolute_form()), (turn > 0, true));
            assert_eq!(connection.remote_addr(), Some(proxy));
            ask(&mut connection).await;
            connection.read_head(false).await.unwrap();
            let request = String::from_utf8(connection.read_body(1000).await.unwrap()).unwrap();
            assert_eq!(
                request,
                "GET http://bucket.s3.test:9000/b/k HTTP/1.1\r\nhost: h\r\nproxy-authorization: Basic dXNlcjpwYXNzQHdvcmQ=\r\n\r\n"
            );
            connection.release();
        }
    });
}

#[test]
fn hosts_excepted_are_reached_directly() {
    lane(async {
        let direct = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let policy = ProxyPolicy::Explicit { url: "http://127.0.0.1:1".to_owned(), no_proxy: direct.to_string() };
        let pool = pool(TransportConfig { proxy: policy, ..Default::default() });
        let connection = pool.checkout(&origin(direct)).await.unwrap();
        assert_eq!((connection.absolute_form(), connection.remote_addr()), (false, Some(direct)));
    });
}

#[test]
fn tls_goes_through_a_tunnel() {
    lane(async {
        let authority = Authority::new();
        let origin_at = tls_server(&authority, &["bucket.s3.test"], |_, _| {}).await;
        let proxy = server(move |_, mut stream| async move {
            let request = read_request(&mut stream).await?.unwrap();
            assert_eq!(
                request,
                "CONNECT bucket.s3.test:443 HTTP/1.1\r\nhost: bucket.s3.test:443\r\nproxy-authorization: Basic dXNlcjpwYXNzQHdvcmQ=\r\n\r\n"
            );
            let mut onward = TcpStream::connect(origin_at).await?;
            stream.write_all(b"HTTP/1.1 200 Connection established\r\ncontent-length: 7\r\n\r\n").await?;
            copy_bidirectional(&mut stream, &mut onward).await?;
            Ok(())
        })
        .await;
        let pool = pool(TransportConfig { proxy: through(proxy), ..authority.trusting() });
        let origin: Origin = "https://bucket.s3.test".parse().unwrap();
        for turn in 0..2 {
            let mut connection = pool.checkout(&origin).await.unwrap();
            assert_eq!((connection.is_reused(), connection.absolute_form()), (turn > 0, false));
            ask(&mut connection).await;
            assert_eq!(connection.read_head(false).await.unwrap().status(), 200);
            assert_eq!(connection.read_body(100).await.unwrap(), b"hello");
            connection.release();
        }
        assert_eq!(pool.shared().open_connections(), 1);
    });
}

#[test]
fn a_proxy_that_will_not_is_an_error() {
    lane(async {
        let cases: Vec<(&[u8], ProxyFailure)> = vec![
            (b"HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\n\r\n", ProxyFailure::Refused(407)),
            (b"HTTP/1.0 502 Bad Gateway\r\n\r\n<html>", ProxyFailure::Refused(502)),
            (b"HTTP/1.1 2", ProxyFailure::Closed),
            (b"HTTP/1.1 200 OK\r\n\r\n\x16\x03\x03", ProxyFailure::Protocol("bytes after the head".into())),
            (b"SOCKS?", ProxyFailure::Protocol("it does not begin with HTTP/1.".into())),
        ];
        for (answer, want) in cases {
            let proxy = server(move |_, mut stream| async move {
                read_request(&mut stream).await?;
                stream.write_all(answer).await
            })
            .await;
            let pool = pool(TransportConfig { proxy: through(proxy), verify: Verify::Disabled, ..Default::default() });
            let failure = pool.checkout(&"https://s3.test".parse().unwrap()).await.unwrap_err();
            assert_eq!(failure, TransportError::Proxy { proxy: proxy.to_string(), failure: want });
            assert!(!format!("{failure} {failure:?}").contains("pass"));
            assert_eq!(pool.shared().open_connections(), 0);
        }
    });
}

#[test]
fn a_proxy_that_says_nothing_is_given_up() {
    lane(async {
        let held = Rc::new(std::cell::RefCell::new(Vec::new()));
        let proxy = server(move |_, stream| {
            held.borrow_mut().push(stream);
            async { Ok(()) }
        })
        .await;
        let after = Duration::from_millis(50);
        let config = TransportConfig {
            proxy: through(proxy),
            proxy_timeout: after,
            verify: Verify::Disabled,
            ..Default::default()
        };
        let shared = SharedTransport::new(config).unwrap();
        let failure = Pool::new(Arc::clone(&shared)).checkout(&"https://s3.test".parse().unwrap()).await.unwrap_err();
        assert_eq!(failure, TransportError::Proxy { proxy: proxy.to_string(), failure: ProxyFailure::Timeout(after) });
        assert_eq!(shared.open_connections(), 0);
    });
}
