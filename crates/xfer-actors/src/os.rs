//! What is asked of the operating system about files by their names, so that it can be replaced.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Longest file name that common file systems take, in bytes (`NAME_MAX`).
const NAME_MAX: usize = 255;

/// Sizes, temporary names, renames and removals of files, and what makes sure of their bytes. Each method has the behaviour of [`SystemFiles`] by default.
///
/// ```
/// use std::path::{Path, PathBuf};
/// use xfer_actors::OsUtils;
///
/// /// Temporary files are hidden.
/// #[derive(Debug)]
/// struct Hidden;
///
/// impl OsUtils for Hidden {
///     fn temp_filename(&self, target: &Path) -> PathBuf {
///         target.with_file_name(format!(".part-{:08x}", 7))
///     }
/// }
/// assert_eq!(Hidden.temp_filename(Path::new("/data/a.bin")), Path::new("/data/.part-00000007"));
/// ```
pub trait OsUtils: fmt::Debug + Send + Sync + 'static {
    /// Size of a file in bytes.
    ///
    /// # Errors
    /// What the operating system says.
    fn file_size(&self, path: &Path) -> io::Result<u64> {
        std::fs::metadata(path).map(|metadata| metadata.len())
    }

    /// Size in bytes of a file that was looked at a moment ago; by default asked for anew, since a view of files of its own may have
    /// another.
    ///
    /// # Errors
    /// What the operating system says.
    fn size_of(&self, path: &Path, _seen: &std::fs::Metadata) -> io::Result<u64> {
        self.file_size(path)
    }

    /// A name for a temporary file, in the directory of `target` so that it can be renamed over it. Called again when a file of that
    /// name exists.
    fn temp_filename(&self, target: &Path) -> PathBuf {
        beside(target, fastrand::u32(..))
    }

    /// Hears of every write that failed after it had been taken, before the file gets its name: called, on a thread for blocking calls,
    /// where the file system is not known to be local, since such ones (NFS above all) tell only then that there is no space, or no
    /// server, any more. What cannot be synced at all counts as written.
    ///
    /// # Errors
    /// What the operating system says; the download then fails and the temporary file is removed.
    fn write_back(&self, file: &File) -> io::Result<()> {
        match file.sync_data() {
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
            result => result,
        }
    }

    /// Gives the file `from` the name `to`, replacing what has it.
    ///
    /// # Errors
    /// What the operating system says; the download then fails and the temporary file is removed.
    fn rename_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    /// Removes a temporary file; one that is not there counts as removed.
    ///
    /// # Errors
    /// What the operating system says.
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

/// The operating system as it is.
///
/// ```
/// use std::path::Path;
/// use xfer_actors::{OsUtils, SystemFiles};
///
/// let name = SystemFiles.temp_filename(Path::new("/data/a.bin"));
/// // Beside the target, so that it can be renamed over it: `/data/a.bin.1f3c09b2`, say.
/// assert_eq!((name.parent(), name.extension().map(|hex| hex.len())), (Some(Path::new("/data")), Some(8)));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemFiles;

impl OsUtils for SystemFiles {
    fn size_of(&self, _path: &Path, seen: &std::fs::Metadata) -> io::Result<u64> {
        Ok(seen.len())
    }
}

/// The same path from the root on, so that it stays the same when the process goes to another directory. Asks for the current one only if
/// it has to; one that has no name any more has no files either, and then the path is of no use as it is.
pub(crate) fn absolute(path: PathBuf) -> PathBuf {
    if path.is_absolute() { path } else { std::path::absolute(&path).unwrap_or(path) }
}

/// `<name>.<8 hex digits>` beside `target`, as `s3transfer` names it; the name is cut where the whole would be too long.
fn beside(target: &Path, draw: u32) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let mut room = (NAME_MAX - 9).min(name.len());
    while !name.is_char_boundary(room) {
        room -= 1;
    }
    target.with_file_name(format!("{}.{draw:08x}", &name[..room]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_within_the_limit_and_within_characters() {
        assert_eq!(beside(Path::new("/a/b"), 0xab), Path::new("/a/b.000000ab"));
        assert_eq!(beside(Path::new("b"), 1), Path::new("b.00000001"));
        for name in ["x".repeat(255), "é".repeat(127), "日".repeat(85)] {
            let made = beside(&Path::new("/d").join(&name), 1);
            let made = made.file_name().unwrap_or_default().to_string_lossy().into_owned();
            assert!(made.len() <= NAME_MAX && made.len() > NAME_MAX - 4 && made.ends_with(".00000001"), "{made}");
        }
    }
}
