//! Runs foreign code so that a panic becomes a text.
//!
//! It never lets an unwinding pass, and leaves the panic hook alone. Whoever calls it must not go on using what the panic left behind as if
//! nothing had happened: the runner restarts the actor or drops it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Longest text kept of a panic, in bytes: enough for an assertion with its two values, too little to carry a payload into a log.
const LONGEST_TEXT: usize = 512;

/// The result of `f`, or the text of its panic.
pub(super) fn guarded<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| {
        let text = text_of(payload.as_ref());
        // A payload may be any value, with a destructor that panics in its turn. Such a second payload is leaked: its destructor could do the same.
        if let Err(second) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
            std::mem::forget(second);
        }
        text
    })
}

fn text_of(payload: &(dyn Any + Send)) -> String {
    let text = if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.as_str()
    } else {
        return "a panic without a text".to_owned();
    };
    text[..text.floor_char_boundary(LONGEST_TEXT)].to_owned()
}
