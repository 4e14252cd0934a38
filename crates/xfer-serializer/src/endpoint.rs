//! Where requests go: the settings that S3's endpoint rules know, and the origin that they give.
//!
//! Decides nothing itself: the SDK's rules do. Invariant: an [`Origin`]'s host is what the Host header says, without the port.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr as _;

use aws_smithy_types::checksum_config::{RequestChecksumCalculation, ResponseChecksumValidation};
use aws_types::SdkConfig;
use xfer_core::error::{Error, ErrorKind};

/// Whether requests are signed.
///
/// ```
/// use xfer_serializer::{EndpointConfig, RequestSerializer, SignatureVersion};
/// let public = RequestSerializer::builder(EndpointConfig::new("us-east-1"))
///     .signature_version(SignatureVersion::Unsigned)
///     .build()?;
/// assert_eq!(public.signature_version(), SignatureVersion::Unsigned);
/// # Ok::<(), xfer_core::error::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureVersion {
    /// AWS Signature Version 4 in a header, or 4a where an access point asks for it: one of several regions, or of an outpost.
    #[default]
    S3v4,
    /// No signature: public buckets.
    Unsigned,
}

/// The settings that decide where requests go, besides the bucket.
///
/// ```
/// use xfer_serializer::EndpointConfig;
/// let mut config = EndpointConfig::new("us-east-1");
/// config.endpoint_url = Some("http://127.0.0.1:9000".to_owned());
/// config.path_style = true;
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EndpointConfig {
    /// The region, such as `eu-central-1`; it is also the one signed for.
    pub region: String,
    /// Another store than AWS: scheme, host and port are honoured. A URL without a scheme gets that of `use_ssl`.
    pub endpoint_url: Option<String>,
    /// `host/bucket/key` instead of `bucket.host/key`; where the host is an IP address, it is so in any case.
    pub path_style: bool,
    /// TLS, where `endpoint_url` does not say. Default: true.
    pub use_ssl: bool,
    /// The dual-stack (IPv6 and IPv4) hosts of AWS.
    pub dual_stack: bool,
    /// The FIPS hosts of AWS.
    pub fips: bool,
    /// S3 Transfer Acceleration.
    pub accelerate: bool,
    /// Take an access point's region from its ARN. Default: true.
    pub use_arn_region: bool,
    /// Ask for the checksums of what is downloaded (`x-amz-checksum-mode`) unless the call's `ChecksumMode` says otherwise.
    /// Default: true.
    pub checksum_mode: bool,
    /// Send a checksum of ours with uploads unless the call asks for another. Default: true. Without, only those who ask for one have
    /// what arrived compared with what was sent.
    pub upload_checksums: bool,
    /// Words put behind the User-Agent, such as `myapp/1.2`.
    pub user_agent: Option<String>,
}

impl EndpointConfig {
    /// The defaults for a region of AWS.
    #[must_use]
    pub fn new(region: impl Into<String>) -> EndpointConfig {
        EndpointConfig {
            region: region.into(),
            endpoint_url: None,
            path_style: false,
            use_ssl: true,
            dual_stack: false,
            fips: false,
            accelerate: false,
            use_arn_region: true,
            checksum_mode: true,
            upload_checksums: true,
            user_agent: None,
        }
    }

    /// What an SDK configuration says: region, endpoint URL (also `AWS_ENDPOINT_URL_S3`), dual-stack, FIPS, the use of ARNs' regions, checksums
    /// of requests and answers, application name.
    /// `region` comes before the configuration's; when empty, the configuration's is taken.
    #[must_use]
    pub fn from_sdk_config(config: &SdkConfig, region: impl Into<String>) -> EndpointConfig {
        let mut region = region.into();
        if region.is_empty() {
            region = config.region().map(|region| region.as_ref().to_owned()).unwrap_or_default();
        }
        let mut endpoint = EndpointConfig::new(region);
        // What the program itself set comes before what environment and profile say of S3, and that before what they say of all.
        // A variable that is set to nothing says nothing.
        let from_service = || service_setting(config, "AWS_ENDPOINT_URL", "endpoint_url");
        endpoint.endpoint_url = match config.get_origin("endpoint_url").is_client_config() {
            true => None,
            false => from_service(),
        }
        .filter(|url| !url.is_empty())
        .or_else(|| config.endpoint_url().filter(|url| !url.is_empty()).map(str::to_owned));
        endpoint.dual_stack = config.use_dual_stack().unwrap_or(false);
        endpoint.fips = config.use_fips().unwrap_or(false);
        let arn_region = service_setting(config, "AWS_S3_USE_ARN_REGION", "s3_use_arn_region");
        endpoint.use_arn_region = !arn_region.is_some_and(|text| text.eq_ignore_ascii_case("false"));
        endpoint.checksum_mode =
            config.response_checksum_validation() != Some(ResponseChecksumValidation::WhenRequired);
        endpoint.upload_checksums =
            config.request_checksum_calculation() != Some(RequestChecksumCalculation::WhenRequired);
        endpoint.user_agent = config.app_name().map(|name| format!("app/{}", name.as_ref()));
        endpoint
    }

    pub(crate) fn check_region(&self) -> Result<(), Error> {
        match self.region.as_str() {
            "" => Err(Error::new(ErrorKind::InvalidConfig, "no region is set")),
            region if !is_region(region) => {
                Err(Error::new(ErrorKind::InvalidConfig, format!("{region:?} is no region's name")))
            }
            _ => Ok(()),
        }
    }

    /// The User-Agent becomes a header of each request: a line end in it would become a header of its own.
    pub(crate) fn check_user_agent(&self) -> Result<(), Error> {
        match &self.user_agent {
            Some(words) if !words.bytes().all(|byte| (b' '..=b'~').contains(&byte)) => {
                Err(Error::new(ErrorKind::InvalidConfig, "the User-Agent has characters other than printable ASCII"))
            }
            _ => Ok(()),
        }
    }

    /// The endpoint URL with its scheme, checked.
    pub(crate) fn checked_url(&self) -> Result<Option<String>, Error> {
        let Some(url) = &self.endpoint_url else { return Ok(None) };
        let url = match url.split_once("://") {
            Some(_) => url.clone(),
            None if self.use_ssl => format!("https://{url}"),
            None => format!("http://{url}"),
        };
        let bad = |why: &str| Error::new(ErrorKind::InvalidConfig, format!("endpoint URL {:?}: {why}", shown(&url)));
        let uri = http::Uri::from_str(&url).map_err(|error| bad(&error.to_string()))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(bad("the scheme is neither http nor https"));
        }
        let authority = uri.authority().map_or("", http::uri::Authority::as_str);
        if authority.contains('@') {
            return Err(bad("it has a user name in it"));
        }
        if url.contains(['?', '#']) {
            return Err(bad("it has a query or a fragment"));
        }
        let port = authority.strip_prefix(uri.host().unwrap_or_default()).unwrap_or_default();
        let digits = port.strip_prefix(':').unwrap_or_default();
        if !digits.is_empty() && (digits.starts_with('+') || digits.parse::<u16>().is_err()) {
            return Err(bad("the port is no number up to 65535"));
        }
        // The SDK's rules put a bucket right behind the path, without a slash between them.
        let slash = if uri.path().ends_with('/') { "" } else { "/" };
        Ok(Some(format!("{url}{slash}")))
    }
}

impl fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointConfig")
            .field("region", &self.region)
            .field("endpoint_url", &self.endpoint_url.as_deref().map(shown))
            .field("path_style", &self.path_style)
            .field("use_ssl", &self.use_ssl)
            .field("dual_stack", &self.dual_stack)
            .field("fips", &self.fips)
            .field("accelerate", &self.accelerate)
            .field("use_arn_region", &self.use_arn_region)
            .field("checksum_mode", &self.checksum_mode)
            .field("upload_checksums", &self.upload_checksums)
            .field("user_agent", &self.user_agent)
            .finish()
    }
}

/// Whether it may be a region's name. It becomes a part of host names, and the SDK's rules do not look at it for each kind of bucket: a
/// slash would make what is before it the host. Other stores than AWS have their own names, with capitals, dots and underscores.
pub(crate) fn is_region(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty() && name.bytes().all(fits)
}

/// Whether a URL's host is an IP address.
pub(crate) fn is_at_address(url: &str) -> bool {
    let uri: Option<http::Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(http::Uri::host).unwrap_or_default();
    host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

/// A URL without what may be secret in it: user name and password, and the query, which may be a signature. Needs no valid URL.
fn shown(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            (format!("{scheme}://"), rest)
        }
        _ => (String::new(), url),
    };
    let shown = match rest.rsplit_once('@') {
        // A password may hold any character: there is no telling it from a query.
        Some((user, _)) if user.contains(['?', '#']) => "...",
        Some((_, host)) => host,
        None => rest,
    };
    scheme + shown.split(['?', '#']).next().unwrap_or_default()
}

fn service_setting(config: &SdkConfig, env: &'static str, profile: &'static str) -> Option<String> {
    let key = aws_types::service_config::ServiceConfigKey::builder()
        .service_id("S3")
        .env(env)
        .profile(profile)
        .build()
        .ok()?;
    config.service_config()?.load_config(key)
}

/// A server: scheme, host and port.
///
/// ```
/// use xfer_serializer::Origin;
/// let origin = Origin { https: true, host: "s3.eu-central-1.amazonaws.com".to_owned(), port: 443 };
/// assert_eq!(origin.authority(), "s3.eu-central-1.amazonaws.com");
/// assert_eq!(Origin { port: 8443, ..origin }.authority(), "s3.eu-central-1.amazonaws.com:8443");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// TLS or plain text.
    pub https: bool,
    /// Host name or address; an IPv6 address is in brackets.
    pub host: String,
    /// Port; the scheme's own when the endpoint named none.
    pub port: u16,
}

impl Origin {
    pub(crate) fn from_uri(uri: &http::Uri) -> Option<Origin> {
        let https = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        Some(Origin { https, host: uri.host()?.to_owned(), port })
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    /// The Host header: the port only where it is not the scheme's own.
    #[must_use]
    pub fn authority(&self) -> String {
        match (self.https, self.port) {
            (true, 443) | (false, 80) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.authority())
    }
}
