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

/// The ratios of two clients within the same round. Their median is steadier than the ratio of their medians: what slowed the machine down in
/// a round slowed both.
pub(crate) fn ratios(rounds: &Rounds, base: &Rounds) -> Rounds {
    let ratio = |(round, value): (&u32, &f64)| {
        let base = *base.get(round)?;
        (base > 0.0).then_some((*round, value / base))
    };
    rounds.iter().filter_map(ratio).collect()
}

/// A number as precise as it is worth reading.
pub(crate) fn short(value: f64) -> String {
    format!("{value:.*}", digits(value))
}

/// Digits behind the point that are worth reading.
fn digits(value: f64) -> usize {
    match value.abs() {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        value if value >= 0.1 || value == 0.0 => 2,
        _ => 3,
    }
}

/// A number so precise that it looks like none of `bounds` unless it is one.
pub(crate) fn distinct(value: f64, bounds: impl IntoIterator<Item = f64> + Clone) -> String {
    let looks_like = |digits: usize, bound: f64| format!("{value:.digits$}") == format!("{bound:.digits$}");
    let least = digits(value);
    let told_apart =
        |digits: &usize| bounds.clone().into_iter().all(|bound| bound == value || !looks_like(*digits, bound));
    let digits = (least..least + MOST_DIGITS).find(told_apart).unwrap_or(least + MOST_DIGITS);
    format!("{value:.digits$}")
}

/// Digits beyond what is worth reading that are shown to tell numbers apart.
const MOST_DIGITS: usize = 4;

/// Least and most, as precise as they are worth reading.
pub(crate) fn range((least, most): (f64, f64)) -> String {
    format!("{}–{}", short(least), short(most))
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
        let ratio = |rounds: &Rounds, base: &Rounds| median(ratios(rounds, base).into_values());
        assert_eq!(ratio(&ours, &base), Some(2.0));
        // Rounds that one of them lacks do not count.
        assert_eq!(ratio(&rounds(&[2.0, 9.0]), &rounds(&[1.0])), Some(2.0));
        assert_eq!(ratio(&ours, &Rounds::new()), None);
    }

    #[test]
    fn numbers_are_as_long_as_they_are_worth() {
        assert_eq!([0.0042, 0.123, 1.0, 12.34, 123.4].map(short), ["0.004", "0.12", "1.00", "12.3", "123"]);
        assert_eq!(range((0.5, 120.0)), "0.50–120");
    }

    #[test]
    fn what_is_not_a_bound_does_not_look_like_one() {
        assert_eq!(distinct(1.304, [1.3, 1.1]), "1.304");
        assert_eq!(distinct(1.3004, [1.3, 1.1]), "1.3004");
        assert_eq!(distinct(1.3, [1.3]), "1.30", "it is the bound");
        assert_eq!(distinct(1.41, [1.3]), "1.41");
        assert_eq!(distinct(120.3, [120.0]), "120.3");
    }
}
