//! One process of a machine at a time: an advisory lock for those who want a single fast client per host.
//!
//! Nothing in xfer takes it by itself. It is a file lock, so it ends with its process, however that ends.

use std::collections::HashMap;
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Weak};

use parking_lot::Mutex;

use crate::{Error, ErrorKind};

const DEFAULT_NAME: &str = "xfer";
/// The folder for lock files, within the system's folder for temporary files.
const FOLDER: &str = "xfer_process_lock";

/// The locks of this process, so that asking twice gives the same one.
static HELD: LazyLock<Mutex<HashMap<String, Weak<Held>>>> = LazyLock::new(Mutex::default);

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
#[derive(Clone)]
#[must_use = "the lock is freed when this is dropped"]
pub struct ProcessLock {
    held: Arc<Held>,
}

struct Held {
    name: String,
    /// Locked as long as it is open.
    _file: File,
}

impl ProcessLock {
    /// The lock's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.held.name
    }
}

impl fmt::Debug for ProcessLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProcessLock({})", self.held.name)
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
/// the lock file cannot be made.
pub fn acquire_process_lock<'a>(name: impl Into<Option<&'a str>>) -> Result<Option<ProcessLock>, Error> {
    let name = name.into().unwrap_or(DEFAULT_NAME);
    if name.is_empty() || name.contains(['/', '\\', '\0']) || name == "." || name == ".." {
        return Err(Error::new(ErrorKind::InvalidArgument, format!("{name:?} cannot be the name of a lock")));
    }
    let mut held = HELD.lock();
    if let Some(lock) = held.get(name).and_then(Weak::upgrade) {
        return Ok(Some(ProcessLock { held: lock }));
    }
    let file = open(name)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => {
            return Err(
                Error::new(ErrorKind::InvalidConfig, format!("the file cannot be locked: {error}")).with_source(error)
            );
        }
    }
    held.retain(|_, lock| lock.strong_count() > 0);
    let lock = Arc::new(Held { name: name.to_owned(), _file: file });
    held.insert(name.to_owned(), Arc::downgrade(&lock));
    Ok(Some(ProcessLock { held: lock }))
}

fn open(name: &str) -> Result<File, Error> {
    let folder = std::env::temp_dir().join(FOLDER);
    let path: PathBuf = folder.join(format!("{name}.lock"));
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::InvalidConfig, format!("the lock file: {error}")).in_file(&path).with_source(error)
    };
    if std::fs::create_dir(&folder).is_ok() {
        open_to_all(&folder);
    }
    match OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path) {
        Ok(file) => Ok(file),
        // Made by another user: reading is enough for a lock.
        Err(_) => File::open(&path).map_err(failed),
    }
}

/// Other users of the machine shall be able to take locks as well, as with `awscrt`.
#[cfg(unix)]
fn open_to_all(folder: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    // If it fails, other users are told that the file cannot be made.
    let _ = std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o1777));
}

#[cfg(not(unix))]
fn open_to_all(_folder: &std::path::Path) {}
