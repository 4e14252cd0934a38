//! Files as targets: a temporary file beside the target, renamed over it at the end.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use xfer_core::disk::is_large;
use xfer_core::error::{Error, ErrorKind};

use super::direct::DirectFile;
use super::write_error;
use crate::descriptors::open_error;
use crate::disk::GatedFile;
use crate::os::{OsUtils, absolute};

/// How many random names are tried; a second try is already a rare thing.
const NAME_TRIES: u32 = 16;
/// So many symbolic links are followed one behind the other, as by Linux.
const MOST_LINKS: u32 = 40;

pub(super) enum Inspected {
    Regular(FileTarget),
    Device(Device),
}

/// A device or a pipe. Opened with the first write, also of no bytes, on the thread that makes it: opening a pipe waits for its reader.
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
    let given = path.clone();
    let refuse = |text: String| Error::new(ErrorKind::TargetUnavailable, text).in_file(&given);
    let nameless = || refuse("it has no file name".to_owned());
    if path.file_name().is_none() {
        return Err(nameless());
    }
    // It is made when its turn comes, and the process may be in another directory by then.
    let mut real = absolute(path);
    let mut there = std::fs::symlink_metadata(&real).ok();
    if there.as_ref().is_some_and(Metadata::is_symlink) {
        // Renaming over a symbolic link would replace the link: the file that it points to is what is meant.
        real = behind_links(real).map_err(|error| refuse(error.to_string()).with_source(error))?;
        if real.file_name().is_none() {
            return Err(nameless());
        }
        there = std::fs::metadata(&real).ok();
    }
    if let Some(there) = &there {
        if there.is_dir() {
            return Err(refuse("it is a directory".to_owned()));
        }
        if !there.is_file() {
            return Ok(Inspected::Device(Device { path: real, file: None }));
        }
    }
    let directory = directory_of(&real);
    let device = match std::fs::metadata(directory) {
        Ok(metadata) if metadata.is_dir() => system::device(&metadata),
        Ok(_) => return Err(refuse(format!("{} is not a directory", directory.display()))),
        Err(error) => {
            return Err(refuse(format!("the directory {}: {error}", directory.display())).with_source(error));
        }
    };
    let replaced = |there: Metadata| Box::new(Replaced { length: there.len(), permissions: there.permissions() });
    let (path, replaces, state) = (real.into_boxed_path(), there.map(replaced), Mutex::new(State::Absent));
    Ok(Inspected::Regular(FileTarget { path, replaces, device, state, os: Arc::clone(os) }))
}

/// The file that this symbolic link leads to, over all links on the way; also one that is still to be made.
fn behind_links(link: PathBuf) -> io::Result<PathBuf> {
    let mut path = link;
    for _ in 0..MOST_LINKS {
        match std::fs::canonicalize(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            real => return real,
        }
        match std::fs::read_link(&path) {
            Ok(to) => path = directory_of(&path).join(to),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A file that comes into being under a temporary name.
pub(crate) struct FileTarget {
    path: Box<Path>,
    /// The file that had the name when the call was made.
    replaces: Option<Box<Replaced>>,
    /// What its directory is on.
    device: Option<u32>,
    state: Mutex<State>,
    os: Arc<dyn OsUtils>,
}

struct Replaced {
    length: u64,
    permissions: Permissions,
}

/// How far it has come. It ends once: an attempt that is late makes no file of an ended download.
enum State {
    Absent,
    Made(Arc<Temporary>),
    Committed,
    Discarded,
}

/// The temporary file; removed when dropped.
struct Temporary {
    path: PathBuf,
    file: Arc<GatedFile>,
    /// Bytes that it is going to have.
    size: AtomicU64,
    /// The same once more, if it is large and the disk takes it.
    direct: OnceLock<Arc<DirectFile>>,
    /// Whether it has its name.
    kept: Mutex<bool>,
    os: Arc<dyn OsUtils>,
}

impl Temporary {
    /// Gives the file its name, replacing what was there.
    fn rename(&self, to: &Path, replaces: Option<&Permissions>) -> Result<(), Error> {
        let mut kept = self.kept.lock();
        // An attempt before this one may have come so far without anybody hearing of it.
        if *kept {
            return Ok(());
        }
        if let Some(seen) = replaces
            && let Err(error) = system::keep_permissions(&self.file, to, seen)
        {
            // It stays its owner's alone, as it was made.
            tracing::warn!(path = %to.display(), %error, "the permissions of the file that is replaced cannot be kept");
        }
        self.os.rename_file(&self.path, to).map_err(|error| {
            Error::new(ErrorKind::TargetWrite, format!("renaming {}: {error}", self.path.display()))
                .in_file(to)
                .with_source(error)
        })?;
        *kept = true;
        Ok(())
    }

    fn is_large(&self) -> bool {
        is_large(self.size.load(Ordering::Relaxed))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !*self.kept.get_mut()
            && let Err(error) = self.os.remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "a temporary file cannot be removed");
        }
    }
}

impl FileTarget {
    /// The temporary file, made at the first call.
    pub(crate) fn open(&self) -> Result<Arc<GatedFile>, Error> {
        self.with_made(|made| Ok(Arc::clone(&made.file)))
    }

    /// Makes ready for `size` bytes, to be written `directly` if that can be.
    pub(crate) fn expect(&self, size: u64, directly: bool) -> Result<(), Error> {
        self.with_made(|made| {
            made.size.store(size, Ordering::Relaxed);
            if directly
                && made.direct.get().is_none()
                && let Some(direct) =
                    DirectFile::open(&made.path, &made.file, size).map_err(|error| self.write_error(error))?
            {
                made.direct.get_or_init(|| Arc::new(direct));
            }
            Ok(())
        })
    }

    /// The file for direct writes, if the next part is to be written so.
    pub(crate) fn direct(&self) -> Option<Arc<DirectFile>> {
        match &*self.state.lock() {
            State::Made(made) => made.direct.get().filter(|direct| direct.is_on()).cloned(),
            _ => None,
        }
    }

    fn with_made<T>(&self, act: impl FnOnce(&Temporary) -> Result<T, Error>) -> Result<T, Error> {
        let mut state = self.state.lock();
        match &*state {
            State::Made(made) => return act(made),
            State::Absent => {}
            State::Committed | State::Discarded => return Err(self.ended()),
        }
        let (path, file) = create_beside(&self.path, self.replaces.is_some(), self.os.as_ref())?;
        let made = Temporary {
            path,
            file: Arc::new(GatedFile::from(file)),
            size: AtomicU64::new(0),
            direct: OnceLock::new(),
            kept: Mutex::new(false),
            os: Arc::clone(&self.os),
        };
        let result = act(&made);
        *state = State::Made(Arc::new(made));
        result
    }

    fn ended(&self) -> Error {
        Error::new(ErrorKind::Cancelled, "the download has ended").in_file(&*self.path)
    }

    /// The temporary file that is to get the name; none if it has it.
    fn to_commit(&self) -> Result<Option<Arc<Temporary>>, Error> {
        match &*self.state.lock() {
            State::Made(made) => Ok(Some(Arc::clone(made))),
            State::Committed => Ok(None),
            State::Discarded => Err(self.ended()),
            State::Absent => Err(Error::internal("there is no temporary file to rename").in_file(&*self.path)),
        }
    }

    /// Whether it takes microseconds to give the file its name: not where its bytes may be on their way to a server still, and not where
    /// a large file is replaced, whose pages and blocks are freed, or by one, whose blocks are allocated then.
    pub(crate) fn commits_at_once(&self) -> bool {
        match &*self.state.lock() {
            State::Made(made) => self.is_local(made) && !self.replaces_much(made),
            _ => true,
        }
    }

    fn is_local(&self, made: &Temporary) -> bool {
        crate::disk::is_local(self.device, &made.file)
    }

    fn replaces_much(&self, made: &Temporary) -> bool {
        self.replaces.as_ref().is_some_and(|replaced| is_large(replaced.length) || made.is_large())
    }

    /// Gives the file its name, replacing what was there, and closes it.
    pub(crate) fn commit_at_once(&self) -> Result<(), Error> {
        if let Some(made) = self.to_commit()? {
            made.rename(&self.path, self.replaces.as_ref().map(|replaced| &replaced.permissions))?;
            *self.state.lock() = State::Committed;
        }
        Ok(())
    }

    /// The same where it may take long: on another thread, and when it is certain that the file has all its bytes.
    pub(crate) async fn commit(&self) -> Result<(), Error> {
        let Some(made) = self.to_commit()? else { return Ok(()) };
        let may_lose = !self.is_local(&made);
        if !may_lose && !self.replaces_much(&made) {
            drop(made);
            return self.commit_at_once();
        }
        let (path, replaces) = (self.path.clone(), self.replaces.as_ref().map(|replaced| replaced.permissions.clone()));
        let renamed = tokio::task::spawn_blocking(move || {
            if may_lose {
                made.os.write_back(&made.file).map_err(|error| write_error(error).in_file(&*path))?;
            }
            made.rename(&path, replaces.as_ref())
        });
        renamed.await.map_err(|_| Error::internal("the thread that renames is gone").in_file(&*self.path))??;
        *self.state.lock() = State::Committed;
        Ok(())
    }

    /// Removes the temporary file, unless it was renamed.
    pub(crate) fn discard(&self) {
        drop(self.give_up());
    }

    /// The same where a large one would hold others up: on another thread.
    pub(crate) async fn discard_elsewhere(&self) {
        let Some(made) = self.give_up() else { return };
        if made.is_large() {
            // If that thread is gone, so is the file: it was dropped with its task.
            let _ = tokio::task::spawn_blocking(move || drop(made)).await;
        }
    }

    /// The temporary file, which is removed when it is dropped; nobody else gets it from now on.
    fn give_up(&self) -> Option<Arc<Temporary>> {
        let mut state = self.state.lock();
        if matches!(*state, State::Committed) {
            return None;
        }
        match std::mem::replace(&mut *state, State::Discarded) {
            State::Made(made) => Some(made),
            _ => None,
        }
    }

    pub(crate) fn write_error(&self, error: io::Error) -> Error {
        write_error(error).in_file(&*self.path)
    }
}

/// Creates a temporary file beside `target`: what replaces a file is its owner's alone until it has that one's permissions.
fn create_beside(target: &Path, replaces: bool, os: &dyn OsUtils) -> Result<(PathBuf, File), Error> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    if replaces {
        system::private(&mut options);
    }
    let mut tries = 0;
    loop {
        tries += 1;
        let path = os.temp_filename(target);
        match options.open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < NAME_TRIES => {}
            Err(error) => {
                let kind = match write_error(io::Error::from(error.kind())).kind() {
                    ErrorKind::DiskFull => ErrorKind::DiskFull,
                    _ => ErrorKind::TargetUnavailable,
                };
                return Err(open_error(error, kind).in_file(target));
            }
        }
    }
}

#[cfg(unix)]
mod system {
    use std::fs::{File, Metadata, OpenOptions, Permissions};
    use std::io;
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
    use std::path::Path;

    use xfer_core::disk::kept_mode;

    pub(super) fn device(directory: &Metadata) -> Option<u32> {
        // The kernel's own numbers have 32 bits.
        u32::try_from(directory.dev()).ok()
    }

    pub(super) fn private(options: &mut OpenOptions) {
        options.mode(0o600);
    }

    /// Gives `file` the permissions of the one at `path`, or those that were `seen` there if it is gone. Owner and group are kept where the
    /// system lets this process.
    pub(super) fn keep_permissions(file: &File, path: &Path, seen: &Permissions) -> io::Result<()> {
        let (there, ours) = (std::fs::metadata(path).ok(), file.metadata()?);
        let keeps_group = there.as_ref().is_none_or(|there| {
            (there.uid(), there.gid()) == (ours.uid(), ours.gid())
                || fchown(file, Some(there.uid()), Some(there.gid())).is_ok()
                || there.gid() == ours.gid()
                || fchown(file, None, Some(there.gid())).is_ok()
        });
        let mode = kept_mode(there.map_or(seen.clone(), |there| there.permissions()).mode(), keeps_group);
        if ours.mode() & 0o7777 == mode {
            return Ok(());
        }
        file.set_permissions(Permissions::from_mode(mode))
    }
}

#[cfg(not(unix))]
mod system {
    use std::fs::{File, Metadata, OpenOptions, Permissions};
    use std::io;
    use std::path::Path;

    pub(super) fn device(_directory: &Metadata) -> Option<u32> {
        None
    }

    pub(super) fn private(_options: &mut OpenOptions) {}

    /// Whoever may do what with a file is inherited from its directory there.
    pub(super) fn keep_permissions(_file: &File, _path: &Path, _seen: &Permissions) -> io::Result<()> {
        Ok(())
    }
}
