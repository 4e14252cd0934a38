//! Session credentials of S3 Express buckets, by bucket and by what the session says of encryption: requests under it cannot say otherwise.
//!
//! Never asks for them: a request for [`Operation::CreateSession`](crate::Operation::CreateSession) is stamped like any other, and its
//! answer ([`decode::create_session`](crate::decode::create_session)) is put here. Bounded: a session that has ended is dropped when
//! another one comes.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use xfer_core::args::ExtraArgs;

use crate::{Identity, Operation, routing};

/// A session is not used in its last seconds; a request must still be valid when it arrives.
const MARGIN: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<SessionScope, Identity>>);

/// What a session of an S3 Express bucket is for: two calls can share one if and only if they have the same scope.
///
/// ```
/// use xfer_core::args::ExtraArgs;
/// use xfer_serializer::SessionScope;
/// let plain = SessionScope::of("fast--use1-az4--x-s3", &ExtraArgs::new());
/// let another_type = SessionScope::of("fast--use1-az4--x-s3", &ExtraArgs::new().content_type("text/plain"));
/// assert_eq!(plain, another_type, "a session says nothing of it");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionScope {
    bucket: String,
    /// Those of CreateSession.
    args: ExtraArgs,
}

impl SessionScope {
    /// The scope of a call with these arguments. What it says of encryption is said by its session.
    #[must_use]
    pub fn of(bucket: &str, args: &ExtraArgs) -> SessionScope {
        SessionScope { bucket: bucket.to_owned(), args: routing::own(Operation::CreateSession, args) }
    }
}

impl Sessions {
    pub(crate) fn get(&self, scope: &SessionScope, now: SystemTime) -> Option<Identity> {
        self.0.lock().get(scope).filter(|session| holds(session, now)).cloned()
    }

    pub(crate) fn put(&self, scope: &SessionScope, session: Identity, now: SystemTime) {
        let mut sessions = self.0.lock();
        sessions.retain(|_, session| holds(session, now));
        sessions.insert(scope.clone(), session);
    }

    /// Only this one: many requests may be told of its end, and meanwhile there may be another.
    pub(crate) fn remove(&self, session: &Identity) {
        self.0.lock().retain(|_, kept| !kept.is_same_as(session));
    }
}

fn holds(session: &Identity, now: SystemTime) -> bool {
    session.expires().is_none_or(|end| end > now + MARGIN)
}
