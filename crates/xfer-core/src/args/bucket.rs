//! Which bucket names and ARNs a call takes. The patterns are matched by hand: three of them are not worth a regex engine.
//!
//! Never decides where a request goes: endpoint rules do that later.

/// `s3transfer`'s message for a resource that its transfers cannot serve.
const OBJECT_LAMBDA: &str =
    "TransferManager methods do not support S3 Object Lambda resource. Use direct client calls instead.";

/// The most characters of a bucket's name that the AWS SDKs let through; S3 itself has names of 3 to 63, older ones of up to 255.
const MAX_NAME: usize = 255;

/// The most characters of an access point's or outpost's name in an ARN, as in the AWS SDKs.
const MAX_RESOURCE_NAME: usize = 63;

/// Refuses Object Lambda ARNs: `^arn:(aws).*:s3-object-lambda:[a-z\-0-9]+:[0-9]{12}:accesspoint[/:][a-zA-Z0-9\-]{1,63}`, open at the end.
pub(super) fn supported(bucket: &str) -> Result<(), String> {
    // A regular expression's dot stands for no line break.
    let line = bucket.lines().next().unwrap_or_default();
    let Some(rest) = line.strip_prefix("arn:aws") else { return Ok(()) };
    const SERVICE: &str = "s3-object-lambda:";
    let lambda = rest
        .match_indices(SERVICE)
        .any(|(at, _)| rest[..at].ends_with(':') && is_object_lambda_tail(&rest[at + SERVICE.len()..]));
    if lambda { Err(OBJECT_LAMBDA.to_owned()) } else { Ok(()) }
}

fn is_object_lambda_tail(tail: &str) -> bool {
    let mut fields = tail.splitn(3, ':');
    let (Some(region), Some(account), Some(resource)) = (fields.next(), fields.next(), fields.next()) else {
        return false;
    };
    let name = resource.strip_prefix("accesspoint").and_then(|name| name.strip_prefix(['/', ':']));
    !region.is_empty()
        && is_region(region)
        && is_account(account)
        && name.is_some_and(|name| name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-'))
}

/// Refuses what is neither a bucket's name nor the ARN of something that stands for a bucket.
pub(super) fn well_formed(bucket: &str) -> Result<(), String> {
    if bucket.is_empty() {
        return Err("the bucket is empty".to_owned());
    }
    if bucket.starts_with("arn:") {
        return arn(bucket);
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    // `.` and `..` are steps of a path to many a server, and names of no bucket.
    if bucket.len() > MAX_NAME || !bucket.chars().all(fits) || bucket == "." || bucket == ".." {
        return Err(format!(
            "invalid bucket {bucket:?}: a bucket's name has 1 to {MAX_NAME} letters, digits, dots, hyphens and underscores; \
             an access point is given by its ARN"
        ));
    }
    Ok(())
}

fn arn(arn: &str) -> Result<(), String> {
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let refuse = |why: &str| Err(format!("invalid bucket {arn:?}: {why}"));
    let [_, partition, service, region, account, resource] = fields[..] else {
        return refuse("an ARN has six parts, arn:partition:service:region:account:resource");
    };
    if !partition.starts_with("aws") || !is_region(partition) {
        return refuse("the partition of an ARN is aws, aws-cn, aws-us-gov or another that begins with aws");
    }
    let words: Vec<&str> = resource.split(['/', ':']).collect();
    match (service, &words[..]) {
        ("s3", ["accesspoint", name]) => {
            if !is_name(name, true) {
                return refuse("the name of an access point has 1 to 63 letters, digits, dots and hyphens");
            }
        }
        ("s3-outposts", ["outpost", outpost, "accesspoint", name]) => {
            if !is_name(outpost, false) || !is_name(name, false) {
                return refuse("the names of an outpost and its access point have 1 to 63 letters, digits and hyphens");
            }
            if region.is_empty() {
                return refuse("the ARN of an outpost has a region");
            }
        }
        ("s3", [name]) if region.is_empty() && account.is_empty() => {
            return refuse(&format!("this is the ARN of a bucket; give the bucket by its name, {name:?}"));
        }
        _ => return refuse("only the ARN of an access point or of an outpost's access point stands for a bucket"),
    }
    if !is_region(region) {
        return refuse("the region of an ARN has small letters, digits and hyphens");
    }
    if !is_account(account) {
        return refuse("the account of an ARN has 12 digits");
    }
    Ok(())
}

fn is_region(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_name(text: &str, dots: bool) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || (dots && b == b'.');
    (1..=MAX_RESOURCE_NAME).contains(&text.len()) && text.bytes().all(fits)
}
