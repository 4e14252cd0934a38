//! What was learnt of the stores that this system talks to, so that it is learnt once.

use std::sync::Arc;

use dashmap::DashMap;

use crate::transport::Origin;

/// How a store takes checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ChecksumStyle {
    /// Behind the body: one pass over the bytes.
    #[default]
    Trailer,
    /// Before the body: a pass of its own.
    Header,
    /// Not at all: not of any kind that was tried.
    Without,
}

impl ChecksumStyle {
    /// What is tried when this one was refused.
    pub(crate) fn next(self) -> ChecksumStyle {
        match self {
            ChecksumStyle::Trailer => ChecksumStyle::Header,
            ChecksumStyle::Header | ChecksumStyle::Without => ChecksumStyle::Without,
        }
    }
}

/// Notes by origin. A store that was not heard of takes everything that S3 takes.
#[derive(Debug, Default)]
pub(crate) struct Stores {
    styles: DashMap<Origin, ChecksumStyle>,
    without_parts: DashMap<Origin, ()>,
    parts_with_checksums: DashMap<Origin, ()>,
    session_turns: DashMap<Arc<str>, Arc<tokio::sync::Mutex<()>>>,
}

impl Stores {
    /// The turn to fetch a session for a bucket: one request fetches it, and the others of the moment wait for that.
    pub(crate) fn session_turn(&self, bucket: &Arc<str>) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(&self.session_turns.entry(Arc::clone(bucket)).or_default())
    }

    /// Whether this store can be asked for a part of an object by its number.
    pub(crate) fn knows_parts(&self, origin: &Origin) -> bool {
        !self.without_parts.contains_key(origin)
    }

    /// The store refused a request for a part by its number, or answered it without the checksum that it has: it is not asked like
    /// that again.
    pub(crate) fn no_parts(&self, origin: &Origin) {
        tracing::info!(store = %origin, "the store is not asked for parts by their numbers any more");
        self.without_parts.insert(origin.clone(), ());
    }

    /// Whether this store has told a checksum with a part: one that comes without has none.
    pub(crate) fn parts_tell_checksums(&self, origin: &Origin) -> bool {
        self.parts_with_checksums.contains_key(origin)
    }

    /// The store has told a checksum with a part.
    pub(crate) fn told_checksum_of_part(&self, origin: &Origin) {
        self.parts_with_checksums.insert(origin.clone(), ());
    }

    /// How this store takes checksums.
    pub(crate) fn checksum_style(&self, origin: &Origin) -> ChecksumStyle {
        self.styles.get(origin).map(|style| *style).unwrap_or_default()
    }

    /// The store took in this style what it had refused in another: this one is used from now on. A refusal alone says little, as it may
    /// have had another reason.
    pub(crate) fn took(&self, origin: &Origin, style: ChecksumStyle) {
        if self.checksum_style(origin) >= style {
            return;
        }
        let mut known = self.styles.entry(origin.clone()).or_default();
        if *known < style {
            tracing::warn!(store = %origin, ?style, "the store refused a checksum, which is sent differently from now on");
            *known = style;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_style_is_remembered_for_its_store_and_never_unlearnt() {
        let stores = Stores::default();
        let (a, b): (Origin, Origin) = ("http://a:1".parse().unwrap(), "http://a:2".parse().unwrap());
        stores.took(&a, ChecksumStyle::Header);
        assert_eq!(stores.checksum_style(&a), ChecksumStyle::Header);
        assert_eq!(stores.checksum_style(&b), ChecksumStyle::Trailer);
        stores.took(&a, ChecksumStyle::Without);
        // The answer to a request that was sent before.
        stores.took(&a, ChecksumStyle::Trailer);
        assert_eq!(stores.checksum_style(&a), ChecksumStyle::Without);
    }
}
