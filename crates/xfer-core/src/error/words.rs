//! The words of each kind of error: what it is called, and what may help.
//!
//! Never says anything of a single error: that is its message's to do.

use super::ErrorKind;

impl ErrorKind {
    /// A few words for the start of a message.
    #[must_use]
    pub fn summary(self) -> &'static str {
        use ErrorKind as K;
        match self {
            K::InvalidArgument => "invalid argument",
            K::InvalidConfig => "invalid configuration",
            K::SourceUnavailable => "cannot open the source",
            K::SourceRead => "cannot read the source",
            K::SourceChanged => "the source changed while it was uploaded",
            K::TargetUnavailable => "cannot create the target",
            K::TargetWrite => "cannot write the target",
            K::DiskFull => "no space left for the target",
            K::Credentials => "no usable credentials",
            K::Dns => "cannot resolve the host name",
            K::Connect => "cannot connect",
            K::TooManyOpenFiles => "too many files and connections are open",
            K::Tls => "TLS failed",
            K::RequestTimeout => "the request timed out",
            K::ConnectionLost => "the connection broke",
            K::Protocol => "the answer is not valid",
            K::NoSuchKey => "no such object",
            K::NoSuchBucket => "no such bucket",
            K::NoSuchUpload => "no such multipart upload",
            K::AccessDenied => "access denied",
            K::ExpiredCredentials => "the credentials have expired",
            K::WrongRegion => "the bucket is in another region",
            K::PreconditionFailed => "a condition of the call does not hold",
            K::ObjectModified => "the object changed while it was downloaded",
            K::InvalidRange => "the range is not in the object",
            K::Throttled => "the store asks to slow down",
            K::ServiceUnavailable => "the store failed",
            K::ClockSkew => "the clock of this machine is wrong",
            K::ChecksumUnsupported => "the store does not take this kind of checksum",
            K::Rejected => "the store refused the request",
            K::ChecksumMismatch => "the checksum does not match",
            K::TooLarge => "too large",
            K::Cancelled => "the transfer was cancelled",
            K::ShutDown => "the transfer manager is shut down",
            K::WaitTimeout => "not done within the time given",
            K::WouldDeadlock => "waiting here would block the work that is waited for",
            K::Internal => "internal error",
        }
    }

    /// What may help, for the end of a message; `None` where the message says it already, or where nothing is to be done.
    #[must_use]
    pub fn advice(self) -> Option<&'static str> {
        use ErrorKind as K;
        Some(match self {
            K::SourceUnavailable => "check that it exists and may be read",
            K::SourceRead => "check the source, and upload it again from its beginning",
            K::SourceChanged => "upload it again while nothing changes it",
            K::TargetUnavailable => "check that its directory exists and may be written to",
            K::TargetWrite => "check the target and its file system",
            K::DiskFull => "make room and download again",
            K::Credentials => {
                "name credentials by the environment, by a profile or in the client, or make the client anonymous"
            }
            K::Dns => "check the endpoint URL, the region and the network",
            K::Connect => "check the endpoint URL, the proxy and the network",
            K::TooManyOpenFiles => "raise the limit of open files (ulimit -n), or use fewer connections",
            K::Tls => "check the endpoint URL, and which certificates are trusted",
            K::RequestTimeout | K::ConnectionLost => "check the network and try again",
            K::Protocol => "check that the endpoint URL is that of an S3 store",
            K::NoSuchKey => "check the bucket and the key",
            K::NoSuchBucket => "check the bucket's name and the endpoint URL",
            K::NoSuchUpload => "something else completed or aborted it: upload again",
            K::AccessDenied => "check the credentials and what they permit",
            K::ExpiredCredentials => "use credentials that are valid, or a provider that renews them",
            K::WrongRegion => "make the client for the bucket's region",
            K::PreconditionFailed => "look at the object as it is now before trying again",
            K::ObjectModified => "download it again",
            K::InvalidRange => "ask for a range within the object's size",
            K::Throttled => "try again later, or with fewer connections",
            K::ServiceUnavailable => "try again later",
            K::ClockSkew => "set the clock",
            K::ChecksumUnsupported => "choose another checksum algorithm",
            K::ChecksumMismatch => {
                "try again; if that does not help, suspect the checksum that was given, memory, disk or network"
            }
            K::ShutDown => "start it again with another manager",
            K::Internal => "this is a defect: please report it",
            K::InvalidArgument
            | K::InvalidConfig
            | K::Rejected
            | K::TooLarge
            | K::Cancelled
            | K::WaitTimeout
            | K::WouldDeadlock => return None,
        })
    }
}
