//! Figures of the RFold paper (arXiv 2510.03891), to be shown beside ours and never mixed with them.

use serde::Serialize;

use super::policy::Kind;

/// JCT percentiles that the public plot script holds, hours; completion rates as they are remembered of the paper.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Published {
    /// Policy.
    pub policy: Kind,
    /// Side of its cubes; 16 is the torus that stands still.
    pub cube: u32,
    /// Share of jobs that completed.
    pub completion_rate: Option<f64>,
    /// p50, p90 and p99 of the JCT, hours.
    pub jct_h: Option<[f64; 3]>,
}

const fn figures(policy: Kind, cube: u32, rate: f64, jct_h: Option<[f64; 3]>) -> Published {
    Published {
        policy,
        cube,
        completion_rate: Some(rate),
        jct_h,
    }
}

/// What is published.
pub const PUBLISHED: &[Published] = &[
    figures(Kind::FirstFit, 16, 0.104, None),
    figures(Kind::Folding, 16, 0.441, None),
    figures(Kind::Reconfiguration, 8, 0.315, None),
    figures(Kind::Rfold, 8, 0.734, None),
    figures(Kind::Reconfiguration, 4, 1.0, Some([5.52, 101.27, 526.0])),
    figures(Kind::Rfold, 4, 1.0, Some([0.47, 16.95, 241.7])),
    figures(Kind::Reconfiguration, 2, 1.0, Some([0.446, 12.39, 231.9])),
    figures(Kind::Rfold, 2, 1.0, Some([0.3896, 9.29, 224.27])),
];

/// The abstract's gain in utilisation, percentage points.
pub const UTILISATION_GAIN: f64 = 57.0;
/// The abstract's largest gain in JCT.
pub const JCT_GAIN: f64 = 11.0;

/// The published figures of a policy on cubes of a side.
pub fn of(policy: Kind, cube: u32) -> Option<&'static Published> {
    PUBLISHED
        .iter()
        .find(|known| known.policy == policy && known.cube == cube)
}
