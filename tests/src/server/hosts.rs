//! Which bucket the Host header names.
//!
//! Ports do not count: a request that came through a proxy or a tunnel names the port of the store that it was meant for.

use s3s::S3Result;
use s3s::host::{S3Host, VirtualHost};

/// The names that the server has besides its address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hosts {
    /// `bucket.<domain>` names a bucket.
    domains: Vec<String>,
    /// Hosts that stand for one bucket each, as those of access points do.
    access_points: Vec<(String, String)>,
}

impl Hosts {
    pub(crate) fn add_domain(&mut self, domain: String) {
        self.domains.push(domain);
    }

    pub(crate) fn add_access_point(&mut self, host: String, bucket: String) {
        self.access_points.push((host, bucket));
    }

    /// The bucket that a Host header names, if it does not leave that to the path.
    pub(crate) fn bucket<'a>(&'a self, host: &'a str) -> Option<&'a str> {
        let name = without_port(host);
        if let Some((_, bucket)) = self.access_points.iter().find(|(host, _)| host == name) {
            return Some(bucket);
        }
        self.domains.iter().find_map(|domain| name.strip_suffix(domain.as_str())?.strip_suffix('.'))
    }

    /// The names that a certificate must have.
    pub(crate) fn names(&self) -> Vec<String> {
        let domains = self.domains.iter().flat_map(|domain| [domain.clone(), format!("*.{domain}")]);
        domains.chain(self.access_points.iter().map(|(host, _)| host.clone())).collect()
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    }
}

impl S3Host for Hosts {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let found = VirtualHost::new(without_port(host));
        Ok(match self.bucket(host) {
            Some(bucket) => found.with_bucket(bucket),
            None => found,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_names_the_bucket_whatever_the_port() {
        let mut hosts = Hosts::default();
        hosts.add_domain("s3.test".to_owned());
        hosts.add_access_point("alias.mrap.test".to_owned(), "pics".to_owned());
        for (host, bucket) in [
            ("pics.s3.test", Some("pics")),
            ("pics.s3.test:9000", Some("pics")),
            ("dotted.name.s3.test:1", Some("dotted.name")),
            ("s3.test", None),
            ("alias.mrap.test:443", Some("pics")),
            ("127.0.0.1:9000", None),
        ] {
            assert_eq!(hosts.bucket(host), bucket, "{host}");
        }
    }
}
