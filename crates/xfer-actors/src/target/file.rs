//! Files as targets: a temporary file beside the target, renamed over it at the end.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use xfer_core::error::{Error, ErrorKind};

use super::write_error;
use crate::os::OsUtils;

/// How many random names are tried; a second try is already a rare thing.
const NAME_TRIES: u32 = 16;

pub(super) enum Inspected {
    Regular(FileTarget),
    Device(File),
}

/// Looks whether a file can come to be at `path`.
pub(super) fn inspect(path: PathBuf, os: &Arc<dyn OsUtils>) -> Result<Inspected, Error> {
    let refuse = |text: String| Error::new(ErrorKind::TargetUnavailable, text).in_file(&path);
    if path.file_name().is_none() {
        return Err(refuse("it has no file name".to_owned()));
    }
    // Renaming over a symbolic link would replace the link: the file that it points to is what is meant.
    let real = match std::fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_symlink() => std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone()),
        _ => path.clone(),
    };
    if let Ok(metadata) = std::fs::metadata(&real) {
        if metadata.is_dir() {
            return Err(refuse("it is a directory".to_owned()));
        }
        if !metadata.is_file() {
            let device = OpenOptions::new().write(true).open(&real).map_err(|error| {
                Error::new(ErrorKind::TargetUnavailable, error.to_string()).in_file(&path).with_source(error)
            })?;
            return Ok(Inspected::Device(device));
        }
    }
    let directory = directory_of(&real);
    match std::fs::metadata(directory) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(refuse(format!("{} is not a directory", directory.display()))),
        Err(error) => {
            return Err(refuse(format!("the directory {}: {error}", directory.display())).with_source(error));
        }
    }
    Ok(Inspected::Regular(FileTarget { path: real, temporary: Mutex::new(None), os: Arc::clone(os) }))
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A file that comes into being under a temporary name.
pub(crate) struct FileTarget {
    path: PathBuf,
    temporary: Mutex<Option<Temporary>>,
    os: Arc<dyn OsUtils>,
}

/// The temporary file; removed when dropped.
struct Temporary {
    path: PathBuf,
    file: Arc<File>,
    kept: bool,
    os: Arc<dyn OsUtils>,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = self.os.remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "a temporary file cannot be removed");
        }
    }
}

impl FileTarget {
    /// The temporary file, made at the first call.
    pub(crate) fn open(&self) -> Result<Arc<File>, Error> {
        let mut temporary = self.temporary.lock();
        if let Some(made) = &*temporary {
            return Ok(Arc::clone(&made.file));
        }
        let (path, file) = create_beside(&self.path, self.os.as_ref())?;
        let file = Arc::new(file);
        *temporary = Some(Temporary { path, file: Arc::clone(&file), kept: false, os: Arc::clone(&self.os) });
        Ok(file)
    }

    /// Gives the file its name, replacing what was there.
    pub(crate) fn commit(&self) -> Result<(), Error> {
        let mut temporary = self.temporary.lock();
        let Some(made) = &mut *temporary else {
            return Err(Error::internal("there is no temporary file to rename").in_file(&self.path));
        };
        if made.kept {
            return Ok(());
        }
        self.os.rename_file(&made.path, &self.path).map_err(|error| {
            Error::new(ErrorKind::TargetWrite, format!("renaming {}: {error}", made.path.display()))
                .in_file(&self.path)
                .with_source(error)
        })?;
        made.kept = true;
        Ok(())
    }

    /// Removes the temporary file, unless it was renamed.
    pub(crate) fn discard(&self) {
        let mut temporary = self.temporary.lock();
        if temporary.as_ref().is_some_and(|made| !made.kept) {
            *temporary = None;
        }
    }

    pub(crate) fn write_error(&self, error: io::Error) -> Error {
        write_error(error).in_file(&self.path)
    }
}

/// Creates a temporary file beside `target`.
fn create_beside(target: &Path, os: &dyn OsUtils) -> Result<(PathBuf, File), Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        let path = os.temp_filename(target);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < NAME_TRIES => {}
            Err(error) => {
                let kind = match write_error(io::Error::from(error.kind())).kind() {
                    ErrorKind::DiskFull => ErrorKind::DiskFull,
                    _ => ErrorKind::TargetUnavailable,
                };
                return Err(Error::new(kind, error.to_string()).in_file(target).with_source(error));
            }
        }
    }
}
