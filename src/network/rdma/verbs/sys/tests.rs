//! What is made is given back, users first, also where opening fails halfway: shown by an imitation of the library.

use std::cell::{Cell, RefCell};
use std::ffi::{c_char, c_void};
use std::mem::MaybeUninit;

use super::*;

thread_local! {
    /// What was made and given back.
    static SAID: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    /// What cannot be made.
    static FAILING: Cell<&'static str> = const { Cell::new("") };
    /// The file of event channels.
    static FILE: Cell<c_int> = const { Cell::new(-1) };
}

fn say(what: &'static str) {
    SAID.with_borrow_mut(|said| said.push(what));
}

/// A zeroed object, unless this is what fails.
fn make<T>(what: &'static str) -> *mut T {
    if FAILING.get() == what {
        return ptr::null_mut();
    }
    say(what);
    Box::into_raw(Box::new(MaybeUninit::<T>::zeroed())).cast()
}

/// Takes back what [`make`] has made.
unsafe fn take_back<T>(what: &'static str, object: *mut T) -> c_int {
    say(what);
    // SAFETY: the caller got it from `make` and gives it back once.
    drop(unsafe { Box::from_raw(object.cast::<MaybeUninit<T>>()) });
    0
}

macro_rules! objects {
    ($($make:ident($($argument:ty),*) -> $object:ty, $give_back:ident;)*) => {
        $(
            unsafe extern "C" fn $make($(_: $argument),*) -> *mut $object {
                make(stringify!($make))
            }

            unsafe extern "C" fn $give_back(object: *mut $object) -> c_int {
                // SAFETY: as for the library: made by the function above, given back once.
                unsafe { take_back(stringify!($give_back), object) }
            }
        )*
    };
}

objects! {
    open_device(*mut ib::ibv_device) -> ib::ibv_context, close_device;
    alloc_pd(*mut ib::ibv_context) -> ib::ibv_pd, dealloc_pd;
    create_event_channel(*mut ib::ibv_context) -> ib::ibv_comp_channel, destroy_comp_channel;
    create_cq(*mut ib::ibv_context, c_int, *mut c_void, *mut ib::ibv_comp_channel, c_int) -> ib::ibv_cq, destroy_cq;
    reg_mr(*mut ib::ibv_pd, *mut c_void, usize, c_int) -> ib::ibv_mr, dereg_mr;
    create_qp(*mut ib::ibv_pd, *mut ib::ibv_qp_init_attr) -> ib::ibv_qp, destroy_qp;
}

unsafe extern "C" fn create_comp_channel(context: *mut ib::ibv_context) -> *mut ib::ibv_comp_channel {
    // SAFETY: what `make` gives is zeroed and nobody else's yet.
    unsafe {
        let channel = create_event_channel(context);
        if let Some(channel) = channel.as_mut() {
            channel.fd = FILE.get();
        }
        channel
    }
}

unsafe extern "C" fn get_device_list(count: *mut c_int) -> *mut *mut ib::ibv_device {
    // SAFETY: the caller's number.
    unsafe { *count = 1 };
    Box::into_raw(Box::new([ptr::dangling_mut::<ib::ibv_device>(), ptr::null_mut()])).cast()
}

unsafe extern "C" fn free_device_list(list: *mut *mut ib::ibv_device) {
    // SAFETY: made by the function above.
    drop(unsafe { Box::from_raw(list.cast::<[*mut ib::ibv_device; 2]>()) });
}

unsafe extern "C" fn get_device_name(_: *mut ib::ibv_device) -> *const c_char {
    c"fake0".as_ptr()
}

unsafe extern "C" fn query_device(_: *mut ib::ibv_context, _: *mut ib::ibv_device_attr) -> c_int {
    0
}

unsafe extern "C" fn query_port(_: *mut ib::ibv_context, _: u8, _: *mut ib::_compat_ibv_port_attr) -> c_int {
    0
}

unsafe extern "C" fn get_cq_event(
    _: *mut ib::ibv_comp_channel,
    _: *mut *mut ib::ibv_cq,
    _: *mut *mut c_void,
) -> c_int {
    -1
}

unsafe extern "C" fn ack_cq_events(_: *mut ib::ibv_cq, _: c_uint) {
    say("ack_cq_events");
}

unsafe extern "C" fn modify_qp(_: *mut ib::ibv_qp, _: *mut ib::ibv_qp_attr, _: c_int) -> c_int {
    0
}

/// Opens the imitated device; `file` is its event channel's.
fn open_fake(failing: &'static str, file: c_int) -> io::Result<Device> {
    let library = Library {
        get_device_list,
        free_device_list,
        get_device_name,
        open_device,
        close_device,
        query_device,
        query_port,
        alloc_pd,
        dealloc_pd,
        reg_mr,
        dereg_mr,
        create_comp_channel,
        destroy_comp_channel,
        create_cq,
        destroy_cq,
        get_cq_event,
        ack_cq_events,
        create_qp,
        destroy_qp,
        modify_qp,
    };
    FAILING.set(failing);
    FILE.set(file);
    open_by(Box::leak(Box::new(library)), "fake0", 16)
}

#[test]
fn a_device_that_opens_halfway_is_closed_again() {
    let steps = [
        ("open_device", "close_device"),
        ("alloc_pd", "dealloc_pd"),
        ("create_event_channel", "destroy_comp_channel"),
        ("create_cq", "destroy_cq"),
    ];
    // The last one: the channel's file is none.
    for (made, failing) in steps.iter().map(|(make, _)| *make).chain(["file"]).enumerate() {
        let error = open_fake(failing, -1).err();
        assert!(error.is_some(), "{failing}");
        let before = steps[..made].iter();
        let expected: Vec<&str> = before
            .clone()
            .map(|(make, _)| *make)
            .chain(before.rev().map(|(_, give_back)| *give_back))
            .collect();
        assert_eq!(SAID.take(), expected, "{failing}");
    }
}

#[test]
fn a_device_gives_back_users_first_and_memory_is_as_long_as_it_says() {
    let file = std::fs::File::open("/dev/null").unwrap();
    let mut device = open_fake("", file.as_raw_fd()).unwrap();
    let memory = device.register(5000, (true, false), false).unwrap();
    assert_eq!(memory.bytes, 5000);
    device.store(memory.id, 4999, &[1]);
    // Where there are huge pages, whole ones are registered.
    if let Ok(huge) = device.register(5000, (true, false), true) {
        assert_eq!(huge.bytes, HUGE_PAGE as u64);
        device.store(huge.id, huge.bytes - 1, &[1]);
    }
    device.create(true, 1, 1, 0, (1, 0)).unwrap();
    SAID.take();
    let huge = device.regions.len() == 2;
    drop(device);
    let mut expected = vec![
        "ack_cq_events",
        "destroy_qp",
        "destroy_cq",
        "destroy_comp_channel",
    ];
    expected.extend(["dereg_mr"].repeat(1 + usize::from(huge)));
    expected.extend(["dealloc_pd", "close_device"]);
    assert_eq!(SAID.take(), expected);
}
