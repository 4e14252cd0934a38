//! Statistics of runs: medians and spreads, and ratios within rounds.

use std::collections::BTreeMap;

/// What one client's rounds gave: a value for each round.
pub(crate) type Rounds = BTreeMap<u32, f64>;

/// The middle of values, or the mean of the two in the middle; none of none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    values.get(middle.wrapping_sub(1)).map(|lower| (lower + upper) / 2.0)
}

/// Least and largest value; none of none.
pub(crate) fn spread(rounds: &Rounds) -> Option<(f64, f64)> {
    let least = rounds.values().copied().min_by(f64::total_cmp)?;
    let most = rounds.values().copied().max_by(f64::total_cmp)?;
    Some((least, most))
}

/// The median of the ratios of two clients within the same round. Steadier than the ratio of their medians: what slowed the machine down in a
/// round slowed both.
pub(crate) fn ratio(rounds: &Rounds, base: &Rounds) -> Option<f64> {
    median(rounds.iter().filter_map(|(round, value)| {
        let base = *base.get(round)?;
        (base > 0.0).then_some(value / base)
    }))
}

/// A number as precise as it is worth reading.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn rounds(values: &[f64]) -> Rounds {
        (1..).zip(values.iter().copied()).collect()
    }

    #[test]
    fn medians_and_spreads() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0]), Some(3.0));
        assert_eq!(median([9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(spread(&rounds(&[2.0, 1.0, 3.0])), Some((1.0, 3.0)));
        assert_eq!(spread(&Rounds::new()), None);
    }

    #[test]
    fn a_slow_round_does_not_move_the_ratio() {
        let (ours, base) = (rounds(&[2.0, 20.0, 2.2]), rounds(&[1.0, 10.0, 1.0]));
        assert_eq!(ratio(&ours, &base), Some(2.0));
        // Rounds that one of them lacks do not count.
        assert_eq!(ratio(&rounds(&[2.0, 9.0]), &rounds(&[1.0])), Some(2.0));
        assert_eq!(ratio(&ours, &Rounds::new()), None);
    }

    #[test]
    fn numbers_are_as_long_as_they_are_worth() {
        assert_eq!([0.123, 1.0, 12.34, 123.4].map(short), ["0.12", "1.00", "12.3", "123"]);
    }
}
