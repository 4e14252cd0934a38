#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

#[test]
fn how_names_look() {
    assert_eq!(TransferId(7).to_string(), "t7");
    assert_eq!(JobId(3).to_string(), "j3");
    assert_eq!(Attempt(2).to_string(), "#2");
    assert_eq!(PartNumber::FIRST.to_string(), "1");
    assert_eq!(serde_json::to_string(&TransferId(7)).unwrap(), "7");
}

#[test]
fn attempts_count_up_and_never_over() {
    assert_eq!(Attempt::FIRST.next(), Attempt(2));
    assert_eq!(Attempt(u32::MAX).next(), Attempt(u32::MAX));
}

proptest! {
    #[test]
    fn part_numbers_are_within_the_limits_of_s3(n in prop_oneof![0..20_000_u32, any::<u32>()]) {
        let part = PartNumber::new(n);
        prop_assert_eq!(part.is_some(), (1..=10_000).contains(&n));
        if let Some(part) = part {
            prop_assert_eq!(part.get(), n);
            prop_assert_eq!(part.index() + 1, n as usize);
        }
    }
}
