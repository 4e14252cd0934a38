//! One run of the SDK that ends before anything is signed or sent, and what it showed.
//!
//! The SDK serializes the call, resolves the endpoint and then asks its interceptors; ours keeps the request and stops the run.
//! Invariants: no socket is ever opened (there is no HTTP client behind it), no credentials of the caller are seen, and the run
//! never waits, so it is driven by a single poll and works in and outside a runtime.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpRequest;
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, ConfigBag, IdentityCache, Intercept, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, RuntimeComponents, StalledStreamProtectionConfig,
};
use aws_smithy_async::rt::sleep::{AsyncSleep, Sleep};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::Document;
use aws_smithy_types::endpoint::{Endpoint, EndpointAuthScheme};
use parking_lot::Mutex;
use xfer_core::args::ExtraArgs;
use xfer_core::error::{Error, ErrorKind};

use crate::endpoint::{EndpointConfig, Origin, is_at_address};
use crate::stamp::Shown;
use crate::{Operation, report, routing};

/// Stands for the key until a stamp replaces it.
pub(crate) const KEY: &str = "xfer-placeholder-of-the-key";
/// Stands for the upload id; its query parameter is found by name.
const UPLOAD_ID: &str = "xfer-placeholder-of-the-upload-id";
/// Stands for the part number; its query parameter is found by name.
const PART_NUMBER: i32 = 1;

/// How the SDK wants a request signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Signature Version 4.
    V4 { name: String, region: String },
    /// Signature Version 4a: asymmetric, for several regions at once.
    V4a { name: String, regions: String },
    /// Signature Version 4 with session credentials of an S3 Express bucket.
    Express { name: String, region: String },
}

/// A request as the SDK would send it, but for the placeholders.
pub(crate) struct Captured {
    pub(crate) origin: Origin,
    /// Percent-encoded.
    pub(crate) path: String,
    /// Percent-encoded, in the SDK's order.
    pub(crate) query: Vec<String>,
    /// Names in lower case, sorted.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) scheme: Scheme,
}

impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Captured")
            .field("origin", &self.origin)
            .field("path", &self.path)
            .field("query", &self.query)
            .field("headers", &Shown(&self.headers))
            .field("scheme", &self.scheme)
            .finish()
    }
}

/// An SDK client that cannot send.
#[derive(Debug)]
pub(crate) struct Capturer {
    client: Client,
    endpoint: EndpointConfig,
    /// The endpoint has an address for a name: no bucket can be put before it. The SDK's rules know that, but for buckets with dots.
    is_at_address: bool,
}

impl Capturer {
    pub(crate) fn new(endpoint: EndpointConfig) -> Result<Capturer, Error> {
        endpoint.check_region()?;
        endpoint.check_user_agent()?;
        let url = endpoint.checked_url()?;
        let is_at_address = url.as_deref().is_some_and(is_at_address);
        let nobody = Credentials::new("placeholder", "placeholder", None, None, "xfer");
        let mut config = aws_sdk_s3::Config::builder();
        config.set_endpoint_url(url);
        let config = config
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(endpoint.region.clone()))
            .force_path_style(endpoint.path_style)
            .use_dual_stack(endpoint.dual_stack)
            .use_fips(endpoint.fips)
            .accelerate(endpoint.accelerate)
            .use_arn_region(endpoint.use_arn_region)
            .credentials_provider(nobody.clone())
            // Without it the SDK would call CreateSession itself.
            .express_credentials_provider(nobody)
            .http_client(http_client_fn(|_, _| SharedHttpConnector::new(NeverSends)))
            // The SDK's default cache puts a time limit on loading, and that needs a runtime.
            .identity_cache(IdentityCache::no_cache())
            .sleep_impl(NeverWakes)
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .build();
        Ok(Capturer { client: Client::from_conf(config), endpoint, is_at_address })
    }

    /// Runs the SDK once. `region`: another one than the configured, when the bucket is known to be there.
    pub(crate) fn run(
        &self,
        operation: Operation,
        bucket: &str,
        args: &ExtraArgs,
        region: Option<&str>,
    ) -> Result<Captured, Error> {
        let slot: Slot = Arc::default();
        macro_rules! run {
            ($request:expr) => {{
                let mut over = aws_sdk_s3::Config::builder();
                if let Some(region) = region {
                    over = over.region(Region::new(region.to_owned()));
                }
                if self.is_at_address && bucket.contains('.') && !bucket.starts_with("arn:") {
                    over = over.force_path_style(true);
                }
                let request = $request.customize().config_override(over).interceptor(KeepRequest(Arc::clone(&slot)));
                drive(async move { request.send().await.err().map(|error| report::chain(&error)) })?
            }};
        }
        let client = &self.client;
        let why = match operation {
            Operation::PutObject => {
                run!(routing::put_object(client.put_object().bucket(bucket).key(KEY), args)?)
            }
            Operation::CreateMultipartUpload => {
                run!(routing::create_multipart_upload(client.create_multipart_upload().bucket(bucket).key(KEY), args)?)
            }
            Operation::UploadPart => {
                let request = client.upload_part().bucket(bucket).key(KEY);
                run!(routing::upload_part(request.upload_id(UPLOAD_ID).part_number(PART_NUMBER), args)?)
            }
            Operation::CompleteMultipartUpload => {
                let request = client.complete_multipart_upload().bucket(bucket).key(KEY).upload_id(UPLOAD_ID);
                run!(routing::complete_multipart_upload(request, args)?)
            }
            Operation::AbortMultipartUpload => {
                let request = client.abort_multipart_upload().bucket(bucket).key(KEY).upload_id(UPLOAD_ID);
                run!(routing::abort_multipart_upload(request, args)?)
            }
            Operation::GetObject => run!(routing::get_object(client.get_object().bucket(bucket).key(KEY), args)?),
            Operation::HeadObject => run!(routing::head_object(client.head_object().bucket(bucket).key(KEY), args)?),
            Operation::DeleteObject => {
                run!(routing::delete_object(client.delete_object().bucket(bucket).key(KEY), args)?)
            }
            Operation::ListParts => {
                let request = client.list_parts().bucket(bucket).key(KEY).upload_id(UPLOAD_ID);
                run!(routing::list_parts(request.part_number_marker(PART_NUMBER.to_string()), args)?)
            }
            Operation::CreateSession => run!(routing::create_session(client.create_session().bucket(bucket), args)?),
        };
        let kept = slot.lock().take();
        match kept {
            Some(kept) => kept.map(|captured| self.with_scheme_of_config(captured)),
            None => {
                let why = why.unwrap_or_else(|| "it was not serialized".to_owned());
                Err(Error::new(ErrorKind::InvalidArgument, format!("the request cannot be built: {why}")))
            }
        }
        .map_err(|error| error.in_operation(operation.name()))
    }

    // The SDK knows no switch for plain text: its rules for AWS' own hosts always say https.
    fn with_scheme_of_config(&self, mut captured: Captured) -> Captured {
        if !self.endpoint.use_ssl && self.endpoint.endpoint_url.is_none() && captured.origin.https {
            captured.origin.https = false;
            if captured.origin.port == 443 {
                captured.origin.port = 80;
            }
        }
        captured
    }
}

/// The run has nothing to wait for, so one poll must do; anything else is a defect, and no reason to hang.
fn drive<T>(run: impl Future<Output = T>) -> Result<T, Error> {
    match pin!(run).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Ok(outcome),
        Poll::Pending => Err(Error::internal("the SDK waited for something while it only had to serialize")),
    }
}

type Slot = Arc<Mutex<Option<Result<Captured, Error>>>>;

#[derive(Debug)]
struct KeepRequest(Slot);

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for KeepRequest {
    fn name(&self) -> &'static str {
        "KeepRequest"
    }

    fn read_before_signing(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        *self.0.lock() = Some(read(context.request(), bag));
        Err("stopped: only the request was wanted".into())
    }
}

fn read(request: &HttpRequest, bag: &ConfigBag) -> Result<Captured, Error> {
    let uri: http::Uri = request
        .uri()
        .parse()
        .map_err(|error| Error::new(ErrorKind::InvalidConfig, "the endpoint is no valid URL").with_source(error))?;
    let origin = Origin::from_uri(&uri)
        .ok_or_else(|| Error::new(ErrorKind::InvalidConfig, format!("the endpoint {uri} has no http or https host")))?;
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in request.headers() {
        // A list may come as several lines; a signature sees them joined.
        match headers.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, list)) => {
                list.push(',');
                list.push_str(value);
            }
            None => headers.push((name.to_ascii_lowercase(), value.to_owned())),
        }
    }
    headers.sort();
    Ok(Captured {
        origin,
        path: uri.path().to_owned(),
        query: uri.query().map(|query| query.split('&').map(str::to_owned).collect()).unwrap_or_default(),
        headers,
        scheme: scheme(bag)?,
    })
}

/// The scheme that the endpoint rules put first. What they leave out is as everywhere in S3.
fn scheme(bag: &ConfigBag) -> Result<Scheme, Error> {
    let region = || bag.load::<aws_types::region::SigningRegion>().map(|region| region.as_ref().to_owned());
    let Some(endpoint) = bag.load::<Endpoint>() else {
        return Err(Error::internal("the SDK resolved no endpoint"));
    };
    let listed = match endpoint.properties().get("authSchemes") {
        Some(Document::Array(schemes)) => schemes.first().cloned(),
        _ => None,
    };
    let first = endpoint.auth_schemes().first().map(EndpointAuthScheme::as_document).or(listed);
    let property = |key: &str| first.as_ref().and_then(Document::as_object)?.get(key);
    let word = |key: &str| property(key).and_then(Document::as_string).map(str::to_owned);
    let signing_name = word("signingName").unwrap_or_else(|| "s3".to_owned());
    let signing_region = word("signingRegion").or_else(region);
    match property("name").and_then(Document::as_string) {
        name @ (None | Some("sigv4" | "sigv4-s3express")) => {
            let region = signing_region.ok_or_else(|| Error::internal("the SDK named no region to sign for"))?;
            match name {
                None | Some("sigv4") => Ok(Scheme::V4 { name: signing_name, region }),
                _ => Ok(Scheme::Express { name: signing_name, region }),
            }
        }
        Some("sigv4a") => {
            let regions = match property("signingRegionSet") {
                Some(Document::Array(regions)) => {
                    regions.iter().filter_map(Document::as_string).collect::<Vec<_>>().join(",")
                }
                _ => "*".to_owned(),
            };
            Ok(Scheme::V4a { name: signing_name, regions })
        }
        Some(other) => {
            Err(Error::new(ErrorKind::InvalidConfig, format!("the endpoint asks for {other}, which is not known")))
        }
    }
}

/// A run that is over with its first poll has no time to wait for.
#[derive(Debug)]
struct NeverWakes;

impl AsyncSleep for NeverWakes {
    fn sleep(&self, _: Duration) -> Sleep {
        Sleep::new(std::future::pending())
    }
}

#[derive(Debug)]
struct NeverSends;

impl HttpConnector for NeverSends {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(Err(ConnectorError::user("this client only serializes".into())))
    }
}
