//! This program, made ready to be the guest's first process: without what only debuggers read, and
//! with the shared libraries that it is linked with.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::GuestError;
use super::cpio::Archive;

/// In the guest: the program.
pub const INIT: &str = "init";
/// In the guest: paths of the libraries, a line each.
pub const LIBRARIES: &str = "libraries";

/// An archive with the program as `/init` and its libraries where the loader looks for them.
pub fn archive(program: &Path) -> Result<Vec<u8>, GuestError> {
    let mut archive = Archive::default();
    for folder in ["dev", "host", "proc", "sys"] {
        archive.folder(folder);
    }
    let file = std::fs::read(program).map_err(GuestError::file(program))?;
    archive.file(INIT, &loaded_part(file));
    let mut list = String::new();
    for library in libraries(program).map_err(GuestError::file(program))? {
        let file = std::fs::read(&library).map_err(GuestError::file(&library))?;
        let path = library.to_string_lossy();
        archive.file(path.trim_start_matches('/'), &file);
        list += &format!("{path}\n");
    }
    archive.file(LIBRARIES, list.as_bytes());
    Ok(archive.finish())
}

/// The shared libraries of a program and its loader, as the loader itself finds them (ld.so(8),
/// `LD_TRACE_LOADED_OBJECTS`). None for one that is linked statically.
fn libraries(program: &Path) -> io::Result<Vec<PathBuf>> {
    let answer = Command::new(program)
        .arg("--version")
        .env("LD_TRACE_LOADED_OBJECTS", "1")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()?;
    Ok(listed(&String::from_utf8_lossy(&answer.stdout)))
}

/// Of `libc.so.6 => /lib/libc.so.6 (0x7f..)` and `/lib64/ld-linux-x86-64.so.2 (0x7f..)` the paths.
fn listed(text: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let (rest, _) = line.rsplit_once(" (0x")?;
        let path = rest.split("=>").last()?.trim();
        path.starts_with('/').then(|| PathBuf::from(path))
    };
    text.lines().filter_map(path).collect()
}

/// A program up to the end of its last segment that is loaded (elf(5)); the sections behind are
/// debug information and symbols, two thirds of the file. Anything unexpected is left whole.
fn loaded_part(mut file: Vec<u8>) -> Vec<u8> {
    if let Some(end) = end_of_loaded(&file) {
        file.truncate(end);
        // No section headers: e_shoff, e_shnum, e_shstrndx.
        file[0x28..0x30].fill(0);
        file[0x3c..0x40].fill(0);
    }
    file
}

fn end_of_loaded(file: &[u8]) -> Option<usize> {
    const LOAD: u32 = 1;
    let number = |at: usize, bytes: usize| {
        let mut value = [0; 8];
        value[..bytes].copy_from_slice(file.get(at..at.checked_add(bytes)?)?);
        usize::try_from(u64::from_le_bytes(value)).ok()
    };
    // 64 bits, little-endian.
    if file.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (headers, size, count) = (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?);
    let mut end = headers.checked_add(size * count)?.max(0x40);
    for index in 0..count {
        let at = headers.checked_add(index * size)?;
        if number(at, 4)? == LOAD as usize {
            end = end.max(number(at + 8, 8)?.checked_add(number(at + 32, 8)?)?);
        }
    }
    (end <= file.len()).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_runs_without_what_is_cut_off() {
        let own = std::env::current_exe().unwrap();
        let whole = std::fs::read(&own).unwrap();
        let part = loaded_part(whole.clone());
        assert!(part.len() < whole.len(), "{} of {}", part.len(), whole.len());
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy");
        std::fs::write(&copy, part).unwrap();
        std::fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let listed = Command::new(&copy).arg("--list").output().unwrap();
        assert!(listed.status.success());
        assert!(String::from_utf8_lossy(&listed.stdout).contains("a_program_runs_without"));
    }

    #[test]
    fn what_is_no_program_is_left_whole() {
        for bytes in [&b""[..], b"\x7fELF", b"#!/bin/sh", &[0xff; 200]] {
            assert_eq!(loaded_part(bytes.to_vec()), bytes);
        }
        let mut wild = vec![0xff; 200];
        wild[..6].copy_from_slice(b"\x7fELF\x02\x01");
        assert_eq!(loaded_part(wild.clone()), wild);
    }

    #[test]
    fn libraries_are_found_as_the_loader_lists_them() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n\tlibnone.so => not found\n";
        let paths = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(listed(text), paths.map(PathBuf::from));
        let own = libraries(&std::env::current_exe().unwrap()).unwrap();
        assert!(own.iter().all(|path| path.exists()) && !own.is_empty());
    }
}
