//! The kernel proper out of a `bzImage`, and other compressed files of kernels. Booting the kernel
//! proper spares an emulated processor the unpacking, more than half of the time to boot.

use std::io::{self, Read};

/// More than any kernel or module; a longer one is a bomb.
const LONGEST: u64 = 512 << 20;
const ELF: &[u8] = b"\x7fELF";

/// The ELF file inside a `bzImage`, which loaders enter by the PVH protocol.
/// (Documentation/arch/x86/boot.rst: `setup_sects`, `payload_offset` and `payload_length`.)
pub fn vmlinux(image: &[u8]) -> Result<Vec<u8>, String> {
    if image.starts_with(ELF) {
        return Ok(image.to_vec());
    }
    if image.get(0x202..0x206) != Some(b"HdrS") {
        return Err("not a bzImage: it has no boot header".into());
    }
    let field = |at: usize| {
        let bytes = image.get(at..at + 4).ok_or("not a bzImage: too short")?;
        let bytes = bytes.try_into().map_err(|_| "not a bzImage: too short")?;
        Ok::<usize, &str>(u32::from_le_bytes(bytes) as usize)
    };
    // Before 2.00 of the protocol 0 stood for 4 sectors.
    let setup = match image[0x1f1] {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (setup + 1) * 512 + field(0x248)?;
    let end = start.saturating_add(field(0x24c)?);
    let payload = image.get(start..end).ok_or("its payload is cut short")?;
    let kernel = unpack(payload).map_err(|e| format!("its payload cannot be unpacked: {e}"))?;
    match kernel.starts_with(ELF) {
        true => Ok(kernel),
        false => Err("its payload is not an ELF file".into()),
    }
}

/// Unpacks gzip, xz and zstd, told by their first bytes; anything else is given back as it is. What
/// follows the compressed stream (a `bzImage` has its unpacked size there) is passed over.
pub fn unpack(bytes: &[u8]) -> io::Result<Vec<u8>> {
    match bytes {
        [0x1f, 0x8b, ..] => read(flate2::bufread::GzDecoder::new(bytes)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => read(lzma_rust2::XzReader::new(bytes, false)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(bytes);
            read(decoder.map_err(io::Error::other)?)
        }
        [0x02, 0x21, 0x4c, 0x18, ..] | [0x04, 0x22, 0x4d, 0x18, ..] => {
            Err(io::Error::other("lz4, which is not understood"))
        }
        plain => Ok(plain.to_vec()),
    }
}

fn read(from: impl Read) -> io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    from.take(LONGEST + 1).read_to_end(&mut unpacked)?;
    match unpacked.len() as u64 > LONGEST {
        true => Err(io::Error::other("unpacked, it is longer than 512 MiB")),
        false => Ok(unpacked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// A `bzImage` of two setup sectors around a payload.
    fn bzimage(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 3 * 512 + 16];
        image[0x1f1] = 2;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248..0x24c].copy_from_slice(&16u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image.extend(payload);
        image
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_kernel_is_found_behind_setup_and_before_its_size() {
        let kernel = [ELF, &[7; 5000]].concat();
        let payload = [gzip(&kernel), 5004u32.to_le_bytes().to_vec()].concat();
        assert_eq!(vmlinux(&bzimage(&payload)), Ok(kernel.clone()));
        assert_eq!(vmlinux(&kernel), Ok(kernel));
    }

    #[test]
    fn what_is_no_kernel_is_refused() {
        let fault = |image: &[u8]| vmlinux(image).unwrap_err();
        assert!(fault(b"").contains("boot header"));
        assert!(fault(&[0; 4096]).contains("boot header"));
        let whole = bzimage(&gzip(b"no ELF"));
        assert!(fault(&whole).contains("not an ELF"));
        assert!(fault(&whole[..whole.len() - 30]).contains("cut short"));
        assert!(fault(&whole[..0x240]).contains("too short"));
        let mut broken = bzimage(&gzip(&[3; 9000]));
        let middle = broken.len() - 20;
        broken.truncate(middle);
        broken[0x24c..0x250].copy_from_slice(&((middle - 3 * 512 - 16) as u32).to_le_bytes());
        assert!(fault(&broken).contains("unpacked"));
    }
}
