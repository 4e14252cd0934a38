//! S3 Express sessions: the short-lived credentials that CreateSession hands out.
//!
//! A request under a session is accepted when its token was handed out and has not been revoked. Its signature is not checked:
//! `s3s` knows the signing name `s3` only.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use s3s::dto::{SessionCredentials, Timestamp};

/// How long S3's sessions last.
const LIFETIME: Duration = Duration::from_secs(300);

/// The sessions in force.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    /// Access key by token.
    live: Mutex<BTreeMap<String, String>>,
}

impl Sessions {
    /// Opens a session; `tag` must be new.
    pub(crate) fn create(&self, tag: String) -> SessionCredentials {
        let access_key_id = format!("SESSION{}", tag.to_uppercase());
        let session_token = format!("token-{tag}");
        self.live.lock().insert(session_token.clone(), access_key_id.clone());
        SessionCredentials {
            access_key_id,
            secret_access_key: format!("secret-{tag}"),
            session_token,
            expiration: Timestamp::from(SystemTime::now() + LIFETIME),
        }
    }

    pub(crate) fn holds(&self, token: &str, access_key: &str) -> bool {
        self.live.lock().get(token).is_some_and(|owner| owner == access_key)
    }

    pub(crate) fn revoke_all(&self) {
        self.live.lock().clear();
    }
}
