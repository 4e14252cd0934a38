//! Bodies: every framing, cut everywhere.

use tokio::io::AsyncWriteExt;

use super::kit::*;
use crate::transport::body::{BodyDecoder, Step};
use crate::transport::framing::Framing;
use crate::transport::*;

/// A server that sends an answer in pieces, waiting for the client to have seen one before it sends the next, then closes if told to.
async fn in_pieces(pieces: Vec<Vec<u8>>, close: bool) -> Origin {
    let address = server(move |_, mut stream| {
        let pieces = pieces.clone();
        async move {
            read_request(&mut stream).await?;
            for piece in pieces {
                stream.write_all(&piece).await?;
                // The client runs until it waits for more.
                for _ in 0..4 {
                    tokio::task::yield_now().await;
                }
            }
            if !close {
                let () = std::future::pending().await;
            }
            Ok(())
        }
    })
    .await;
    origin(address)
}

const CHUNKED: &str = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n\
    5\r\nhello\r\n1 ;ext=\"a\"\r\n,\r\n00006\r\n world\r\n0\r\nx-trailer: yes\r\nother: t\r\n\r\n";
const SIZED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello, world";

#[test]
fn an_answer_may_be_cut_anywhere() {
    lane(async {
        for whole in [CHUNKED, SIZED] {
            for cut in 1..whole.len() {
                let (a, b) = whole.as_bytes().split_at(cut);
                let origin = in_pieces(vec![a.to_vec(), b.to_vec()], false).await;
                let pool = plain_pool();
                let (status, body) = get(&pool, &origin).await.unwrap_or_else(|e| panic!("cut at {cut}: {e}"));
                assert_eq!((status, body.as_slice()), (200, &b"hello, world"[..]), "cut at {cut}");
                assert_eq!(pool.idle_connections(), 1, "cut at {cut}");
            }
            let bytes = whole.bytes().map(|b| vec![b]).collect();
            assert_eq!(get(&plain_pool(), &in_pieces(bytes, false).await).await.unwrap().1, b"hello, world");
        }
    });
}

#[test]
fn an_answer_that_ends_anywhere_is_an_error() {
    lane(async {
        for whole in [CHUNKED, SIZED] {
            for cut in 1..whole.len() {
                let origin = in_pieces(vec![whole.as_bytes()[..cut].to_vec()], true).await;
                let pool = plain_pool();
                let failure = get(&pool, &origin).await.unwrap_err();
                assert!(matches!(failure, TransportError::Closed(p) if p.received_any), "cut at {cut}: {failure:?}");
                assert_eq!(pool.shared().open_connections(), 0);
            }
        }
    });
}

#[test]
fn a_body_without_a_length_ends_with_the_connection() {
    lane(async {
        let body = pattern(1_000_000);
        let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        answer.extend_from_slice(&body);
        let origin = in_pieces(vec![answer], true).await;
        let pool = plain_pool();
        let (_, got) = get(&pool, &origin).await.unwrap();
        assert!(got == body);
        assert_eq!((pool.idle_connections(), pool.shared().open_connections()), (0, 0));
    });
}

/// A chunked coding of `body` in chunks of odd sizes.
fn chunked(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = body;
    let mut size = 1;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rest.len().min(size));
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        rest = after;
        size = size * 5 % 77_777 + 1;
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

#[test]
fn large_bodies_arrive_borrowed_and_owned() {
    lane(async {
        let body = pattern(5_000_001);
        let mut sized = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
        sized.extend_from_slice(&body);
        let mut coded = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        coded.extend_from_slice(&chunked(&body));
        for answer in [sized, coded] {
            let origin = origin(answering(answer).await);
            let pool = plain_pool();
            assert!(get(&pool, &origin).await.unwrap().1 == body);

            let mut connection = pool.checkout(&origin).await.unwrap();
            assert!(connection.is_reused());
            ask(&mut connection).await;
            connection.read_head(false).await.unwrap();
            let mut chunks = Vec::new();
            while let Some(chunk) = connection.next_owned_chunk().await.unwrap() {
                assert!(!chunk.is_empty());
                chunks.push(chunk);
            }
            connection.release();
            // Another thread reads and frees them.
            let got = std::thread::spawn(move || chunks.iter().flat_map(|c| c.to_vec()).collect::<Vec<u8>>());
            assert!(got.join().unwrap() == body);
            assert_eq!(pool.idle_connections(), 1);
        }
    });
}

/// A body by way of the caller's memory, `most` bytes at a time, and how many of them came straight.
async fn straight(connection: &mut Connection, most: usize) -> Result<(Vec<u8>, usize), TransportError> {
    let (mut got, mut straight, mut memory) = (Vec::new(), 0, vec![0; most]);
    loop {
        if connection.can_receive_into().await? {
            let received = connection.receive_into(&mut memory)?;
            got.extend_from_slice(&memory[..received]);
            straight += received;
        } else if let Some(chunk) = connection.next_chunk().await? {
            got.extend_from_slice(chunk);
        } else {
            return Ok((got, straight));
        }
    }
}

#[test]
fn bodies_of_known_length_are_received_straight_into_the_callers_memory() {
    lane(async {
        let body = pattern(5_000_001);
        let mut sized = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
        sized.extend_from_slice(&body);
        let mut coded = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        coded.extend_from_slice(&chunked(&body));
        for (answer, most, is_sized) in [
            (sized.clone(), 777, true),
            (sized.clone(), 300_000, true),
            (sized, 8_000_000, true),
            (coded, 300_000, false),
        ] {
            let origin = origin(answering(answer).await);
            let pool = plain_pool();
            for round in 0..2 {
                let mut connection = pool.checkout(&origin).await.unwrap();
                assert_eq!(connection.is_reused(), round > 0);
                ask(&mut connection).await;
                connection.read_head(false).await.unwrap();
                let (got, straight) = straight(&mut connection, most).await.unwrap();
                assert!(got == body, "{most} at a time");
                assert_eq!(straight > 1_000_000, is_sized, "{straight} of {}", body.len());
                connection.release();
                assert_eq!(pool.idle_connections(), 1);
            }
        }
    });
}

#[test]
fn a_body_that_ends_early_is_an_error_in_the_callers_memory_too() {
    lane(async {
        for cut in [SIZED.len() - 12, SIZED.len() - 1] {
            let pieces =
                vec![SIZED.as_bytes()[..SIZED.len() - 12].to_vec(), SIZED.as_bytes()[SIZED.len() - 12..cut].to_vec()];
            let pool = plain_pool();
            let mut connection = pool.checkout(&in_pieces(pieces, true).await).await.unwrap();
            ask(&mut connection).await;
            connection.read_head(false).await.unwrap();
            let failure = straight(&mut connection, 5).await.unwrap_err();
            assert!(matches!(failure, TransportError::Closed(p) if p.received_any), "cut at {cut}: {failure:?}");
            connection.release();
            assert_eq!((pool.idle_connections(), pool.shared().open_connections()), (0, 0));
        }
    });
}

#[test]
fn malformed_chunks_are_errors() {
    let long = format!("1;{}\r\n", "x".repeat(20_000));
    let trailers = format!("0\r\n{}", "a: b\r\n".repeat(5_000));
    for bad in [
        "x\r\n",
        "\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x1\r\n",
        "5 5\r\n",
        "11111111111111111\r\n",
        "5\nhello",
        "5\r\nhelloo\r\n",
        "5\r\nhello\n",
        "5\r\r\n",
        "0\r\n\n",
        &long,
        &trailers,
    ] {
        let mut decoder = BodyDecoder::new(Framing::Chunked);
        let mut rest = bad.as_bytes();
        let failed = loop {
            match decoder.step(rest) {
                Ok(Step::Data(n) | Step::Skip(n)) => rest = &rest[n..],
                Ok(Step::More | Step::End) => break false,
                Err(_) => break true,
            }
        };
        assert!(failed, "{:?}", &bad[..bad.len().min(30)]);
    }
}

#[test]
fn the_largest_chunk_size_is_no_trap() {
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    assert_eq!(decoder.step(b"ffffffffffffffff\r\nab"), Ok(Step::Skip(18)));
    assert_eq!(decoder.step(b"ab"), Ok(Step::Data(2)));
    assert_eq!(decoder.step(b""), Ok(Step::More));
}

#[test]
fn large_requests_arrive() {
    use std::io;
    use tokio::io::AsyncReadExt;
    lane(async {
        let body = pattern(30_000_003);
        let want = body.clone();
        let address = server(move |_, mut stream| {
            let want = want.clone();
            async move {
                read_request(&mut stream).await?;
                let mut got = vec![0; want.len()];
                stream.read_exact(&mut got).await?;
                let status = if got == want { "200 Same" } else { "400 Different" };
                stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await?;
                io::Result::Ok(())
            }
        })
        .await;
        let (origin, pool) = (origin(address), plain_pool());
        let mut connection = pool.checkout(&origin).await.unwrap();
        let mut head = Vec::new();
        connection.encode_head(&mut head, "PUT", "/b/k", [("content-length", "30000003")]).unwrap();
        // More pieces than go into one system call, some empty.
        let (first, rest) = body.split_at(10_000_000);
        let mut pieces: Vec<&[u8]> = vec![&[], &head, &[]];
        pieces.extend(first.chunks(70_001));
        assert_eq!(connection.send(&pieces).await.unwrap(), Sent::Whole);
        assert_eq!(connection.send(&[]).await.unwrap(), Sent::Whole);
        assert_eq!(connection.send(&[rest]).await.unwrap(), Sent::Whole);
        assert_eq!(connection.read_head(false).await.unwrap().status(), 200);
        connection.release();
        assert_eq!(pool.idle_connections(), 1);
    });
}
