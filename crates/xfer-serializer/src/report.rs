//! The texts of an error and of those beneath it.

use std::error::Error;

/// `outer: middle: inner`. By `Display` only: the `Debug` forms of foreign errors may hold more than is good to show.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut beneath = error.source();
    while let Some(error) = beneath {
        let words = error.to_string();
        // Transparent wrappers say the same twice.
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        beneath = error.source();
    }
    text
}
