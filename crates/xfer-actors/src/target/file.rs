//! Files as targets: a temporary file beside the target, renamed over it at the end.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use xfer_core::error::{Error, ErrorKind};

use super::direct::DirectFile;
use super::write_error;
use crate::os::OsUtils;

/// How many random names are tried; a second try is already a rare thing.
const NAME_TRIES: u32 = 16;

pub(super) enum Inspected {
    Regular(FileTarget),
    Device(Device),
}

/// A device or a pipe. Opened with the first bytes, on the thread that writes them: opening a pipe waits for its reader.
pub(super) struct Device {
    path: PathBuf,
    file: Option<File>,
}

impl Write for Device {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(OpenOptions::new().write(true).open(&self.path)?),
        };
        file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), File::flush)
    }
}

/// Looks whether a file can come to be at `path`.
pub(super) fn inspect(path: PathBuf, os: &Arc<dyn OsUtils>) -> Result<Inspected, Error> {
    let refuse = |text: String| Error::new(ErrorKind::TargetUnavailable, text).in_file(&path);
    if path.file_name().is_none() {
        return Err(refuse("it has no file name".to_owned()));
    }
    let mut real = path.clone();
    let mut there = std::fs::symlink_metadata(&path).ok();
    if there.as_ref().is_some_and(std::fs::Metadata::is_symlink) {
        // Renaming over a symbolic link would replace the link: the file that it points to is what is meant.
        real = std::fs::canonicalize(&path).unwrap_or(real);
        there = std::fs::metadata(&real).ok();
    }
    if let Some(there) = there {
        if there.is_dir() {
            return Err(refuse("it is a directory".to_owned()));
        }
        if !there.is_file() {
            return Ok(Inspected::Device(Device { path: real, file: None }));
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
    Ok(Inspected::Regular(FileTarget { path: real, state: Mutex::new(State::Absent), os: Arc::clone(os) }))
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
    state: Mutex<State>,
    os: Arc<dyn OsUtils>,
}

/// How far it has come. It ends once: an attempt that is late makes no file of an ended download.
enum State {
    Absent,
    Made(Box<Temporary>),
    Committed,
    Discarded,
}

/// The temporary file; removed when dropped.
struct Temporary {
    path: PathBuf,
    file: Arc<File>,
    /// The same once more, if it is large and the disk takes it.
    direct: Option<Arc<DirectFile>>,
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
        self.with_made(|made| Ok(Arc::clone(&made.file)))
    }

    /// Makes ready for `size` bytes, to be written `directly` if that can be.
    pub(crate) fn expect(&self, size: u64, directly: bool) -> Result<(), Error> {
        self.with_made(|made| {
            if directly && made.direct.is_none() {
                made.direct = DirectFile::open(&made.path, &made.file, size)
                    .map_err(|error| self.write_error(error))?
                    .map(Arc::new);
            }
            Ok(())
        })
    }

    /// The file for direct writes, if the next part is to be written so.
    pub(crate) fn direct(&self) -> Option<Arc<DirectFile>> {
        match &*self.state.lock() {
            State::Made(made) => made.direct.clone().filter(|direct| direct.is_on()),
            _ => None,
        }
    }

    fn with_made<T>(&self, act: impl FnOnce(&mut Temporary) -> Result<T, Error>) -> Result<T, Error> {
        let mut state = self.state.lock();
        match &mut *state {
            State::Made(made) => return act(made),
            State::Absent => {}
            State::Committed | State::Discarded => return Err(self.ended()),
        }
        let (path, file) = create_beside(&self.path, self.os.as_ref())?;
        let mut made = Temporary { path, file: Arc::new(file), direct: None, kept: false, os: Arc::clone(&self.os) };
        let result = act(&mut made);
        *state = State::Made(Box::new(made));
        result
    }

    fn ended(&self) -> Error {
        Error::new(ErrorKind::Cancelled, "the download has ended").in_file(&self.path)
    }

    /// Gives the file its name, replacing what was there, and closes it.
    pub(crate) fn commit(&self) -> Result<(), Error> {
        let mut state = self.state.lock();
        let made = match &mut *state {
            State::Made(made) => made,
            State::Committed => return Ok(()),
            State::Discarded => return Err(self.ended()),
            State::Absent => return Err(Error::internal("there is no temporary file to rename").in_file(&self.path)),
        };
        self.os.rename_file(&made.path, &self.path).map_err(|error| {
            Error::new(ErrorKind::TargetWrite, format!("renaming {}: {error}", made.path.display()))
                .in_file(&self.path)
                .with_source(error)
        })?;
        made.kept = true;
        *state = State::Committed;
        Ok(())
    }

    /// Removes the temporary file, unless it was renamed.
    pub(crate) fn discard(&self) {
        let mut state = self.state.lock();
        if !matches!(*state, State::Committed) {
            *state = State::Discarded;
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
