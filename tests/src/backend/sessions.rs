//! S3 Express sessions: the short-lived credentials that CreateSession hands out.
//!
//! A session is for one bucket. One that has ended, or was revoked, is still known, so that a request under it is told that its token has
//! expired, as S3 tells it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use s3s::dto::{SessionCredentials, Timestamp};

/// How long S3's sessions last.
const LIFETIME: Duration = Duration::from_secs(300);

/// Whether a bucket is a directory bucket of S3 Express, by its name.
pub(crate) fn is_directory(bucket: &str) -> bool {
    bucket.ends_with("--x-s3")
}

/// What a session says of encryption; requests under it must not say otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Encryption {
    pub(crate) kind: Option<String>,
    pub(crate) kms_key_id: Option<String>,
}

/// A session that was handed out.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    pub(crate) bucket: String,
    pub(crate) encryption: Encryption,
    ends: SystemTime,
    revoked: bool,
}

impl Session {
    pub(crate) fn holds(&self) -> bool {
        !self.revoked && SystemTime::now() < self.ends
    }
}

/// All sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    by_token: Mutex<BTreeMap<String, Session>>,
    /// Milliseconds.
    lifetime: AtomicU64,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { by_token: Mutex::default(), lifetime: AtomicU64::new(LIFETIME.as_millis() as u64) }
    }
}

impl Sessions {
    /// Opens a session; `tag` must be new.
    pub(crate) fn create(&self, tag: String, bucket: &str, encryption: Encryption) -> SessionCredentials {
        let session = Session {
            access_key: format!("SESSION{}", tag.to_uppercase()),
            secret_key: format!("secret-{tag}"),
            bucket: bucket.to_owned(),
            encryption,
            ends: SystemTime::now() + Duration::from_millis(self.lifetime.load(Ordering::Acquire)),
            revoked: false,
        };
        let session_token = format!("token-{tag}");
        let credentials = SessionCredentials {
            access_key_id: session.access_key.clone(),
            secret_access_key: session.secret_key.clone(),
            session_token: session_token.clone(),
            expiration: Timestamp::from(session.ends),
        };
        self.by_token.lock().insert(session_token, session);
        credentials
    }

    pub(crate) fn find(&self, token: &str) -> Option<Session> {
        self.by_token.lock().get(token).cloned()
    }

    pub(crate) fn set_lifetime(&self, lifetime: Duration) {
        self.lifetime.store(lifetime.as_millis() as u64, Ordering::Release);
    }

    pub(crate) fn revoke_all(&self) {
        self.by_token.lock().values_mut().for_each(|session| session.revoked = true);
    }
}
