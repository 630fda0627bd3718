//! SHA-256 of the files of a run folder, so that a flipped bit or an edit has a name. The manifest
//! lists the others' digests and holds its own, taken with zeros in its place.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What stands in the manifest while its own digest is taken.
pub const BLANK: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// The manifest's field of its own digest.
const OWN: &str = "\"manifest_sha256\": \"";

/// Length and SHA-256 of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Length, bytes.
    pub bytes: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}

/// Takes a digest piece by piece.
#[derive(Debug, Clone, Default)]
pub struct Hasher {
    bytes: u64,
    sha256: Sha256,
}

impl Hasher {
    /// Takes in the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        self.sha256.update(piece);
    }

    /// The digest of all pieces so far.
    pub fn digest(&self) -> Digest {
        let hash = self.sha256.clone().finalize();
        Digest {
            bytes: self.bytes,
            sha256: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

impl Digest {
    /// Of bytes in memory.
    pub fn of(bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::default();
        hasher.update(bytes);
        hasher.digest()
    }

    /// Of a file.
    ///
    /// # Errors
    /// Those of reading it.
    pub fn of_file(path: &Path) -> io::Result<Digest> {
        let (mut file, mut hasher) = (File::open(path)?, Hasher::default());
        let mut piece = vec![0; 1 << 16];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(hasher.digest()),
                read => hasher.update(&piece[..read]),
            }
        }
    }

    /// What is wrong with a file `name` that has the digest `found` instead of this one; `None`: nothing.
    pub fn differs(&self, name: &str, found: &Digest) -> Option<String> {
        match found {
            found if found == self => None,
            found if found.bytes != self.bytes => Some(format!(
                "{name} is not as it was written: {} bytes instead of {}",
                found.bytes, self.bytes
            )),
            _ => Some(format!("{name} is not as it was written: its SHA-256 differs")),
        }
    }
}

/// The text of a manifest with its own digest in place of [`BLANK`], and that digest.
pub fn seal(manifest: &str) -> (String, String) {
    let blank = format!("{OWN}{BLANK}");
    let own = Digest::of(manifest.as_bytes()).sha256;
    (manifest.replacen(&blank, &format!("{OWN}{own}"), 1), own)
}

/// Whether the manifest is as it was sealed; `None` when it was not.
pub fn is_sealed(manifest: &str) -> Option<bool> {
    let (before, rest) = manifest.split_once(OWN)?;
    let (own, after) = rest.split_at_checked(BLANK.len())?;
    let mut hasher = Hasher::default();
    for piece in [before, OWN, BLANK, after] {
        hasher.update(piece.as_bytes());
    }
    Some(hasher.digest().sha256 == own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_example() {
        // FIPS 180-4, "abc".
        let digest = Digest::of(b"abc");
        assert!(digest.sha256.starts_with("ba7816bf8f01cfea414140de5dae2223"));
        assert_eq!(digest.bytes, 3);
    }

    #[test]
    fn a_seal_breaks_with_any_byte() {
        let (sealed, _) = seal(&format!("{{\"a\": 1, {OWN}{BLANK}\", \"b\": 2}}"));
        assert_eq!(is_sealed(&sealed), Some(true));
        for place in 0..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[place] ^= 1;
            let text = String::from_utf8(bytes).expect("still ASCII");
            assert_ne!(is_sealed(&text), Some(true), "byte {place}");
        }
        assert_eq!(is_sealed("{}"), None);
    }
}
