//! From values to places on an axis, linear or logarithmic, and the values at which ticks stand.

/// How values are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Equal differences are equally far.
    Linear,
    /// Equal ratios are equally far; ticks at 1, 2, 5 times powers of ten.
    Log,
    /// Likewise, with ticks at powers of two: sizes.
    LogSize,
}

/// An axis: values from `low` to `high` lie from `from` to `to` pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    kind: Kind,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// Over all finite `values` that the kind can show, with a little room around; over 0 to 1 (or 1 to 10) if
    /// there are none.
    pub fn over(kind: Kind, values: impl Iterator<Item = f64>, (from, to): (f64, f64)) -> Scale {
        let shown = values.filter(|value| value.is_finite() && (kind == Kind::Linear || *value > 0.0));
        let span = shown.fold(None, |span: Option<(f64, f64)>, value| {
            let (low, high) = span.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        });
        let (low, high) = match (span, kind) {
            (None, Kind::Linear) => (0.0, 1.0),
            (None, _) => (1.0, 10.0),
            (Some((low, high)), Kind::Linear) if low == high => {
                (low - low.abs().max(1.0) / 2.0, high + high.abs().max(1.0) / 2.0)
            }
            (Some((low, high)), Kind::Linear) => (low, high),
            (Some((low, high)), _) => {
                let room = (high / low).powf(0.04).max(1.1);
                (low / room, high * room)
            }
        };
        Scale {
            kind,
            low,
            high,
            from,
            to,
        }
    }

    /// The pixel of a value; infinite or undefined for what the axis cannot show.
    pub fn place(&self, value: f64) -> f64 {
        let share = match self.kind {
            Kind::Linear => (value - self.low) / (self.high - self.low),
            _ if value <= 0.0 => f64::NAN,
            _ => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        self.from + share * (self.to - self.from)
    }

    /// Values at which ticks stand, ascending: about `wanted` of them.
    pub fn ticks(&self, wanted: usize) -> Vec<f64> {
        let wanted = wanted.max(2) as f64;
        match self.kind {
            Kind::Linear => self.linear_ticks(wanted),
            Kind::Log => self.decades(wanted),
            Kind::LogSize => self.powers(2.0, wanted),
        }
    }

    fn linear_ticks(&self, wanted: f64) -> Vec<f64> {
        let step = nice((self.high - self.low) / wanted);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|tick| tick as f64 * step).collect()
    }

    /// 1, 2, 5, 10, ... where decades are few, otherwise whole decades.
    fn decades(&self, wanted: f64) -> Vec<f64> {
        let decades = (self.high / self.low).log10();
        if decades * 3.0 > wanted * 1.5 {
            return self.powers(10.0, wanted);
        }
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let ticks: Vec<f64> = (first..=last)
            .flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(decade)))
            .filter(|tick| (self.low..=self.high).contains(tick))
            .collect();
        // Within a fraction of a decade only equal steps say anything.
        if ticks.len() < 2 {
            self.linear_ticks(wanted.min(5.0))
        } else {
            ticks
        }
    }

    fn powers(&self, base: f64, wanted: f64) -> Vec<f64> {
        let (first, last) = (
            self.low.log(base).ceil() as i32,
            self.high.log(base).floor() as i32,
        );
        let every = (f64::from(last - first + 1) / wanted).ceil().max(1.0) as usize;
        (first..=last)
            .step_by(every)
            .map(|power| base.powi(power))
            .collect()
    }
}

/// The next of 1, 2, 5 times a power of ten.
fn nice(step: f64) -> f64 {
    let power = 10f64.powf(step.abs().max(f64::MIN_POSITIVE).log10().floor());
    let digit = step / power;
    let nice = [1.0, 2.0, 5.0].into_iter().find(|nice| digit <= nice * 1.000_001);
    nice.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_ticks() {
        let linear = Scale::over(Kind::Linear, [0.0, 10.0].into_iter(), (0.0, 100.0));
        assert_eq!(linear.ticks(5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(linear.place(5.0), 50.0);
        let sizes = Scale::over(Kind::LogSize, [1024.0, 65536.0].into_iter(), (0.0, 100.0));
        assert_eq!(sizes.ticks(4), [1024.0, 4096.0, 16384.0, 65536.0]);
        let wide = Scale::over(Kind::Log, [1.0, 1e6].into_iter(), (0.0, 100.0));
        assert_eq!(wide.ticks(8), [1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6]);
    }

    proptest! {
        #[test]
        fn every_value_has_its_place_on_the_axis(values in prop::collection::vec(1e-9..1e12f64, 1..20)) {
            for kind in [Kind::Linear, Kind::Log, Kind::LogSize] {
                let scale = Scale::over(kind, values.iter().copied(), (10.0, 200.0));
                for value in &values {
                    let place = scale.place(*value);
                    prop_assert!((9.999..=200.001).contains(&place), "{value} at {place}");
                }
                let ticks = scale.ticks(6);
                prop_assert!(ticks.len() <= 24, "{ticks:?}");
                prop_assert!(ticks.windows(2).all(|pair| pair[0] < pair[1]), "{ticks:?}");
            }
        }
    }
}
