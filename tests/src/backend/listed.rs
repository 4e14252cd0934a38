//! The parts' checksums in the body of a CompleteMultipartUpload that `s3s` has no fields for.
//!
//! They are read here, and blanked with spaces of the same length, so that lengths and signatures stay right. A body whose hash is signed
//! cannot be treated so; clients that send such checksums leave it unsigned.

use std::collections::BTreeMap;

use super::checksums::ChecksumAlgorithm;

/// Checksums by part number. Goes with a request as an extension.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ListedChecksums(BTreeMap<i32, (ChecksumAlgorithm, String)>);

/// Those that `s3s` does not know.
const NEWER: [ChecksumAlgorithm; 5] = [
    ChecksumAlgorithm::Sha512,
    ChecksumAlgorithm::XxHash64,
    ChecksumAlgorithm::XxHash3,
    ChecksumAlgorithm::XxHash128,
    ChecksumAlgorithm::Md5,
];

impl ListedChecksums {
    /// Takes the checksums out of a body; none when it is no text.
    pub(crate) fn take(body: &mut Vec<u8>) -> Self {
        let mut found = Self::default();
        let Ok(mut text) = String::from_utf8(body.clone()) else {
            return found;
        };
        for algorithm in NEWER {
            let (open, close) = (format!("<Checksum{}>", algorithm.name()), format!("</Checksum{}>", algorithm.name()));
            while let Some(start) = text.find(&open) {
                let Some(length) = text[start..].find(&close) else { break };
                let value = text[start + open.len()..start + length].to_owned();
                if let Some(number) = part_around(&text, start) {
                    found.0.insert(number, (algorithm, value));
                }
                let end = start + length + close.len();
                text.replace_range(start..end, &" ".repeat(end - start));
            }
        }
        *body = text.into_bytes();
        found
    }

    pub(crate) fn of(&self, part: i32, algorithm: ChecksumAlgorithm) -> Option<&str> {
        self.0.get(&part).filter(|(listed, _)| *listed == algorithm).map(|(_, value)| value.as_str())
    }
}

/// The number of the part that this place in the list is within.
fn part_around(text: &str, at: usize) -> Option<i32> {
    let part = &text[text[..at].rfind("<Part>")?..];
    let part = &part[..part.find("</Part>")?];
    let number = part.split_once("<PartNumber>")?.1.split_once("</PartNumber>")?.0;
    number.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_its_own_and_the_length_stays() {
        let list = "<L><Part><PartNumber>1</PartNumber><ChecksumSHA512>aa</ChecksumSHA512></Part>\
                    <Part><ChecksumSHA512>bb</ChecksumSHA512><PartNumber>2</PartNumber></Part></L>";
        let mut body = list.as_bytes().to_vec();
        let found = ListedChecksums::take(&mut body);
        assert_eq!(found.of(1, ChecksumAlgorithm::Sha512), Some("aa"));
        assert_eq!(found.of(2, ChecksumAlgorithm::Sha512), Some("bb"));
        assert_eq!(found.of(2, ChecksumAlgorithm::Md5), None);
        assert_eq!(body.len(), list.len());
        assert!(!String::from_utf8(body).unwrap().contains("SHA512"));
    }
}
