//! One request and its answer: prepare, stamp, sign, check out, send, read the head, decode.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use xfer_core::args::{ArgValue, CallKind, ExtraArgs};
use xfer_core::error::{Error, ErrorKind};
use xfer_core::job::Reply;
use xfer_serializer::decode::{self, Answer, ChecksumSent, Headers};
use xfer_serializer::{Identity, Operation, Payload, SessionScope, Stamp, Template};

use super::Bench;
use super::failure::of_transport;
use crate::ledger::cancelled;
use crate::stores::{ChecksumStyle, time_at};
use crate::transport::{Connection, HeaderList, Origin, ResponseHead, Scheme, TransportError};

/// Longest XML answer that is read whole, in bytes. A list of 1,000 parts, the longest that is asked for, has about 300 KB.
const MAX_ANSWER: usize = 1 << 20;
/// How long such an answer may come in. S3 takes minutes for some completions, and sends blanks meanwhile; a store that sends them for
/// half an hour has lost its way.
const LONGEST_ANSWER: Duration = Duration::from_secs(30 * 60);

/// Header lookup as the decoder wants it.
struct Seen<'a>(&'a HeaderList);

impl Headers for Seen<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.0.get(name)
    }
}

/// Whether a request may go out on a kept connection. One that was swallowed by a stale connection is sent again on a new one: the other
/// kept ones may be as dead, and so it is sent twice at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Allowed,
    Refused,
}

/// A request that is ready to be sent.
pub(super) struct Begun {
    pub(super) connection: Connection,
    pub(super) head: Vec<u8>,
    asked: Asked,
}

/// What of a request must be known when its answer comes.
struct Asked {
    operation: Operation,
    identity: Option<Identity>,
    /// By how many seconds the time that it was signed with was ahead of this machine's.
    clock_offset: i64,
    checksum: ChecksumSent,
    if_match: Option<Arc<str>>,
}

/// An answer whose head has come.
pub(super) struct Answered {
    pub(super) connection: Connection,
    pub(super) head: ResponseHead,
    asked: Asked,
}

impl Begun {
    /// Reads the head of the answer. The inner result says that a kept connection was dead, and the request may be sent again.
    pub(super) async fn answer(mut self) -> Result<Answered, TransportError> {
        let head = self.connection.read_head(self.asked.operation == Operation::HeadObject).await?;
        Ok(Answered { connection: self.connection, head, asked: self.asked })
    }
}

/// What the requests of one attempt are made of, and where they go.
pub(super) struct Prepared {
    template: Arc<Template>,
    pub(super) origin: Origin,
}

/// Prepares the requests for an operation of this call.
pub(super) async fn prepare(bench: &Bench<'_>, operation: Operation) -> Result<Prepared, Error> {
    let call = bench.call;
    let look;
    let args = if is_look(bench, operation) {
        look = args_of_look(call.args());
        &look
    } else {
        call.args()
    };
    let template = call.serializer().prepare(operation, Arc::clone(call.bucket()), args).await?;
    let origin = template.origin();
    let scheme = if origin.https { Scheme::Https } else { Scheme::Http };
    let origin = Origin::new(scheme, &origin.host, origin.port).map_err(of_transport)?;
    Ok(Prepared { template, origin })
}

/// No connection, and what may have been forgotten when it is the bucket's own host name that does not exist.
fn unconnected(bench: &Bench<'_>, error: TransportError) -> Error {
    let endpoint = bench.call.serializer().endpoint();
    let of_bucket = match &error {
        TransportError::Dns { host, .. } => {
            host.strip_prefix(&**bench.call.bucket()).is_some_and(|rest| rest.starts_with('.'))
        }
        _ => false,
    };
    if !of_bucket || endpoint.endpoint_url.is_none() || endpoint.path_style {
        return of_transport(error);
    }
    let words = "that name begins with the bucket's: many stores other than AWS need path style instead";
    Error::new(ErrorKind::Dns, format!("{error}; {words}")).with_source(error)
}

/// Whether this is an upload's look at what lies under its key.
fn is_look(bench: &Bench<'_>, operation: Operation) -> bool {
    operation == Operation::HeadObject && bench.call.kind() == CallKind::Upload
}

/// An upload's conditions are of the object before it, and it looks at the one behind it; which is known by its checksum, whether the
/// client asks for those of downloads or not.
fn args_of_look(args: &ExtraArgs) -> ExtraArgs {
    let mut own = args.clone();
    for condition in ["IfMatch", "IfNoneMatch"] {
        own.remove(condition);
    }
    own.set("ChecksumMode", ArgValue::Text("ENABLED".to_owned()));
    own
}

/// Makes a request of `stamp` and checks a connection out for it.
pub(super) async fn begin(
    bench: &Bench<'_>,
    prepared: &Prepared,
    stamp: &Stamp<'_>,
    kept: Kept,
) -> Result<Begun, Error> {
    let identity = if prepared.template.needs_session() {
        Some(session(bench, &prepared.origin).await?)
    } else {
        let now = time_at(bench.lane.stores.clock_offset(&prepared.origin));
        bench.call.serializer().credentials(now).await?
    };
    begin_as(bench, prepared, identity, stamp, kept).await
}

async fn begin_as(
    bench: &Bench<'_>,
    prepared: &Prepared,
    identity: Option<Identity>,
    stamp: &Stamp<'_>,
    kept: Kept,
) -> Result<Begun, Error> {
    let Prepared { template, origin } = prepared;
    let pool = &bench.lane.pool;
    let connection = match kept {
        Kept::Allowed => pool.checkout(origin).await,
        Kept::Refused => pool.connect(origin).await,
    };
    let connection = connection.map_err(|error| unconnected(bench, error))?;
    // Signed last: waiting for a connection must not make the signature old.
    let clock_offset = bench.lane.stores.clock_offset(origin);
    let request = template.stamp(stamp, identity.as_ref(), time_at(clock_offset))?;
    let mut head = Vec::with_capacity(1024);
    let host = std::iter::once(("host", request.host.as_ref()));
    let headers = host.chain(request.headers.iter().map(|(name, value)| (name.as_ref(), value.as_ref())));
    connection.encode_head(&mut head, request.method, &request.target, headers).map_err(of_transport)?;
    bench.call.requests.fetch_add(1, Ordering::Relaxed);
    bench.call.begun.get_or_init(Instant::now);
    let checksum = match (stamp.payload, stamp.checksum) {
        (Payload::UnsignedTrailer { .. }, _) => ChecksumSent::Trailer,
        (_, Some(_)) => ChecksumSent::Header,
        (_, None) if stamp.multipart_checksum.is_some() => ChecksumSent::Header,
        (_, None) => ChecksumSent::None,
    };
    let if_match = stamp.if_match.map(Arc::from);
    let asked = Asked { operation: template.operation(), identity, clock_offset, checksum, if_match };
    Ok(Begun { connection, head, asked })
}

/// The session of an S3 Express bucket: the one that is kept, or a new one, fetched by one request for all that need it.
async fn session(bench: &Bench<'_>, origin: &Origin) -> Result<Identity, Error> {
    let serializer = bench.call.serializer();
    let scope = SessionScope::of(bench.call.bucket(), bench.call.args());
    let known = || serializer.session(&scope, time_at(bench.lane.stores.clock_offset(origin)));
    if let Some(identity) = known() {
        return Ok(identity);
    }
    // Boxed: its future is larger than that of all else that a request does.
    Box::pin(bench.lane.stores.session_turn(&scope).take(known, fetch_session(bench, &scope))).await
}

async fn fetch_session(bench: &Bench<'_>, scope: &SessionScope) -> Result<Identity, Error> {
    let serializer = bench.call.serializer();
    let prepared = prepare(bench, Operation::CreateSession).await?;
    let now = || time_at(bench.lane.stores.clock_offset(&prepared.origin));
    let mut kept = Kept::Allowed;
    loop {
        let identity = serializer.credentials(now()).await?;
        let begun = begin_as(bench, &prepared, identity, &Stamp::default(), kept).await?;
        match send_whole(begun, &[]).await {
            Ok(answered) => {
                let (finished, body) = answered.read_all(bench).await?;
                let session = finished.decode(&body, decode::create_session)?;
                return Ok(serializer.keep_session(scope, session, now()));
            }
            Err(error) if error.is_stale_connection() => kept = Kept::Refused,
            Err(error) => return Err(of_transport(error)),
        }
    }
}

async fn send_whole(mut begun: Begun, body: &[u8]) -> Result<Answered, TransportError> {
    let head = std::mem::take(&mut begun.head);
    // An early answer is read like any other.
    let _ = begun.connection.send(&[&head, body]).await?;
    begun.answer().await
}

/// Sends a request with a small body, and reads the head of its answer. A kept connection that turns out to be dead is replaced.
///
/// What comes before the sending may last: credentials have to be fetched, a connection to be made. Until then no request can be at the
/// store, so that even what must not be cut later is cut here; and the point of no return is entered behind it.
pub(super) async fn ask(
    bench: &Bench<'_>,
    operation: Operation,
    stamp: &Stamp<'_>,
    body: &[u8],
) -> Result<Answered, Error> {
    ask_prepared(bench, &prepare(bench, operation).await?, stamp, body).await
}

/// [`ask`], for who has prepared it already.
pub(super) async fn ask_prepared(
    bench: &Bench<'_>,
    prepared: &Prepared,
    stamp: &Stamp<'_>,
    body: &[u8],
) -> Result<Answered, Error> {
    let operation = prepared.template.operation();
    // What an upload looks at may be its own object, and then it is too late to cancel.
    let commits =
        matches!(operation, Operation::CompleteMultipartUpload | Operation::DeleteObject) || is_look(bench, operation);
    // Cleaning up begins when the transfer is cut.
    let mut cuttable = operation != Operation::AbortMultipartUpload;
    let mut kept = Kept::Allowed;
    loop {
        let begun = tokio::select! {
            biased;
            () = bench.call.cut.made(), if cuttable => return Err(cancelled()),
            begun = begin(bench, prepared, stamp, kept) => begun?,
        };
        if commits && !bench.call.phase.try_commit() {
            return Err(cancelled());
        }
        cuttable = false;
        bench.progress.mark_sent();
        match send_whole(begun, body).await {
            Ok(answered) => return Ok(answered),
            Err(error) if error.is_stale_connection() => kept = Kept::Refused,
            Err(error) => return Err(of_transport(error)),
        }
    }
}

impl Answered {
    /// Whether the status says that it went well.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.head.status())
    }

    /// The answer, to be decoded by `read`.
    pub(super) fn decode<T>(&self, body: &[u8], read: impl FnOnce(&Answer<'_>) -> T) -> T {
        let headers = Seen(self.head.headers());
        let answer = Answer {
            checksum_sent: self.asked.checksum,
            if_match: self.asked.if_match.as_deref(),
            ..Answer::new(self.asked.operation, self.head.status(), &headers).with_body(body)
        };
        read(&answer)
    }

    /// The refusal that this answer is; what it teaches is learnt.
    pub(super) async fn refusal(mut self, bench: &Bench<'_>) -> Error {
        // If the explanation breaks off, the status alone says enough.
        let body = self.connection.read_body_within(MAX_ANSWER, LONGEST_ANSWER).await.unwrap_or_default();
        let error = self.learn(bench, self.decode(&body, decode::error));
        self.connection.release();
        error
    }

    /// The whole body. The connection goes back to its pool.
    ///
    /// # Errors
    /// The store's refusal, if it is one.
    pub(super) async fn read_all(self, bench: &Bench<'_>) -> Result<(Finished, Vec<u8>), Error> {
        if !self.is_success() {
            return Err(self.refusal(bench).await);
        }
        let Answered { mut connection, head, asked } = self;
        let body = connection.read_body_within(MAX_ANSWER, LONGEST_ANSWER).await.map_err(of_transport)?;
        connection.release();
        Ok((Finished { head, asked }, body))
    }

    /// Changes for the next attempt what a refusal teaches, and says what it was when that shows only here.
    fn learn(&self, bench: &Bench<'_>, error: Error) -> Error {
        let origin = self.connection.origin();
        if let (Some(refusal), Some(there)) =
            (error.service(), self.decode(&[], |answer| decode::server_time(answer.headers)))
            && self.asked.identity.is_some()
            && bench.lane.stores.learn_clock(origin, refusal, self.asked.clock_offset, there)
        {
            return error.as_kind(ErrorKind::ClockSkew);
        }
        let serializer = bench.call.serializer();
        let bucket = bench.call.bucket();
        match error.kind() {
            ErrorKind::ExpiredCredentials => match &self.asked.identity {
                Some(identity) if identity.is_session() => serializer.forget_session(identity),
                Some(identity) => serializer.invalidate_credentials(identity),
                None => {}
            },
            ErrorKind::WrongRegion => {
                if let Some(region) = error.service().and_then(|answer| answer.region.as_deref()) {
                    serializer.learn_region(bucket, region);
                }
            }
            ErrorKind::ChecksumUnsupported => {
                let style = match self.asked.checksum {
                    ChecksumSent::Trailer => ChecksumStyle::Trailer,
                    ChecksumSent::Header | ChecksumSent::None => ChecksumStyle::Header,
                };
                bench.progress.refused_checksum(style);
            }
            _ => {}
        }
        error
    }
}

/// An answer that was read to its end.
pub(super) struct Finished {
    pub(super) head: ResponseHead,
    asked: Asked,
}

impl Finished {
    /// The answer, to be decoded by `read`.
    pub(super) fn decode<T>(&self, body: &[u8], read: impl FnOnce(&Answer<'_>) -> T) -> T {
        let headers = Seen(self.head.headers());
        let answer = Answer {
            checksum_sent: self.asked.checksum,
            ..Answer::new(self.asked.operation, self.head.status(), &headers).with_body(body)
        };
        read(&answer)
    }
}

/// DeleteObject.
pub(super) async fn delete(bench: &Bench<'_>) -> Result<Reply, Error> {
    let answered = ask(bench, Operation::DeleteObject, &Stamp::key(bench.call.key()), &[]).await?;
    let (finished, body) = answered.read_all(bench).await?;
    Ok(Reply::ObjectDeleted { version_id: finished.decode(&body, decode::delete_object)? })
}
