use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_s3::primitives::ByteStream;

use super::client::{failure, parse, raw, sdk, streamed};
use crate::{Action, FaultRule, Gate, Op, TestServer, pattern};

fn open_server() -> TestServer {
    let server = TestServer::builder().auth(false).start();
    server.put_object("bucket", "k", pattern::bytes(1, 1_000_000));
    server
}

/// Sends a GET and reads until the connection ends; the bytes and how it ended.
fn get_until_end(server: &TestServer) -> (Vec<u8>, std::io::Result<usize>) {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET /bucket/k HTTP/1.1\r\nHost: {}\r\n\r\n", server.address()).unwrap();
    let mut received = Vec::new();
    let end = stream.read_to_end(&mut received);
    (received, end)
}

#[tokio::test]
async fn a_status_is_answered_as_often_as_asked_on_a_kept_connection() {
    let server = TestServer::start();
    let client = sdk(&server);
    let fault = server.inject(FaultRule::on(Op::PutObject).key("k").times(2).then(Action::Status(503, "SlowDown")));
    let put = || client.put_object().bucket("bucket").key("k").body(ByteStream::from(vec![7; 500_000])).send();
    assert_eq!(failure(put().await), (503, "SlowDown".to_owned()));
    assert_eq!(failure(put().await), (503, "SlowDown".to_owned()));
    assert!(server.object("bucket", "k").is_none());
    put().await.unwrap();
    assert_eq!(fault.hits(), 2);
    let stats = server.stats();
    assert_eq!((stats.statuses[&503], stats.statuses[&200], stats.connections_accepted), (2, 1, 1));
}

#[test]
fn a_refusal_before_the_body_does_not_wait_for_it() {
    let server = open_server();
    server.inject(FaultRule::any().then(Action::StatusBeforeBody(503, "SlowDown")));
    // The body is promised and never sent.
    let answer = raw(&server, "PUT", "/bucket/new", &[("content-length", "1000000")], b"");
    assert_eq!((answer.status, &answer.headers["connection"]), (503, &http::HeaderValue::from_static("close")));
    assert_eq!(server.stats().bytes_in, 0);
}

#[test]
fn resets_and_torn_bodies() {
    let server = open_server();
    let fault = server.inject(FaultRule::on(Op::GetObject).then(Action::Reset));
    let (received, end) = get_until_end(&server);
    assert!(received.is_empty());
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    fault.remove();

    for bytes in [0, 1, 300_000] {
        let fault = server.inject(FaultRule::on(Op::GetObject).then(Action::ResetAfterBytes(bytes)));
        let (received, _) = get_until_end(&server);
        let answer = parse(&received);
        assert_eq!(answer.headers["content-length"], "1000000");
        assert_eq!(answer.body, pattern::bytes(1, bytes as usize), "exactly {bytes} bytes");
        fault.remove();
    }
    let (received, _) = {
        server.inject(FaultRule::on(Op::GetObject).then(Action::ResetAnswer));
        get_until_end(&server)
    };
    assert!(received.is_empty());
    assert_eq!(server.requests().last().unwrap().status, None);
}

#[test]
fn a_lost_answer_is_carried_out_all_the_same() {
    let server = open_server();
    server.inject(FaultRule::on(Op::PutObject).then(Action::ResetAnswer));
    let mut stream = TcpStream::connect(server.address()).unwrap();
    write!(stream, "PUT /bucket/new HTTP/1.1\r\nHost: {}\r\nContent-Length: 5\r\n\r\nhello", server.address()).unwrap();
    assert!(stream.read_to_end(&mut Vec::new()).is_err());
    assert_eq!(server.object("bucket", "new").unwrap().bytes(), "hello");
}

#[test]
fn corrupt_and_truncated_bodies_look_right_from_outside() {
    let server = open_server();
    let data = pattern::bytes(1, 1_000_000);
    let fault = server.inject(FaultRule::on(Op::GetObject).then(Action::CorruptBody));
    let answer = raw(&server, "GET", "/bucket/k", &[], b"");
    let wrong: Vec<_> = (0..data.len()).filter(|at| answer.body[*at] != data[*at]).collect();
    assert_eq!((answer.body.len(), wrong), (data.len(), vec![500_000]));
    fault.remove();
    server.inject(FaultRule::on(Op::GetObject).then(Action::TruncateBody));
    let answer = raw(&server, "GET", "/bucket/k", &[], b"");
    assert_eq!(answer.headers["content-length"], "500000");
    assert_eq!(answer.body, data[..500_000]);
}

#[test]
fn stalls_end_when_told_or_with_the_server() {
    let server = open_server();
    let stall = server.inject(FaultRule::on(Op::GetObject).then(Action::Stall(Some(Duration::from_millis(50)))));
    let start = Instant::now();
    assert!(get_until_end(&server).0.is_empty());
    assert!(start.elapsed() >= Duration::from_millis(50));
    stall.remove();

    server.inject(FaultRule::on(Op::GetObject).then(Action::StallAfterBytes(1000)));
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET /bucket/k HTTP/1.1\r\nHost: {}\r\n\r\n", server.address()).unwrap();
    let mut received = Vec::new();
    while !received.windows(4).any(|window| window == b"\r\n\r\n") || parse(&received).body.len() < 1000 {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "the connection stays open");
        received.extend_from_slice(&piece[..read]);
    }
    assert_eq!(parse(&received).body, pattern::bytes(1, 1000));
    assert_eq!(server.stats().in_flight, 1);
    assert!(!server.wait_idle(Duration::from_millis(10)));
    drop(server);
    assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0, "the server's end closes the connection");
}

#[test]
fn hooks_and_gates_act_at_the_exact_request() {
    let server = open_server();
    let calls = Arc::new(AtomicUsize::new(0));
    let (handle, counter) = (server.handle(), calls.clone());
    server.inject(FaultRule::on(Op::GetObject).nth(2).then(Action::call(move || {
        counter.fetch_add(1, Ordering::SeqCst);
        handle.put_object("bucket", "k", "replaced");
    })));
    assert_eq!(raw(&server, "GET", "/bucket/k", &[], b"").body.len(), 1_000_000);
    assert_eq!(raw(&server, "GET", "/bucket/k", &[], b"").body, b"replaced");
    assert_eq!(calls.load(Ordering::SeqCst), 1);

    let gate = Gate::new();
    server.inject(FaultRule::on(Op::HeadObject).then(Action::Hold(gate.clone())));
    std::thread::scope(|scope| {
        let held = scope.spawn(|| raw(&server, "HEAD", "/bucket/k", &[], b"").status);
        assert!(gate.arrived_blocking(1, Duration::from_secs(20)));
        assert_eq!(server.stats().in_flight, 1);
        assert!(!held.is_finished());
        gate.open();
        assert_eq!(held.join().unwrap(), 200);
        assert!(server.wait_idle(Duration::from_secs(20)));
    });
}

#[tokio::test]
async fn trailers_can_be_refused_and_success_can_be_a_lie() {
    let server = TestServer::start();
    let client = sdk(&server);
    let fault = server.inject(FaultRule::any().then(Action::DropTrailerSupport));
    let (stream, _file) = streamed(b"x").await;
    let put = client.put_object().bucket("bucket").key("k").body(stream).send().await;
    assert_eq!(failure(put), (400, "InvalidRequest".to_owned()));
    assert_eq!(client.head_bucket().bucket("bucket").send().await.unwrap().bucket_region(), Some("us-east-1"));
    fault.remove();

    let create = client.create_multipart_upload().bucket("bucket").key("k").send().await.unwrap();
    server.inject(FaultRule::on(Op::CompleteMultipartUpload).times(1).then(Action::OkWithError("InternalError")));
    let complete = client
        .complete_multipart_upload()
        .bucket("bucket")
        .key("k")
        .upload_id(create.upload_id().unwrap())
        .send()
        .await;
    assert_eq!(failure(complete), (200, "InternalError".to_owned()));
    assert_eq!(server.open_uploads().len(), 1);
}

#[test]
fn headers_of_answers_can_be_changed() {
    let server = open_server();
    server.inject(FaultRule::on(Op::HeadObject).then(Action::RemoveHeader("last-modified")));
    server.inject(FaultRule::on(Op::HeadObject).then(Action::SetHeader("etag", "\"\"")));
    let answer = raw(&server, "HEAD", "/bucket/k", &[], b"");
    assert_eq!(answer.headers["etag"], "\"\"");
    assert!(!answer.headers.contains_key("last-modified"));
}

#[test]
fn latency_and_bandwidth_take_their_time() {
    let server = TestServer::builder()
        .auth(false)
        .latency(Duration::from_millis(30))
        .bandwidth_per_connection(2_000_000)
        .start();
    server.put_object("bucket", "k", pattern::bytes(1, 400_000));
    let start = Instant::now();
    let answer = raw(&server, "GET", "/bucket/k", &[], b"");
    let took = start.elapsed();
    assert_eq!(answer.body, pattern::bytes(1, 400_000));
    assert!(took >= Duration::from_millis(200), "400 kB at 2 MB/s took {took:?}");
    let start = Instant::now();
    let put = raw(&server, "PUT", "/bucket/new", &[("content-length", "400000")], &pattern::bytes(2, 400_000));
    assert_eq!((put.status, server.object("bucket", "new").unwrap().len()), (200, 400_000));
    assert!(start.elapsed() >= Duration::from_millis(200));
    server.set_latency(Duration::ZERO);
    assert_eq!(raw(&server, "HEAD", "/bucket/k", &[], b"").status, 200);
}
