//! Answers that come before the request is whole.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::kit::*;
use crate::transport::*;

const BUSY: &[u8] = b"HTTP/1.1 503 Slow Down\r\ncontent-length: 4\r\n\r\nbusy";

/// Sends 64 MiB in pieces until the server has had enough.
async fn put(connection: &mut Connection) -> Result<Sent, TransportError> {
    let mut head = Vec::new();
    connection.encode_head(&mut head, "PUT", "/b/k", [("content-length", "67108864")]).unwrap();
    let piece = pattern(1 << 20);
    assert_eq!(connection.send(&[&head]).await.unwrap(), Sent::Whole);
    for _ in 0..64 {
        if connection.send(&[&piece]).await? == Sent::AnsweredEarly {
            return Ok(Sent::AnsweredEarly);
        }
    }
    Ok(Sent::Whole)
}

async fn refused_early<F, Fut>(script: F)
where
    F: Fn(TcpStream) -> Fut + 'static,
    Fut: Future<Output = std::io::Result<()>> + 'static,
{
    let address = server(move |_, stream| script(stream)).await;
    let (origin, pool) = (origin(address), plain_pool());
    let mut connection = pool.checkout(&origin).await.unwrap();
    assert_eq!(put(&mut connection).await.unwrap(), Sent::AnsweredEarly);
    assert_eq!(connection.send(&[b"more"]).await.unwrap(), Sent::AnsweredEarly);
    let head = connection.read_head(false).await.unwrap();
    assert_eq!((head.status(), connection.read_body(10).await.unwrap()), (503, b"busy".to_vec()));
    connection.release();
    assert_eq!((pool.idle_connections(), pool.shared().open_connections()), (0, 0));
}

#[test]
fn a_refusal_while_the_body_is_being_sent_is_read() {
    lane(refused_early(|mut stream| async move {
        read_request(&mut stream).await?;
        stream.write_all(BUSY).await?;
        // Reads no more, so that the client's socket fills.
        std::future::pending().await
    }));
}

#[test]
fn a_refusal_is_read_though_the_server_then_closes() {
    lane(refused_early(|mut stream| async move {
        read_request(&mut stream).await?;
        stream.write_all(BUSY).await?;
        stream.shutdown().await?;
        // Swallows the rest, as servers do so that their answer is not lost.
        let mut sink = vec![0; 1 << 16];
        while stream.read(&mut sink).await? > 0 {}
        Ok(())
    }));
}

#[test]
fn a_refusal_is_read_though_the_server_then_resets() {
    lane(refused_early(|mut stream| async move {
        read_request(&mut stream).await?;
        stream.write_all(BUSY).await?;
        // Unread bytes make the close a reset.
        drop(stream);
        Ok(())
    }));
}

#[test]
fn a_server_that_only_hangs_up_is_an_error() {
    lane(async {
        let address = server(|_, mut stream| async move {
            read_request(&mut stream).await?;
            reset(stream);
            Ok(())
        })
        .await;
        let (origin, pool) = (origin(address), plain_pool());
        let mut connection = pool.checkout(&origin).await.unwrap();
        let failure = match put(&mut connection).await {
            Ok(Sent::AnsweredEarly) => connection.read_head(false).await.unwrap_err(),
            Ok(Sent::Whole) => panic!("64 MiB do not fit into socket buffers"),
            Err(failure) => failure,
        };
        assert!(matches!(failure, TransportError::Reset(_) | TransportError::Closed(_)), "{failure:?}");
        assert!(!failure.is_stale_connection());
    });
}

#[test]
fn an_interim_answer_does_not_stop_a_request() {
    lane(async {
        let address = server(|_, mut stream| async move {
            read_request(&mut stream).await?;
            // In two pieces, the first of them too short to tell what it is.
            stream.write_all(b"HTTP/1.1 ").await?;
            tokio::time::sleep(Duration::from_millis(10)).await;
            stream.write_all(b"100 Continue\r\n").await?;
            tokio::time::sleep(Duration::from_millis(10)).await;
            stream.write_all(b"\r\n").await?;
            let mut left = 64 << 20;
            let mut sink = vec![0; 1 << 16];
            while left > 0 {
                left -= stream.read(&mut sink).await?;
            }
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
            std::future::pending().await
        })
        .await;
        let (origin, pool) = (origin(address), plain_pool());
        let mut connection = pool.checkout(&origin).await.unwrap();
        assert_eq!(put(&mut connection).await.unwrap(), Sent::Whole);
        assert_eq!(connection.read_head(false).await.unwrap().status(), 200);
        connection.release();
        assert_eq!(pool.idle_connections(), 1);
    });
}

#[test]
fn an_answer_to_half_a_request_ends_it_at_the_next_send() {
    lane(async {
        let address = server(|_, mut stream| async move {
            read_request(&mut stream).await?;
            stream.write_all(BUSY).await?;
            std::future::pending().await
        })
        .await;
        let (origin, pool) = (origin(address), plain_pool());
        let mut connection = pool.checkout(&origin).await.unwrap();
        let mut head = Vec::new();
        connection.encode_head(&mut head, "PUT", "/b/k", [("content-length", "10")]).unwrap();
        assert_eq!(connection.send(&[&head]).await.unwrap(), Sent::Whole);
        a_while().await;
        // The socket has room, but there is no point.
        assert_eq!(connection.send(&[b"0123456789"]).await.unwrap(), Sent::AnsweredEarly);
        assert_eq!(connection.read_head(false).await.unwrap().status(), 503);
    });
}
