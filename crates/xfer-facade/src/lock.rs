//! One process of a machine at a time: an advisory lock for those who want a single fast client per host.
//!
//! Nothing in xfer takes it by itself. It is a file lock, so it ends with its process, however that ends.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;

use crate::{Error, ErrorKind};

const DEFAULT_NAME: &str = "xfer";
/// The folder for lock files, within the system's folder for temporary files.
const FOLDER: &str = "xfer_process_lock";

/// The locks of this process by their names, so that asking twice gives the same one. Taken and freed while this is locked, so that one that
/// is being freed is not taken for that of another process.
static HELD: LazyLock<Mutex<HashMap<Arc<str>, Held>>> = LazyLock::new(Mutex::default);

/// A lock that this process holds. Clones are the same lock; it is freed with the last one, or with the process.
///
/// ```
/// use xfer_facade::{ProcessLock, acquire_process_lock};
/// /// Kept for as long as transfers are made.
/// struct Service {
///     _only_one: ProcessLock,
/// }
/// match acquire_process_lock("doc-service")? {
///     Some(lock) => {
///         assert_eq!(lock.name(), "doc-service");
///         let service = Service { _only_one: lock };
///         # let _ = service;
///     }
///     None => eprintln!("another process moves files already"),
/// }
/// # Ok::<(), xfer_facade::Error>(())
/// ```
#[must_use = "the lock is freed when this is dropped"]
pub struct ProcessLock {
    name: Arc<str>,
}

struct Held {
    /// How many [`ProcessLock`]s there are of it.
    clones: usize,
    /// Locked.
    file: File,
}

impl ProcessLock {
    /// The lock's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Clone for ProcessLock {
    fn clone(&self) -> ProcessLock {
        if let Some(held) = HELD.lock().get_mut(&self.name) {
            held.clones += 1;
        }
        ProcessLock { name: Arc::clone(&self.name) }
    }
}

impl Drop for ProcessLock {
    fn drop(&mut self) {
        let mut locks = HELD.lock();
        if let Some(held) = locks.get_mut(&self.name) {
            held.clones -= 1;
            if held.clones == 0 {
                // Closing is not enough: a process that is being started from this one has the file too, until it runs its program.
                let _ = held.file.unlock();
                locks.remove(&self.name);
            }
        }
    }
}

impl fmt::Debug for ProcessLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProcessLock({})", self.name)
    }
}

/// Takes the lock of this name (`xfer` when there is none) for this process. `None` when another process holds it; the same lock again when
/// this process holds it. Does not wait.
///
/// ```
/// use xfer_facade::acquire_process_lock;
/// let lock = acquire_process_lock("doc-example")?;
/// assert!(lock.is_some());
/// # Ok::<(), xfer_facade::Error>(())
/// ```
///
/// # Errors
/// [`InvalidArgument`](ErrorKind::InvalidArgument) for a name that is empty or holds a `/`; [`InvalidConfig`](ErrorKind::InvalidConfig) when
/// the lock file can be neither made nor opened.
pub fn acquire_process_lock<'a>(name: impl Into<Option<&'a str>>) -> Result<Option<ProcessLock>, Error> {
    let name = name.into().unwrap_or(DEFAULT_NAME);
    if name.is_empty() || name.contains(['/', '\\', '\0']) || name == "." || name == ".." {
        return Err(Error::new(ErrorKind::InvalidArgument, format!("{name:?} cannot be the name of a lock")));
    }
    let mut locks = HELD.lock();
    let name: Arc<str> = name.into();
    if let Some(held) = locks.get_mut(&name) {
        held.clones += 1;
        return Ok(Some(ProcessLock { name }));
    }
    let file = open(&name)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => {
            return Err(
                Error::new(ErrorKind::InvalidConfig, format!("the file cannot be locked: {error}")).with_source(error)
            );
        }
    }
    locks.insert(Arc::clone(&name), Held { clones: 1, file });
    Ok(Some(ProcessLock { name }))
}

fn open(name: &str) -> Result<File, Error> {
    let folder = std::env::temp_dir().join(FOLDER);
    let path: PathBuf = folder.join(format!("{name}.lock"));
    let failed = |error: io::Error| {
        Error::new(ErrorKind::InvalidConfig, format!("the lock file: {error}")).in_file(&path).with_source(error)
    };
    if fs::create_dir(&folder).is_ok()
        && let Ok(folder) = File::open(&folder)
    {
        open_to_all(&folder, 0o1777);
    }
    // The folder is everybody's, so anything may be in the file's place. No link is followed to make a file elsewhere.
    match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
        Ok(file) => {
            open_to_all(&file, 0o644);
            return Ok(file);
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    // To open a pipe could take for ever.
    if !fs::metadata(&path).map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("what is in its place is no file")));
    }
    match OpenOptions::new().read(true).write(true).open(&path) {
        Ok(file) => Ok(file),
        // Made by another user: reading is enough for a lock.
        Err(_) => File::open(&path).map_err(failed),
    }
}

/// Other users of the machine shall be able to take locks as well, whatever is masked from what this process makes.
#[cfg(unix)]
fn open_to_all(made: &File, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    // If it fails, other users are told that the file cannot be opened.
    let _ = made.set_permissions(fs::Permissions::from_mode(mode));
}

#[cfg(not(unix))]
fn open_to_all(_made: &File, _mode: u32) {}
