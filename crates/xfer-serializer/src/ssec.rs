//! Customer keys (SSE-C): the three headers from what the caller gave.
//!
//! The key may be given raw (32 characters) or as base64 of 32 bytes; which of the two it is cannot be mistaken, their lengths
//! differ. A missing MD5 is computed, a missing algorithm is `AES256`, the only one there is. Never shows a key in an error.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use xfer_core::args::{ArgValue, ExtraArgs};
use xfer_core::error::{Error, ErrorKind};

const ALGORITHM: &str = "SSECustomerAlgorithm";
const KEY: &str = "SSECustomerKey";
const KEY_MD5: &str = "SSECustomerKeyMD5";
const KEY_LENGTH: usize = 32;

/// The arguments with all that a customer key needs; unchanged when there is none.
pub(crate) fn complete(args: &ExtraArgs) -> Result<Cow<'_, ExtraArgs>, Error> {
    let Some(given) = args.text(KEY) else { return Ok(Cow::Borrowed(args)) };
    let key = match STANDARD.decode(given) {
        Ok(key) if key.len() == KEY_LENGTH => key,
        _ if given.len() == KEY_LENGTH => given.as_bytes().to_vec(),
        _ => return Err(Error::new(ErrorKind::InvalidArgument, format!("{KEY} must be 32 bytes, or base64 of them"))),
    };
    let mut args = args.clone();
    args.set(KEY, ArgValue::Text(STANDARD.encode(&key)));
    if args.get(KEY_MD5).is_none() {
        args.set(KEY_MD5, ArgValue::Text(STANDARD.encode(Md5::digest(&key))));
    }
    if args.get(ALGORITHM).is_none() {
        args.set(ALGORITHM, ArgValue::Text("AES256".to_owned()));
    }
    Ok(Cow::Owned(args))
}
