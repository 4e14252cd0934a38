//! Extra arguments of a call: which there may be, what they must look like, and what they ask of checksums and ranges.
//!
//! Decides: whether a call is acceptable as it stands, before anything is sent. Never changes an argument ([`validate`] borrows what it
//! judges, so the same [`ExtraArgs`] can be given to many calls), and never shows a customer key or an MFA code.
//!
//! Invariants: a name is in [`ExtraArgs`] once; names keep the order in which they were given first, so that the first offending one is
//! the one reported.

mod allowed;
mod bucket;
mod checksums;
mod range;
mod serde_impl;
mod setters;
mod validate;

pub use allowed::{ALLOWED_DELETE, ALLOWED_DOWNLOAD, ALLOWED_UPLOAD};
pub use checksums::{ChecksumChoice, requested_checksum, validates_download};
pub use range::{RequestedRange, requested_range};
pub use validate::validate;

/// Which call the arguments are for.
///
/// ```
/// use xfer_core::args::CallKind;
/// assert!(CallKind::Upload.allowed().contains(&"StorageClass"));
/// assert!(!CallKind::Download.allowed().contains(&"StorageClass"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// `upload`.
    Upload,
    /// `download`.
    Download,
    /// `delete`.
    Delete,
}

impl CallKind {
    /// The names that may be given, in the order in which messages list them.
    #[must_use]
    pub fn allowed(self) -> &'static [&'static str] {
        match self {
            CallKind::Upload => ALLOWED_UPLOAD,
            CallKind::Download => ALLOWED_DOWNLOAD,
            CallKind::Delete => ALLOWED_DELETE,
        }
    }
}

/// Value of one argument.
///
/// ```
/// use xfer_core::args::{ArgValue, ExtraArgs};
/// let args = ExtraArgs::new().bucket_key_enabled(true).with("MpuObjectSize", 5_i64);
/// assert_eq!(args.get("BucketKeyEnabled"), Some(&ArgValue::Flag(true)));
/// assert_eq!(args.get("MpuObjectSize"), Some(&ArgValue::Number(5)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ArgValue {
    /// A text, as most are.
    Text(String),
    /// Yes or no: `BucketKeyEnabled`.
    Flag(bool),
    /// A whole number: `MpuObjectSize` in bytes; a time in seconds since 1970.
    Number(i64),
    /// Names and their values, in order: `Metadata`; `Tagging` and `SSEKMSEncryptionContext`, if not given as the text to be sent.
    Map(Vec<(String, String)>),
}

impl From<&str> for ArgValue {
    fn from(text: &str) -> ArgValue {
        ArgValue::Text(text.to_owned())
    }
}

impl From<String> for ArgValue {
    fn from(text: String) -> ArgValue {
        ArgValue::Text(text)
    }
}

impl From<bool> for ArgValue {
    fn from(flag: bool) -> ArgValue {
        ArgValue::Flag(flag)
    }
}

impl From<i64> for ArgValue {
    fn from(number: i64) -> ArgValue {
        ArgValue::Number(number)
    }
}

impl From<Vec<(String, String)>> for ArgValue {
    fn from(pairs: Vec<(String, String)>) -> ArgValue {
        ArgValue::Map(pairs)
    }
}

/// Arguments whose values `Debug` does not show: the customer's key (SSE-C), and the code of a device that is good for one use.
const SECRET: [&str; 2] = ["SSECustomerKey", "MFA"];

/// Extra arguments of a call, by the S3 API's names, in the order given.
///
/// Serde reads and writes them as a JSON object. What is written holds every value as it is, **a customer's key (SSE-C) in the clear
/// as well**: it is the request, not a description of it. `Debug` hides such values.
///
/// ```
/// use xfer_core::args::{CallKind, ExtraArgs, validate};
/// use xfer_core::checksum::Algorithm;
///
/// let args = ExtraArgs::new()
///     .content_type("text/plain")
///     .metadata([("origin", "camera-1")])
///     .checksum_algorithm(Algorithm::Sha256);
/// validate(CallKind::Upload, "photos", "2024/1.txt", &args)?;
///
/// let refused = ExtraArgs::new().content_type("text/plain");
/// let error = validate(CallKind::Delete, "photos", "2024/1.txt", &refused).unwrap_err();
/// assert!(error.message().starts_with("Invalid extra_args key 'ContentType', must be one of: MFA, "));
///
/// let same: ExtraArgs = serde_json::from_str(r#"{"ContentType": "text/plain"}"#)?;
/// assert_eq!(same, refused);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct ExtraArgs(Vec<(String, ArgValue)>);

impl ExtraArgs {
    /// No arguments.
    #[must_use]
    pub fn new() -> ExtraArgs {
        ExtraArgs::default()
    }

    /// Sets an argument; one of this name keeps its place and gets the new value. Any name is taken: [`validate`] says which may be.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<ArgValue>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(given, _)| *given == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    /// The same arguments and one more: [`set`](ExtraArgs::set) for a chain.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<ArgValue>) -> ExtraArgs {
        self.set(name, value);
        self
    }

    /// The value of an argument.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ArgValue> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value)
    }

    /// The value of an argument, if it is a text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            ArgValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Names and values, in the order given.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &ArgValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Takes an argument out.
    pub fn remove(&mut self, name: &str) -> Option<ArgValue> {
        let index = self.0.iter().position(|(given, _)| given == name)?;
        Some(self.0.remove(index).1)
    }

    /// A copy that lacks the arguments of these names.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> ExtraArgs {
        ExtraArgs(self.0.iter().filter(|(name, _)| !names.contains(&name.as_str())).cloned().collect())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl std::fmt::Debug for ExtraArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut map = f.debug_map();
        for (name, value) in self.iter() {
            if SECRET.contains(&name) {
                map.entry(&name, &format_args!("<hidden>"));
            } else {
                map.entry(&name, value);
            }
        }
        map.finish()
    }
}

#[cfg(test)]
mod tests;
