//! TLS against rustls's server, with certificates of our own making.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::kit::*;
use crate::transport::*;

/// A private certificate authority.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    bundle: tempfile::NamedTempFile,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "a private authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let bundle = tempfile::NamedTempFile::new().unwrap();
        fs::write(bundle.path(), issuer.pem()).unwrap();
        Self { issuer, bundle }
    }

    pub(super) fn trusting(&self) -> TransportConfig {
        TransportConfig { verify: Verify::CaBundle(self.bundle.path().to_owned()), ..TransportConfig::default() }
    }

    fn server_config(&self, names: &[&str]) -> ServerConfig {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap()
    }

    fn tls12(&self, names: &[&str]) -> ServerConfig {
        let whole = self.server_config(names);
        let provider = Arc::clone(whole.crypto_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&whole.cert_resolver));
        config.session_storage = rustls::server::ServerSessionMemoryCache::new(16);
        config
    }
}

type Secure = TlsStream<TcpStream>;

/// A TLS server running a script for each connection. Failed handshakes are the client's business.
async fn scripted<F, Fut>(config: ServerConfig, script: F) -> SocketAddr
where
    F: Fn(Secure) -> Fut + 'static,
    Fut: Future<Output = io::Result<()>> + 'static,
{
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let script = Rc::new(script);
    server(move |_, stream| {
        let (acceptor, script) = (acceptor.clone(), Rc::clone(&script));
        async move {
            match acceptor.accept(stream).await {
                Ok(secure) => script(secure).await,
                Err(_) => Ok(()),
            }
        }
    })
    .await
}

/// A TLS server that says hello to every request; `each` may do something to the session before each answer.
pub(super) async fn tls_server(
    authority: &Authority,
    names: &[&str],
    each: impl Fn(usize, &mut Secure) + Copy + 'static,
) -> SocketAddr {
    scripted(authority.server_config(names), move |secure| hello(secure, each)).await
}

async fn hello(mut secure: Secure, each: impl Fn(usize, &mut Secure)) -> io::Result<()> {
    let mut turn = 0;
    while request(&mut secure).await?.is_some() {
        each(turn, &mut secure);
        turn += 1;
        secure.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await?;
        secure.flush().await?;
    }
    Ok(())
}

async fn request(secure: &mut Secure) -> io::Result<Option<()>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match secure.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return Ok(None),
        }
    }
    Ok(Some(()))
}

fn secure_origin(address: SocketAddr) -> Origin {
    Origin::new(Scheme::Https, "127.0.0.1", address.port()).unwrap()
}

const NAMES: &[&str] = &["127.0.0.1"];

#[test]
fn a_private_authority_is_trusted_when_told_to() {
    lane(async {
        let authority = Authority::new();
        for config in [authority.server_config(NAMES), authority.tls12(NAMES)] {
            let address = scripted(config, |secure| hello(secure, |_, _| {})).await;
            let pool = pool(authority.trusting());
            for _ in 0..3 {
                assert_eq!(get(&pool, &secure_origin(address)).await.unwrap(), (200, b"hello".to_vec()));
                assert_eq!(pool.idle_connections(), 1);
            }
            assert_eq!(pool.shared().open_connections(), 1);
        }
    });
}

#[test]
fn a_configuration_made_for_others_asks_for_http_1_1() {
    lane(async {
        let authority = Authority::new();
        let mut both = authority.server_config(NAMES);
        both.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let address = scripted(both, |secure| {
            assert_eq!(secure.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
            hello(secure, |_, _| {})
        });
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.issuer.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut given = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        given.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let pool = pool(TransportConfig { tls: Some(Arc::new(given)), ..TransportConfig::default() });
        assert_eq!(get(&pool, &secure_origin(address.await)).await.unwrap(), (200, b"hello".to_vec()));
    });
}

#[test]
fn nobody_else_is_trusted_unless_told_to() {
    lane(async {
        let (ours, theirs) = (Authority::new(), Authority::new());
        let address = tls_server(&theirs, NAMES, |_, _| {}).await;
        for config in [ours.trusting(), TransportConfig::default()] {
            let pool = pool(config);
            let failure = pool.checkout(&secure_origin(address)).await.unwrap_err();
            assert!(
                matches!(&failure, TransportError::Tls { failure: TlsFailure::Certificate, to, .. } if *to == address.to_string()),
                "{failure:?}"
            );
            assert_eq!(pool.shared().open_connections(), 0);
        }
        let trusting = TransportConfig { verify: Verify::Disabled, ..TransportConfig::default() };
        assert_eq!(get(&pool(trusting), &secure_origin(address)).await.unwrap().0, 200);
    });
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    lane(async {
        let authority = Authority::new();
        let address = tls_server(&authority, &["elsewhere.test"], |_, _| {}).await;
        let failure = pool(authority.trusting()).checkout(&secure_origin(address)).await.unwrap_err();
        assert!(matches!(&failure, TransportError::Tls { failure: TlsFailure::Certificate, .. }), "{failure:?}");
        let config = TransportConfig { resolver: Names::one("elsewhere.test", &["127.0.0.1"]), ..authority.trusting() };
        let origin = Origin::new(Scheme::Https, "elsewhere.test", address.port()).unwrap();
        assert_eq!(get(&pool(config), &origin).await.unwrap().0, 200);
    });
}

#[test]
fn bundles_that_cannot_be_used_are_refused_at_once() {
    let garbage = tempfile::NamedTempFile::new().unwrap();
    fs::write(garbage.path(), "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n")
        .unwrap();
    let broken = tempfile::NamedTempFile::new().unwrap();
    fs::write(broken.path(), "-----BEGIN CERTIFICATE-----\n!!!!\n").unwrap();
    let empty = tempfile::NamedTempFile::new().unwrap();
    for path in [garbage.path(), broken.path(), empty.path(), "/nonexistent/ca.pem".as_ref()] {
        let config = TransportConfig { verify: Verify::CaBundle(path.to_owned()), ..TransportConfig::default() };
        let failure = SharedTransport::new(config).unwrap_err();
        let TransportError::TlsConfig(why) = &failure else { panic!("{failure:?}") };
        assert!(why.contains(path.to_str().unwrap()), "{why}");
    }
}

/// Echoes the body of one PUT after another.
async fn echo(mut secure: Secure, len: usize) -> io::Result<()> {
    while request(&mut secure).await?.is_some() {
        let mut body = vec![0; len];
        secure.read_exact(&mut body).await?;
        secure.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {len}\r\n\r\n").as_bytes()).await?;
        secure.write_all(&body).await?;
        secure.flush().await?;
    }
    Ok(())
}

#[test]
fn large_bodies_go_both_ways() {
    lane(async {
        let body = pattern(20_000_003);
        let authority = Authority::new();
        for config in [authority.server_config(NAMES), authority.tls12(NAMES)] {
            let len = body.len();
            let address = scripted(config, move |secure| echo(secure, len)).await;
            let pool = pool(authority.trusting());
            for turn in 0..2 {
                let mut connection = pool.checkout(&secure_origin(address)).await.unwrap();
                assert_eq!(connection.is_reused(), turn > 0);
                let mut head = Vec::new();
                connection.encode_head(&mut head, "PUT", "/b/k", [("host", "h")]).unwrap();
                let (first, rest) = body.split_at(7_000_001);
                let mut pieces: Vec<&[u8]> = vec![&head, &[]];
                pieces.extend(first.chunks(99_999));
                assert_eq!(connection.send(&pieces).await.unwrap(), Sent::Whole);
                for piece in rest.chunks(256 * 1024) {
                    assert_eq!(connection.send(&[piece]).await.unwrap(), Sent::Whole);
                }
                assert_eq!(connection.read_head(false).await.unwrap().status(), 200);
                let mut got = Vec::new();
                let mut owned = false;
                loop {
                    if owned {
                        let Some(chunk) = connection.next_owned_chunk().await.unwrap() else { break };
                        got.extend_from_slice(&chunk);
                    } else {
                        let Some(chunk) = connection.next_chunk().await.unwrap() else { break };
                        got.extend_from_slice(chunk);
                    }
                    owned = !owned;
                }
                assert!(got == body);
                connection.release();
                assert_eq!(pool.idle_connections(), 1);
            }
        }
    });
}

#[test]
fn records_of_every_size_are_joined() {
    lane(async {
        let body = pattern(300_000);
        let sent = body.clone();
        let authority = Authority::new();
        let address = scripted(authority.server_config(NAMES), move |mut secure| {
            let sent = sent.clone();
            async move {
                request(&mut secure).await?;
                secure
                    .write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", sent.len()).as_bytes())
                    .await?;
                let (mut rest, mut size) = (sent.as_slice(), 1);
                while !rest.is_empty() {
                    let (record, after) = rest.split_at(rest.len().min(size));
                    secure.write_all(record).await?;
                    secure.flush().await?;
                    rest = after;
                    size = size * 3 % 17_000 + 1;
                }
                std::future::pending().await
            }
        })
        .await;
        assert!(get(&pool(authority.trusting()), &secure_origin(address)).await.unwrap().1 == body);
    });
}

#[test]
fn keys_may_change_in_the_middle() {
    lane(async {
        let authority = Authority::new();
        // The server changes its keys and asks for new ones of ours.
        let address = tls_server(&authority, NAMES, |_, secure| {
            secure.get_mut().1.refresh_traffic_keys().unwrap();
        })
        .await;
        let pool = pool(authority.trusting());
        for _ in 0..5 {
            assert_eq!(get(&pool, &secure_origin(address)).await.unwrap(), (200, b"hello".to_vec()));
            assert_eq!(pool.idle_connections(), 1);
        }
        assert_eq!(pool.shared().peak_connections(), 1);
    });
}

#[test]
fn sessions_are_resumed() {
    lane(async {
        let authority = Authority::new();
        let kinds = Rc::new(RefCell::new(Vec::new()));
        let mut config = authority.server_config(NAMES);
        config.send_tls13_tickets = 2;
        let seen = Rc::clone(&kinds);
        let address = scripted(config, move |secure| {
            seen.borrow_mut().push(secure.get_ref().1.handshake_kind().unwrap());
            hello(secure, |_, _| {})
        })
        .await;
        let pool = pool(authority.trusting());
        for _ in 0..2 {
            get(&pool, &secure_origin(address)).await.unwrap();
            pool.close_idle();
        }
        assert!(matches!(
            kinds.borrow()[..],
            [HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest, HandshakeKind::Resumed]
        ));
    });
}

/// One answer, then a close, with or without TLS saying so.
async fn closing(authority: &Authority, answer: &'static str, notify: bool) -> Origin {
    let address = scripted(authority.server_config(NAMES), move |mut secure| async move {
        request(&mut secure).await?;
        secure.write_all(answer.as_bytes()).await?;
        secure.flush().await?;
        if notify {
            secure.shutdown().await?;
        } else {
            secure.get_mut().0.shutdown().await?;
        }
        Ok(())
    })
    .await;
    secure_origin(address)
}

#[test]
fn a_close_counts_only_if_tls_vouches_for_it_or_the_body_is_whole() {
    lane(async {
        let authority = Authority::new();
        let sized = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        let cut = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello";
        let open = "HTTP/1.1 200 OK\r\n\r\nhello";
        for (answer, notify, whole) in [
            (sized, false, true),
            (sized, true, true),
            (cut, true, false),
            (cut, false, false),
            (open, true, true),
            (open, false, false),
        ] {
            let origin = closing(&authority, answer, notify).await;
            let pool = pool(authority.trusting());
            match get(&pool, &origin).await {
                Ok((200, body)) if whole => assert_eq!(body, b"hello"),
                Err(TransportError::Closed(_)) if !whole => {}
                other => panic!("{answer:?} {notify}: {other:?}"),
            }
            // A kept one has been closed by now.
            a_while().await;
            assert!(!matches!(pool.checkout(&origin).await, Ok(c) if c.is_reused()));
        }
    });
}

#[test]
fn a_refusal_while_the_body_is_being_sent_is_read() {
    lane(async {
        let authority = Authority::new();
        for config in [authority.server_config(NAMES), authority.tls12(NAMES)] {
            let address = scripted(config, |mut secure| async move {
                request(&mut secure).await?;
                secure.write_all(b"HTTP/1.1 503 Slow Down\r\ncontent-length: 4\r\n\r\nbusy").await?;
                secure.flush().await?;
                std::future::pending().await
            })
            .await;
            let pool = pool(authority.trusting());
            let mut connection = pool.checkout(&secure_origin(address)).await.unwrap();
            ask(&mut connection).await;
            let body = vec![0; 64 << 20];
            assert_eq!(connection.send(&[&body]).await.unwrap(), Sent::AnsweredEarly);
            assert_eq!(connection.read_head(false).await.unwrap().status(), 503);
            assert_eq!(connection.read_body(10).await.unwrap(), b"busy");
            connection.release();
            assert_eq!(pool.shared().open_connections(), 0);
        }
    });
}

#[test]
fn an_alert_says_whether_another_try_may_fare_better() {
    use xfer_core::error::RetryClass;
    // internal_error, handshake_failure (RFC 8446, 6)
    let alerts = [(80, TlsFailure::Interrupted, RetryClass::Transient), (40, TlsFailure::Handshake, RetryClass::Never)];
    for (alert, expected, class) in alerts {
        lane(async {
            let address = server(move |_, mut stream| async move {
                stream.write_all(&[21, 3, 3, 0, 2, 2, alert]).await?;
                std::future::pending().await
            })
            .await;
            let pool = pool(TransportConfig { verify: Verify::Disabled, ..TransportConfig::default() });
            let failure = pool.checkout(&secure_origin(address)).await.unwrap_err();
            assert!(matches!(&failure, TransportError::Tls { failure, .. } if *failure == expected), "{failure:?}");
            assert_eq!(crate::work::failure::of_transport(failure).retry_class(), class);
        });
    }
}

#[test]
fn what_is_not_tls_is_an_error() {
    lane(async {
        let address = server(|_, mut stream| async move {
            stream.write_all(b"HTTP/1.1 400 This is a plain server\r\ncontent-length: 0\r\n\r\n").await?;
            std::future::pending().await
        })
        .await;
        let pool = pool(TransportConfig { verify: Verify::Disabled, ..TransportConfig::default() });
        let failure = pool.checkout(&secure_origin(address)).await.unwrap_err();
        assert!(matches!(&failure, TransportError::Tls { failure: TlsFailure::Handshake, .. }), "{failure:?}");

        let closing = server(|_, stream| async move {
            drop(stream);
            Ok(())
        })
        .await;
        let failure = pool.checkout(&secure_origin(closing)).await.unwrap_err();
        assert!(matches!(failure, TransportError::Closed(_) | TransportError::Reset(_)), "{failure:?}");
        assert_eq!(pool.shared().open_connections(), 0);
    });
}

#[test]
fn a_handshake_that_does_not_end_is_given_up() {
    lane(async {
        let address = server(|_, stream| async move {
            let _held = stream;
            std::future::pending().await
        })
        .await;
        let after = Duration::from_millis(50);
        let config =
            TransportConfig { tls_handshake_timeout: after, verify: Verify::Disabled, ..TransportConfig::default() };
        let pool = pool(config);
        let failure = pool.checkout(&secure_origin(address)).await.unwrap_err();
        assert_eq!(failure, TransportError::TlsTimeout { to: address.to_string(), after });
        assert_eq!(pool.shared().open_connections(), 0);
    });
}

#[test]
fn a_record_that_was_tampered_with_is_an_error() {
    lane(async {
        let authority = Authority::new();
        let behind = tls_server(&authority, NAMES, |_, _| {}).await;
        // Passes everything on, but turns one bit of the last byte of what the server says after the handshake.
        let between = server(move |_, mut client| async move {
            let mut onward = TcpStream::connect(behind).await?;
            let (mut from_client, mut from_server) = (vec![0; 1 << 16], vec![0; 1 << 16]);
            let mut requests = 0;
            loop {
                tokio::select! {
                    n = client.read(&mut from_client) => {
                        let n = n?;
                        requests += 1;
                        onward.write_all(&from_client[..n]).await?;
                    }
                    n = onward.read(&mut from_server) => {
                        let n = n?;
                        // Client hello, then the end of the handshake, then the request.
                        if requests >= 3 && n > 0 {
                            from_server[n - 1] ^= 1;
                        }
                        client.write_all(&from_server[..n]).await?;
                    }
                }
            }
        })
        .await;
        let pool = pool(authority.trusting());
        let mut connection = pool.checkout(&secure_origin(between)).await.unwrap();
        // So that the request is not read together with the end of the handshake.
        a_while().await;
        ask(&mut connection).await;
        let failure = connection.read_head(false).await.unwrap_err();
        assert!(matches!(&failure, TransportError::Tls { failure: TlsFailure::Record, .. }), "{failure:?}");
        connection.release();
        assert_eq!(pool.shared().open_connections(), 0);
    });
}

/// Cuts what a server says on its way to the client.
#[derive(Default)]
struct Cutter {
    /// Behind so many bytes since the client spoke last; 0 for nowhere.
    behind: Cell<usize>,
    /// Behind each byte.
    everywhere: Cell<bool>,
    /// Bytes since the client spoke last, and how many of the cuts in them the client has seen.
    sent: Cell<usize>,
    seen: Cell<usize>,
    /// Told whenever the client has done what it could.
    polled: Notify,
}

impl Cutter {
    /// A server that passes everything on.
    async fn before(self: &Rc<Self>, server_address: SocketAddr) -> SocketAddr {
        let cutter = Rc::clone(self);
        server(move |_, mut client| {
            let cutter = Rc::clone(&cutter);
            async move {
                let mut onward = TcpStream::connect(server_address).await?;
                let (mut from_client, mut from_server) = (vec![0; 1 << 16], vec![0; 1 << 16]);
                loop {
                    tokio::select! {
                        n = client.read(&mut from_client) => {
                            let n = n?;
                            cutter.sent.set(0);
                            cutter.seen.set(0);
                            onward.write_all(&from_client[..n]).await?;
                            if n == 0 {
                                onward.shutdown().await?;
                                return std::future::pending().await;
                            }
                        }
                        n = onward.read(&mut from_server) => cutter.pass(&mut client, &from_server[..n?]).await?,
                    }
                }
            }
        })
        .await
    }

    async fn pass(&self, client: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = self.sent.get();
            let to_cut = match self.everywhere.get() {
                true => Some(1),
                false => self.behind.get().checked_sub(sent).filter(|more| (1..=bytes.len()).contains(more)),
            };
            let (piece, rest) = bytes.split_at(to_cut.unwrap_or(bytes.len()));
            let polled = self.polled.notified();
            client.write_all(piece).await?;
            if to_cut.is_some() {
                // The client comes first on this thread, and reads all that there is: the rest is not there yet.
                tokio::time::timeout(Duration::from_secs(5), polled).await.expect("the client does not listen");
                self.seen.set(self.seen.get() + 1);
            }
            self.sent.set(sent + piece.len());
            bytes = rest;
        }
        Ok(())
    }

    /// A GET that tells the cutter of its progress.
    async fn get(self: &Rc<Self>, pool: &Pool, origin: &Origin) -> Result<(u16, Vec<u8>), TransportError> {
        let (cutter, pool, origin) = (Rc::clone(self), pool.clone(), origin.clone());
        // In a task of its own: such a one is polled when it is woken and not otherwise.
        let task = tokio::task::spawn_local(async move {
            let mut got = std::pin::pin!(get(&pool, &origin));
            std::future::poll_fn(|context| {
                let got = got.as_mut().poll(context);
                cutter.polled.notify_waiters();
                got
            })
            .await
        });
        task.await.unwrap()
    }
}

/// Answers each request with several records, in TLS 1.3 with new keys in the middle; notes it when the client complains.
async fn in_records(mut secure: Secure, complaints: Rc<RefCell<Vec<String>>>) -> io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match secure.read_u8().await {
                Ok(byte) => head.push(byte),
                // An alert is another error than a close without one, which is the usual end.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => {
                    complaints.borrow_mut().push(error.to_string());
                    return Ok(());
                }
            }
        }
        for piece in ["HTTP/1.1 200 OK\r\ncontent-le", "ngth: 12\r\n\r\nhel", "l", "o, worl"] {
            secure.write_all(piece.as_bytes()).await?;
            secure.flush().await?;
        }
        if secure.get_ref().1.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3) {
            secure.get_mut().1.refresh_traffic_keys().unwrap();
        }
        secure.write_all(b"d").await?;
        secure.flush().await?;
    }
}

#[test]
fn records_may_be_cut_at_every_place() {
    lane(async {
        let authority = Authority::new();
        for config in [authority.server_config(NAMES), authority.tls12(NAMES)] {
            let complaints: Rc<RefCell<Vec<String>>> = Rc::default();
            let noted = Rc::clone(&complaints);
            let behind = scripted(config, move |secure| in_records(secure, Rc::clone(&noted))).await;
            let cutter = Rc::new(Cutter::default());
            let origin = secure_origin(cutter.before(behind).await);
            let whole = || Ok((200, b"hello, world".to_vec()));

            // Behind each byte at once, the handshake's and the tickets' included.
            let pool = pool(authority.trusting());
            cutter.everywhere.set(true);
            assert_eq!(cutter.get(&pool, &origin).await, whole());
            assert!(cutter.seen.get() > 100 && cutter.seen.get() == cutter.sent.get());
            cutter.everywhere.set(false);

            // Each place for itself, with all the rest behind it at once; over the same session.
            assert_eq!(cutter.get(&pool, &origin).await, whole());
            let length = cutter.sent.get();
            assert!(length > 100);
            for place in 1..=length {
                cutter.behind.set(place);
                assert_eq!(cutter.get(&pool, &origin).await, whole(), "cut behind byte {place} of {length}");
                assert_eq!((cutter.sent.get(), cutter.seen.get()), (length, 1));
            }
            assert_eq!(pool.shared().peak_connections(), 1);
            drop(pool);
            // So that the server sees the end, or the complaint.
            a_while().await;
            assert_eq!(*complaints.borrow(), [""; 0]);
        }
    });
}
