//! What an `s3://` URL means.

/// An object, or what is before its key: `key` is empty then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) bucket: String,
    pub(crate) key: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

const SCHEME: &str = "s3://";

/// Whether a word is meant as a URL.
pub(crate) fn is_url(word: &str) -> bool {
    word.starts_with(SCHEME)
}

/// Takes a URL apart. Nothing in it is decoded: a key is written as it is. The bucket may be the ARN of an access point, whose name has
/// a slash in it.
///
/// # Errors
/// In words, for a URL without a bucket.
pub(crate) fn parse(url: &str) -> Result<Place, String> {
    let rest = url.strip_prefix(SCHEME).ok_or_else(|| format!("{url} is no s3:// URL"))?;
    let bucket = match rest.strip_prefix("arn:") {
        Some(_) => arn_length(rest).ok_or_else(|| format!("{url} names no access point"))?,
        None => rest.find('/').unwrap_or(rest.len()),
    };
    let (bucket, key) = rest.split_at(bucket);
    if bucket.is_empty() {
        return Err(format!("{url} names no bucket"));
    }
    Ok(Place { bucket: bucket.to_owned(), key: key.strip_prefix('/').unwrap_or(key).to_owned() })
}

/// Length of the ARN at the start of `text`: of its resource, which follows the fifth colon, as many words belong to it as its first word
/// says.
fn arn_length(text: &str) -> Option<usize> {
    let resource = text.match_indices(':').nth(4)?.0 + 1;
    let kind = text[resource..].split([':', '/']).next()?;
    let words = match kind {
        "accesspoint" => 2,
        "outpost" => 4,
        _ => 1,
    };
    let mut separators = text[resource..].match_indices([':', '/']).map(|(at, _)| resource + at);
    let end = separators.nth(words - 1).unwrap_or(text.len());
    // The last word must be there.
    (!text[..end].ends_with([':', '/']) && text[resource..end].split([':', '/']).count() == words).then_some(end)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn bucket_and_key() {
        let table = [
            ("s3://b/k", "b", "k"),
            ("s3://b/a/b c/", "b", "a/b c/"),
            ("s3://b//k", "b", "/k"),
            ("s3://b/50%25?x#y", "b", "50%25?x#y"),
            ("s3://b", "b", ""),
            ("s3://b/", "b", ""),
            (
                "s3://arn:aws:s3:eu-west-1:1234:accesspoint/mine/k/l",
                "arn:aws:s3:eu-west-1:1234:accesspoint/mine",
                "k/l",
            ),
            ("s3://arn:aws:s3:eu-west-1:1234:accesspoint:mine/k", "arn:aws:s3:eu-west-1:1234:accesspoint:mine", "k"),
            ("s3://arn:aws:s3::1234:accesspoint/m.mrap/k", "arn:aws:s3::1234:accesspoint/m.mrap", "k"),
            ("s3://arn:aws:s3::1234:accesspoint/m.mrap", "arn:aws:s3::1234:accesspoint/m.mrap", ""),
            (
                "s3://arn:aws:s3-outposts:us-west-2:1:outpost/op-1/accesspoint/mine/k",
                "arn:aws:s3-outposts:us-west-2:1:outpost/op-1/accesspoint/mine",
                "k",
            ),
        ];
        for (url, bucket, key) in table {
            assert_eq!(parse(url), Ok(Place { bucket: bucket.into(), key: key.into() }), "{url}");
        }
    }

    #[test]
    fn what_names_no_bucket_is_refused() {
        for url in [
            "s3://",
            "s3:///k",
            "b/k",
            "s3://arn:aws:s3:r:1",
            "s3://arn:aws:s3:r:1:accesspoint",
            "s3://arn:aws:s3:r:1:accesspoint/",
        ] {
            assert!(parse(url).is_err(), "{url}");
        }
    }
}
