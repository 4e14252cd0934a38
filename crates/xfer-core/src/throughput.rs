//! How much this machine can move: the default target throughput, usable cores and memory, from texts that the system offers.
//!
//! Decides: what these texts mean, and which of them counts. Never opens a file: texts come in, so that a captured machine is a test.
//!
//! Invariants: a text that makes no sense is worth as much as none; there is always a target above 0 and at least one core.

/// The target in bytes per second of a machine that says nothing about itself: 10 Gbit/s, the CRT client's default.
pub const DEFAULT_TARGET: u64 = 1_250_000_000;

/// Bytes per second in a Gbit/s.
const GBPS: u64 = 125_000_000;

/// Bytes per second in a Mbit/s.
const MBPS: u64 = 125_000;

/// Network bandwidth of EC2 instance types in Gbit/s, as the CRT client knows them. Types that are not here have a bandwidth as well, but
/// most of them only "up to" one, which is no target.
const EC2: [(&str, u64); 12] = [
    ("c5n.9xlarge", 50),
    ("c5n.18xlarge", 100),
    ("c5n.metal", 100),
    ("p4d.24xlarge", 400),
    ("p4de.24xlarge", 400),
    ("p5.48xlarge", 400),
    ("p5e.48xlarge", 100),
    ("p5en.48xlarge", 100),
    ("p6-b200.48xlarge", 200),
    ("p6-b300.48xlarge", 350),
    ("trn1.32xlarge", 600),
    ("trn1n.32xlarge", 800),
];

/// Where a target comes from.
///
/// ```
/// use xfer_core::throughput::{DEFAULT_TARGET, Detected, default_target};
/// let nothing_known = default_target(None, &[]);
/// assert_eq!((nothing_known.bytes_per_second, nothing_known.source), (DEFAULT_TARGET, Detected::Default));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Detected {
    /// The EC2 instance type has it.
    Instance,
    /// The fastest network card has it.
    Link,
    /// The machine does not say: [`DEFAULT_TARGET`].
    Default,
}

/// What a client is built for: it sizes connections, and is not a limit.
///
/// ```
/// use xfer_core::throughput::default_target;
/// let target = default_target(Some("p5.48xlarge"), &[]);
/// assert_eq!(target.bytes_per_second * 8, 400_000_000_000, "bits per second");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TargetThroughput {
    /// Bytes per second, above 0.
    pub bytes_per_second: u64,
    /// Where it comes from.
    pub source: Detected,
}

/// The target for a machine: its instance type's, else that of its fastest link, else [`DEFAULT_TARGET`].
///
/// Links do not add up: one connection to one store goes through one of them, and which one is not known here. A bond is a link of its own.
///
/// ```
/// use xfer_core::throughput::{Detected, Link, default_target, instance_type};
/// let instance = instance_type("c5n.18xlarge\n");
/// let target = default_target(instance, &[]);
/// assert_eq!((target.bytes_per_second, target.source), (12_500_000_000, Detected::Instance));
///
/// let card = Link::parse("../../devices/pci0000:00/0000:00:1f.6/net/eno1", "25000\n");
/// let target = default_target(None, &card.into_iter().collect::<Vec<_>>());
/// assert_eq!((target.bytes_per_second, target.source), (3_125_000_000, Detected::Link));
/// ```
#[must_use]
pub fn default_target(instance: Option<&str>, links: &[Link]) -> TargetThroughput {
    let by_instance = instance.and_then(instance_gbps).map(|gbps| (gbps * GBPS, Detected::Instance));
    let by_link = || links.iter().map(|link| link.bytes_per_second()).max().map(|rate| (rate, Detected::Link));
    let (bytes_per_second, source) = by_instance.or_else(by_link).unwrap_or((DEFAULT_TARGET, Detected::Default));
    TargetThroughput { bytes_per_second, source }
}

/// Network bandwidth of an EC2 instance type in Gbit/s, if it is one whose bandwidth is known and steady.
///
/// ```
/// use xfer_core::throughput::instance_gbps;
/// assert_eq!(instance_gbps("c5n.18xlarge"), Some(100));
/// assert_eq!(instance_gbps("t3.micro"), None, "up to 5 is no target");
/// ```
#[must_use]
pub fn instance_gbps(instance: &str) -> Option<u64> {
    EC2.into_iter().find(|(name, _)| *name == instance).map(|(_, gbps)| gbps)
}

/// The EC2 instance type in the DMI product name (`/sys/devices/virtual/dmi/id/product_name`): Nitro machines have it there. `None` for
/// the product name of any other machine.
///
/// ```
/// use xfer_core::throughput::instance_type;
/// assert_eq!(instance_type("p6-b200.48xlarge\n"), Some("p6-b200.48xlarge"));
/// assert_eq!(instance_type("Standard PC (Q35 + ICH9, 2009)\n"), None);
/// ```
#[must_use]
pub fn instance_type(product_name: &str) -> Option<&str> {
    let name = product_name.trim();
    let (family, size) = name.split_once('.')?;
    let word = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let family_fits = family.starts_with(|c: char| c.is_ascii_lowercase()) && family.len() > 1 && word(family);
    // nano, micro, small, medium, large, xlarge, 24xlarge, metal, metal-48xl.
    let multiple = size.strip_suffix("xlarge").is_some_and(|count| count.bytes().all(|b| b.is_ascii_digit()));
    let metal = size.strip_prefix("metal").is_some_and(|rest| rest.is_empty() || (rest.starts_with('-') && word(rest)));
    let size_fits = multiple || metal || ["nano", "micro", "small", "medium", "large"].contains(&size);
    (family_fits && size_fits).then_some(name)
}

/// The speed of a network card.
///
/// ```
/// use xfer_core::throughput::Link;
/// let card = Link::parse("../../devices/pci0000:00/0000:00:1f.6/net/eno1", "10000\n").ok_or("a card")?;
/// assert_eq!(card.bytes_per_second(), 1_250_000_000);
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Link {
    mbps: u64,
}

impl Link {
    /// The link of a network device.
    ///
    /// `device` is what `/sys/class/net/NAME` points to, `speed` the text of `/sys/class/net/NAME/speed`, in Mbit/s. `None` for a device
    /// without a speed (`-1`, as virtio and Wi-Fi have), and for a virtual one: a loopback, bridge or tunnel has no speed of its own, and
    /// that of a container's `veth` is made up. A bond is virtual and counts all the same: its speed is that of its cards together.
    ///
    /// ```
    /// use xfer_core::throughput::Link;
    /// assert_eq!(Link::parse("../../devices/virtual/net/veth0", "10000\n"), None);
    /// assert_eq!(Link::parse("../../devices/pci0000:00/0000:00:03.0/virtio2/net/eth0", "-1\n"), None);
    /// ```
    #[must_use]
    pub fn parse(device: &str, speed: &str) -> Option<Link> {
        let bond = device.rsplit('/').next().is_some_and(|name| name.starts_with("bond"));
        if device.contains("/virtual/") && !bond {
            return None;
        }
        let mbps: u64 = speed.trim().parse().ok()?;
        // Drivers that do not know their speed say -1, and have said it in 16 and in 32 bits without a sign.
        let known = mbps > 0 && mbps != u64::from(u16::MAX) && mbps < u64::from(u32::MAX);
        known.then_some(Link { mbps })
    }

    /// Bytes per second.
    #[must_use]
    pub fn bytes_per_second(self) -> u64 {
        self.mbps * MBPS
    }
}

/// How much processor time a control group may use.
///
/// ```
/// use xfer_core::throughput::CpuQuota;
/// assert_eq!(CpuQuota::v1("250000", "100000").map(CpuQuota::cores), Some(3), "half of the third");
/// assert_eq!(CpuQuota::v1("-1", "100000"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CpuQuota {
    /// Microseconds of processor time in each period, above 0.
    quota: u64,
    /// The period in microseconds, above 0.
    period: u64,
}

impl CpuQuota {
    /// The quota of a control group of version 2, from its `cpu.max` (`200000 100000`); `None` when it has none (`max 100000`).
    ///
    /// ```
    /// use xfer_core::throughput::CpuQuota;
    /// assert_eq!(CpuQuota::v2("150000 100000\n").map(CpuQuota::cores), Some(2));
    /// assert_eq!(CpuQuota::v2("max 100000\n"), None);
    /// ```
    #[must_use]
    pub fn v2(cpu_max: &str) -> Option<CpuQuota> {
        let mut words = cpu_max.split_ascii_whitespace();
        CpuQuota::parse(words.next()?, words.next()?)
    }

    /// The quota of a control group of version 1, from its `cpu.cfs_quota_us` and `cpu.cfs_period_us`; `None` when it has none (`-1`).
    #[must_use]
    pub fn v1(quota: &str, period: &str) -> Option<CpuQuota> {
        CpuQuota::parse(quota.trim(), period.trim())
    }

    fn parse(quota: &str, period: &str) -> Option<CpuQuota> {
        let (quota, period) = (quota.parse().ok()?, period.parse().ok()?);
        (quota > 0 && period > 0).then_some(CpuQuota { quota, period })
    }

    /// How many threads it takes to use the quota up: part of a core counts as one.
    #[must_use]
    pub fn cores(self) -> usize {
        usize::try_from(self.quota.div_ceil(self.period)).unwrap_or(usize::MAX)
    }
}

/// Cores that this process can use, at least 1: those that it may run on (`affinity`), but no more than its control group pays for. Of
/// nested groups the caller takes the tightest.
///
/// ```
/// use xfer_core::throughput::{CpuQuota, usable_cores};
/// assert_eq!(usable_cores(64, CpuQuota::v2("200000 100000")), 2);
/// assert_eq!(usable_cores(2, CpuQuota::v2("max 100000")), 2);
/// ```
#[must_use]
pub fn usable_cores(affinity: usize, quota: Option<CpuQuota>) -> usize {
    quota.map_or(affinity, |quota| quota.cores().min(affinity)).max(1)
}

/// The memory limit of a control group in bytes, from its `memory.max` (version 2) or `memory.limit_in_bytes` (version 1); `None` when it
/// has none: `max`, or the page-rounded largest number that version 1 writes instead.
///
/// ```
/// use xfer_core::throughput::memory_limit;
/// assert_eq!(memory_limit("536870912\n"), Some(536_870_912));
/// assert_eq!(memory_limit("max\n"), None);
/// assert_eq!(memory_limit("9223372036854771712\n"), None);
/// ```
#[must_use]
pub fn memory_limit(text: &str) -> Option<u64> {
    // Version 1 rounds 2^63 - 1 down to a page, whose size differs between machines; no machine has half of that.
    const UNLIMITED: u64 = 1 << 62;
    text.trim().parse().ok().filter(|limit| (1..UNLIMITED).contains(limit))
}

#[cfg(test)]
mod tests;
