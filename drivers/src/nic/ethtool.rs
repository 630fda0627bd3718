//! Requests of ethtool that read: driver, firmware and bus of an interface (Linux
//! include/uapi/linux/ethtool.h, `struct ethtool_drvinfo`), rings, pauses, channels, error correction, and with
//! privileges the memory of a module.

use std::io;
use std::os::fd::AsRawFd;

/// `ETHTOOL_GDRVINFO` of linux/ethtool.h.
const GET_DRIVER_INFO: u32 = 0x0000_0003;

/// `ETHTOOL_GFECPARAM`.
const FEC: u32 = 0x0000_0050;
/// `ETHTOOL_GMODULEINFO`.
const GET_MODULE_INFO: u32 = 0x0000_0042;
/// `ETHTOOL_GMODULEEEPROM`.
const GET_MODULE_MEMORY: u32 = 0x0000_0043;
/// Bytes of module memory that are read: `ETH_MODULE_SFF_8436_MAX_LEN`.
const MEMORY: usize = 640;

/// `struct ethtool_drvinfo`, 196 bytes.
#[repr(C)]
struct RawDriverInfo {
    cmd: u32,
    driver: [u8; 32],
    version: [u8; 32],
    fw_version: [u8; 32],
    bus_info: [u8; 32],
    erom_version: [u8; 32],
    reserved2: [u8; 12],
    n_priv_flags: u32,
    n_stats: u32,
    testinfo_len: u32,
    eedump_len: u32,
    regdump_len: u32,
}

/// What a driver says of itself and its card; empty strings where it does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverInfo {
    /// Driver name.
    pub driver: String,
    /// Driver version.
    pub version: String,
    /// Firmware version.
    pub firmware: String,
    /// Bus address.
    pub bus: String,
}

/// Asks the driver of `interface` about itself.
///
/// # Errors
/// `EOPNOTSUPP` for interfaces whose driver does not answer (loopback), `ENODEV` for an unknown
/// name, `EINVAL` for a name of more than 15 bytes.
pub fn driver_info(interface: &str) -> io::Result<DriverInfo> {
    let mut info = RawDriverInfo {
        cmd: GET_DRIVER_INFO,
        driver: [0; 32],
        version: [0; 32],
        fw_version: [0; 32],
        bus_info: [0; 32],
        erom_version: [0; 32],
        reserved2: [0; 12],
        n_priv_flags: 0,
        n_stats: 0,
        testinfo_len: 0,
        eedump_len: 0,
        regdump_len: 0,
    };
    request(interface, &mut info)?;
    Ok(DriverInfo {
        driver: text(&info.driver),
        version: text(&info.version),
        firmware: text(&info.fw_version),
        bus: text(&info.bus_info),
    })
}

/// Rings, pauses and channels of `interface`, by name; what its driver does not answer is left out.
pub(super) fn details(interface: &str) -> Vec<(String, String)> {
    // Names of the words that follow `cmd` in `struct ethtool_ringparam`, `_pauseparam`, `_channels` and of the
    // first of `_coalesce`; those that say nothing of use have none.
    const QUESTIONS: &[(u32, &[&str])] = &[
        (
            0x0000_0010,
            &["ring_rx_max", "", "", "ring_tx_max", "ring_rx", "", "", "ring_tx"],
        ),
        (0x0000_0012, &["pause_autoneg", "pause_rx", "pause_tx"]),
        (
            0x0000_003c,
            &[
                "",
                "",
                "",
                "",
                "channels_rx",
                "channels_tx",
                "channels_other",
                "channels_combined",
            ],
        ),
        (0x0000_000e, &["coalesce_rx_us", "coalesce_rx_frames"]),
        (FEC, &["fec_active", "fec_configured"]),
    ];
    let mut details = Vec::new();
    for (command, names) in QUESTIONS {
        // The longest of the answers, `struct ethtool_coalesce`, has 23 words.
        let mut words = [0u32; 32];
        words[0] = *command;
        if request(interface, &mut words).is_ok() {
            let named = names.iter().zip(&words[1..]).filter(|(name, _)| !name.is_empty());
            let value = |word: &u32| {
                if *command == FEC {
                    fec(*word)
                } else {
                    word.to_string()
                }
            };
            let told = named.map(|(name, word)| ((*name).to_owned(), value(word)));
            details.extend(told.filter(|(_, value)| !value.is_empty()));
        }
    }
    details
}

/// Error correction of `enum ethtool_fec_config_bits`, in words.
fn fec(bits: u32) -> String {
    const NAMES: [&str; 6] = ["none", "auto", "off", "RS", "BaseR", "LLRS"];
    let set = |(bit, name): (usize, &&'static str)| (bits >> bit & 1 == 1).then_some(*name);
    NAMES
        .iter()
        .enumerate()
        .filter_map(set)
        .collect::<Vec<_>>()
        .join(" ")
}

/// `struct ethtool_eeprom` with room for the longest module memory that is asked for.
#[repr(C)]
struct RawMemory {
    cmd: u32,
    magic: u32,
    offset: u32,
    len: u32,
    data: [u8; MEMORY],
}

/// The memory of the module or cable in `interface`; empty where there is none, or no right to ask
/// (`CAP_NET_ADMIN`).
pub(super) fn module_memory(interface: &str) -> Vec<u8> {
    // `struct ethtool_modinfo`: command, kind, length, 8 reserved words.
    let mut kind = [0u32; 11];
    kind[0] = GET_MODULE_INFO;
    if request(interface, &mut kind).is_err() {
        return Vec::new();
    }
    let mut memory = RawMemory {
        cmd: GET_MODULE_MEMORY,
        magic: 0,
        offset: 0,
        len: kind[2].min(MEMORY as u32),
        data: [0; MEMORY],
    };
    match request(interface, &mut memory) {
        Ok(()) => memory.data[..(memory.len as usize).min(MEMORY)].to_vec(),
        Err(_) => Vec::new(),
    }
}

/// Sends a request of linux/ethtool.h that begins with its command and is at most as long as `T`.
#[allow(unsafe_code)]
fn request<T>(interface: &str, info: &mut T) -> io::Result<()> {
    if interface.len() >= libc::IFNAMSIZ {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let socket =
        std::net::UdpSocket::bind("127.0.0.1:0").or_else(|_| std::net::UdpSocket::bind("[::1]:0"))?;
    // SAFETY: `ifreq` is plain C data for which all-zero bytes are a valid value.
    let mut ifreq: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in ifreq.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    ifreq.ifr_ifru.ifru_data = std::ptr::from_mut(info).cast();
    // SAFETY: the descriptor is an open socket; `ifreq` is a NUL-terminated name and a pointer to
    // `info`, which begins with one of the commands above and has room for its answer, which is all that
    // SIOCETHTOOL reads and writes for it; both outlive the call and nothing else refers to them during it.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut ifreq) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A fixed C string field up to its first NUL.
fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_struct_has_the_kernels_size() {
        // 4 (cmd) + 5 * 32 + 12 + 5 * 4, as in linux/ethtool.h.
        assert_eq!(std::mem::size_of::<RawDriverInfo>(), 196);
    }

    #[test]
    fn a_long_name_and_an_unknown_one_are_errors() {
        assert_eq!(
            driver_info("a-name-of-sixteen").unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
        assert_eq!(
            driver_info("genie-no-such").unwrap_err().raw_os_error(),
            Some(libc::ENODEV)
        );
    }

    #[test]
    fn text_ends_at_the_first_nul() {
        assert_eq!(text(b"veth\0\0junk"), "veth");
        assert_eq!(text(b"full"), "full");
    }
}
