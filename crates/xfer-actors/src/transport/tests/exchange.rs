//! Whole exchanges: what is kept, what is closed, what a head may hold.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::kit::*;
use crate::transport::*;

#[test]
fn a_connection_is_used_again_after_a_whole_exchange() {
    lane(async {
        let origin = origin(answering("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await);
        let pool = plain_pool();
        for turn in 0..3 {
            let mut connection = pool.checkout(&origin).await.unwrap();
            assert_eq!(connection.is_reused(), turn > 0);
            ask(&mut connection).await;
            let head = connection.read_head(false).await.unwrap();
            assert_eq!((head.status(), head.header("Content-Length")), (200, Some("5")));
            assert_eq!(connection.next_chunk().await.unwrap(), Some(&b"hello"[..]));
            assert_eq!(connection.next_chunk().await.unwrap(), None);
            assert_eq!(connection.remote_addr().unwrap().port(), origin.port());
            connection.release();
            assert_eq!(pool.idle_connections(), 1);
        }
        assert_eq!(pool.shared().open_connections(), 1);
        pool.close_idle();
        assert_eq!((pool.shared().open_connections(), pool.shared().peak_connections()), (0, 1));
    });
}

#[test]
fn the_end_of_a_body_need_not_be_asked_for() {
    lane(async {
        for answer in [
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ] {
            let origin = origin(answering(answer).await);
            let pool = plain_pool();
            let mut connection = pool.checkout(&origin).await.unwrap();
            ask(&mut connection).await;
            connection.read_head(false).await.unwrap();
            assert_eq!(connection.next_chunk().await.unwrap(), Some(&b"hello"[..]));
            connection.release();
            assert_eq!(pool.idle_connections(), 1, "{answer}");
        }
    });
}

/// (what is odd, answer, whether the request was HEAD, status, body, whether the connection is kept)
const ANSWERS: &[(&str, &str, bool, u16, &str, bool)] = &[
    ("204", "HTTP/1.1 204 No Content\r\n\r\n", false, 204, "", true),
    ("304 with a length", "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", false, 304, "", true),
    ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 1048576\r\n\r\n", true, 200, "", true),
    ("HEAD, chunked", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", true, 200, "", true),
    ("empty body", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false, 200, "", true),
    ("no reason", "HTTP/1.1 200\r\ncontent-length: 1\r\n\r\nx", false, 200, "x", true),
    ("LF alone", "HTTP/1.1 200 OK\ncontent-length: 1\n\nx", false, 200, "x", true),
    (
        "interim",
        "HTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx",
        false,
        200,
        "x",
        true,
    ),
    (
        "two interims",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\ncontent-length: 2\r\n\r\nno",
        false,
        404,
        "no",
        true,
    ),
    ("close", "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx", false, 200, "x", false),
    (
        "close among others",
        "HTTP/1.1 200 OK\r\nconnection: foo, Close\r\ncontent-length: 1\r\n\r\nx",
        false,
        200,
        "x",
        false,
    ),
    ("1.0", "HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx", false, 200, "x", false),
    (
        "1.0 keep-alive",
        "HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\ncontent-length: 1\r\n\r\nx",
        false,
        200,
        "x",
        true,
    ),
    ("equal lengths", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1, 1\r\n\r\nx", false, 200, "x", true),
    ("leftover", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n\r\n", false, 200, "x", false),
    ("leftover after HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", true, 200, "", false),
    ("leftover after 204", "HTTP/1.1 204 OK\r\n\r\nx", false, 204, "", false),
];

#[test]
fn answers_are_read_as_http_says() {
    lane(async {
        for (what, answer, to_head, status, body, kept) in ANSWERS {
            let origin = origin(answering(*answer).await);
            let pool = plain_pool();
            let mut connection = pool.checkout(&origin).await.unwrap();
            ask(&mut connection).await;
            let head = connection.read_head(*to_head).await.unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(head.status(), *status, "{what}");
            assert_eq!(connection.read_body(100).await.unwrap(), body.as_bytes(), "{what}");
            connection.release();
            assert_eq!(pool.idle_connections(), usize::from(*kept), "{what}");
            assert_eq!(pool.shared().open_connections(), usize::from(*kept), "{what}");
        }
    });
}

/// (what is wrong, answer)
const MALFORMED: &[(&str, &str)] = &[
    ("not HTTP", "SSH-2.0-OpenSSH_9.2\r\n"),
    ("another version", "HTTP/2.0 200 OK\r\n\r\n"),
    ("no status", "HTTP/1.1 OK\r\n\r\n"),
    ("a blank before the colon", "HTTP/1.1 200 OK\r\ncontent-length : 1\r\n\r\nx"),
    ("a folded header", "HTTP/1.1 200 OK\r\na: b\r\n c\r\ncontent-length: 0\r\n\r\n"),
    ("two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx"),
    ("two lengths in one", "HTTP/1.1 200 OK\r\ncontent-length: 1, 2\r\n\r\nxx"),
    ("a negative length", "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"),
    ("a signed length", "HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\nx"),
    ("no length in it", "HTTP/1.1 200 OK\r\ncontent-length: \r\n\r\n"),
    ("a huge length", "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551616\r\n\r\n"),
    ("length and coding", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("gzip", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n"),
    ("coded twice", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("chunked in 1.0", "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("an upgrade", "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"),
];

#[test]
fn malformed_heads_are_errors() {
    lane(async {
        for (what, answer) in MALFORMED {
            let origin = origin(answering(*answer).await);
            let pool = plain_pool();
            let mut connection = pool.checkout(&origin).await.unwrap();
            ask(&mut connection).await;
            let failure = connection.read_head(false).await.unwrap_err();
            assert!(matches!(failure, TransportError::Protocol(_)), "{what}: {failure}");
            connection.release();
            assert_eq!(pool.shared().open_connections(), 0, "{what}");
        }
    });
}

#[test]
fn heads_have_limits() {
    lane(async {
        let many = format!("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", "a: b\r\n".repeat(2047));
        assert_eq!(get(&plain_pool(), &origin(answering(many).await)).await.unwrap().0, 200);
        let too_many = format!("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", "a: b\r\n".repeat(2048));
        let too_large = format!("HTTP/1.1 200 OK\r\na: {}\r\ncontent-length: 0\r\n\r\n", "b".repeat(64 * 1024));
        let without_end = format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(64 * 1024));
        let never_final = "HTTP/1.1 102 Processing\r\n\r\n".repeat(101);
        for answer in [too_many, too_large, without_end, never_final] {
            let failure = get(&plain_pool(), &origin(answering(answer).await)).await.unwrap_err();
            assert!(matches!(failure, TransportError::Protocol(_)), "{failure}");
        }
        let large = format!("HTTP/1.1 200 OK\r\na: {}\r\ncontent-length: 2\r\n\r\nok", "b".repeat(63 * 1024));
        let patient =
            format!("{}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "HTTP/1.1 102 Processing\r\n\r\n".repeat(100));
        for answer in [large, patient] {
            assert_eq!(get(&plain_pool(), &origin(answering(answer).await)).await.unwrap(), (200, b"ok".to_vec()));
        }
    });
}

#[test]
fn header_values_that_are_no_text_are_made_text() {
    lane(async {
        let origin = origin(
            answering(b"HTTP/1.1 200 OK\r\nX-A: \xff\xe9t\xe9\r\nx-a: two\r\nContent-Length: 0\r\n\r\n".as_slice())
                .await,
        );
        let pool = plain_pool();
        let mut connection = pool.checkout(&origin).await.unwrap();
        ask(&mut connection).await;
        let head = connection.read_head(false).await.unwrap();
        let headers = head.into_headers();
        assert_eq!(headers.get("x-a"), Some("\u{fffd}\u{fffd}t\u{fffd}"));
        assert_eq!(headers.all("X-a").nth(1), Some("two"));
        let names: Vec<_> = headers.iter().map(|(n, _)| n).collect();
        assert_eq!((names, headers.len(), headers.is_empty()), (vec!["X-A", "x-a", "Content-Length"], 3, false));
        assert!(!format!("{headers:?}").contains("two"), "values are not for logs");
    });
}

#[test]
fn an_unread_body_closes_the_connection() {
    lane(async {
        let origin = origin(answering("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await);
        let pool = plain_pool();
        let mut connection = pool.checkout(&origin).await.unwrap();
        ask(&mut connection).await;
        connection.read_head(false).await.unwrap();
        connection.release();
        let mut connection = pool.checkout(&origin).await.unwrap();
        ask(&mut connection).await;
        drop(connection);
        assert_eq!((pool.idle_connections(), pool.shared().open_connections()), (0, 0));
    });
}

#[test]
fn a_body_over_the_limit_is_refused() {
    lane(async {
        let origin = origin(answering("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await);
        let pool = plain_pool();
        let mut connection = pool.checkout(&origin).await.unwrap();
        ask(&mut connection).await;
        connection.read_head(false).await.unwrap();
        assert_eq!(connection.read_body(4).await.unwrap_err(), TransportError::BodyTooLarge { limit: 4 });
    });
}

#[test]
fn a_connection_used_out_of_order_says_so() {
    lane(async {
        let origin = origin(answering("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await);
        let pool = plain_pool();
        let mut connection = pool.checkout(&origin).await.unwrap();
        assert!(matches!(connection.read_head(false).await, Err(TransportError::Misuse(_))));
        assert!(matches!(connection.next_chunk().await, Err(TransportError::Misuse(_))));
        ask(&mut connection).await;
        connection.read_head(false).await.unwrap();
        assert!(matches!(connection.send(&[b"x"]).await, Err(TransportError::Misuse(_))));
    });
}

#[test]
fn connections_kept_too_long_are_not_used_again() {
    lane(async {
        let origin = origin(answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await);
        let pool = plain_pool();
        get(&pool, &origin).await.unwrap();
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(14)).await;
        pool.sweep();
        assert_eq!(pool.idle_connections(), 1);
        tokio::time::advance(Duration::from_secs(2)).await;
        tokio::time::resume();
        assert!(!pool.checkout(&origin).await.unwrap().is_reused());
        assert_eq!(pool.idle_connections(), 0);

        get(&pool, &origin).await.unwrap();
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(16)).await;
        pool.sweep();
        assert_eq!((pool.idle_connections(), pool.shared().open_connections()), (0, 0));
    });
}

#[test]
fn a_kept_connection_that_the_server_closed_is_not_handed_out() {
    lane(async {
        let address = server(|_, mut stream| async move {
            read_request(&mut stream).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
            tokio::task::yield_now().await;
            stream.shutdown().await
        })
        .await;
        let (origin, pool) = (origin(address), plain_pool());
        get(&pool, &origin).await.unwrap();
        assert_eq!(pool.idle_connections(), 1);
        // Until the runtime has heard of it.
        a_while().await;
        assert!(!pool.checkout(&origin).await.unwrap().is_reused());
    });
}

#[test]
fn a_kept_connection_on_which_something_came_is_not_handed_out() {
    lane(async {
        let address = server(|_, mut stream| async move {
            read_request(&mut stream).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
            tokio::time::sleep(Duration::from_millis(5)).await;
            stream.write_all(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n").await?;
            std::future::pending().await
        })
        .await;
        let (origin, pool) = (origin(address), plain_pool());
        get(&pool, &origin).await.unwrap();
        a_while().await;
        assert!(!pool.checkout(&origin).await.unwrap().is_reused());
    });
}

#[test]
fn what_comes_behind_an_answer_while_that_is_used_is_seen_as_well() {
    lane(async {
        let (more, wanted) = tokio::sync::oneshot::channel::<()>();
        let wanted = std::sync::Mutex::new(Some(wanted));
        let address = server(move |_, mut stream| {
            let wanted = wanted.lock().unwrap().take();
            async move {
                read_request(&mut stream).await?;
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await?;
                if let Some(wanted) = wanted {
                    let _ = wanted.await;
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
                std::future::pending().await
            }
        })
        .await;
        let (origin, pool) = (origin(address), plain_pool());
        let mut connection = pool.checkout(&origin).await.unwrap();
        ask(&mut connection).await;
        connection.read_head(false).await.unwrap();
        assert_eq!(connection.next_chunk().await.unwrap(), Some(&b"ok"[..]));
        // The bytes are being written to a disk, say.
        more.send(()).unwrap();
        a_while().await;
        connection.release();
        assert!(!pool.checkout(&origin).await.unwrap().is_reused(), "its next answer would be the surplus");
    });
}

#[test]
fn a_connection_that_goes_stale_in_use_says_that_it_is() {
    lane(async {
        let address = server(|number, mut stream| async move {
            read_request(&mut stream).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
            // The second request is swallowed, as by a server that was closing just then.
            read_request(&mut stream).await?;
            if number == 1 {
                stream.write_all(b"HTTP/1.1 2").await?;
            }
            Ok(())
        })
        .await;
        let (origin, pool) = (origin(address), plain_pool());
        get(&pool, &origin).await.unwrap();
        let failure = get(&pool, &origin).await.unwrap_err();
        assert!(failure.is_stale_connection(), "{failure:?}");
        // A byte of an answer makes it an ordinary failure.
        get(&pool, &origin).await.unwrap();
        let failure = get(&pool, &origin).await.unwrap_err();
        assert!(matches!(failure, TransportError::Closed(p) if p.received_any && p.reused), "{failure:?}");
        assert!(!failure.is_stale_connection());
        assert_eq!(pool.shared().open_connections(), 0);
    });
}

#[test]
fn a_fresh_connection_that_dies_is_not_stale() {
    lane(async {
        let address = server(|number, mut stream| async move {
            read_request(&mut stream).await?;
            if number == 1 {
                stream.write_all(b"HTTP/1.1 200 OK\r\nconte").await?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            reset(stream);
            Ok(())
        })
        .await;
        let (origin, pool) = (origin(address), plain_pool());
        for received_any in [false, true] {
            let failure = get(&pool, &origin).await.unwrap_err();
            let TransportError::Reset(progress) = failure else { panic!("{failure:?}") };
            assert_eq!(progress, Progress { reused: false, sent_any: true, received_any });
            assert!(!failure.is_stale_connection());
        }
    });
}

#[test]
fn heads_cannot_be_smuggled_into() {
    let mut out = b"before".to_vec();
    let bad: &[(&str, &str, &str, &str)] = &[
        ("GET /", "/", "a", "b"),
        ("", "/", "a", "b"),
        ("GET", "", "a", "b"),
        ("GET", "/a b", "a", "b"),
        ("GET", "/a\r\nx: y", "a", "b"),
        ("GET", "/", "", "b"),
        ("GET", "/", "a:", "b"),
        ("GET", "/", "a\n", "b"),
        ("GET", "/", "a", "b\r\nc: d"),
        ("GET", "/", "a", "b\n"),
        ("GET", "/", "a", "b\0"),
    ];
    for (method, target, name, value) in bad {
        let refused = encode_head(&mut out, method, target, [("ok", "ok"), (*name, *value)]);
        assert!(matches!(refused, Err(TransportError::InvalidHead(_))), "{method:?} {target:?} {name:?} {value:?}");
        assert_eq!(out, b"before");
    }
    encode_head(&mut out, "PUT", "/k?x=%20", [("a", "b\tc \u{e9}"), ("empty", "")]).unwrap();
    assert_eq!(out, "beforePUT /k?x=%20 HTTP/1.1\r\na: b\tc \u{e9}\r\nempty: \r\n\r\n".as_bytes());
}
