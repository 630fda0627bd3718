//! Writing that survives a crash: readers see the old file or the new one, never a part.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes `name` in `folder` beside its place and renames it there. Does not bring a vanished folder
/// back. With `sync` it is on the disk when this returns.
///
/// # Errors
/// Those of the file system; nothing is left behind.
pub fn replace(folder: &Path, name: &str, text: &str, sync: bool) -> io::Result<()> {
    let half = folder.join(format!(".{name}.{}.new", std::process::id()));
    let written = write(&half, text, sync).and_then(|()| fs::rename(&half, folder.join(name)));
    if written.is_err() {
        let _ = fs::remove_file(&half);
    }
    written?;
    match sync {
        true => sync_folder(folder),
        false => Ok(()),
    }
}

/// Writes a file that somebody asked for by name: whole, or as it was before. What is no regular file (a pipe, a
/// link, a terminal) is written to as it stands.
///
/// # Errors
/// Those of the file system; nothing is left behind.
pub fn output(path: &Path, text: &str) -> io::Result<()> {
    let mut output = Output::create(path)?;
    output.write_all(text.as_bytes())?;
    output.finish()
}

/// A file that somebody asked for by name, written piece by piece: in its place once it is finished, as [`output`] has
/// it; dropped before, nothing of it is left.
#[derive(Debug)]
pub struct Output {
    file: BufWriter<File>,
    /// Where it is written until it is finished, and where it belongs.
    moved: Option<(PathBuf, PathBuf)>,
}

impl Output {
    /// Begins a file.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn create(path: &Path) -> io::Result<Output> {
        let special = fs::symlink_metadata(path).is_ok_and(|found| !found.is_file());
        let name = path.file_name().and_then(OsStr::to_str).filter(|_| !special);
        let moved = name.map(|name| {
            let half = path.with_file_name(format!(".{name}.{}.new", std::process::id()));
            (half, path.to_owned())
        });
        let file = File::create(moved.as_ref().map_or(path, |(half, _)| half))?;
        Ok(Output {
            file: BufWriter::new(file),
            moved,
        })
    }

    /// Puts it into its place.
    ///
    /// # Errors
    /// Those of the file system; nothing is left behind.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.flush()?;
        if let Some((half, place)) = &self.moved {
            fs::rename(half, place)?;
            self.moved = None;
        }
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some((half, _)) = &self.moved {
            let _ = fs::remove_file(half);
        }
    }
}

fn write(path: &Path, text: &str, sync: bool) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    match sync {
        true => file.sync_all(),
        false => Ok(()),
    }
}

/// Puts renames within a folder on the disk. File systems that cannot say so are believed.
fn sync_folder(folder: &Path) -> io::Result<()> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    match synced {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_by_name_is_replaced_whole_and_links_stay_links() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("page.html"), folder.path().join("latest"));
        output(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        output(&link, "new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        output(Path::new("/dev/null"), "gone").unwrap();
        assert!(!fs::symlink_metadata("/dev/null").unwrap().is_file());
        assert!(output(&folder.path().join("no/page.html"), "").is_err());
        let mut half = Output::create(&file).unwrap();
        half.write_all(b"half").unwrap();
        drop(half);
        assert_eq!(
            fs::read_to_string(&file).unwrap(),
            "new",
            "what is not finished is as before"
        );
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            2,
            "nothing else is left"
        );
    }
}
