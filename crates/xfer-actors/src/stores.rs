//! What was learnt of the stores that this system talks to, so that it is learnt once.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use xfer_core::clock;
use xfer_core::error::{Error, ServiceAnswer};
use xfer_serializer::SessionScope;

use crate::transport::Origin;
use crate::turn::Turn;

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
    styles: DashMap<Origin, ChecksumStyle, RandomState>,
    without_parts: DashMap<Origin, (), RandomState>,
    parts_with_checksums: DashMap<Origin, (), RandomState>,
    /// By how many seconds a store's clock is ahead, where it was found to be.
    clocks: DashMap<Origin, i64, RandomState>,
    session_turns: DashMap<SessionScope, Arc<Turn<Error>>, RandomState>,
}

impl Stores {
    /// The turn to fetch a session: one request fetches it, and the others of the moment that need the same wait for that.
    pub(crate) fn session_turn(&self, scope: &SessionScope) -> Arc<Turn<Error>> {
        Arc::clone(&self.session_turns.entry(scope.clone()).or_default())
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

    /// By how many seconds this store's clock is ahead of this machine's, as far as that has mattered.
    pub(crate) fn clock_offset(&self, origin: &Origin) -> i64 {
        self.clocks.get(origin).map_or(0, |offset| *offset)
    }

    /// A request that was signed with offset `used` was refused, at `there` by the store's clock: whether its time was the reason, and
    /// another one is signed with from now on.
    pub(crate) fn learn_clock(&self, origin: &Origin, refusal: &ServiceAnswer, used: i64, there: SystemTime) -> bool {
        let complaint = clock::Complaint::of(refusal.status, &refusal.code);
        let Some(offset) = clock::correction(complaint, used, seconds(SystemTime::now()), seconds(there)) else {
            return false;
        };
        // All requests of the moment learn it; one of them says so.
        let before = self.clocks.insert(origin.clone(), offset).unwrap_or_default();
        if before.abs_diff(offset) > 1 {
            tracing::warn!(store = %origin, seconds_ahead = offset, "the store's clock is another: requests are signed with its time");
        }
        true
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

/// A time in seconds since 1970.
fn seconds(time: SystemTime) -> i64 {
    let whole = |distance: Duration| i64::try_from(distance.as_secs()).unwrap_or(i64::MAX);
    time.duration_since(UNIX_EPOCH).map_or_else(|before| -whole(before.duration()), whole)
}

/// The time that a clock shows which is so many seconds ahead of this machine's.
pub(crate) fn time_at(offset: i64) -> SystemTime {
    let now = SystemTime::now();
    let distance = Duration::from_secs(offset.unsigned_abs());
    // A time that cannot be told is no better than a wrong one.
    if offset < 0 { now.checked_sub(distance) } else { now.checked_add(distance) }.unwrap_or(now)
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

    #[test]
    fn a_clock_that_differs_is_learnt_for_its_store() {
        let stores = Stores::default();
        let (a, b): (Origin, Origin) = ("http://a:1".parse().unwrap(), "http://a:2".parse().unwrap());
        let refusal = |code: &str| ServiceAnswer { status: 403, code: code.to_owned(), ..ServiceAnswer::default() };
        let ahead = time_at(7_200);
        assert!(!stores.learn_clock(&a, &refusal("InvalidAccessKeyId"), 0, ahead));
        assert!(stores.learn_clock(&a, &refusal("RequestTimeTooSkewed"), 0, ahead));
        let offset = stores.clock_offset(&a);
        assert!((7_195..=7_200).contains(&offset), "{offset}");
        assert_eq!(stores.clock_offset(&b), 0);
        assert!(!stores.learn_clock(&a, &refusal("SignatureDoesNotMatch"), offset, ahead), "the time was right");
        assert!(stores.learn_clock(&b, &refusal("SignatureDoesNotMatch"), 0, UNIX_EPOCH));
        assert!(time_at(stores.clock_offset(&b)) < UNIX_EPOCH + Duration::from_secs(60));
    }
}
