//! Statistics of times: pure functions of numbers, without assumptions about how they are spread.
//!
//! * [`times`]: the figures of a row. [`median`]: the median and its order-statistic interval.
//! * [`mann_whitney`]: do two samples differ; [`shift`]: by how much, with an interval.
//! * [`correction`]: many questions at once (Holm; Westfall and Young); [`blocks`]: samples from
//!   iterations that depend on each other. [`normal`]: the normal distribution.

pub mod blocks;
pub mod correction;
pub mod mann_whitney;
pub mod median;
pub mod normal;
pub mod shift;
pub mod times;

pub use mann_whitney::mann_whitney;
pub use median::median;
pub use times::{Times, nearest_rank};
