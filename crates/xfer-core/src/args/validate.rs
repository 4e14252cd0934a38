//! The check of a call before anything is sent.
//!
//! Invariants: `s3transfer`'s checks come first and in its order; no message shows the value of an argument that may be secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

use super::allowed::{Shape, shape};
use super::{ArgValue, CallKind, ExtraArgs, bucket, checksums, range};
use crate::error::{Error, ErrorKind};

/// The longest key in bytes of UTF-8 (S3 user guide, "Naming Amazon S3 objects").
const MAX_KEY: usize = 1024;

/// Length of a customer's key in bytes: AES-256 is the only algorithm there is.
const CUSTOMER_KEY: usize = 32;

/// Judges a call. Neither looks at the network nor changes anything.
///
/// In this order: the names of the arguments, the bucket (an S3 Object Lambda is refused), the checksum algorithm of an upload, all in the
/// words of `s3transfer`; then the bucket's form, the key (1 to 1,024 bytes), the values one by one (kind, no control characters in
/// what becomes a header), and what has to fit together (SSE-C, checksums, the range).
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] with the bucket and key in place; the first offence is the one reported.
///
/// ```
/// use xfer_core::args::{CallKind, ExtraArgs, validate};
/// assert!(validate(CallKind::Download, "photos", "2024/1.jpg", &ExtraArgs::new()).is_ok());
/// let error = validate(CallKind::Download, "photos", "", &ExtraArgs::new()).unwrap_err();
/// assert_eq!(error.message(), "the key is empty");
/// ```
pub fn validate(kind: CallKind, bucket: &str, key: &str, args: &ExtraArgs) -> Result<(), Error> {
    check(kind, bucket, key, args)
        .map_err(|message| Error::new(ErrorKind::InvalidArgument, message).in_object(bucket, key))
}

fn check(kind: CallKind, bucket: &str, key: &str, args: &ExtraArgs) -> Result<(), String> {
    names(kind, args)?;
    bucket::supported(bucket)?;
    if kind == CallKind::Upload {
        checksums::supported_algorithm(args)?;
    }
    bucket::well_formed(bucket)?;
    if key.is_empty() {
        return Err("the key is empty".to_owned());
    }
    if key.len() > MAX_KEY {
        return Err(format!("the key has {} bytes, but S3 takes {MAX_KEY} at the most", key.len()));
    }
    for (name, value) in args.iter() {
        fits(name, value)?;
    }
    customer_key(args)?;
    match kind {
        CallKind::Upload => checksums::choose(args).map(drop),
        CallKind::Download => {
            checksums::known_mode(args)?;
            range::parse(args).map(drop)
        }
        CallKind::Delete => Ok(()),
    }
}

fn names(kind: CallKind, args: &ExtraArgs) -> Result<(), String> {
    let allowed = kind.allowed();
    match args.iter().find(|(name, _)| !allowed.contains(name)) {
        Some((name, _)) => Err(format!("Invalid extra_args key '{name}', must be one of: {}", allowed.join(", "))),
        None => Ok(()),
    }
}

fn fits(name: &str, value: &ArgValue) -> Result<(), String> {
    match (shape(name), value) {
        (Shape::Text, ArgValue::Text(text)) => header_value(name, text),
        (Shape::Guard, ArgValue::Text(text)) if text.is_empty() => Err(format!("{name} is empty")),
        (Shape::Guard, ArgValue::Text(text)) => header_value(name, text),
        (Shape::Text | Shape::Guard, ArgValue::Number(_)) => Ok(()),
        (Shape::Text | Shape::Guard, _) => Err(format!("{name} must be a text")),
        (Shape::Opaque, ArgValue::Text(_)) => Ok(()),
        (Shape::Opaque, _) => Err(format!("{name} must be a text")),
        (Shape::Flag, ArgValue::Flag(_)) => Ok(()),
        (Shape::Flag, ArgValue::Text(text)) if ["true", "false"].iter().any(|word| text.eq_ignore_ascii_case(word)) => {
            Ok(())
        }
        (Shape::Flag, _) => Err(format!("{name} must be true or false")),
        (Shape::Size, ArgValue::Number(0..)) => Ok(()),
        (Shape::Size, ArgValue::Text(text)) if text.parse::<i64>().is_ok_and(|size| size >= 0) => Ok(()),
        (Shape::Size, _) => Err(format!("{name} must be a number of bytes")),
        (Shape::Time, ArgValue::Number(_)) => Ok(()),
        (Shape::Time, ArgValue::Text(text)) if !text.is_empty() => header_value(name, text),
        (Shape::Time, _) => Err(format!("{name} must be a time: seconds since 1970, ISO 8601 or an HTTP date")),
        (Shape::Metadata, ArgValue::Map(pairs)) => metadata(name, pairs),
        (Shape::Metadata, _) => Err(format!("{name} must be a map of texts")),
        (Shape::MapOrText, ArgValue::Map(_)) => Ok(()),
        (Shape::MapOrText, ArgValue::Text(text)) => header_value(name, text),
        (Shape::MapOrText, _) => Err(format!("{name} must be a map of texts, or a text")),
    }
}

/// A line break in a header would start another header; what is not ASCII reaches no two stores alike.
fn header_value(name: &str, value: &str) -> Result<(), String> {
    if value.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        return Ok(());
    }
    Err(format!("{name} must have printable ASCII characters only"))
}

/// Metadata travels as headers `x-amz-meta-NAME`, whose names do not tell capitals from small letters.
fn metadata(argument: &str, pairs: &[(String, String)]) -> Result<(), String> {
    for (index, (name, value)) in pairs.iter().enumerate() {
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(format!("{argument} has the name {name:?}, which cannot be part of a header's name"));
        }
        if pairs[..index].iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            return Err(format!("{argument} has the name {name:?} twice; capitals do not make a difference"));
        }
        header_value(&format!("{argument} {name:?}"), value)?;
    }
    Ok(())
}

/// The characters of a token (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Customer keys (SSE-C). The key alone is enough: algorithm and MD5 follow from it. Without the key the others mean nothing.
fn customer_key(args: &ExtraArgs) -> Result<(), String> {
    const ALGORITHM: &str = "SSECustomerAlgorithm";
    const KEY: &str = "SSECustomerKey";
    const KEY_MD5: &str = "SSECustomerKeyMD5";
    let Some(given) = args.text(KEY) else {
        let stray = [ALGORITHM, KEY_MD5].into_iter().find(|name| args.get(name).is_some());
        return stray.map_or(Ok(()), |name| Err(format!("{name} is given without {KEY}")));
    };
    let key = match STANDARD.decode(given) {
        Ok(key) if key.len() == CUSTOMER_KEY => key,
        _ if given.len() == CUSTOMER_KEY => given.as_bytes().to_vec(),
        _ => return Err(format!("{KEY} must be {CUSTOMER_KEY} bytes, or base64 of them")),
    };
    if args.get(ALGORITHM).is_some() && args.text(ALGORITHM) != Some("AES256") {
        return Err(format!("{ALGORITHM} must be AES256"));
    }
    let expected = STANDARD.encode(Md5::digest(&key));
    if args.get(KEY_MD5).is_some() && args.text(KEY_MD5) != Some(&expected) {
        return Err(format!("{KEY_MD5} is not the MD5 of {KEY}"));
    }
    Ok(())
}
