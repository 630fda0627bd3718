//! Registered memory: regions that the endpoint owns, found by key, with bounds and access checked at
//! every use.

use crate::network::rdma::provider::{Access, Memory};

/// Regions begin this far apart at least, so that an address past the end of one is in no other.
const GUARD: u64 = 1 << 16;
/// Where addresses begin: not at 0, so that an address of 0 is a mistake that is seen.
const FIRST_ADDRESS: u64 = 1 << 44;
/// As many regions have keys.
const MOST: usize = 1 << 24;

/// A use of memory that is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no access to {bytes} bytes at {address:#x} by key {key:#x}")]
pub struct Refused {
    /// Key that was shown.
    pub key: u32,
    /// First byte.
    pub address: u64,
    /// How many.
    pub bytes: u64,
}

#[derive(Debug)]
struct Region {
    key: u32,
    address: u64,
    access: Access,
    bytes: Vec<u8>,
}

/// All registered memory of an endpoint.
#[derive(Debug, Default)]
pub struct Regions {
    list: Vec<Region>,
    end: u64,
}

impl Regions {
    /// Makes a region of zeros.
    pub fn register(&mut self, bytes: u64, access: Access) -> std::io::Result<Memory> {
        let full = || std::io::Error::from(std::io::ErrorKind::OutOfMemory);
        let id = self.list.len();
        let length = usize::try_from(bytes).map_err(|_| full())?;
        if id >= MOST {
            return Err(full());
        }
        let mut content = Vec::new();
        content.try_reserve_exact(length).map_err(|_| full())?;
        content.resize(length, 0);
        let address = self.end.max(FIRST_ADDRESS);
        self.end = (address + bytes).next_multiple_of(4096) + GUARD;
        // The low byte only makes keys of different regions look different.
        let key = (id as u32 + 1) << 8 | (id as u32).wrapping_mul(0x9d) & 0xff;
        self.list.push(Region {
            key,
            address,
            access,
            bytes: content,
        });
        Ok(Memory {
            id,
            address,
            bytes,
            local_key: key,
            remote_key: key,
        })
    }

    fn find(&self, key: u32, address: u64, bytes: u64) -> Option<(usize, usize)> {
        let index = (key >> 8).checked_sub(1)? as usize;
        let region = self.list.get(index).filter(|region| region.key == key)?;
        let offset = address.checked_sub(region.address)?;
        let end = offset.checked_add(bytes)?;
        (end <= region.bytes.len() as u64).then_some((index, offset as usize))
    }

    /// Checks that a peer may do with memory what `access` says.
    pub fn check(&self, key: u32, address: u64, bytes: u64, access: Access) -> Result<(), Refused> {
        match self.find(key, address, bytes) {
            Some((index, _)) if self.list[index].access == access => Ok(()),
            _ => Err(Refused { key, address, bytes }),
        }
    }

    /// Memory to be read.
    pub fn slice(&self, key: u32, address: u64, bytes: usize) -> Result<&[u8], Refused> {
        match self.find(key, address, bytes as u64) {
            Some((index, offset)) => Ok(&self.list[index].bytes[offset..offset + bytes]),
            None => Err(Refused {
                key,
                address,
                bytes: bytes as u64,
            }),
        }
    }

    /// Memory to be written.
    pub fn slice_mut(&mut self, key: u32, address: u64, bytes: usize) -> Result<&mut [u8], Refused> {
        match self.find(key, address, bytes as u64) {
            Some((index, offset)) => Ok(&mut self.list[index].bytes[offset..offset + bytes]),
            None => Err(Refused {
                key,
                address,
                bytes: bytes as u64,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_bounds_and_access_are_checked() {
        let mut regions = Regions::default();
        let one = regions.register(100, Access::RemoteWrite).unwrap();
        let two = regions.register(100, Access::RemoteRead).unwrap();
        assert_ne!(one.remote_key, two.remote_key);
        let may = |m: &Memory, from: u64, bytes: u64, access: Access| {
            regions
                .check(m.remote_key, m.address + from, bytes, access)
                .is_ok()
        };
        assert!(may(&one, 0, 100, Access::RemoteWrite));
        assert!(may(&one, 100, 0, Access::RemoteWrite));
        assert!(!may(&one, 1, 100, Access::RemoteWrite), "past the end");
        assert!(!may(&one, 0, 1, Access::RemoteRead), "not granted");
        assert!(
            !may(&one, u64::MAX - one.address, 2, Access::RemoteWrite),
            "wraps"
        );
        assert!(
            regions
                .check(one.remote_key, two.address, 1, Access::RemoteWrite)
                .is_err()
        );
        for key in [0, 1, u32::MAX, one.remote_key ^ 1] {
            assert!(regions.slice(key, one.address, 1).is_err(), "key {key:#x}");
        }
        assert!(regions.register(u64::MAX, Access::Local).is_err());
    }
}
