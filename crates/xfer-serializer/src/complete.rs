//! The body of CompleteMultipartUpload.

use bytes::Bytes;
use quick_xml::escape::escape;
use xfer_core::job::UploadedPart;

/// The parts as XML, in the order given, which must be ascending. ETags go as the store gave them; a part's checksum goes with it.
///
/// ```
/// use xfer_core::id::PartNumber;
/// use xfer_core::job::UploadedPart;
/// let part = UploadedPart { number: PartNumber::FIRST, etag: "\"e1\"".into(), checksum: None };
/// let body = xfer_serializer::complete_multipart_upload_body(&[part]);
/// assert!(body.ends_with(b"<Part><ETag>&quot;e1&quot;</ETag><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>"));
/// ```
#[must_use]
pub fn complete_multipart_upload_body(parts: &[UploadedPart]) -> Bytes {
    let mut xml = String::with_capacity(128 + parts.len() * 160);
    xml.push_str("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for part in parts {
        xml.push_str("<Part>");
        if let Some(checksum) = &part.checksum {
            element(&mut xml, &format!("Checksum{}", checksum.algorithm()), &checksum.to_base64());
        }
        element(&mut xml, "ETag", &part.etag);
        element(&mut xml, "PartNumber", &part.number.to_string());
        xml.push_str("</Part>");
    }
    xml.push_str("</CompleteMultipartUpload>");
    xml.into()
}

fn element(xml: &mut String, name: &str, text: &str) {
    for piece in ["<", name, ">", &escape(text), "</", name, ">"] {
        xml.push_str(piece);
    }
}
