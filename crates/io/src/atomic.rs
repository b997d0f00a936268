//! Files that are either whole or not there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Result};

/// Writes `path` so that at any moment it is the old file or the new one, never a part.
///
/// `write` fills a file of a temporary name in the same folder, which is synced and takes the name `path` when it is
/// whole. Where anything fails, the temporary file is removed and `path` is what it was.
///
/// ```
/// use std::io::Write;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("summary.json");
/// occam_io::atomic_write(&path, |file| file.write_all(b"{}"))?;
/// assert_eq!(std::fs::read(&path)?, b"{}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// `write` fails, or the folder cannot be written.
pub fn atomic_write(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    replace(path, write).map_err(Error::io("write", path))
}

fn replace(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    if path.file_name().is_none() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path does not end in a file name"));
    }
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let (temporary, file) = Temporary::create(folder)?;
    let mut file = BufWriter::new(file);
    write(&mut file)?;
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    // Some systems refuse to rename a file that is open.
    drop(file);
    temporary.rename(path)?;
    sync_folder(folder);
    Ok(())
}

/// A file that is removed when dropped, unless it was renamed before.
struct Temporary {
    path: PathBuf,
    renamed: bool,
}

impl Temporary {
    /// The name does not depend on the final one, which may already be as long as names can be.
    fn create(folder: &Path) -> io::Result<(Self, File)> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        loop {
            let n = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!(".occam-{}-{n}.tmp", process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((Self { path, renamed: false }, file)),
                // Left by a process of the same id that was killed.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn rename(mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // Nothing can be done about a failure here; the error that led here is the one to report.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes the new name itself survive a power cut, on systems that can.
///
/// The file is whole and in its place by now: a file system that cannot sync folders is no failure of the write.
fn sync_folder(folder: &Path) {
    if cfg!(unix) {
        let _ = File::open(folder).and_then(|f| f.sync_all());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn replaces_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        atomic_write(&path, |f| f.write_all(b"old")).unwrap();
        atomic_write(&path, |f| f.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn a_failure_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        atomic_write(&path, |f| f.write_all(b"old")).unwrap();
        let error = atomic_write(&path, |f| {
            f.write_all(b"half")?;
            Err(io::Error::other("the disk is full"))
        });
        assert!(error.unwrap_err().to_string().contains("the disk is full"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn errors_name_the_file() {
        let error = atomic_write("/no/such/folder/a", |_| Ok(())).unwrap_err().to_string();
        assert!(error.contains("`/no/such/folder/a`"), "{error}");
        assert!(atomic_write("..", |_| Ok(())).is_err());
    }

    #[test]
    fn the_longest_name_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x".repeat(255));
        atomic_write(&path, |f| f.write_all(b"1")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"1");
    }
}
