//! Kernel modules: which ones the guest needs, and in which order they load.

use std::collections::BTreeMap;

/// For every guest: its way to this machine, soft-RoCE, links and their impairments, and
/// congestion controls that scenarios name.
pub const NEEDED: &[&str] = &[
    "virtio_pci",
    "virtio_console",
    "9pnet_virtio",
    "9p",
    "crc32_generic",
    "ib_uverbs",
    "rdma_rxe",
    "veth",
    "sch_netem",
    "sch_tbf",
    "sch_htb",
    "sch_fq",
    "tcp_bbr",
    "tcp_dctcp",
];
/// For people who try things out.
pub const TOOLS: &[&str] = &[
    "bridge",
    "dummy",
    "tun",
    "ifb",
    "sch_ingress",
    "sch_prio",
    "act_mirred",
    "cls_u32",
    "cls_matchall",
    "rdma_ucm",
    "unix_diag",
    "tcp_diag",
];
/// What signed modules end with (`linux/module_signature.h`): the signature, a structure of 12
/// bytes whose last 4 are the signature's length, and this.
const SIGNED: &[u8] = b"~Module signature appended~\n";
const SIGNATURE_HEADER: usize = 12;

/// Modules of a kernel: those that are files, and those that are built in.
#[derive(Debug, Default)]
pub struct Modules {
    files: BTreeMap<String, Vec<u8>>,
    built_in: Vec<String>,
}

/// `ib_uverbs` of `.../ib_uverbs.ko.xz`; file names and module names differ in `-` and `_`.
pub fn name_of(path: &str) -> Option<String> {
    let (name, _) = path.rsplit('/').next()?.split_once(".ko")?;
    Some(name.replace('-', "_"))
}

impl Modules {
    /// Adds an unpacked module.
    pub fn add(&mut self, name: String, file: Vec<u8>) {
        self.files.insert(name, file);
    }

    /// Adds what `modules.builtin` lists.
    pub fn add_built_in(&mut self, list: &str) {
        self.built_in.extend(list.lines().filter_map(name_of));
    }

    /// These modules and what they depend on, each after its dependencies, without signatures (the
    /// check costs an emulated processor more than the loading).
    pub fn in_order(&self, wanted: &[&str]) -> Result<Vec<(String, &[u8])>, String> {
        let mut order = Vec::new();
        for name in wanted {
            self.append(name, &mut order, 0)?;
        }
        Ok(order)
    }

    fn append<'a>(
        &'a self,
        name: &str,
        order: &mut Vec<(String, &'a [u8])>,
        depth: usize,
    ) -> Result<(), String> {
        if self.built_in.iter().any(|built_in| built_in == name) || order.iter().any(|(n, _)| n == name) {
            return Ok(());
        }
        let file = self.files.get(name).filter(|_| depth < 32);
        let file = file.ok_or_else(|| format!("the kernel has no module `{name}`"))?;
        for dependency in depends(file) {
            self.append(&dependency, order, depth + 1)?;
        }
        order.push((name.to_owned(), unsigned(file)));
        Ok(())
    }
}

/// The `depends=` of a module's `.modinfo`, a list of C strings.
fn depends(file: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = file.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let value = file[at + KEY.len()..].split(|&byte| byte == 0).next();
    let value = String::from_utf8_lossy(value.unwrap_or_default()).replace('-', "_");
    let names = value.split(',').filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

fn unsigned(file: &[u8]) -> &[u8] {
    let Some(rest) = file.strip_suffix(SIGNED) else {
        return file;
    };
    let length = |rest: &[u8]| {
        let end = rest.len().checked_sub(4)?;
        let length = u32::from_be_bytes(rest[end..].try_into().ok()?) as usize;
        rest.len().checked_sub(SIGNATURE_HEADER + length)
    };
    length(rest).map_or(file, |end| &rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(depends: &str) -> Vec<u8> {
        format!("\x7fELF...\0license=GPL\0depends={depends}\0name=x\0").into_bytes()
    }

    #[test]
    fn modules_come_after_what_they_depend_on_and_once() {
        let mut modules = Modules::default();
        modules.add("a".into(), module("b,c-d"));
        modules.add("b".into(), module("c_d"));
        modules.add("c_d".into(), module(""));
        modules.add_built_in("kernel/net/unix/unix.ko\n");
        let order = modules.in_order(&["a", "unix", "b"]).unwrap();
        let names: Vec<&str> = order.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["c_d", "b", "a"]);
        let missing = modules.in_order(&["rdma_rxe"]).unwrap_err();
        assert!(missing.contains("`rdma_rxe`"), "{missing}");
    }

    #[test]
    fn a_circle_of_dependencies_ends() {
        let mut modules = Modules::default();
        modules.add("a".into(), module("b"));
        modules.add("b".into(), module("a"));
        assert!(modules.in_order(&["a"]).is_err());
    }

    #[test]
    fn signatures_are_cut_off_and_broken_ones_left() {
        let mut header = [0; 12];
        header[8..].copy_from_slice(&3u32.to_be_bytes());
        let signed = [&b"code"[..], b"sig", &header, SIGNED].concat();
        assert_eq!(unsigned(&signed), b"code");
        header[8..].copy_from_slice(&300u32.to_be_bytes());
        let broken = [&b"code"[..], b"sig", &header, SIGNED].concat();
        assert_eq!(unsigned(&broken), broken);
        assert_eq!(unsigned(SIGNED), SIGNED);
    }

    #[test]
    fn names_are_those_of_modules() {
        assert_eq!(name_of("kernel/x/act-mirred.ko.xz"), Some("act_mirred".into()));
        assert_eq!(name_of("kernel/x/9p.ko"), Some("9p".into()));
        assert_eq!(name_of("kernel/x/"), None);
    }
}
