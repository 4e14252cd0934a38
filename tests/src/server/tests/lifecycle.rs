use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::client::{parse, raw};
use crate::{Op, TestServer};

#[test]
fn servers_are_apart_and_stop_when_dropped() {
    let (one, two) = (TestServer::start(), TestServer::start());
    one.put_object("bucket", "k", "x");
    assert!(two.object("bucket", "k").is_none());
    let address = one.address();
    let mut idle = TcpStream::connect(address).unwrap();
    idle.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    drop(one);
    assert_eq!(idle.read(&mut [0; 1]).unwrap_or(0), 0, "open connections are closed");
    assert!(TcpStream::connect(address).is_err(), "the listener is closed");
    drop(two);
}

#[tokio::test]
async fn a_server_can_live_and_die_within_a_runtime() {
    let server = TestServer::start();
    let handle = server.handle();
    drop(server);
    assert!(TcpStream::connect(handle.address()).is_err());
}

#[test]
fn counters_follow_connections_and_requests() {
    let server = TestServer::builder().auth(false).start();
    server.put_object("bucket", "k", "hello");
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    for _ in 0..3 {
        write!(stream, "GET /bucket/k HTTP/1.1\r\nHost: {}\r\n\r\n", server.address()).unwrap();
        let mut received = Vec::new();
        while !received.ends_with(b"hello") {
            let mut piece = [0; 1024];
            let read = stream.read(&mut piece).unwrap();
            received.extend_from_slice(&piece[..read]);
        }
    }
    let stats = server.stats();
    assert_eq!(
        (stats.count(Op::GetObject), stats.connections_accepted, stats.connections, stats.bytes_out),
        (3, 1, 1, 15)
    );
    assert_eq!(stats.max_in_flight, 1);
    server.close_connections();
    assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0);
    server.reset_stats();
    assert_eq!((server.stats().total(), server.requests().len()), (0, 0));
    raw(&server, "PUT", "/bucket/new", &[("content-length", "3"), ("X-Amz-Meta-Some", "Value")], b"abc");
    let seen = server.requests();
    assert_eq!((seen[0].op, seen[0].key.as_deref(), seen[0].connection), (Op::PutObject, Some("new"), 1));
    assert_eq!(seen[0].headers["x-amz-meta-some"], "Value");
    assert_eq!(server.stats().bytes_in, 3);
}

#[test]
fn https_with_a_ca_that_clients_can_trust() {
    let server = TestServer::builder().auth(false).tls().start();
    server.put_object("bucket", "k", "over tls");
    assert!(server.endpoint_url().starts_with("https://127.0.0.1:"));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(server.ca_pem_path().unwrap()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(server.address()).unwrap());
    write!(stream, "GET /bucket/k HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert_eq!(parse(&received).body, b"over tls");
}
