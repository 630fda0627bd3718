//! What belongs to the process until it is dropped: objects of libibverbs, and mappings.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};
use std::{fmt, io};

/// An object of libibverbs, given back when dropped: keep what was made of it no longer.
pub struct Made<T> {
    pointer: NonNull<T>,
    give_back: unsafe extern "C" fn(*mut T) -> c_int,
}

impl<T> Made<T> {
    /// What the library has answered; a null pointer is an error, whose reason is `errno`.
    ///
    /// # Safety
    /// The object was just made, nobody else gives it back, and `give_back` is how that is done.
    pub unsafe fn new(pointer: *mut T, give_back: unsafe extern "C" fn(*mut T) -> c_int) -> io::Result<Self> {
        let pointer = NonNull::new(pointer).ok_or_else(io::Error::last_os_error)?;
        Ok(Self { pointer, give_back })
    }

    /// As the library takes it.
    pub fn as_ptr(&self) -> *mut T {
        self.pointer.as_ptr()
    }

    /// What it says of itself.
    pub fn get(&self) -> &T {
        // SAFETY: it lives until it is given back, and the library's objects are complete when made.
        unsafe { self.pointer.as_ref() }
    }
}

impl<T> Drop for Made<T> {
    fn drop(&mut self) {
        // SAFETY: as promised when it was taken over; this happens once.
        unsafe { (self.give_back)(self.pointer.as_ptr()) };
    }
}

impl<T> fmt::Debug for Made<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Made").field(&self.pointer).finish()
    }
}

/// Zeroed memory of its own.
#[derive(Debug)]
pub struct Mapping {
    memory: NonNull<u8>,
    bytes: usize,
}

impl Mapping {
    /// So many bytes, populated; `flags` go with those of an anonymous mapping.
    pub fn new(bytes: usize, flags: c_int) -> io::Result<Self> {
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE | flags;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: an anonymous mapping where there is room.
        let mapped = unsafe { libc::mmap(ptr::null_mut(), bytes, access, kind, -1, 0) };
        match NonNull::new(mapped.cast()) {
            Some(memory) if mapped != libc::MAP_FAILED => Ok(Self { memory, bytes }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Its length.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Its beginning.
    pub fn as_ptr(&self) -> *mut u8 {
        self.memory.as_ptr()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length; this happens once.
        unsafe { libc::munmap(self.memory.as_ptr().cast::<c_void>(), self.bytes) };
    }
}
