//! What a simulated workload spent its time on, as files and words.
//!
//! * [`records`]: a row for each operation and phase. [`timeline`]: the same for Perfetto.
//! * [`explain`]: a summary.

pub mod explain;
pub mod records;
pub mod timeline;
