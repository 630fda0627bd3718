//! Writing that survives a crash: readers see the old file or the new one, never a part.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

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
