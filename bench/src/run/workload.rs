//! What is measured.

use clap::builder::PossibleValue;
use xfer_core::units::{GIB, KIB, MIB};

/// What a client is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Get,
    Put,
    GetMany,
    PutMany,
    DeleteMany,
}

/// Where the files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Memory,
    Disk,
}

/// How much is to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Of a large object, in bytes.
    pub(crate) size: u64,
    /// Of small objects.
    pub(crate) count: u64,
}

/// One workload, at its scale.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub(crate) name: Name,
    pub(crate) kind: Kind,
    pub(crate) place: Place,
    pub(crate) tls: bool,
    /// Of each object, in bytes.
    pub(crate) size: u64,
    pub(crate) count: u64,
    /// The server on one core, the client on another.
    pub(crate) pinned: bool,
    latency: u64,
    bandwidth_per_connection: Option<u64>,
    slow_down_rate: f64,
}

macro_rules! names {
    ($($variant:ident $text:literal $title:literal $about:literal;)*) => {
        /// The workloads.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Name { $($variant),* }

        impl Name {
            pub(crate) const ALL: &[Name] = &[$(Name::$variant),*];

            pub(crate) fn text(self) -> &'static str {
                match self { $(Name::$variant => $text),* }
            }

            /// A heading.
            pub(crate) fn title(self) -> &'static str {
                match self { $(Name::$variant => $title),* }
            }

            /// A sentence or two.
            pub(crate) fn about(self) -> &'static str {
                match self { $(Name::$variant => $about),* }
            }
        }
    };
}

names! {
    Get "get" "Download, plain" "One large object to a file in memory, over plain HTTP.";
    Put "put" "Upload, plain" "One large file in memory to an object, over plain HTTP.";
    TlsGet "tls-get" "Download, TLS" "The same over TLS 1.3 with AES-128-GCM.";
    TlsPut "tls-put" "Upload, TLS" "The same over TLS 1.3 with AES-128-GCM.";
    Get1KiB "get-1KiB" "Many downloads of 1 KiB" "Objects of 1 KiB, each to a file of its own in memory.";
    Put1KiB "put-1KiB" "Many uploads of 1 KiB" "Files of 1 KiB in memory, each to an object of its own.";
    Get256KiB "get-256KiB" "Many downloads of 256 KiB" "Objects of 256 KiB, each to a file of its own in memory.";
    Put256KiB "put-256KiB" "Many uploads of 256 KiB" "Files of 256 KiB in memory, each to an object of its own.";
    Delete "delete" "Many deletes" "Objects are deleted; s5cmd and object_store do it with lists of up to 1,000 keys.";
    FarGet "far-get" "Download from afar" "20 ms before each answer, and no more than 60 MB/s on a connection.";
    FarPut "far-put" "Upload to afar" "20 ms before each answer, and no more than 60 MB/s on a connection.";
    DiskGet "disk-get" "Download to a disk" "One large object to a file on a disk, over plain HTTP. Nobody waits for the disk to have it all.";
    Startup "startup" "Start-up" "One object of 1 MiB: what it costs to begin with.";
    Throttled "throttled" "Download from a store that is busy" "One request of twenty is answered with 503 SlowDown.";
}

impl Name {
    /// How many times as many rounds there are for clients that are over with it soon: what takes a tenth of a second says less each time.
    pub(crate) fn times(self) -> u32 {
        match self {
            Name::Get | Name::TlsGet | Name::FarGet | Name::FarPut | Name::DiskGet | Name::Throttled => 1,
            Name::Put | Name::TlsPut | Name::Get1KiB | Name::Put1KiB => 3,
            Name::Get256KiB | Name::Put256KiB | Name::Delete | Name::Startup => 3,
        }
    }
}

impl clap::ValueEnum for Name {
    fn value_variants<'a>() -> &'a [Self] {
        Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.text()))
    }
}

impl Workload {
    pub(crate) fn new(name: Name, scale: Scale) -> Self {
        let large = |kind| Self {
            name,
            kind,
            place: Place::Memory,
            tls: false,
            size: scale.size,
            count: 1,
            pinned: true,
            latency: 0,
            bandwidth_per_connection: None,
            slow_down_rate: 0.0,
        };
        let small = |kind, size, count: u64| Self { size, count: count.max(1), ..large(kind) };
        let far = |kind| Self {
            size: 2 * scale.size,
            pinned: false,
            latency: 20,
            bandwidth_per_connection: Some(60_000_000),
            ..large(kind)
        };
        match name {
            Name::Get => large(Kind::Get),
            Name::Put => large(Kind::Put),
            Name::TlsGet => Self { tls: true, ..large(Kind::Get) },
            Name::TlsPut => Self { tls: true, ..large(Kind::Put) },
            Name::Get1KiB => small(Kind::GetMany, KIB, scale.count),
            Name::Put1KiB => small(Kind::PutMany, KIB, scale.count),
            Name::Get256KiB => small(Kind::GetMany, 256 * KIB, scale.count / 10),
            Name::Put256KiB => small(Kind::PutMany, 256 * KIB, scale.count / 10),
            Name::Delete => small(Kind::DeleteMany, KIB, scale.count),
            Name::FarGet => far(Kind::Get),
            Name::FarPut => far(Kind::Put),
            Name::DiskGet => Self { place: Place::Disk, size: 2 * scale.size, pinned: false, ..large(Kind::Get) },
            Name::Startup => Self { size: MIB, ..large(Kind::Get) },
            Name::Throttled => Self { pinned: false, slow_down_rate: 0.05, ..large(Kind::Get) },
        }
    }

    /// Bytes of all objects.
    pub(crate) fn bytes(&self) -> u64 {
        self.size * self.count
    }

    /// Bytes that a transfer moves.
    pub(crate) fn moved(&self) -> u64 {
        if self.kind == Kind::DeleteMany { 0 } else { self.bytes() }
    }

    /// The object's key, or that of all of them up to their numbers.
    pub(crate) fn key(&self) -> String {
        let size = size_name(self.size);
        match self.kind {
            Kind::Get | Kind::Put => format!("{}/size-{size}/object", self.name.text()),
            _ => format!("{}/size-{size}/count-{}/", self.name.text(), self.count),
        }
    }

    /// What the server has to be told.
    pub(crate) fn server_options(&self) -> Vec<String> {
        let mut options = Vec::new();
        let mut option = |name: &str, value: String| options.extend([name.to_owned(), value]);
        if self.latency > 0 {
            option("--latency", self.latency.to_string());
        }
        if let Some(rate) = self.bandwidth_per_connection {
            option("--bandwidth-per-connection", rate.to_string());
        }
        if self.slow_down_rate > 0.0 {
            option("--slow-down-rate", self.slow_down_rate.to_string());
        }
        options
    }
}

/// A size as short as it can be said exactly.
pub(crate) fn size_name(bytes: u64) -> String {
    for (unit, name) in [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{}{name}", bytes / unit);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::stream::Object;

    #[test]
    fn each_key_says_its_size() {
        for name in Name::ALL {
            let workload = Workload::new(*name, Scale { size: 3 * GIB / 2 + 1, count: 100 });
            assert_eq!(Object::of(&workload.key()).unwrap().size, workload.size, "{name:?}");
            assert!(workload.count >= 1);
        }
    }

    #[test]
    fn sizes_are_short_and_exact() {
        assert_eq!(
            [1, 1024, 1025, 256 << 10, 2 << 30, 1536 << 20].map(size_name),
            ["1", "1KiB", "1025", "256KiB", "2GiB", "1536MiB"]
        );
    }
}
