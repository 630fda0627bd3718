//! The device that serves a rank: found by its address or by name, then opened by libibverbs, if this
//! build has it.

use std::net::IpAddr;
use std::path::Path;

use genie_drivers::rdma::{SelectError, Selected, Wish, list, named, select};

use super::opening::Setup;
use crate::network::transport::{OpenError, Opening};
use crate::scenario::plan::rdma::RdmaOptions;

/// What to do where the transport was not built in.
pub const HOW_TO_BUILD: &str = "build genie with the feature `rdma`: sudo apt-get install cmake pkg-config libclang-dev \
     libnl-3-dev libnl-route-3-dev libibverbs-dev ibverbs-providers, then `cargo build --release --features rdma`; or \
     transport = \"roce-user\", which speaks RoCE v2 without any of it (fabric \"emulated\" or \"host\")";

/// Whether this build has libibverbs.
pub const BUILT_IN: bool = cfg!(feature = "rdma");

/// The device, port and GID for a rank of this address.
///
/// # Errors
/// None fits; says what is there and what to do.
pub fn find(options: &RdmaOptions, address: Option<IpAddr>) -> Result<Selected, SelectError> {
    let by_name = options.device.is_some();
    let wish = Wish {
        device: options.device.clone(),
        port: by_name.then_some(options.port),
        gid_index: options.gid_index,
        address,
    };
    let devices = options
        .device
        .as_deref()
        .and_then(named)
        .map(|device| vec![device]);
    select(&devices.unwrap_or_else(list), &wish)
}

/// Why no device can be opened on this machine, whatever devices there are; `None`: nothing is in the way.
#[cfg(feature = "rdma")]
pub fn obstacle() -> Option<String> {
    super::verbs::library::library().err().map(|e| e.to_string())
}

/// Why no device can be opened by this build.
#[cfg(not(feature = "rdma"))]
pub fn obstacle() -> Option<String> {
    Some(format!(
        "this build has no transport `rdma`\nhelp: {HOW_TO_BUILD}"
    ))
}

/// Why libibverbs would not know soft-RoCE's devices: the list of its providers (Debian's and Ubuntu's place for it)
/// has none for them. `None`: it does.
pub fn soft_roce_obstacle() -> Option<String> {
    let listed = Path::new("/etc/libibverbs.d/rxe.driver").exists();
    (!listed).then(|| {
        "libibverbs has no provider for soft-RoCE\nhelp: sudo apt-get install ibverbs-providers".into()
    })
}

/// Opens the device of a rank.
///
/// # Errors
/// As [`find`]; the device cannot be opened or has too little room; the build has no libibverbs.
#[cfg(feature = "rdma")]
pub fn open(setup: Setup, address: Option<IpAddr>) -> Result<Box<dyn Opening>, OpenError> {
    use super::provider::Gid;
    use super::verbs::{Port, Verbs};

    let found = find(&setup.options, address)?;
    let port = Port {
        device: found.device.name,
        port: found.port.number,
        gid_index: u8::try_from(found.gid.index)?,
        gid: Gid(found.gid.gid),
        pkey_index: setup.options.pkey_index,
    };
    let mut verbs = Verbs::open(port, setup.completions())?;
    verbs.use_huge_pages(setup.options.huge_pages);
    Ok(Box::new(super::opening::RdmaOpening::open(
        setup,
        Box::new(verbs),
    )?))
}

/// Says that the build has no libibverbs.
///
/// # Errors
/// Always.
#[cfg(not(feature = "rdma"))]
pub fn open(_setup: Setup, _address: Option<IpAddr>) -> Result<Box<dyn Opening>, OpenError> {
    Err(obstacle().unwrap_or_default().into())
}
