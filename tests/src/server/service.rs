//! One request from its headers to its answer: logging, faults, latency, signatures, the operation, and what befalls the answer.
//!
//! Nothing here knows what an operation does. Dropping the future (the client went away, the server stops) is safe at any await:
//! guards take the request off the counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::service::S3Service;
use s3s::{Body, S3Result, StdError, s3_error};

use crate::backend::listed::ListedChecksums;
use crate::backend::sessions::{Sessions, is_directory};
use crate::faults::{Action, FaultTable};
use crate::request::{Op, RequestInfo};
use crate::stats::{Recorder, RequestGuard};

use super::OWNER;
use super::body::{AnswerBody, BodyFault, RequestBody, drain_within};
use super::clock;
use super::express::{self, Visit};
use super::hosts::Hosts;
use super::io::Control;
use super::resign::resign;
use super::signature::Claim;

/// How long an early answer waits for the client to finish its body.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// The credentials clients must use.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    pub(crate) region: &'static str,
    /// Whether signatures are checked.
    pub(crate) checked: bool,
}

/// What all requests of a server share.
pub(crate) struct Service {
    pub(crate) s3: S3Service,
    pub(crate) keys: Keys,
    pub(crate) hosts: Hosts,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) faults: Arc<FaultTable>,
    pub(crate) sessions: Arc<Sessions>,
    /// Nanoseconds.
    pub(crate) latency: AtomicU64,
}

/// Told by [`Doorkeeper`] that a request's signature was right.
#[derive(Clone, Debug, Default)]
struct Admitted(Arc<AtomicBool>);

/// How the answer shall be changed.
#[derive(Default)]
struct Changes {
    headers: Vec<(&'static str, Option<HeaderValue>)>,
    body: Option<Action>,
}

impl Changes {
    fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            match value {
                Some(value) => headers.insert(*name, value.clone()),
                None => headers.remove(*name),
            };
        }
    }
}

impl Service {
    /// Answers one request; an error closes its connection.
    pub(crate) async fn answer(
        self: Arc<Self>,
        control: Arc<Control>,
        request: Request<Incoming>,
    ) -> Result<Response<AnswerBody>, StdError> {
        let (mut parts, incoming) = request.into_parts();
        to_origin_form(&mut parts);
        let info = RequestInfo::of(&parts, &self.hosts);
        let plan = self.faults.plan(&info);
        let expects_continue = info.headers.contains_key("expect");
        let (op, bucket) = (info.op, info.bucket.clone());
        let guard = self.recorder.request(control.id, info);
        let body = RequestBody::new(incoming, self.recorder.clone());
        let mut changes = Changes::default();
        let mut wrong_clock = None;
        for action in plan {
            match action {
                Action::Delay(delay) => tokio::time::sleep(delay).await,
                Action::Call(hook) => hook(),
                Action::Hold(gate) => gate.pass().await,
                Action::ClockAhead(seconds) => {
                    let now = clock::now_ahead(seconds);
                    let date = HeaderValue::from_str(&clock::http_date(now)).expect("plain ASCII");
                    changes.headers.push(("date", Some(date)));
                    if !clock::is_signed_for(&parts, now) {
                        drain_within(body, DRAIN_LIMIT).await;
                        return Ok(canned(403, "RequestTimeTooSkewed", &changes, control, guard));
                    }
                    wrong_clock = Some(now);
                }
                Action::SetHeader(name, value) => {
                    changes.headers.push((name, Some(HeaderValue::from_static(value))));
                }
                Action::RemoveHeader(name) => changes.headers.push((name, None)),
                Action::Status(status, code) => {
                    drain_within(body, DRAIN_LIMIT).await;
                    return Ok(canned(status, code, &changes, control, guard));
                }
                Action::OkWithError(code) => {
                    drain_within(body, DRAIN_LIMIT).await;
                    return Ok(canned(200, code, &changes, control, guard));
                }
                Action::DropTrailerSupport => {
                    drain_within(body, DRAIN_LIMIT).await;
                    return Ok(canned(400, "InvalidRequest", &changes, control, guard));
                }
                Action::DropChecksumSupport => {
                    drain_within(body, DRAIN_LIMIT).await;
                    let message = "No checksum is supported here.";
                    return Ok(canned_with(400, "InvalidRequest", message, &changes, control, guard));
                }
                Action::StatusBeforeBody(status, code) => {
                    let mut response = canned(status, code, &changes, control, guard);
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                    return Ok(response);
                }
                Action::Reset => {
                    control.reset();
                    return Err("reset as a fault rule asks".into());
                }
                Action::Stall(None) => std::future::pending().await,
                Action::Stall(Some(limit)) => {
                    tokio::time::sleep(limit).await;
                    return Err("closed without an answer as a fault rule asks".into());
                }
                Action::ResetAnswer
                | Action::StallAnswer
                | Action::ResetAfterBytes(_)
                | Action::StallAfterBytes(_)
                | Action::CorruptBody
                | Action::TruncateBody => changes.body = Some(action),
            }
        }
        let admitted = Admitted::default();
        let response =
            self.carry_out(op, bucket.as_deref(), parts, body.clone(), admitted.clone(), wrong_clock).await?;
        // Reading a body that nobody has asked for would tell an `Expect: 100-continue` client to send it.
        if !body.is_end_stream() && (body.touched() || !expects_continue) {
            drain_within(body, DRAIN_LIMIT).await;
        }
        if response.status() == StatusCode::FORBIDDEN && !admitted.0.load(Ordering::Acquire) {
            self.recorder.auth_failure();
        }
        let latency = self.latency.load(Ordering::Acquire);
        if latency > 0 {
            tokio::time::sleep(Duration::from_nanos(latency)).await;
        }
        finish(response, changes, control, guard).await
    }

    async fn carry_out(
        &self,
        op: Op,
        bucket: Option<&str>,
        mut parts: http::request::Parts,
        body: RequestBody,
        admitted: Admitted,
        wrong_clock: Option<SystemTime>,
    ) -> Result<Response<Body>, StdError> {
        if self.keys.checked {
            match self.judge(op, bucket, &parts, wrong_clock) {
                Verdict::Foreign => {}
                Verdict::Admitted => resign(&mut parts, &self.keys.access_key, &self.keys.secret_key, self.keys.region),
                Verdict::Refused(refusal) => return Ok(refusal.answer()),
            }
        } else {
            resign(&mut parts, &self.keys.access_key, &self.keys.secret_key, self.keys.region);
        }
        parts.extensions.insert(admitted);
        let is_head = parts.method == Method::HEAD;
        let body = if op == Op::CompleteMultipartUpload {
            let mut list = body.collect().await?;
            parts.extensions.insert(ListedChecksums::take(&mut list));
            Body::from(Bytes::from(list))
        } else {
            Body::http_body(body)
        };
        let mut response = self.s3.call(Request::from_parts(parts, body)).await.map_err(StdError::from)?;
        // `s3s` answers a ranged HEAD with 200.
        if is_head && response.status() == StatusCode::OK && response.headers().contains_key(CONTENT_RANGE) {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        Ok(response)
    }

    /// Judges the signatures that `s3s` does not know, and those that are to hold by a wrong clock.
    fn judge(
        &self,
        op: Op,
        bucket: Option<&str>,
        parts: &http::request::Parts,
        wrong_clock: Option<SystemTime>,
    ) -> Verdict {
        let Keys { access_key, secret_key, region, .. } = &self.keys;
        let Some(claim) = Claim::of(parts) else {
            return Verdict::Foreign;
        };
        let now = wrong_clock.unwrap_or_else(SystemTime::now);
        let is_express = claim.service() == Some("s3express");
        if is_express || bucket.is_some_and(is_directory) {
            let by_host = parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
            let by_host = by_host.is_some_and(|host| self.hosts.bucket(host).is_some());
            let visit = Visit { op, bucket, by_host, now };
            return express::judge(&self.sessions, &self.keys, &claim, &visit, parts);
        }
        if !claim.asymmetric && wrong_clock.is_none() {
            return Verdict::Foreign;
        }
        if claim.access_key != *access_key {
            return Verdict::refused(403, "InvalidAccessKeyId", "There is no such access key.");
        }
        let for_region = parts.headers.get("x-amz-region-set").and_then(|set| set.to_str().ok());
        let here = for_region.is_some_and(|set| set.split(',').any(|one| one == "*" || one == *region));
        if (here || !claim.asymmetric) && claim.holds(parts, secret_key, region, "s3", now) {
            Verdict::Admitted
        } else {
            Verdict::refused(403, "SignatureDoesNotMatch", "The signature does not match.")
        }
    }
}

/// What is found out about a signature before `s3s` sees the request.
pub(crate) enum Verdict {
    /// Not one of those that are checked here.
    Foreign,
    Admitted,
    Refused(Refusal),
}

impl Verdict {
    pub(crate) fn refused(status: u16, code: &'static str, message: &'static str) -> Self {
        Self::Refused(Refusal { status, code, message })
    }
}

/// An answer that says no.
pub(crate) struct Refusal {
    status: u16,
    code: &'static str,
    message: &'static str,
}

impl Refusal {
    fn answer(&self) -> Response<Body> {
        let Self { status, code, message } = self;
        let xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        );
        let mut response = Response::new(Body::from(Bytes::from(xml)));
        *response.status_mut() = StatusCode::from_u16(*status).expect("a valid status");
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        response
    }
}

/// A request that came through a proxy names its host in the target, which counts and not the Host header (RFC 9112, section 3.2.2).
fn to_origin_form(parts: &mut http::request::Parts) {
    let Some(authority) = parts.uri.authority().map(ToString::to_string) else {
        return;
    };
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    if let (Ok(uri), Ok(host)) = (target.parse(), HeaderValue::from_str(&authority)) {
        parts.uri = uri;
        parts.headers.insert(http::header::HOST, host);
    }
}

/// Changes an answer as the fault rules ask and sends it on its way.
async fn finish(
    response: Response<Body>,
    changes: Changes,
    control: Arc<Control>,
    guard: RequestGuard,
) -> Result<Response<AnswerBody>, StdError> {
    let (mut parts, body) = response.into_parts();
    let len = content_length(&parts.headers).or(body.size_hint().exact()).unwrap_or(0);
    let fault = match changes.body {
        Some(Action::ResetAnswer) => {
            control.reset();
            return Err("reset instead of an answer as a fault rule asks".into());
        }
        Some(Action::StallAnswer) => std::future::pending().await,
        Some(Action::ResetAfterBytes(bytes)) if bytes < len => BodyFault::CloseAfter(bytes),
        Some(Action::StallAfterBytes(bytes)) if bytes < len => BodyFault::StallAfter(bytes),
        Some(Action::CorruptBody) if len > 0 => BodyFault::FlipAt(len / 2),
        Some(Action::TruncateBody) if len > 0 => {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(len / 2));
            BodyFault::EndAfter(len / 2)
        }
        _ => BodyFault::None,
    };
    stamp(&mut parts.headers, guard.sequence());
    changes.apply(&mut parts.headers);
    guard.answered(parts.status.as_u16());
    Ok(Response::from_parts(parts, AnswerBody::new(body, fault, control, guard)))
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The ids by which S3 names each answer.
fn stamp(headers: &mut HeaderMap, sequence: u64) {
    for (name, prefix) in [("x-amz-request-id", "REQUEST"), ("x-amz-id-2", "HOST")] {
        let value = HeaderValue::from_str(&format!("{prefix}{sequence:012}")).expect("plain ASCII");
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// An error answer that no operation gave.
fn canned(
    status: u16,
    code: &str,
    changes: &Changes,
    control: Arc<Control>,
    guard: RequestGuard,
) -> Response<AnswerBody> {
    canned_with(status, code, "Injected by a fault rule.", changes, control, guard)
}

fn canned_with(
    status: u16,
    code: &str,
    message: &str,
    changes: &Changes,
    control: Arc<Control>,
    guard: RequestGuard,
) -> Response<AnswerBody> {
    let sequence = guard.sequence();
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
         <RequestId>REQUEST{sequence:012}</RequestId><HostId>HOST{sequence:012}</HostId></Error>"
    );
    guard.answered(status);
    let body = AnswerBody::new(Body::from(Bytes::from(xml)), BodyFault::None, control, guard);
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).expect("a fault rule names a valid status");
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    stamp(response.headers_mut(), sequence);
    changes.apply(response.headers_mut());
    response
}

/// Knows the one pair of keys.
pub(crate) struct Gatekeeper(pub(crate) Keys);

#[async_trait::async_trait]
impl S3Auth for Gatekeeper {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == self.0.access_key {
            Ok(SecretKey::from(self.0.secret_key.clone()))
        } else {
            Err(s3_error!(InvalidAccessKeyId, "The AWS Access Key Id you provided does not exist in our records."))
        }
    }
}

/// Admits who has signed, and asks what S3 asks of every request: who owns the bucket, and who pays.
pub(crate) struct Doorkeeper {
    pub(crate) requester_pays: bool,
}

#[async_trait::async_trait]
impl S3Access for Doorkeeper {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        if cx.credentials().is_none() {
            return Err(s3_error!(AccessDenied, "Access Denied"));
        }
        if let Some(Admitted(admitted)) = cx.extensions_mut().get::<Admitted>() {
            admitted.store(true, Ordering::Release);
        }
        let headers = cx.headers();
        if headers.get("x-amz-expected-bucket-owner").is_some_and(|owner| owner != OWNER) {
            return Err(s3_error!(AccessDenied, "Access Denied"));
        }
        if self.requester_pays && headers.get("x-amz-request-payer").is_none_or(|payer| payer != "requester") {
            return Err(s3_error!(AccessDenied, "Access Denied"));
        }
        Ok(())
    }
}
