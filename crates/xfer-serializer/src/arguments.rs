//! Argument values in the form that the SDK's setters take.
//!
//! Never decides whether an argument may be given: `xfer_core::args` has done that.

use std::collections::HashMap;

use aws_sdk_s3::types::ChecksumAlgorithm;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use xfer_core::args::ArgValue;
use xfer_core::error::{Error, ErrorKind};

use crate::encode;
use crate::template::one_line;

// The value is not shown: it may be a key.
fn unfit(name: &str, wanted: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("{name} must be {wanted}"))
}

pub(crate) fn text(name: &str, value: &ArgValue) -> Result<String, Error> {
    match value {
        // The SDK refuses what ends a header's line as well, and shows it.
        ArgValue::Text(text) => match one_line(text) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(unfit(name, "a text without control characters")),
        },
        ArgValue::Number(number) => Ok(number.to_string()),
        _ => Err(unfit(name, "a text")),
    }
}

pub(crate) fn flag(name: &str, value: &ArgValue) -> Result<bool, Error> {
    match value {
        ArgValue::Flag(flag) => Ok(*flag),
        ArgValue::Text(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        ArgValue::Text(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(unfit(name, "true or false")),
    }
}

pub(crate) fn number(name: &str, value: &ArgValue) -> Result<i64, Error> {
    match value {
        ArgValue::Number(number) => Ok(*number),
        ArgValue::Text(text) => text.parse().map_err(|_| unfit(name, "a whole number")),
        _ => Err(unfit(name, "a whole number")),
    }
}

/// Seconds since 1970, an ISO 8601 time or an HTTP date.
pub(crate) fn time(name: &str, value: &ArgValue) -> Result<DateTime, Error> {
    match value {
        ArgValue::Number(seconds) => Ok(DateTime::from_secs(*seconds)),
        ArgValue::Text(text) => DateTime::from_str(text, Format::DateTimeWithOffset)
            .or_else(|_| DateTime::from_str(text, Format::HttpDate))
            .map_err(|_| unfit(name, "an ISO 8601 time or an HTTP date")),
        _ => Err(unfit(name, "a time")),
    }
}

pub(crate) fn map(name: &str, value: &ArgValue) -> Result<Option<HashMap<String, String>>, Error> {
    match value {
        ArgValue::Map(pairs) if pairs.iter().any(|(_, value)| one_line(value).is_err()) => {
            Err(unfit(name, "a map of texts without control characters"))
        }
        ArgValue::Map(pairs) => Ok(Some(pairs.iter().cloned().collect())),
        _ => Err(unfit(name, "a map of texts")),
    }
}

/// The API has the names in capitals; callers may write them as they like.
pub(crate) fn algorithm(name: &str, value: &ArgValue) -> Result<ChecksumAlgorithm, Error> {
    Ok(ChecksumAlgorithm::from(text(name, value)?.to_ascii_uppercase().as_str()))
}

/// `a=b&c=d`, each word percent-encoded: as it is when given as a text, made from a map.
pub(crate) fn tags(name: &str, value: &ArgValue) -> Result<String, Error> {
    match value {
        ArgValue::Map(pairs) => {
            let tags: Vec<_> =
                pairs.iter().map(|(tag, value)| format!("{}={}", encode::query(tag), encode::query(value))).collect();
            Ok(tags.join("&"))
        }
        _ => text(name, value),
    }
}

/// Base64 of a JSON object: as it is when given as a text, made from a map.
pub(crate) fn kms_context(name: &str, value: &ArgValue) -> Result<String, Error> {
    match value {
        ArgValue::Map(pairs) => {
            let object = pairs.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
            Ok(STANDARD.encode(serde_json::Value::Object(object).to_string()))
        }
        _ => text(name, value),
    }
}
