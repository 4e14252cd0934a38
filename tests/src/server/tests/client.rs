//! Clients of the tests.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use http::HeaderMap;

use super::super::resign::resign;
use crate::ServerHandle;

/// An SDK client without retries, so that each call is one request.
pub(super) fn sdk(server: &ServerHandle) -> Client {
    sdk_with_secret(server, server.secret_key())
}

pub(super) fn sdk_with_secret(server: &ServerHandle, secret_key: &str) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(Credentials::new(server.access_key(), secret_key, None, None, "test"))
        .region(Region::new(server.region()))
        .endpoint_url(server.endpoint_url())
        .force_path_style(true)
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().operation_timeout(Duration::from_secs(60)).build())
        .build();
    Client::from_conf(config)
}

/// A body from a file, which the SDK sends aws-chunked with its checksum in a trailer; bytes in memory get a header.
pub(super) async fn streamed(data: &[u8]) -> (ByteStream, tempfile::TempPath) {
    let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    std::fs::write(&path, data).unwrap();
    (ByteStream::from_path(&path).await.unwrap(), path)
}

/// Status and code of a failed call.
pub(super) fn failure<T: std::fmt::Debug, E>(
    result: Result<T, SdkError<E, aws_sdk_s3::config::http::HttpResponse>>,
) -> (u16, String)
where
    SdkError<E, aws_sdk_s3::config::http::HttpResponse>: ProvideErrorMetadata + std::fmt::Debug,
{
    let error = result.expect_err("the call must fail");
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    (status, error.code().unwrap_or_default().to_owned())
}

/// What came back on a raw connection.
#[derive(Debug)]
pub(super) struct RawAnswer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Sends one request head and body, and reads until the server closes the connection, which `Connection: close` asks for.
pub(super) fn raw(
    server: &ServerHandle,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> RawAnswer {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", server.address());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    parse(&answer)
}

/// [`raw`] with a signature over host, date and payload hash.
pub(super) fn raw_signed(
    server: &ServerHandle,
    secret_key: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> RawAnswer {
    let mut request = http::Request::builder().method(method).uri(target).header("host", server.address().to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    resign(&mut parts, server.access_key(), secret_key, server.region());
    parts.headers.remove("host");
    let headers: Vec<_> = parts.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    raw(server, method, target, &headers, body)
}

pub(super) fn parse(answer: &[u8]) -> RawAnswer {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
    let head = std::str::from_utf8(&answer[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        headers.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.trim().parse().unwrap());
    }
    RawAnswer { status, headers, body: answer[end + 4..].to_vec() }
}
