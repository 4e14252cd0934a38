//! The files that clients read and write, and the pages for them.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::workload::{Kind, Place, Workload};
use crate::stream::{Object, Stream, number};

/// Folders of one series; they are removed with this.
pub(crate) struct Files {
    memory: PathBuf,
    disk: PathBuf,
    work: PathBuf,
    source: PathBuf,
}

impl Files {
    /// Makes folders of its own in those given.
    pub(crate) fn new(memory: &Path, disk: &Path) -> io::Result<Self> {
        let name = format!("xfer-bench-{}", std::process::id());
        let memory = std::path::absolute(memory)?.join(&name);
        let disk = std::path::absolute(disk)?.join(&name);
        let (source, work) = (memory.join("source"), disk.join("work"));
        let files = Self { memory, disk, work, source };
        fs::create_dir_all(&files.memory)?;
        fs::create_dir_all(&files.work)?;
        Ok(files)
    }

    /// Makes what a workload reads.
    pub(crate) fn prepare(&self, workload: &Workload) -> io::Result<()> {
        let key = workload.key();
        let object = |key: &str| Object::of(key).ok_or_else(|| io::Error::other("a key without a size"));
        match workload.kind {
            Kind::Put => object(&key)?.write(&self.source),
            Kind::PutMany => {
                fs::create_dir(&self.source)?;
                (0..workload.count).try_for_each(|index| {
                    let name = number(index);
                    object(&format!("{key}{name}"))?.write(&self.source.join(name))
                })
            }
            Kind::Get | Kind::GetMany | Kind::DeleteMany => Ok(()),
        }
    }

    /// Removes what a client wrote, and fills the pool for what the next one will write.
    pub(crate) fn begin(&self, workload: &Workload) -> io::Result<Option<PathBuf>> {
        let target = self.target(workload);
        if let Some(folder) = target.parent() {
            remove(folder)?;
        }
        fs::create_dir_all(if workload.kind == Kind::GetMany { &target } else { target.parent().unwrap_or(&target) })?;
        if workload.place == Place::Disk {
            nix::unistd::sync();
            return Ok(None);
        }
        if !matches!(workload.kind, Kind::Get | Kind::GetMany) {
            return Ok(None);
        }
        let pool = self.memory.join("pool");
        let mut file = File::options().append(true).create(true).open(&pool)?;
        let mut size = file.metadata()?.len();
        while size < workload.bytes() {
            let slice = Stream::get().slice(0, workload.bytes() - size);
            io::Write::write_all(&mut file, slice)?;
            size += slice.len() as u64;
        }
        Ok(Some(pool))
    }

    /// Compares what a client wrote with what it should have.
    pub(crate) fn check(&self, workload: &Workload, target: &Path) -> io::Result<()> {
        let key = workload.key();
        let check = |key: &str, path: &Path| Object::of(key).map_or(Ok(()), |object| object.check(path));
        if workload.kind == Kind::Get {
            return check(&key, target);
        }
        (0..workload.count).map(number).try_for_each(|name| check(&format!("{key}{name}"), &target.join(&name)))
    }

    /// Removes the files of a workload.
    pub(crate) fn forget(&self) -> io::Result<()> {
        for name in ["source", "pool", "target"] {
            remove(&self.memory.join(name))?;
        }
        remove(&self.disk.join("target"))
    }

    /// What is uploaded: a file or a folder.
    pub(crate) fn source(&self) -> &Path {
        &self.source
    }

    /// Where a download goes: a file or a folder.
    pub(crate) fn target(&self, workload: &Workload) -> PathBuf {
        let place = match workload.place {
            Place::Memory => &self.memory,
            Place::Disk => &self.disk,
        };
        place.join("target").join("object")
    }

    /// For lists, reports and logs.
    pub(crate) fn work(&self) -> &Path {
        &self.work
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // There is nothing else to be done about what cannot be removed.
        let _ = fs::remove_dir_all(&self.memory);
        let _ = fs::remove_dir_all(&self.disk);
    }
}

fn remove(path: &Path) -> io::Result<()> {
    let result = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
