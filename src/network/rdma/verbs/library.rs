//! libibverbs, looked for when a device is wanted and not when the program starts: so one program runs on machines
//! with rdma-core and without. The types are those of `ibverbs-sys`.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::mem::transmute;
use std::sync::OnceLock;

use ibverbs_sys as ib;

/// Its name as the loader knows it (ABI version 1 since 2005).
const NAME: &CStr = c"libibverbs.so.1";

/// There is no libibverbs that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "libibverbs cannot be loaded: {0}\nhelp: sudo apt-get install libibverbs1 ibverbs-providers (elsewhere the package is \
     called rdma-core), or transport = \"roce-user\", which needs neither"
)]
pub struct NoLibrary(String);

macro_rules! library {
    ($($name:ident($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// Its functions, by their names without `ibv_`.
        #[derive(Debug)]
        #[expect(missing_docs, reason = "each has a manual page of its own name")]
        pub struct Library {
            $(pub $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl Library {
            fn load() -> Result<Self, NoLibrary> {
                let library = open()?;
                Ok(Self {
                    $($name: {
                        let found = symbol(library, concat!("ibv_", stringify!($name), "\0"))?;
                        // SAFETY: libibverbs has the function with this signature (infiniband/verbs.h).
                        unsafe { transmute::<*mut c_void, unsafe extern "C" fn($($argument),*) $(-> $result)?>(found) }
                    },)*
                })
            }
        }
    };
}

library! {
    get_device_list(*mut c_int) -> *mut *mut ib::ibv_device;
    free_device_list(*mut *mut ib::ibv_device);
    get_device_name(*mut ib::ibv_device) -> *const c_char;
    open_device(*mut ib::ibv_device) -> *mut ib::ibv_context;
    close_device(*mut ib::ibv_context) -> c_int;
    query_device(*mut ib::ibv_context, *mut ib::ibv_device_attr) -> c_int;
    query_port(*mut ib::ibv_context, u8, *mut ib::_compat_ibv_port_attr) -> c_int;
    alloc_pd(*mut ib::ibv_context) -> *mut ib::ibv_pd;
    dealloc_pd(*mut ib::ibv_pd) -> c_int;
    reg_mr(*mut ib::ibv_pd, *mut c_void, usize, c_int) -> *mut ib::ibv_mr;
    dereg_mr(*mut ib::ibv_mr) -> c_int;
    create_comp_channel(*mut ib::ibv_context) -> *mut ib::ibv_comp_channel;
    destroy_comp_channel(*mut ib::ibv_comp_channel) -> c_int;
    create_cq(*mut ib::ibv_context, c_int, *mut c_void, *mut ib::ibv_comp_channel, c_int) -> *mut ib::ibv_cq;
    destroy_cq(*mut ib::ibv_cq) -> c_int;
    get_cq_event(*mut ib::ibv_comp_channel, *mut *mut ib::ibv_cq, *mut *mut c_void) -> c_int;
    ack_cq_events(*mut ib::ibv_cq, c_uint);
    create_qp(*mut ib::ibv_pd, *mut ib::ibv_qp_init_attr) -> *mut ib::ibv_qp;
    destroy_qp(*mut ib::ibv_qp) -> c_int;
    modify_qp(*mut ib::ibv_qp, *mut ib::ibv_qp_attr, c_int) -> c_int;
}

/// The library; loaded once.
///
/// # Errors
/// It is not installed, or not this one.
pub fn library() -> Result<&'static Library, NoLibrary> {
    static LOADED: OnceLock<Result<Library, NoLibrary>> = OnceLock::new();
    LOADED.get_or_init(Library::load).as_ref().map_err(Clone::clone)
}

fn open() -> Result<*mut c_void, NoLibrary> {
    // SAFETY: a constant name; what the library does when it is loaded is what it would do if linked.
    let library = unsafe { libc::dlopen(NAME.as_ptr(), libc::RTLD_NOW) };
    if library.is_null() {
        Err(failure())
    } else {
        Ok(library)
    }
}

/// `name` ends with a zero.
fn symbol(library: *mut c_void, name: &str) -> Result<*mut c_void, NoLibrary> {
    // SAFETY: an open library, and a name that ends with a zero.
    let found = unsafe { libc::dlsym(library, name.as_ptr().cast()) };
    if found.is_null() {
        Err(failure())
    } else {
        Ok(found)
    }
}

/// What the loader says of the failure just met.
fn failure() -> NoLibrary {
    // SAFETY: the text is valid until the next call of the loader by this thread.
    let said = unsafe {
        let text = libc::dlerror();
        (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
    };
    NoLibrary(said.unwrap_or_else(|| "the loader says no reason".into()))
}
