//! How much two runs differ when nothing was changed. Learned from A/A pairs where a side has
//! repetitions; assumed where there are none, because no test within one run can see what only
//! differs from run to run.

use super::series::Figure;
use crate::results::statistics::median::{median_of_sorted, sorted};

/// Below this share a change is not worth a word, as in Criterion's noise threshold.
pub const LEAST: f64 = 0.01;
/// What single runs of the same thing differ by when the link decides their time.
const LINK: f64 = 0.025;
/// How many times longer software and the machine may take in another run of the same thing: up to three times as
/// long was seen between runs on a shared machine of two cores, so three times more is allowed for.
const SOFTWARE: f64 = 3.0;
/// The same where nothing is known of the link.
const UNKNOWN: f64 = 3.0;
/// The same for figures that other programs measured.
const FOREIGN: f64 = 0.05;

/// Shares by which pairs of one side's figures differ, in ascending order. Each pair is an A/A pair.
pub fn pairs(figures: &[f64]) -> Vec<f64> {
    let mut shares = Vec::new();
    for (place, a) in figures.iter().enumerate() {
        shares.extend(figures[place + 1..].iter().map(|b| share(*a, *b)));
    }
    sorted(&shares)
}

/// The noise floor when repetitions are the sample: what an A/A pair of either side typically differs by.
pub fn of_repetitions(sides: [&[f64]; 2]) -> f64 {
    let typical = |side: &[f64]| median_of_sorted(&pairs(side)).unwrap_or(0.0);
    sides.map(typical).into_iter().fold(LEAST, f64::max)
}

/// The noise floor when one side is a single run: the most that an A/A pair of the other side differs
/// by, if it has repetitions; else an assumption. The part of the time that is not the link's is
/// software's and the machine's, which may be several times longer in another run; figures of other
/// programs do not say.
///
/// `figure` is of the side that the link bounds more: the other may be what is to be found.
pub fn of_single_runs(sides: [&[f64]; 2], figure: &Figure, foreign: bool) -> f64 {
    let most = |side: &[f64]| pairs(side).last().copied();
    let learned = sides.map(most).into_iter().flatten().reduce(f64::max);
    let assumed = match figure.link_share {
        Some(share) => LINK + SOFTWARE * (1.0 - share).clamp(0.0, 1.0),
        None if foreign => FOREIGN,
        None => UNKNOWN,
    };
    learned.unwrap_or(assumed).max(LEAST)
}

/// By which share two figures differ, whichever is larger: |ln(b / a)| as a share.
pub fn share(a: f64, b: f64) -> f64 {
    let (small, large) = if a < b { (a, b) } else { (b, a) };
    match small > 0.0 {
        true => large / small - 1.0,
        false => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_grows_with_the_noise_of_repetitions() {
        let quiet = [100.0, 100.1, 99.9, 100.0, 100.05];
        let loud = [100.0, 130.0, 90.0, 110.0, 105.0];
        assert_eq!(of_repetitions([&quiet, &quiet]), LEAST);
        assert!(of_repetitions([&quiet, &loud]) > 0.1);
    }

    #[test]
    fn single_runs_are_believed_as_far_as_the_link_decides_them() {
        let figure = |link_share| Figure {
            key: Default::default(),
            repetition: 0,
            samples: Vec::new(),
            link_share,
            disturbed: false,
        };
        let floor = |share| of_single_runs([&[], &[]], &figure(share), false);
        assert!((floor(Some(0.99)) - 0.055).abs() < 1e-12);
        assert!(floor(Some(0.10)) > 2.0, "small messages are the machine's");
        assert_eq!(floor(None), UNKNOWN);
        assert!(of_single_runs([&[100.0, 104.0], &[]], &figure(None), false) < 0.05);
    }
}
