//! The caller's credentials: fetched when first needed, kept, and renewed before they expire.
//!
//! Decides when to ask the provider again: from five minutes before the end, one caller at a time asks while the others sign on;
//! in the last ten seconds, and after [`CredentialCache::invalidate`], everyone waits for the answer. A failed renewal costs
//! nothing while the old credentials hold. Never blocks a thread; every wait ends with the provider's deadline.
//!
//! Invariants: at most one call of the provider at a time; callers that waited for a call get what it brought, credentials or an error,
//! and do not each call again.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Connector, tls};
use aws_smithy_runtime_api::client::http::{SharedHttpClient, SharedHttpConnector, http_client_fn};
use aws_types::region::Region;
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use xfer_core::error::{Error, ErrorKind};

use crate::profile::missing_profile;
use crate::report;
use crate::sign::v4::SigningKeys;

/// From here on a renewal is tried. As in the CRT and botocore (their "advisory" window is 5 to 15 minutes).
const RENEW_BEFORE: Duration = Duration::from_secs(5 * 60);
/// From here on nothing is signed with the old credentials: a request must still be valid when it arrives.
const MUST_RENEW_BEFORE: Duration = Duration::from_secs(10);
/// Pause after a renewal that failed, or brought the same again, while the old credentials hold.
const RENEW_PAUSE: Duration = Duration::from_secs(15);
/// How long a provider may take. Long, for those that ask a person or run a program.
const PROVIDER_DEADLINE: Duration = Duration::from_secs(60);

/// Credentials to sign with. Cheap to clone; `Debug` shows no secret.
///
/// ```
/// use aws_credential_types::Credentials;
/// use xfer_serializer::Identity;
/// let identity = Identity::new(Credentials::from_keys("AKID", "a secret", None));
/// assert_eq!((identity.expires(), identity.is_session()), (None, false));
/// assert!(!format!("{identity:?}").contains("secret"));
/// ```
#[derive(Clone)]
pub struct Identity {
    inner: Arc<aws_smithy_runtime_api::client::identity::Identity>,
    generation: u64,
    session: bool,
    signing_keys: SigningKeys,
}

impl Identity {
    /// An identity from credentials that are at hand.
    #[must_use]
    pub fn new(credentials: Credentials) -> Identity {
        Identity {
            inner: Arc::new(credentials.into()),
            generation: 0,
            session: false,
            signing_keys: SigningKeys::default(),
        }
    }

    pub(crate) fn of_session(credentials: Credentials) -> Identity {
        Identity { session: true, ..Identity::new(credentials) }
    }

    pub(crate) fn inner(&self) -> &aws_smithy_runtime_api::client::identity::Identity {
        &self.inner
    }

    pub(crate) fn credentials(&self) -> Result<&Credentials, Error> {
        self.inner.data().ok_or_else(|| Error::internal("an identity without credentials"))
    }

    pub(crate) fn signing_keys(&self) -> &SigningKeys {
        &self.signing_keys
    }

    /// Whether it is that of an S3 Express session.
    #[must_use]
    pub fn is_session(&self) -> bool {
        self.session
    }

    /// Whether both sign the same.
    pub(crate) fn is_same_as(&self, other: &Identity) -> bool {
        self.inner.data::<Credentials>() == other.inner.data::<Credentials>()
    }

    /// When it ends; `None` when it does not.
    #[must_use]
    pub fn expires(&self) -> Option<SystemTime> {
        self.inner.expiration()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("session", &self.session)
            .field("expires", &self.expires())
            .finish_non_exhaustive()
    }
}

/// Where credentials come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// A provider of the caller's.
    Provider(SharedCredentialsProvider),
    /// The AWS chain: environment, profiles, web identity, container, instance. Made when first needed.
    Chain { region: String, chain: OnceCell<DefaultCredentialsChain> },
    /// None: requests are not signed.
    Anonymous,
}

/// The one holder of a client's credentials.
#[derive(Debug)]
pub(crate) struct CredentialCache {
    source: Source,
    state: Mutex<State>,
    renewing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Identity>,
    /// Counts the provider's calls that ended.
    calls: u64,
    /// The last call's error, if it failed.
    failure: Option<Error>,
    /// No renewal before this of credentials that still hold.
    not_before: Option<SystemTime>,
}

impl State {
    /// What the provider's last call brought: credentials, whenever they end; or an error, if the old ones do not hold any more.
    fn outcome(&self, now: SystemTime) -> Option<Result<Identity, Error>> {
        match (&self.failure, &self.current) {
            (None, current) => current.clone().map(Ok),
            (Some(_), Some(old)) if old.expires().is_none_or(|end| end > now) => Some(Ok(old.clone())),
            (Some(failure), _) => Some(Err(failure.clone())),
        }
    }
}

enum Standing {
    /// Good for long.
    Fresh(Identity),
    /// Good, but to be renewed.
    Ageing(Identity),
    /// There is none, or none that may be used.
    Missing,
}

impl CredentialCache {
    pub(crate) fn new(source: Source) -> CredentialCache {
        CredentialCache { source, state: Mutex::default(), renewing: tokio::sync::Mutex::new(()) }
    }

    /// The identity to sign with at `now`; `None` when anonymous.
    pub(crate) async fn get(&self, now: SystemTime) -> Result<Option<Identity>, Error> {
        if matches!(self.source, Source::Anonymous) {
            return Ok(None);
        }
        let (standing, calls_before) = self.standing(now);
        let _turn = match standing {
            Standing::Fresh(identity) => return Ok(Some(identity)),
            Standing::Ageing(identity) => match self.renewing.try_lock() {
                Ok(turn) if self.state.lock().not_before.is_none_or(|time| now >= time) => turn,
                _ => return Ok(Some(identity)),
            },
            Standing::Missing => self.renewing.lock().await,
        };
        if let Some(outcome) = self.outcome_since(calls_before, now) {
            return outcome.map(Some);
        }
        // Boxed: the future of all providers has 5 KiB, and every request would carry it.
        Box::pin(self.renew(now)).await.map(Some)
    }

    /// What a call of the provider brought that ended since there were `calls_before` of them: it is for all who waited for it.
    fn outcome_since(&self, calls_before: u64, now: SystemTime) -> Option<Result<Identity, Error>> {
        let state = self.state.lock();
        if state.calls == calls_before { None } else { state.outcome(now) }
    }

    /// `used` was refused as expired: it is not used again. Nothing happens when it has been replaced already.
    pub(crate) fn invalidate(&self, used: &Identity) {
        let mut state = self.state.lock();
        if state.current.as_ref().is_some_and(|current| current.generation == used.generation) {
            state.current = None;
        }
    }

    /// How it stands, and how many calls of the provider have ended. One lock: every request of every lane asks.
    fn standing(&self, now: SystemTime) -> (Standing, u64) {
        let state = self.state.lock();
        let standing = match state.current.clone() {
            None => Standing::Missing,
            Some(identity) => match identity.expires() {
                Some(end) if end <= now + MUST_RENEW_BEFORE => Standing::Missing,
                Some(end) if end <= now + RENEW_BEFORE => Standing::Ageing(identity),
                _ => Standing::Fresh(identity),
            },
        };
        (standing, state.calls)
    }

    async fn renew(&self, now: SystemTime) -> Result<Identity, Error> {
        let outcome = match tokio::time::timeout(PROVIDER_DEADLINE, self.ask()).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let message = format!("the credentials provider gave no answer within {PROVIDER_DEADLINE:?}");
                Err(Error::new(ErrorKind::Credentials, message))
            }
        };
        let mut state = self.state.lock();
        state.calls += 1;
        match outcome {
            Ok(credentials) => {
                let identity = Identity { generation: state.calls, ..Identity::new(credentials) };
                // Some providers give the same ones until shortly before their end.
                let again = state.current.as_ref().is_some_and(|old| old.is_same_as(&identity));
                state.not_before = again.then(|| now + RENEW_PAUSE);
                state.current = Some(identity.clone());
                state.failure = None;
                Ok(identity)
            }
            Err(error) => {
                state.failure = Some(error.clone());
                state.not_before = Some(now + RENEW_PAUSE);
                let Some(Ok(old)) = state.outcome(now) else { return Err(error) };
                tracing::warn!(%error, "credentials could not be renewed; the old ones still hold");
                Ok(old)
            }
        }
    }

    async fn ask(&self) -> Result<Credentials, Error> {
        match &self.source {
            Source::Provider(provider) => {
                provider.provide_credentials().await.map_err(|error| failed("the given credentials provider", error))
            }
            Source::Chain { region, chain } => {
                let config = || ProviderConfig::default().with_http_client(http_client());
                let make = || {
                    DefaultCredentialsChain::builder().configure(config()).region(Region::new(region.clone())).build()
                };
                let chain = chain.get_or_init(make).await;
                let looked = "the environment, the profile files, web identity, container and instance metadata";
                match chain.provide_credentials().await {
                    Ok(credentials) => Ok(credentials),
                    Err(error) => match missing_profile().await {
                        Some(text) => Err(failed(&format!("{looked}; {text}"), error)),
                        None => Err(failed(looked, error)),
                    },
                }
            }
            Source::Anonymous => Err(Error::internal("an anonymous client has no credentials to ask for")),
        }
    }
}

/// How the chain's providers reach what they ask. It is made with a request, not with the provider as the SDK's own is: that one reads
/// the system's certificates (3 ms of the 9 that a small download took) even where the environment holds the keys.
fn http_client() -> SharedHttpClient {
    http_client_fn(|settings, components| {
        let mut connector = Connector::builder()
            .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc))
            .proxy_config(ProxyConfig::from_env())
            .connector_settings(settings.clone());
        connector.set_sleep_impl(components.sleep_impl());
        SharedHttpConnector::new(connector.build())
    })
}

fn failed(looked: &str, error: CredentialsError) -> Error {
    let why = match &error {
        CredentialsError::CredentialsNotLoaded(_) => format!("none found; looked in {looked}"),
        _ => format!("{} (looked in {looked})", report::chain(&error)),
    };
    Error::new(ErrorKind::Credentials, why).with_source(SharedError(Arc::new(error)))
}

/// Keeps the provider's error as a source.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct SharedError(Arc<CredentialsError>);

#[cfg(test)]
mod tests;
