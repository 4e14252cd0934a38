//! What this machine has: cores and network. Reads files of the operating system; what they mean is `xfer_core::throughput`'s to say.

use std::fs;
use std::thread;

use xfer_core::throughput::{self, CpuQuota, Link, TargetThroughput};

/// The throughput to aim at when nobody says: the instance type's, else the network link's, else 10 Gbit/s.
pub(crate) fn target_throughput() -> TargetThroughput {
    let product = fs::read_to_string("/sys/class/dmi/id/product_name").unwrap_or_default();
    throughput::default_target(throughput::instance_type(&product), &links())
}

/// Cores that this process may use: by its affinity, and by the quota of its control group.
pub(crate) fn usable_cores() -> usize {
    let affinity = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    throughput::usable_cores(affinity, cpu_quota())
}

fn links() -> Vec<Link> {
    let Ok(devices) = fs::read_dir("/sys/class/net") else { return Vec::new() };
    devices
        .flatten()
        .filter_map(|device| {
            // The place that the link leads to tells a card from a bridge or a tunnel.
            let place = fs::read_link(device.path()).ok()?;
            let speed = fs::read_to_string(device.path().join("speed")).ok()?;
            Link::parse(&place.to_string_lossy(), &speed)
        })
        .collect()
}

/// The memory in bytes that the control group leaves this process, if it sets a limit.
pub(crate) fn memory_limit() -> Option<u64> {
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .into_iter()
        .find_map(|file| throughput::memory_limit(&fs::read_to_string(file).ok()?))
}

fn cpu_quota() -> Option<CpuQuota> {
    if let Ok(text) = fs::read_to_string("/sys/fs/cgroup/cpu.max") {
        return CpuQuota::v2(&text);
    }
    let quota = fs::read_to_string("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").ok()?;
    let period = fs::read_to_string("/sys/fs/cgroup/cpu/cpu.cfs_period_us").ok()?;
    CpuQuota::v1(&quota, &period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_at_least_a_core_and_some_network() {
        assert!(usable_cores() >= 1);
        assert!(target_throughput().bytes_per_second > 0);
    }
}
