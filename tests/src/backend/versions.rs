//! What becomes of an object when another takes its key, or when it is deleted.
//!
//! Without versions: it is gone. With them everything is kept under its version, and a plain delete only lays a delete marker on top. The
//! object that a key shows is always its latest version, unless that is a marker.

use std::collections::BTreeMap;
use std::sync::Arc;

use s3s::{S3Result, s3_error};

use super::store::{Bucket, StoredObject};

/// All versions of the keys of a bucket, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Versions(BTreeMap<String, Vec<Version>>);

#[derive(Debug)]
struct Version {
    id: String,
    /// None of a delete marker.
    object: Option<Arc<StoredObject>>,
}

/// What a delete did.
#[derive(Debug, Default)]
pub(crate) struct Deleted {
    pub(crate) version_id: Option<String>,
    /// Whether the version is that of a delete marker.
    pub(crate) marker: bool,
}

impl Bucket {
    /// Stores an object; `tag`, which must be new, becomes its version where there are versions.
    pub(crate) fn keep(&mut self, key: &str, mut object: StoredObject, tag: String) -> Arc<StoredObject> {
        object.version_id = self.versions.is_some().then(|| format!("v{tag}"));
        let object = Arc::new(object);
        if let (Some(versions), Some(id)) = (&mut self.versions, object.version_id.clone()) {
            versions.0.entry(key.to_owned()).or_default().push(Version { id, object: Some(Arc::clone(&object)) });
        }
        self.objects.insert(key.to_owned(), Arc::clone(&object));
        object
    }

    /// The object of a key, or a version of it.
    pub(crate) fn object(&self, key: &str, version: Option<&str>) -> S3Result<Arc<StoredObject>> {
        match (version, &self.versions) {
            (None, _) | (Some("null"), None) => {
                self.objects.get(key).cloned().ok_or_else(|| s3_error!(NoSuchKey, "The specified key does not exist."))
            }
            (Some(id), Some(Versions(versions))) => {
                match versions.get(key).and_then(|versions| versions.iter().find(|version| version.id == id)) {
                    Some(Version { object: Some(object), .. }) => Ok(Arc::clone(object)),
                    Some(Version { object: None, .. }) => {
                        Err(s3_error!(MethodNotAllowed, "The specified method is not allowed against this resource."))
                    }
                    None => Err(s3_error!(NoSuchVersion, "The specified version does not exist.")),
                }
            }
            (Some(_), None) => Err(s3_error!(NoSuchVersion, "The specified version does not exist.")),
        }
    }

    /// Deletes what a key shows, or one version of it; `tag`, which must be new, becomes the marker's version.
    pub(crate) fn delete(&mut self, key: &str, version: Option<&str>, tag: String) -> S3Result<Deleted> {
        let Some(Versions(versions)) = &mut self.versions else {
            if version.is_some_and(|version| version != "null") {
                return Err(s3_error!(NoSuchVersion, "The specified version does not exist."));
            }
            self.objects.remove(key);
            return Ok(Deleted::default());
        };
        let Some(id) = version else {
            let id = format!("v{tag}");
            versions.entry(key.to_owned()).or_default().push(Version { id: id.clone(), object: None });
            self.objects.remove(key);
            return Ok(Deleted { version_id: Some(id), marker: true });
        };
        let of_key = versions.entry(key.to_owned()).or_default();
        // Deleting a version that there is not goes well in S3 too.
        let marker = of_key.iter().any(|version| version.id == id && version.object.is_none());
        of_key.retain(|version| version.id != id);
        match of_key.last().and_then(|latest| latest.object.clone()) {
            Some(object) => self.objects.insert(key.to_owned(), object),
            None => self.objects.remove(key),
        };
        Ok(Deleted { version_id: Some(id.to_owned()), marker })
    }
}
