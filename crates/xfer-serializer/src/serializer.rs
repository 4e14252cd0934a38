//! The serializer: templates, credentials, sessions and regions of one client, to be shared in an `Arc`.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_types::SdkConfig;
use parking_lot::RwLock;
use tokio::sync::OnceCell;
use xfer_core::args::{ArgValue, ExtraArgs, requested_range};
use xfer_core::error::{Error, ErrorKind};
use xfer_core::id::PartNumber;

use crate::cache::{MadeFrom, Templates};
use crate::capture::Capturer;
use crate::decode::SessionCredentials;
use crate::endpoint::{EndpointConfig, SignatureVersion, is_region};
use crate::identity::{CredentialCache, Identity, Source};
use crate::operation::Operation;
use crate::request_dict::{RequestDict, SerializedRequest};
use crate::session::{SessionScope, Sessions};
use crate::stamp::{Payload, Stamp};
use crate::template::Template;
use crate::{routing, ssec};

/// Turns calls into requests. One for each client; see the [crate's page](crate) for an example.
///
/// ```
/// use xfer_serializer::{EndpointConfig, Operation, RequestDict, RequestSerializer};
/// let serializer = RequestSerializer::builder(EndpointConfig::new("us-east-1")).build()?;
/// let request = serializer.serialize_http_request(&RequestDict::new(Operation::DeleteObject, "photos", "1.jpg"))?;
/// assert_eq!(request.method, "DELETE");
/// assert!(request.url.starts_with("https://photos.s3.us-east-1.amazonaws.com/1.jpg"));
/// # Ok::<(), xfer_core::error::Error>(())
/// ```
pub struct RequestSerializer {
    /// An error in the configuration is told by the first call that needs it, so that making a serializer cannot fail.
    capturer: Result<Capturer, Error>,
    endpoint: EndpointConfig,
    version: SignatureVersion,
    user_agent: String,
    credentials: CredentialCache,
    templates: Templates,
    sessions: Sessions,
    regions: RwLock<HashMap<String, String>>,
    sdk_runs: AtomicU64,
}

impl RequestSerializer {
    /// A serializer by an SDK configuration. An empty `region` stands for the configuration's. Credentials: the configuration's
    /// provider, else the standard AWS chain.
    #[must_use]
    pub fn new(config: &SdkConfig, region: impl Into<String>, version: SignatureVersion) -> RequestSerializer {
        let mut builder = RequestSerializer::builder(EndpointConfig::from_sdk_config(config, region));
        builder.version = version;
        builder.provider = config.credentials_provider();
        builder.make()
    }

    /// A serializer by single settings.
    #[must_use]
    pub fn builder(endpoint: EndpointConfig) -> RequestSerializerBuilder {
        RequestSerializerBuilder { endpoint, version: SignatureVersion::default(), provider: None }
    }

    /// Where requests go.
    #[must_use]
    pub fn endpoint(&self) -> &EndpointConfig {
        &self.endpoint
    }

    /// Whether requests are signed.
    #[must_use]
    pub fn signature_version(&self) -> SignatureVersion {
        self.version
    }

    /// The request that a call means, as data: not signed, and without any access to the network.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] when the parameters do not make a request, [`ErrorKind::InvalidConfig`] when the client's
    /// configuration does not.
    pub fn serialize_http_request(&self, request: &RequestDict) -> Result<SerializedRequest, Error> {
        let part_number = match request.part_number {
            None => None,
            Some(number) => Some(PartNumber::new(number).ok_or_else(|| {
                Error::new(ErrorKind::InvalidArgument, format!("part number {number} is not within 1 to 10,000"))
            })?),
        };
        let region = self.region_of(&request.bucket);
        let (bucket, args) = (&request.bucket, &request.extra_args);
        let template =
            self.make_template(request.operation, bucket, args, region.as_deref(), SignatureVersion::Unsigned)?;
        let mut stamp = Stamp {
            part_number,
            upload_id: request.upload_id.as_deref(),
            payload: match request.content_length {
                Some(content_length) if request.operation.has_body() => Payload::Unsigned { content_length },
                _ => Payload::None,
            },
            ..Stamp::key(&request.key)
        };
        if let Some(range) = &request.range {
            // Read and written again, so that what is no range does not become a header.
            let range = requested_range(&ExtraArgs::new().range(range.as_str()))?;
            stamp.headers.extend(range.map(|range| ("range".into(), range.header().into())));
        }
        // An anonymous template's stamp needs neither identity nor time.
        let stamped = template.stamp(&stamp, None, SystemTime::UNIX_EPOCH)?;
        let mut headers: Vec<(String, String)> =
            stamped.headers.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        if !headers.iter().any(|(name, _)| name == "content-length") {
            headers.push(("content-length".to_owned(), "0".to_owned()));
        }
        headers.push(("host".to_owned(), stamped.host.into_owned()));
        headers.sort();
        Ok(SerializedRequest {
            method: stamped.method.to_owned(),
            url: format!("{}{}", template.origin(), stamped.target),
            headers,
        })
    }

    /// The template for an operation on a bucket with a call's arguments, which `xfer_core::args` has validated. From the cache,
    /// or by one run of the SDK (some 25 us of CPU). It has nothing to wait for today; callers
    /// should not build on that.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] when arguments or bucket do not make a request, [`ErrorKind::InvalidConfig`] when the
    /// client's configuration does not.
    pub async fn prepare(
        &self,
        operation: Operation,
        bucket: impl Into<Arc<str>>,
        args: &ExtraArgs,
    ) -> Result<Arc<Template>, Error> {
        self.template(operation, bucket, args)
    }

    /// [`prepare`](RequestSerializer::prepare) for code that is not `async`.
    ///
    /// # Errors
    /// The same.
    pub fn template(
        &self,
        operation: Operation,
        bucket: impl Into<Arc<str>>,
        args: &ExtraArgs,
    ) -> Result<Arc<Template>, Error> {
        let from = MadeFrom { operation, bucket: bucket.into(), args: routing::own(operation, args) };
        if let Some(template) = self.templates.get(&from) {
            return Ok(template);
        }
        let region = self.region_of(&from.bucket);
        let template =
            Arc::new(self.make_template(operation, &from.bucket, &from.args, region.as_deref(), self.version)?);
        let bucket = Arc::clone(&from.bucket);
        self.templates.put(from, Arc::clone(&template));
        // A region that was learnt meanwhile has done away with the templates there were, and this one was not yet there.
        if self.region_of(&bucket) != region {
            self.templates.remove_bucket(&bucket);
        }
        Ok(template)
    }

    fn make_template(
        &self,
        operation: Operation,
        bucket: &str,
        args: &ExtraArgs,
        region: Option<&str>,
        version: SignatureVersion,
    ) -> Result<Template, Error> {
        let capturer = self.capturer.as_ref().map_err(Clone::clone)?;
        let mut args = ssec::complete(args)?.into_owned();
        if matches!(operation, Operation::GetObject | Operation::HeadObject) {
            self.put_checksum_mode(&mut args);
        }
        self.sdk_runs.fetch_add(1, Ordering::Relaxed);
        let captured = capturer.run(operation, bucket, &args, region)?;
        let keep_content_type = match operation {
            Operation::PutObject | Operation::UploadPart => args.get("ContentType").is_some(),
            _ => true,
        };
        Template::new(operation, bucket, captured, keep_content_type, &self.user_agent, version)
    }

    /// S3 knows no word but `ENABLED`; any other a caller says means that the header is left out.
    fn put_checksum_mode(&self, args: &mut ExtraArgs) {
        const NAME: &str = "ChecksumMode";
        match args.text(NAME) {
            Some(mode) if !mode.eq_ignore_ascii_case("ENABLED") => {
                args.remove(NAME);
            }
            None if !self.endpoint.checksum_mode => {}
            _ => args.set(NAME, ArgValue::Text("ENABLED".to_owned())),
        }
    }

    /// The identity to sign with, `None` when the client is anonymous. Fetched when first asked for and kept; renewed from five
    /// minutes before it expires, by `now`: the store's time, as far as it is known. Needs a tokio runtime with time when the provider is
    /// asked.
    ///
    /// # Errors
    /// [`ErrorKind::Credentials`], saying where was looked.
    pub async fn credentials(&self, now: SystemTime) -> Result<Option<Identity>, Error> {
        self.credentials.get(now).await
    }

    /// The store said that `used` has expired: the next [`credentials`](RequestSerializer::credentials) asks the provider, unless
    /// that has happened meanwhile.
    pub fn invalidate_credentials(&self, used: &Identity) {
        self.credentials.invalidate(used);
    }

    /// The session for calls of this scope, if there is one that still holds at `now`, by the store's clock.
    #[must_use]
    pub fn session(&self, scope: &SessionScope, now: SystemTime) -> Option<Identity> {
        self.sessions.get(scope, now)
    }

    /// Keeps the session that CreateSession gave for a scope at `now`, and makes the identity to sign with.
    pub fn keep_session(&self, scope: &SessionScope, session: SessionCredentials, now: SystemTime) -> Identity {
        let identity = session.into_identity();
        self.sessions.put(scope, identity.clone(), now);
        identity
    }

    /// The store does not take this session any more.
    pub fn forget_session(&self, used: &Identity) {
        self.sessions.remove(used);
    }

    /// The store said that the bucket is in `region`: templates made from now on are for there. `false` when that was known, so
    /// that following it again would go round in a circle, and when no request can be made for it.
    pub fn learn_region(&self, bucket: &str, region: &str) -> bool {
        let known = self.region_of(bucket).unwrap_or_else(|| self.endpoint.region.clone());
        if known == region || !is_region(region) {
            return false;
        }
        // What the SDK refuses would be refused for this bucket from now on.
        let there = |capturer: &Capturer| capturer.run(Operation::HeadObject, bucket, &ExtraArgs::new(), Some(region));
        if self.capturer.as_ref().is_ok_and(|capturer| there(capturer).is_err()) {
            return false;
        }
        self.regions.write().insert(bucket.to_owned(), region.to_owned());
        self.templates.remove_bucket(bucket);
        true
    }

    /// The region that was learnt for a bucket.
    #[must_use]
    pub fn region_of(&self, bucket: &str) -> Option<String> {
        self.regions.read().get(bucket).cloned()
    }

    /// How often the SDK has been run: once for each template.
    #[must_use]
    pub fn sdk_runs(&self) -> u64 {
        self.sdk_runs.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for RequestSerializer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestSerializer")
            .field("endpoint", &self.endpoint)
            .field("version", &self.version)
            .field("templates", &self.templates.len())
            .finish_non_exhaustive()
    }
}

/// Makes a [`RequestSerializer`].
///
/// ```
/// use aws_credential_types::Credentials;
/// use xfer_core::error::ErrorKind;
/// use xfer_serializer::{EndpointConfig, RequestSerializer};
/// let keys = Credentials::from_keys("AKID", "a secret", None);
/// assert!(RequestSerializer::builder(EndpointConfig::new("us-east-1")).credentials(keys).build().is_ok());
/// let nowhere = RequestSerializer::builder(EndpointConfig::new("")).build();
/// assert_eq!(nowhere.unwrap_err().kind(), ErrorKind::InvalidConfig);
/// ```
#[derive(Debug)]
pub struct RequestSerializerBuilder {
    endpoint: EndpointConfig,
    version: SignatureVersion,
    provider: Option<SharedCredentialsProvider>,
}

impl RequestSerializerBuilder {
    /// Where credentials come from. Without it: the standard AWS chain.
    #[must_use]
    pub fn credentials(mut self, provider: impl ProvideCredentials + 'static) -> Self {
        self.provider = Some(SharedCredentialsProvider::new(provider));
        self
    }

    /// Whether requests are signed. Without it: they are.
    #[must_use]
    pub fn signature_version(mut self, version: SignatureVersion) -> Self {
        self.version = version;
        self
    }

    /// The serializer.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`]: no region, or a region or an endpoint URL that is none.
    pub fn build(self) -> Result<RequestSerializer, Error> {
        let serializer = self.make();
        match &serializer.capturer {
            Ok(_) => Ok(serializer),
            Err(error) => Err(error.clone()),
        }
    }

    fn make(self) -> RequestSerializer {
        let RequestSerializerBuilder { endpoint, version, provider } = self;
        let source = match (version, provider) {
            (SignatureVersion::Unsigned, _) => Source::Anonymous,
            (SignatureVersion::S3v4, Some(provider)) => Source::Provider(provider),
            (SignatureVersion::S3v4, None) => Source::Chain { region: endpoint.region.clone(), chain: OnceCell::new() },
        };
        let mut user_agent = concat!("xfer/", env!("CARGO_PKG_VERSION")).to_owned();
        if let Some(words) = &endpoint.user_agent {
            user_agent.push(' ');
            user_agent.push_str(words);
        }
        RequestSerializer {
            capturer: Capturer::new(endpoint.clone()),
            endpoint,
            version,
            user_agent,
            credentials: CredentialCache::new(source),
            templates: Templates::default(),
            sessions: Sessions::default(),
            regions: RwLock::default(),
            sdk_runs: AtomicU64::new(0),
        }
    }
}

#[cfg(test)]
mod tests;
