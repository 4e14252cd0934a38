//! Session credentials of S3 Express buckets, by bucket.
//!
//! Never asks for them: a request for [`Operation::CreateSession`](crate::Operation::CreateSession) is stamped like any other, and its
//! answer ([`decode::create_session`](crate::decode::create_session)) is put here. Bounded: a session that has ended is dropped when
//! another one comes.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use crate::Identity;

/// A session is not used in its last seconds; a request must still be valid when it arrives.
const MARGIN: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<String, Identity>>);

impl Sessions {
    pub(crate) fn get(&self, bucket: &str, now: SystemTime) -> Option<Identity> {
        self.0.lock().get(bucket).filter(|session| holds(session, now)).cloned()
    }

    pub(crate) fn put(&self, bucket: &str, session: Identity, now: SystemTime) {
        let mut sessions = self.0.lock();
        sessions.retain(|_, session| holds(session, now));
        sessions.insert(bucket.to_owned(), session);
    }

    pub(crate) fn remove(&self, bucket: &str) {
        self.0.lock().remove(bucket);
    }
}

fn holds(session: &Identity, now: SystemTime) -> bool {
    session.expires().is_none_or(|end| end > now + MARGIN)
}
