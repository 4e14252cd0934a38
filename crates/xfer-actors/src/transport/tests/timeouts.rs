//! Servers that keep a client waiting. tokio's clock is stopped where the wait begins, and then runs by itself to the deadline.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::kit::*;
use crate::transport::*;

/// A server that sends `answer` and then nothing.
async fn stalling(answer: &'static str) -> Origin {
    let address = server(move |_, mut stream| async move {
        read_request(&mut stream).await?;
        stream.write_all(answer.as_bytes()).await?;
        std::future::pending().await
    })
    .await;
    origin(address)
}

#[test]
fn no_head_in_time() {
    lane(async {
        for answer in ["", "HTTP/1.1 200 OK\r\ncontent-len"] {
            let origin = stalling(answer).await;
            let pool = plain_pool();
            let mut connection = pool.checkout(&origin).await.unwrap();
            ask(&mut connection).await;
            tokio::time::pause();
            let began = Instant::now();
            let failure = connection.read_head(false).await.unwrap_err();
            assert_eq!(failure, TransportError::FirstByteTimeout { after: Duration::from_secs(60) });
            assert!(!failure.is_stale_connection());
            assert!((60..62).contains(&began.elapsed().as_secs()));
            connection.release();
            assert_eq!(pool.shared().open_connections(), 0);
            tokio::time::resume();
        }
    });
}

#[test]
fn a_head_that_trickles_in_has_one_deadline() {
    lane(async {
        let address = server(|_, mut stream| async move {
            read_request(&mut stream).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\na: ").await?;
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                stream.write_all(b"b").await?;
            }
        })
        .await;
        let pool = plain_pool();
        let mut connection = pool.checkout(&origin(address)).await.unwrap();
        ask(&mut connection).await;
        tokio::time::pause();
        let began = Instant::now();
        let failure = connection.read_head_within(false, Duration::from_secs(7)).await.unwrap_err();
        assert_eq!(failure, TransportError::FirstByteTimeout { after: Duration::from_secs(7) });
        assert!((7..9).contains(&began.elapsed().as_secs()));
    });
}

#[test]
fn a_body_that_trickles_in_has_one_deadline_where_it_is_read_whole() {
    lane(async {
        let address = server(|_, mut stream| async move {
            read_request(&mut stream).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await?;
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                stream.write_all(b" ").await?;
            }
        })
        .await;
        let pool = plain_pool();
        let mut connection = pool.checkout(&origin(address)).await.unwrap();
        ask(&mut connection).await;
        connection.read_head(false).await.unwrap();
        tokio::time::pause();
        let began = Instant::now();
        let failure = connection.read_body_within(1 << 20, Duration::from_secs(100)).await.unwrap_err();
        assert_eq!(failure, TransportError::BodyTimeout { after: Duration::from_secs(100) });
        assert!((100..102).contains(&began.elapsed().as_secs()));
        connection.release();
        assert_eq!((pool.idle_connections(), pool.shared().open_connections()), (0, 0));
    });
}

#[test]
fn a_body_that_stalls() {
    lane(async {
        let origin = stalling("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345").await;
        let pool = plain_pool();
        let mut connection = pool.checkout(&origin).await.unwrap();
        ask(&mut connection).await;
        connection.read_head(false).await.unwrap();
        assert_eq!(connection.next_chunk().await.unwrap(), Some(&b"12345"[..]));
        tokio::time::pause();
        let began = Instant::now();
        let failure = connection.next_chunk().await.unwrap_err();
        assert_eq!(failure, TransportError::IdleTimeout { after: Duration::from_secs(30) });
        assert!((30..32).contains(&began.elapsed().as_secs()));
    });
}

#[test]
fn a_body_that_moves_may_take_its_time() {
    lane(async {
        let address = server(|_, mut stream| async move {
            read_request(&mut stream).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n").await?;
            for byte in b"0123456789" {
                tokio::time::sleep(Duration::from_secs(20)).await;
                stream.write_all(&[*byte]).await?;
            }
            std::future::pending().await
        })
        .await;
        let pool = plain_pool();
        let mut connection = pool.checkout(&origin(address)).await.unwrap();
        ask(&mut connection).await;
        connection.read_head(false).await.unwrap();
        tokio::time::pause();
        assert_eq!(connection.read_body(10).await.unwrap(), b"0123456789");
    });
}

#[test]
fn a_server_that_does_not_read() {
    lane(async {
        let origin = stalling("").await;
        let pool = plain_pool();
        let mut connection = pool.checkout(&origin).await.unwrap();
        ask(&mut connection).await;
        let body = vec![0; 64 << 20];
        tokio::time::pause();
        let failure = connection.send(&[&body]).await.unwrap_err();
        assert_eq!(failure, TransportError::IdleTimeout { after: Duration::from_secs(30) });
        connection.release();
        assert_eq!(pool.shared().open_connections(), 0);
    });
}

#[test]
fn a_send_that_was_given_up_closes_the_connection() {
    lane(async {
        let origin = origin(answering("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n").await);
        let pool = plain_pool();
        let mut connection = pool.checkout(&origin).await.unwrap();
        let body = vec![b'x'; 64 << 20];
        let torn = tokio::time::timeout(Duration::from_millis(20), connection.send(&[&body])).await;
        assert!(torn.is_err());
        connection.release();
        assert_eq!((pool.idle_connections(), pool.shared().open_connections()), (0, 0));
    });
}

#[test]
fn a_read_that_was_given_up_loses_nothing() {
    lane(async {
        let address = server(|_, mut stream| async move {
            read_request(&mut stream).await?;
            for piece in ["HTTP/1.1 200", " OK\r\ncontent-length: 4\r\n\r\n", "ab", "cd"] {
                tokio::time::sleep(Duration::from_millis(15)).await;
                stream.write_all(piece.as_bytes()).await?;
            }
            std::future::pending().await
        })
        .await;
        let pool = plain_pool();
        let mut connection = pool.checkout(&origin(address)).await.unwrap();
        ask(&mut connection).await;
        let brief = Duration::from_millis(2);
        let mut given_up = 0;
        let head = loop {
            match tokio::time::timeout(brief, connection.read_head(false)).await {
                Ok(head) => break head.unwrap(),
                Err(_) => given_up += 1,
            }
        };
        assert_eq!(head.status(), 200);
        let mut body = Vec::new();
        loop {
            match tokio::time::timeout(brief, connection.next_chunk()).await {
                Ok(Ok(Some(piece))) => body.extend_from_slice(piece),
                Ok(Ok(None)) => break,
                Ok(Err(failure)) => panic!("{failure}"),
                Err(_) => given_up += 1,
            }
        }
        assert_eq!(body, b"abcd");
        assert!(given_up > 0);
    });
}
