//! The answer to CreateSession.

use std::fmt;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use xfer_core::error::Error;

use super::{Answer, xml};
use crate::Identity;

/// Credentials for one S3 Express bucket, for five minutes or so.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use xfer_serializer::Operation;
/// use xfer_serializer::decode::{Answer, create_session};
/// let body = b"<CreateSessionResult><Credentials><SessionToken>t</SessionToken><SecretAccessKey>s</SecretAccessKey>\
///     <AccessKeyId>a</AccessKeyId><Expiration>1970-01-01T00:05:00Z</Expiration></Credentials></CreateSessionResult>";
/// let headers: [(&str, &str); 0] = [];
/// let session = create_session(&Answer::new(Operation::CreateSession, 200, &headers).with_body(body))?;
/// assert_eq!(session.expires(), SystemTime::UNIX_EPOCH + Duration::from_secs(300));
/// # Ok::<(), xfer_core::error::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SessionCredentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expires: SystemTime,
}

impl SessionCredentials {
    /// When they end.
    #[must_use]
    pub fn expires(&self) -> SystemTime {
        self.expires
    }

    pub(crate) fn into_identity(self) -> Identity {
        Identity::of_session(Credentials::new(
            self.access_key_id,
            self.secret_access_key,
            Some(self.session_token),
            Some(self.expires),
            "CreateSession",
        ))
    }
}

impl fmt::Debug for SessionCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionCredentials").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// CreateSession.
///
/// # Errors
/// What the store answered instead; [`Protocol`](xfer_core::error::ErrorKind::Protocol) when the credentials cannot be read.
///
/// ```
/// use xfer_core::error::ErrorKind;
/// use xfer_serializer::Operation;
/// use xfer_serializer::decode::{Answer, create_session};
/// let headers: [(&str, &str); 0] = [];
/// let answer = Answer::new(Operation::CreateSession, 200, &headers).with_body(b"<CreateSessionResult/>");
/// assert_eq!(create_session(&answer).unwrap_err().kind(), ErrorKind::Protocol);
/// ```
pub fn create_session(answer: &Answer<'_>) -> Result<SessionCredentials, Error> {
    answer.check()?;
    let body = xml::read_whole(answer.body, "CreateSessionResult");
    let credentials = body.as_ref().and_then(|body| body.all("Credentials").next());
    let field = |name| {
        let text = credentials.and_then(|credentials| credentials.text(name));
        text.map(str::to_owned).ok_or_else(|| answer.invalid("there are no credentials in it"))
    };
    let expires = DateTime::from_str(&field("Expiration")?, Format::DateTime)
        .ok()
        .and_then(|time| time.try_into().ok())
        .ok_or_else(|| answer.invalid("the credentials' end is no time"))?;
    Ok(SessionCredentials {
        access_key_id: field("AccessKeyId")?,
        secret_access_key: field("SecretAccessKey")?,
        session_token: field("SessionToken")?,
        expires,
    })
}
