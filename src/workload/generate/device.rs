//! Devices by their data sheets, and the time of a kernel by the roofline model (Williams et al.,
//! "Roofline", CACM 2009): whichever of arithmetic and memory takes longer.

/// Number format of matrix products.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 16-bit brain float.
    Bf16,
    /// 8-bit float.
    Fp8,
    /// 32-bit data, products in TF32.
    Tf32,
}

/// An accelerator.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Device {
    /// For people and the command line.
    pub name: &'static str,
    /// Dense peak in flop/s, if the format is supported: bf16, fp8, tf32.
    peaks: [Option<f64>; 3],
    /// Of its memory, bytes per second.
    pub bytes_per_s: f64,
    /// Of its memory, bytes.
    pub memory_bytes: u64,
    /// Where the figures are from.
    pub source: &'static str,
}

const T: f64 = 1e12;
const G: u64 = 1_000_000_000;

/// The devices. NVIDIA's figures with sparsity are halved.
pub const DEVICES: [Device; 5] = [
    Device {
        name: "a100",
        peaks: [Some(312.0 * T), None, Some(156.0 * T)],
        bytes_per_s: 2.039 * T,
        memory_bytes: 80 * G,
        source: "NVIDIA A100 Tensor Core GPU data sheet, 80 GB SXM",
    },
    Device {
        name: "h100",
        peaks: [Some(989.5 * T), Some(1979.0 * T), Some(494.5 * T)],
        bytes_per_s: 3.35 * T,
        memory_bytes: 80 * G,
        source: "NVIDIA H100 Tensor Core GPU data sheet, SXM",
    },
    Device {
        name: "h200",
        peaks: [Some(989.5 * T), Some(1979.0 * T), Some(494.5 * T)],
        bytes_per_s: 4.8 * T,
        memory_bytes: 141 * G,
        source: "NVIDIA H200 Tensor Core GPU data sheet, SXM",
    },
    Device {
        name: "tpu-v4",
        peaks: [Some(275.0 * T), None, None],
        bytes_per_s: 1.2 * T,
        memory_bytes: 32 << 30,
        source: "Jouppi et al., TPU v4 (arXiv 2304.01433), table 4",
    },
    Device {
        name: "tpu-v5p",
        peaks: [Some(459.0 * T), None, None],
        bytes_per_s: 2.765 * T,
        memory_bytes: 95 * G,
        source: "Google Cloud documentation, TPU v5p, system architecture",
    },
];

impl Device {
    /// The device of this name.
    pub fn named(name: &str) -> Option<Device> {
        DEVICES.into_iter().find(|device| device.name == name)
    }

    /// Dense peak in flop/s, if the format is supported.
    pub fn peak(&self, dtype: Dtype) -> Option<f64> {
        self.peaks[dtype as usize]
    }
}

/// What a kernel does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kernel {
    /// Floating-point operations of matrix products; a multiply-add is two.
    pub flops: u128,
    /// Bytes to and from the device's memory.
    pub bytes: u128,
}

impl Kernel {
    /// A product of `m x k` and `k x n`, two bytes a number: `2 m k n` flops.
    pub fn matmul(m: u64, k: u64, n: u64) -> Kernel {
        let [m, k, n] = [m, k, n].map(u128::from);
        Kernel {
            flops: 2 * m * k * n,
            bytes: 2 * (m * k + k * n + m * n),
        }
    }

    /// No products, only numbers of two bytes read or written.
    pub fn touch(numbers: u64) -> Kernel {
        Kernel {
            flops: 0,
            bytes: 2 * u128::from(numbers),
        }
    }

    /// As often.
    pub fn times(self, count: u64) -> Kernel {
        Kernel {
            flops: self.flops * u128::from(count),
            bytes: self.bytes * u128::from(count),
        }
    }
}

/// How fast kernels run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Roofline {
    /// Reached flop/s.
    pub flops_per_s: f64,
    /// Reached bytes per second.
    pub bytes_per_s: f64,
}

impl Roofline {
    /// Nanoseconds of one kernel: `max(flops / F, bytes / B)`.
    pub fn ns(&self, kernel: &Kernel) -> f64 {
        let seconds = (kernel.flops as f64 / self.flops_per_s).max(kernel.bytes as f64 / self.bytes_per_s);
        seconds * 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_products_are_bound_by_arithmetic_and_small_ones_by_memory() {
        let roofline = Roofline {
            flops_per_s: 1e15,
            bytes_per_s: 1e12,
        };
        // 2 * 8192^3 flops at 10^15 each second: 1.0995 ms.
        assert!((roofline.ns(&Kernel::matmul(8192, 8192, 8192)) - 1_099_511.6).abs() < 1.0);
        // One row: the matrix of 2 * 8192^2 bytes at 10^12 each second is 134 us.
        assert!((roofline.ns(&Kernel::matmul(1, 8192, 8192)) - 134_250.5).abs() < 1.0);
    }

    #[test]
    fn devices_say_what_they_cannot() {
        let device = |name| Device::named(name).expect(name);
        assert_eq!(device("a100").peak(Dtype::Fp8), None);
        assert_eq!(device("tpu-v5p").peak(Dtype::Bf16), Some(459e12));
        assert!(Device::named("h300").is_none());
    }
}
