#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

const CARD: &str = "../../devices/pci0000:00/0000:00:1f.6/net/eno1";

#[test]
fn the_table_is_the_original_clients() {
    for (instance, gbps) in [
        ("c5n.9xlarge", Some(50)),
        ("c5n.18xlarge", Some(100)),
        ("c5n.metal", Some(100)),
        ("p4d.24xlarge", Some(400)),
        ("p4de.24xlarge", Some(400)),
        ("p5.48xlarge", Some(400)),
        ("p5e.48xlarge", Some(100)),
        ("p5en.48xlarge", Some(100)),
        ("p6-b200.48xlarge", Some(200)),
        ("p6-b300.48xlarge", Some(350)),
        ("trn1.32xlarge", Some(600)),
        ("trn1n.32xlarge", Some(800)),
        ("trn1.2xlarge", None),
        ("c5n.large", None),
        ("m5.xlarge", None),
        ("", None),
    ] {
        assert_eq!(instance_gbps(instance), gbps, "{instance}");
    }
    for (instance, _) in EC2 {
        assert_eq!(instance_type(instance), Some(instance));
    }
}

#[test]
fn product_names() {
    for name in [
        "c5n.18xlarge",
        "t3.micro",
        "t4g.nano",
        "m7i.metal-48xl",
        "u-6tb1.112xlarge",
        "mac2-m2pro.metal",
        "m5.large",
        "m5.xlarge",
        "a1.medium",
    ] {
        assert_eq!(instance_type(&format!("{name}\n")), Some(name));
    }
    for name in [
        "",
        "\n",
        "HVM domU",
        "Standard PC (Q35 + ICH9, 2009)",
        "Standard PC (i440FX + PIIX, 1996)",
        "Google Compute Engine",
        "Virtual Machine",
        "VMware Virtual Platform",
        "VMware7,1",
        "PowerEdge R740xd",
        "ThinkPad X1 Carbon Gen 9",
        "20XW004AGE",
        "To Be Filled By O.E.M.",
        "System Product Name",
        "OpenStack Nova",
        "MacBookPro11,3",
        "c5n.",
        ".large",
        "5c.large",
        "c.large",
        "C5N.18XLARGE",
        "c5n.axlarge",
        "c5n.18xlarge x",
        "c5n.metalx",
        "c5n.metal-é",
    ] {
        assert_eq!(instance_type(name), None, "{name}");
    }
}

#[test]
fn links() {
    for (device, speed, gigabits) in [
        (CARD, "1000\n", Some(1)),
        (CARD, "100000", Some(100)),
        ("../../devices/pci0000:85/0000:85:00.0/net/ens1f0np0", "400000\n", Some(400)),
        ("../../devices/virtual/net/bond0", "50000\n", Some(50)),
        (CARD, "-1\n", None),
        (CARD, "0\n", None),
        (CARD, "65535\n", None),
        (CARD, "4294967295\n", None),
        (CARD, "18446744073709551615\n", None),
        (CARD, "", None),
        (CARD, "Unknown!", None),
        ("../../devices/virtual/net/lo", "10000\n", None),
        ("../../devices/virtual/net/docker0", "10000\n", None),
        ("../../devices/virtual/net/veth8a1f2c3", "10000\n", None),
        ("../../devices/virtual/net/tun0", "10000\n", None),
    ] {
        let rate = Link::parse(device, speed).map(Link::bytes_per_second);
        assert_eq!(rate, gigabits.map(|gigabits| gigabits * 125_000_000), "{device} {speed:?}");
    }
}

#[test]
fn targets() {
    let links: Vec<Link> = ["1000", "25000", "10000"].iter().filter_map(|speed| Link::parse(CARD, speed)).collect();
    for (instance, links, bytes_per_second, source) in [
        (None, &[][..], 1_250_000_000, Detected::Default),
        (Some("m5.xlarge"), &[], 1_250_000_000, Detected::Default),
        (None, &links, 3_125_000_000, Detected::Link),
        (Some("m5.xlarge"), &links, 3_125_000_000, Detected::Link),
        (Some("c5n.9xlarge"), &links, 6_250_000_000, Detected::Instance),
        (Some("trn1n.32xlarge"), &[], 100_000_000_000, Detected::Instance),
        (None, &links[..1], 125_000_000, Detected::Link),
    ] {
        assert_eq!(default_target(instance, links), TargetThroughput { bytes_per_second, source });
    }
}

#[test]
fn a_virtual_machine_that_tells_nothing() {
    // What a KVM guest has: a virtio card without a speed, two queueing devices and a loopback that cannot be asked.
    let devices = [
        ("../../devices/pci0000:00/0000:00:03.0/virtio2/net/eth0", "-1\n"),
        ("../../devices/virtual/net/ifb0", ""),
        ("../../devices/virtual/net/ifb1", ""),
        ("../../devices/virtual/net/lo", ""),
    ];
    let links: Vec<Link> = devices.iter().filter_map(|(device, speed)| Link::parse(device, speed)).collect();
    let target = default_target(instance_type("HVM domU\n"), &links);
    assert_eq!(target, TargetThroughput { bytes_per_second: DEFAULT_TARGET, source: Detected::Default });
}

#[test]
fn quotas() {
    for (text, cores) in [
        ("max 100000\n", None),
        ("200000 100000\n", Some(2)),
        ("50000 100000\n", Some(1)),
        ("100001 100000\n", Some(2)),
        ("1000 100000\n", Some(1)),
        ("6400000 100000", Some(64)),
        ("", None),
        ("\n", None),
        ("200000", None),
        ("0 100000", None),
        ("200000 0", None),
        ("-1 100000", None),
        ("a b", None),
    ] {
        assert_eq!(CpuQuota::v2(text).map(CpuQuota::cores), cores, "{text:?}");
    }
    assert_eq!(CpuQuota::v1("-1\n", "100000\n"), None);
    assert_eq!(CpuQuota::v1("400000\n", "100000\n").map(CpuQuota::cores), Some(4));
    assert_eq!(CpuQuota::v1("\n", "100000\n"), None);
}

#[test]
fn cores() {
    for (affinity, quota, cores) in [
        (8, None, 8),
        (0, None, 1),
        (8, Some("250000 100000"), 3),
        (2, Some("800000 100000"), 2),
        (0, Some("800000 100000"), 1),
        (8, Some("1 100000"), 1),
        (8, Some("max 100000"), 8),
    ] {
        assert_eq!(usable_cores(affinity, quota.and_then(CpuQuota::v2)), cores);
    }
}

#[test]
fn memory() {
    for (text, limit) in [
        ("max\n", None),
        ("536870912\n", Some(536_870_912)),
        ("0", None),
        ("9223372036854771712\n", None),
        ("9223372036854710272\n", None),
        ("18446744073709551615\n", None),
        ("", None),
        ("-1", None),
        ("512M", None),
    ] {
        assert_eq!(memory_limit(text), limit, "{text:?}");
    }
}

proptest! {
    #[test]
    fn no_text_crashes_a_reader(text: String, other in "[0-9 max\\-\n./a-z]{0,30}") {
        for text in [&text, &other] {
            let links: Vec<Link> = Link::parse(CARD, text).into_iter().collect();
            prop_assert!(default_target(instance_type(text), &links).bytes_per_second > 0);
            prop_assert!(CpuQuota::v2(text).is_none_or(|quota| quota.cores() > 0));
            prop_assert!(usable_cores(4, CpuQuota::v1(text, &other)) >= 1);
            let _ = memory_limit(text);
        }
    }

    #[test]
    fn cores_are_enough_for_the_quota_and_not_one_more(quota in 1_u64..1 << 40, period in 1_000_u64..1_000_000) {
        let cores = CpuQuota::v2(&format!("{quota} {period}\n")).unwrap().cores() as u64;
        prop_assert!(cores * period >= quota && (cores - 1) * period < quota);
    }

    #[test]
    fn the_fastest_link_counts(speeds in proptest::collection::vec(1_u64..1_000_000, 1..8)) {
        let links: Vec<Link> = speeds.iter().filter_map(|speed| Link::parse(CARD, &speed.to_string())).collect();
        let fastest = speeds.iter().filter(|speed| **speed != 65_535).max();
        let expected = fastest.map_or(DEFAULT_TARGET, |mbps| mbps * 125_000);
        prop_assert_eq!(default_target(None, &links).bytes_per_second, expected);
    }
}
