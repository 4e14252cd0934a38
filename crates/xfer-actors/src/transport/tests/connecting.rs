//! Names, addresses and the race between them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::kit::*;
use crate::transport::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

fn named(names: &Arc<Names>, config: TransportConfig) -> Pool {
    pool(TransportConfig { resolver: Arc::clone(names) as Arc<dyn Resolve>, ..config })
}

fn at(host: &str, port: u16) -> Origin {
    Origin::new(Scheme::Http, host, port).unwrap()
}

#[test]
fn connections_are_spread_over_all_addresses() {
    lane(async {
        // The same port on several loopback addresses.
        let first = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = first.local_addr().unwrap().port();
        let second = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
        let third = TcpListener::bind(("127.0.0.3", port)).await.unwrap();
        let names = Names::one("s3.test", &["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
        let pool = named(&names, TransportConfig::default());
        let mut connections = Vec::new();
        for _ in 0..9 {
            connections.push(pool.checkout(&at("s3.test", port)).await.unwrap());
        }
        for listener in [&first, &second, &third] {
            let here = connections.iter().filter(|c| c.remote_addr() == Some(listener.local_addr().unwrap())).count();
            assert_eq!(here, 3);
        }
        assert_eq!(names.asked(), 1);
        assert_eq!((pool.shared().open_connections(), pool.shared().peak_connections()), (9, 9));
        connections.truncate(2);
        assert_eq!((pool.shared().open_connections(), pool.shared().peak_connections()), (2, 9));
    });
}

#[test]
fn an_address_that_refuses_gives_way_to_the_next() {
    lane(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let names = Names::one("s3.test", &["127.0.0.9", "127.0.0.1"]);
        let pool = named(&names, TransportConfig { connect_stagger: Duration::from_secs(100), ..Default::default() });
        for _ in 0..4 {
            let connection = pool.connect(&at("s3.test", port)).await.unwrap();
            assert_eq!(connection.remote_addr(), Some(listener.local_addr().unwrap()));
        }
    });
}

#[test]
fn a_server_that_refuses_is_an_error() {
    lane(async {
        // Bound, and nobody listens: it is nobody else's meanwhile.
        let bound = TcpSocket::new_v4().unwrap();
        bound.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = bound.local_addr().unwrap().port();
        let failure = plain_pool().checkout(&at("127.0.0.1", port)).await.unwrap_err();
        let TransportError::Connect { to, kind, .. } = failure else { panic!("{failure:?}") };
        assert_eq!((to, kind), (format!("127.0.0.1:{port}"), io::ErrorKind::ConnectionRefused));
    });
}

/// A listener on this port, or on any with 0, whose queue is full, so that connecting to it hangs. Hold all of it.
async fn deaf(port: u16) -> (SocketAddr, Vec<TcpStream>, TcpListener) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 2], port).into()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
    }
    (address, queued, listener)
}

#[test]
fn a_slow_address_loses_to_the_next() {
    lane(async {
        let fast = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (slow, _queued, _deaf) = deaf(fast.local_addr().unwrap().port()).await;
        let names = Names::one("s3.test", &["127.0.0.2", "127.0.0.1"]);
        let pool = named(&names, TransportConfig { connect_stagger: Duration::from_millis(30), ..Default::default() });
        // The first turn begins with the slow one, and that is remembered for the third.
        for _ in 0..3 {
            let connection = pool.connect(&at("s3.test", slow.port())).await.unwrap();
            assert_eq!(connection.remote_addr(), Some(fast.local_addr().unwrap()));
        }
        assert_eq!(pool.shared().open_connections(), 0);
    });
}

#[test]
fn no_address_that_answers_in_time_is_an_error() {
    lane(async {
        let (slow, _queued, _deaf) = deaf(0).await;
        let after = Duration::from_millis(80);
        let pool = pool(TransportConfig { connect_timeout: after, ..Default::default() });
        let failure = pool.checkout(&origin(slow)).await.unwrap_err();
        assert_eq!(failure, TransportError::ConnectTimeout { to: slow.to_string(), after });
        assert_eq!(pool.shared().open_connections(), 0);
    });
}

#[test]
fn names_are_asked_for_once_a_minute_and_outlive_their_resolver() {
    lane(async {
        let server = answering(OK).await;
        let names = Names::one("s3.test", &["127.0.0.1"]);
        names.then("s3.test", Err("the resolver is out"));
        let pool = named(&names, TransportConfig::default());
        let origin = at("s3.test", server.port());
        let both = tokio::join!(pool.connect(&origin), pool.connect(&origin));
        assert!(both.0.is_ok() && both.1.is_ok());
        assert_eq!(names.asked(), 1, "one query at a time");
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(61)).await;
        pool.connect(&origin).await.unwrap();
        assert_eq!(names.asked(), 2);
        // Not asked again at once, but soon.
        pool.connect(&origin).await.unwrap();
        assert_eq!(names.asked(), 2);
        tokio::time::advance(Duration::from_secs(6)).await;
        pool.connect(&origin).await.unwrap();
        assert_eq!(names.asked(), 3);
    });
}

#[test]
fn names_that_lead_nowhere_are_errors() {
    lane(async {
        let names = Names::one("empty.test", &[]);
        let pool = named(&names, TransportConfig::default());
        for host in ["empty.test", "unknown.test"] {
            let failure = pool.checkout(&at(host, 80)).await.unwrap_err();
            assert!(matches!(&failure, TransportError::Dns { host: h, .. } if h == host), "{failure:?}");
        }
    });
}

#[test]
fn the_system_resolves_and_literals_are_not_resolved() {
    lane(async {
        let server = answering(OK).await;
        assert_eq!(get(&plain_pool(), &at("localhost", server.port())).await.unwrap().0, 200);
        let names = Arc::new(Names::default());
        assert_eq!(get(&named(&names, TransportConfig::default()), &origin(server)).await.unwrap().0, 200);
        assert_eq!(names.asked(), 0);
    });
}

/// A resolver that never answers; counts how often it is asked.
#[derive(Debug, Default)]
struct Silent(std::sync::atomic::AtomicUsize);

impl Resolve for Silent {
    fn resolve<'a>(&'a self, _host: &'a str) -> ResolveFuture<'a> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Box::pin(std::future::pending())
    }
}

#[test]
fn all_who_wait_for_a_name_that_never_comes_are_told_together() {
    lane(async {
        let silent = Arc::new(Silent::default());
        let resolver = Arc::clone(&silent) as Arc<dyn Resolve>;
        let pool = pool(TransportConfig { resolver, ..TransportConfig::default() });
        let origin: Origin = "http://s3.test:80".parse().unwrap();
        tokio::time::pause();
        let began = tokio::time::Instant::now();
        let failures = futures_util::future::join_all((0..50).map(|_| pool.checkout(&origin))).await;
        for failure in failures {
            assert!(matches!(failure, Err(TransportError::Dns { .. })), "{failure:?}");
        }
        assert!((5..7).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
        assert_eq!(silent.0.load(std::sync::atomic::Ordering::Relaxed), 1);
    });
}

#[test]
fn times_without_end_are_no_end_of_the_clock() {
    lane(async {
        let port = answering(OK).await.port();
        let names = Names::one("s3.test", &["127.0.0.9", "127.0.0.1"]);
        let for_ever = Duration::MAX;
        let pool = named(
            &names,
            TransportConfig {
                connect_timeout: for_ever,
                dns_timeout: for_ever,
                dns_ttl: for_ever,
                connect_stagger: for_ever,
                first_byte_timeout: for_ever,
                idle_timeout: for_ever,
                pool_idle: for_ever,
                ..Default::default()
            },
        );
        for _ in 0..2 {
            assert_eq!(get(&pool, &at("s3.test", port)).await.unwrap().0, 200);
        }
        assert_eq!((names.asked(), pool.idle_connections()), (1, 1));
        pool.sweep();
        assert_eq!(pool.idle_connections(), 1);
    });
}
