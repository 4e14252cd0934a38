#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::*;

fn layout(length: u64, part_size: u64, threshold: u64) -> PartLayout {
    match UploadPlan::known(length, part_size, threshold).unwrap() {
        UploadPlan::Multipart(layout) => layout,
        UploadPlan::Single { .. } => panic!("{length} is above the threshold {threshold}"),
    }
}

fn number(n: u32) -> PartNumber {
    PartNumber::new(n).unwrap()
}

#[test]
fn the_threshold_itself_is_one_request() {
    for length in [0, 1, DEFAULT_MULTIPART_THRESHOLD] {
        let plan = UploadPlan::known(length, DEFAULT_PART_SIZE, DEFAULT_MULTIPART_THRESHOLD).unwrap();
        assert_eq!(plan, UploadPlan::Single { length });
    }
    let layout = layout(DEFAULT_MULTIPART_THRESHOLD + 1, DEFAULT_PART_SIZE, DEFAULT_MULTIPART_THRESHOLD);
    assert_eq!(layout.count(), 2);
    assert_eq!(layout.range(number(2)).unwrap().len(), 1);
}

#[test]
fn one_put_never_exceeds_what_s3_takes() {
    assert_eq!(UploadPlan::known(5 * GIB, MIB, u64::MAX).unwrap(), UploadPlan::Single { length: 5 * GIB });
    assert_eq!(layout(5 * GIB + 1, MIB, u64::MAX).part_size(), MIN_PART_SIZE);
}

#[test]
fn an_exact_multiple_adds_no_empty_part() {
    let layout = layout(24 * MIB, 8 * MIB, MIB);
    assert_eq!(layout.count(), 3);
    assert_eq!(layout.range(number(3)), Some(ByteRange::new(16 * MIB, 24 * MIB)));
    assert_eq!(layout.range(number(4)), None);
}

#[test]
fn an_object_smaller_than_a_part_but_above_the_threshold_is_one_part() {
    assert_eq!(layout(2 * MIB, 8 * MIB, MIB).count(), 1);
}

#[test]
fn the_part_size_grows_to_stay_within_ten_thousand_parts() {
    let exact = 10_000 * 8 * MIB;
    assert_eq!(layout(exact, 8 * MIB, 0).part_size(), 8 * MIB);
    let grown = layout(exact + 1, 8 * MIB, 0);
    assert_eq!(grown.part_size(), 9 * MIB);
    assert!(grown.count() <= MAX_PARTS);
    let largest = layout(MAX_OBJECT_SIZE, DEFAULT_PART_SIZE, 0);
    assert_eq!((largest.part_size(), largest.count()), (MAX_PART_SIZE, MAX_PARTS));
}

#[test]
fn what_cannot_be_stored_is_refused() {
    assert_eq!(UploadPlan::known(MAX_OBJECT_SIZE + 1, MIB, 0).unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(UploadPlan::known(1, MAX_PART_SIZE + 1, 0).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn growing_parts_reach_what_is_documented() {
    let reach = growing_reach(DEFAULT_PART_SIZE);
    assert!(reach > 25 << 40 && reach < 27 << 40, "{reach}");
    assert!(growing_reach(MAX_PART_SIZE) == MAX_OBJECT_SIZE);
    // Also from the smallest base more than the 5 TiB that every store of the older limit takes.
    assert!(growing_reach(0) > 5 << 40);
}

#[test]
fn growing_parts_stay_small_in_proportion() {
    let mut sent = 0u64;
    let mut before = 0;
    for number in (1..=MAX_PARTS).filter_map(PartNumber::new) {
        let size = growing_part_size(number, DEFAULT_PART_SIZE);
        assert!(size >= before && size <= MAX_PART_SIZE);
        assert!(number.get() <= 1_000 || size <= sent / 498, "part {number} of {size} after {sent}");
        assert!(number.get() > 1_000 || size == DEFAULT_PART_SIZE);
        sent += size;
        before = size;
    }
}

#[test]
fn a_tail_under_half_a_part_comes_with_the_first_request() {
    let count = |size| DownloadPlan::new(7, size, 100).unwrap().count();
    assert_eq!([0, 1, 100, 150, 151, 200, 201].map(count), [1, 1, 1, 1, 2, 2, 3]);
}

#[test]
fn a_download_of_absurd_size_is_refused() {
    assert_eq!(DownloadPlan::new(0, u64::MAX, 1).unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(DownloadPlan::new(2, u64::MAX - 1, 1 << 40).unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(first_part_length(u64::MAX, u64::MAX), u64::MAX);
}

proptest! {
    #[test]
    fn upload_ranges_cover_exactly(
        length in prop_oneof![1..64 * MIB, 1..MAX_OBJECT_SIZE, MAX_OBJECT_SIZE - MIB..=MAX_OBJECT_SIZE],
        part_size in prop_oneof![0..64 * MIB, 0..=MAX_PART_SIZE],
    ) {
        let layout = layout(length, part_size, 0);
        prop_assert!((1..=MAX_PARTS).contains(&layout.count()));
        let mut covered = 0;
        for n in 1..=layout.count() {
            let range = layout.range(number(n)).unwrap();
            prop_assert_eq!(range.start, covered);
            prop_assert!(!range.is_empty() && range.len() <= MAX_PART_SIZE);
            prop_assert!(n == layout.count() || range.len() >= MIN_PART_SIZE.max(part_size));
            covered = range.end;
        }
        prop_assert_eq!(covered, length);
        prop_assert_eq!(PartNumber::new(layout.count() + 1).and_then(|n| layout.range(n)), None);
    }

    #[test]
    fn download_ranges_cover_exactly(start in 0..1u64 << 50, size in 0..100_000u64, part_size in 1..9_000u64) {
        // Small parts are as good as large ones here, but bound the number of ranges.
        let part_size = part_size.max(size / 500);
        let plan = DownloadPlan::new(start, size, part_size).unwrap();
        let mut covered = start;
        for index in 0..plan.count() {
            let range = plan.range(index).unwrap();
            prop_assert_eq!(range.start, covered);
            prop_assert!(index == 0 || !range.is_empty());
            prop_assert!(2 * range.len() <= 3 * part_size);
            covered = range.end;
        }
        prop_assert_eq!(covered, start + size);
        prop_assert_eq!(plan.range(plan.count()), None);
        prop_assert_eq!(plan.range(0).unwrap().len(), first_part_length(size, part_size));
    }
}
