#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

#[test]
fn sizes() {
    for (text, bytes) in [
        ("0", 0),
        ("8388608", 8_388_608),
        ("8MiB", 8 * MIB),
        ("8mib", 8 * MIB),
        ("8 MiB", 8 * MIB),
        ("  8MiB\n", 8 * MIB),
        ("8MB", 8_000_000),
        ("1KB", 1_000),
        ("1kB", 1_000),
        ("1KiB", 1_024),
        ("7B", 7),
        ("7b", 7),
        ("1.5GiB", 3 * GIB / 2),
        ("1.25GB", 1_250_000_000),
        ("2TiB", 2 * TIB),
        ("2TB", 2_000_000_000_000),
        ("0.9B", 0),
        ("0.001KB", 1),
        ("000008B", 8),
        ("18446744073709551615", u64::MAX),
        ("16777215.99999999TiB", 18_446_744_073_709_540_620),
        ("1.00000000000000000000000000000000000000000000000001KiB", 1_024),
    ] {
        assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
    }
}

#[test]
fn texts_that_are_no_sizes() {
    for (text, why) in [
        ("", Why::Number),
        ("MiB", Why::Number),
        ("-1", Why::Number),
        ("+1", Why::Number),
        (".5GiB", Why::Number),
        ("5.GiB", Why::Number),
        ("5.", Why::Number),
        ("٣MiB", Why::Number),
        ("1M", Why::Unit),
        ("1,5GiB", Why::Unit),
        ("1e9", Why::Unit),
        ("1 000", Why::Unit),
        ("1.5.5", Why::Unit),
        ("8MiB/s", Why::Unit),
        ("8 MiB x", Why::Unit),
        ("1ΜiB", Why::Unit),
        ("18446744073709551616", Why::TooLarge),
        ("99999999999999999999999999", Why::TooLarge),
        ("16777216TiB", Why::TooLarge),
    ] {
        let error = parse_bytes(text).unwrap_err();
        assert_eq!(error.why(), why, "{text}");
        assert!(error.to_string().contains(" is not a size such as 8MiB, 1.5GiB, 100MB or 8388608: "));
    }
}

#[test]
fn rates() {
    for (text, bytes_per_second) in [
        ("10Gbps", 1_250_000_000),
        ("10gbps", 1_250_000_000),
        ("10 Gb/s", 1_250_000_000),
        ("1.25GB", 1_250_000_000),
        ("1.25GB/s", 1_250_000_000),
        ("1.25GBps", 1_250_000_000),
        ("1250000000", 1_250_000_000),
        ("100MiB/s", 100 * MIB),
        ("100MiB", 100 * MIB),
        ("1Gib/s", GIB / 8),
        ("100Mbps", 12_500_000),
        ("64kbps", 8_000),
        ("9bps", 1),
        ("9b/s", 1),
        ("9B/S", 9),
        ("0.5Tbps", 62_500_000_000),
        ("0Gbps", 0),
        ("18446744073709551615B/s", u64::MAX),
    ] {
        assert_eq!(parse_rate(text), Ok(bytes_per_second), "{text}");
    }
}

#[test]
fn texts_that_are_no_rates() {
    for (text, why) in [
        ("", Why::Number),
        ("fast", Why::Number),
        ("-1Gbps", Why::Number),
        ("10G", Why::Unit),
        ("10Gb", Why::Unit),
        ("10gb", Why::Unit),
        ("10Gps", Why::Unit),
        ("10/s", Why::Unit),
        ("10GB/h", Why::Unit),
        ("10 GB / s", Why::Unit),
        ("10Gb/s/s", Why::Unit),
        ("99999999TB/s", Why::TooLarge),
    ] {
        let error = parse_rate(text).unwrap_err();
        assert_eq!(error.why(), why, "{text}");
    }
    assert_eq!(
        parse_rate("10G").unwrap_err().to_string(),
        "\"10G\" is not a rate such as 10Gbps, 1.25GB/s, 100MiB/s or 1250000000: its unit is not known"
    );
}

#[test]
fn formats() {
    for (bytes, text) in [
        (0, "0 B"),
        (1, "1 B"),
        (1_023, "1023 B"),
        (1_024, "1 KiB"),
        (1_025, "1 KiB"),
        (1_034, "1 KiB"),
        (1_035, "1.01 KiB"),
        (1_126, "1.09 KiB"),
        (1_536, "1.5 KiB"),
        (10 * MIB, "10 MiB"),
        (MIB - 1, "1023.99 KiB"),
        (100 * GIB, "100 GiB"),
        (5 * TIB / 4, "1.25 TiB"),
        (u64::MAX, "16777215.99 TiB"),
    ] {
        assert_eq!(format_bytes(bytes), text);
    }
}

proptest! {
    #[test]
    fn no_text_crashes_a_reader(text in "[ 0-9]{0,30}\\.?[0-9]{0,30}[kKmMgGtTiIbBpsS/ \\PC]{0,6}") {
        let _ = parse_bytes(&text);
        let _ = parse_rate(&text);
    }

    #[test]
    fn no_text_at_all_crashes_a_reader(text: String) {
        let _ = parse_bytes(&text);
        let _ = parse_rate(&text);
    }

    #[test]
    fn plain_numbers_mean_themselves(bytes: u64) {
        prop_assert_eq!(parse_bytes(&bytes.to_string()), Ok(bytes));
        prop_assert_eq!(parse_rate(&bytes.to_string()), Ok(bytes));
        prop_assert_eq!(parse_bytes(&format!("{bytes}B")), Ok(bytes));
    }

    #[test]
    fn whole_units_come_back_as_they_went(count in 1_u64..1_024, shift in prop_oneof![Just(10), Just(20), Just(30), Just(40)]) {
        let bytes = count << shift;
        prop_assert_eq!(parse_bytes(&format_bytes(bytes)), Ok(bytes));
        prop_assert_eq!(parse_rate(&format!("{}/s", format_bytes(bytes))), Ok(bytes));
    }

    #[test]
    fn what_is_shown_is_at_most_one_percent_less(bytes: u64) {
        let shown = parse_bytes(&format_bytes(bytes)).unwrap();
        prop_assert!(shown <= bytes);
        prop_assert!(bytes - shown <= bytes / 100);
    }

    #[test]
    fn eight_bits_are_a_byte(count in 0_u64..10_000_000, unit in prop_oneof![Just("k"), Just("M"), Just("G"), Just("Mi")]) {
        let bytes = parse_rate(&format!("{count}{unit}B/s"));
        prop_assert_eq!(parse_rate(&format!("{}{unit}b/s", count * 8)), bytes);
    }
}
