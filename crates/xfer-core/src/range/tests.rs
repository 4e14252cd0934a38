use proptest::prelude::*;

use super::*;

#[test]
fn a_range_is_half_open() {
    let range = ByteRange::new(0, 1);
    assert_eq!((range.len(), range.is_empty(), range.header().as_str()), (1, false, "bytes=0-0"));
    assert_eq!(range.to_string(), "0..1");
    assert_eq!(ByteRange::new(5, 3), ByteRange { start: 5, end: 5 });
    assert!(ByteRange::new(5, 3).is_empty());
    assert_eq!(ByteRange::new(0, u64::MAX).len(), u64::MAX);
}

proptest! {
    #[test]
    fn what_is_done_and_what_is_left_make_the_range(start: u64, length: u64, done: u64) {
        let range = ByteRange::new(start, start.saturating_add(length));
        let left = range.after(done);
        prop_assert_eq!(left.end, range.end);
        prop_assert_eq!(left.len(), range.len().saturating_sub(done));
        prop_assert_eq!(left.is_empty(), done >= range.len());
        prop_assert_eq!(range.after(0), range);
    }

    #[test]
    fn steps_add_up(start in 0..1_u64 << 40, length in 0..1_u64 << 40, a in 0..1_u64 << 40, b in 0..1_u64 << 40) {
        let range = ByteRange::new(start, start + length);
        prop_assert_eq!(range.after(a).after(b), range.after(a + b));
    }
}
