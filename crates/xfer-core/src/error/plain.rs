//! Text from outside (keys, paths, what a store says) on its way into a message.
//!
//! Invariant: what comes out is one line, and looks in a terminal like what it is: characters that move the cursor, end the line or
//! turn the direction of writing are escaped as in Rust's literals, so that nobody's key can forge a line of a log.

use std::fmt::{self, Write};

/// Escapes what is written to it.
pub(super) struct Plain<W>(pub(super) W);

impl<W: Write> Write for Plain<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(is_disguise) {
            let (plain, from) = rest.split_at(at);
            self.0.write_str(plain)?;
            let mut characters = from.chars();
            if let Some(character) = characters.next() {
                write!(self.0, "{}", character.escape_default())?;
            }
            rest = characters.as_str();
        }
        self.0.write_str(rest)
    }
}

/// Control characters, the two separators that end lines as well, and the marks and overrides of writing direction (Unicode Standard
/// Annex 9, section 2).
fn is_disguise(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{2028}' | '\u{2029}' | '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}
