//! What this machine has: cores and network. Reads files of the operating system; what they mean is `xfer_core::throughput`'s to say.

use std::fs;
use std::path::Path;
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

/// The memory in bytes that its control groups leave this process, if one of them sets a limit.
pub(crate) fn memory_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    least_memory_limit(&groups, |file| fs::read_to_string(file).ok())
}

/// The least of the limits of `groups`, the text of `/proc/self/cgroup`, and of all around them: within a container and without, where a
/// service manager sets it.
fn least_memory_limit(groups: &str, read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let limits = |line: &str| {
        // Its number, its controllers, none of which is version 2, and its path below them.
        let mut words = line.splitn(3, ':').skip(1);
        let (root, file) = match words.next()? {
            "" => ("/sys/fs/cgroup", "memory.max"),
            one if one.split(',').any(|name| name == "memory") => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => return None,
        };
        let group = Path::new(words.next()?.trim_start_matches('/'));
        group
            .ancestors()
            .filter_map(|group| throughput::memory_limit(&read(&Path::new(root).join(group).join(file))?))
            .min()
    };
    groups.lines().filter_map(limits).min()
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
    fn the_tightest_limit_of_the_own_groups_and_those_around_them_counts() {
        let files = |path: &Path| match path.to_str()? {
            "/sys/fs/cgroup/memory.max" => Some("4000000\n"),
            "/sys/fs/cgroup/system.slice/memory.max" => Some("max\n"),
            "/sys/fs/cgroup/system.slice/a.service/memory.max" => Some("3000000\n"),
            "/sys/fs/cgroup/memory/memory.limit_in_bytes" => Some("9223372036854771712\n"),
            "/sys/fs/cgroup/memory/docker/1f/memory.limit_in_bytes" => Some("2000000\n"),
            _ => None,
        };
        for (groups, limit) in [
            ("0::/system.slice/a.service\n", Some(3_000_000)),
            ("0::/system.slice/b.service\n", Some(4_000_000)),
            // Of a container that sees its own group as the root, or a path of the host's that is not mounted.
            ("0::/\n", Some(4_000_000)),
            ("0::/../elsewhere\n", Some(4_000_000)),
            ("7:cpu,cpuacct:/x\n4:memory:/docker/1f\n", Some(2_000_000)),
            ("4:memory:/docker/2e\n", None),
            ("4:memory:/docker/1f\n0::/\n", Some(2_000_000)),
            ("", None),
            ("nonsense\n::\n4:memory\n", Some(4_000_000)),
        ] {
            let read = |path: &Path| files(path).map(str::to_owned);
            assert_eq!(least_memory_limit(groups, read), limit, "{groups:?}");
        }
    }

    #[test]
    fn this_machine_has_at_least_a_core_and_some_network() {
        assert!(usable_cores() >= 1);
        assert!(target_throughput().bytes_per_second > 0);
    }
}
