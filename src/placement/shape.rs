//! The shape that a job asks for, and which of its axes close to rings.

use std::fmt;
use std::str::FromStr;

use super::grid::Grid;

/// Nodes along the three axes; missing axes are 1.
pub type Dims = [u32; 3];

/// A box of nodes, `AxBxC`; a trailing `T` twists its torus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shape {
    /// Nodes along each axis, at least 1.
    pub dims: Dims,
    /// Whether the wrap-around links of the short axes shift the long ones by half of their length:
    /// only n x n x 2n and n x 2n x 2n can be twisted (arXiv 2304.01433).
    pub twisted: bool,
}

/// Which axes of a job close to rings. A torus of cubes closes what ends on cubes' faces; a fixed torus
/// what goes all the way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// Lengths that are multiples of the cube's side.
    Multiple(u32),
    /// Just this length.
    Exactly(u32),
    /// None.
    Never,
}

impl Closing {
    /// Whether an axis of `length` nodes closes.
    pub fn closes(self, length: u32) -> bool {
        match self {
            Closing::Multiple(side) => length > 1 && length.is_multiple_of(side),
            Closing::Exactly(whole) => length == whole && length > 1,
            Closing::Never => false,
        }
    }
}

/// Largest number of nodes along one axis that is read.
pub const MAX_LENGTH: u32 = 1 << 20;

/// Why a text is no shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// Not of the form.
    #[error("`{0}` is no shape; write for example \"4x4x8\"")]
    Form(String),
    /// Twisted, but neither n x n x 2n nor n x 2n x 2n.
    #[error("`{0}` cannot be twisted; only n x n x 2n and n x 2n x 2n can")]
    Twist(String),
}

impl Shape {
    /// A plain box.
    pub fn new(dims: Dims) -> Self {
        Shape { dims, twisted: false }
    }

    /// Its number of nodes.
    pub fn size(&self) -> u64 {
        self.dims.iter().map(|d| u64::from(*d)).product()
    }

    /// How many of its axes are longer than 1.
    pub fn order(&self) -> usize {
        self.dims.iter().filter(|d| **d > 1).count()
    }

    /// The links between its nodes.
    pub fn grid(&self, closing: Closing) -> Grid {
        let wraps = self.dims.map(|length| closing.closes(length));
        Grid {
            dims: self.dims,
            wraps,
            twist: self.twisted.then(|| self.short()),
        }
    }

    /// Its shortest axis' length.
    pub fn short(&self) -> u32 {
        self.dims.into_iter().min().unwrap_or(1)
    }

    fn twistable(&self) -> bool {
        let n = self.short();
        n > 1 && self.dims.iter().all(|d| *d == n || *d == 2 * n) && self.dims.contains(&(2 * n))
    }
}

impl FromStr for Shape {
    type Err = ShapeError;

    fn from_str(text: &str) -> Result<Self, ShapeError> {
        let form = || ShapeError::Form(text.chars().take(40).collect());
        let plain = text.trim();
        let (plain, twisted) = plain
            .strip_suffix('T')
            .map_or((plain, false), |rest| (rest, true));
        let mut dims = [1; 3];
        for (count, part) in plain.split('x').enumerate() {
            let length: u32 = part.trim().parse().map_err(|_| form())?;
            if length == 0 || length > MAX_LENGTH || count >= 3 {
                return Err(form());
            }
            dims[count] = length;
        }
        let shape = Shape { dims, twisted };
        if twisted && !shape.twistable() {
            return Err(ShapeError::Twist(text.chars().take(40).collect()));
        }
        Ok(shape)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c] = self.dims;
        write!(f, "{a}x{b}x{c}{}", if self.twisted { "T" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_read_and_refused() {
        assert_eq!("104x1x1".parse(), Ok(Shape::new([104, 1, 1])));
        assert_eq!("8x4".parse(), Ok(Shape::new([8, 4, 1])));
        assert_eq!(
            "4x4x8T".parse::<Shape>().map(|s| s.to_string()),
            Ok("4x4x8T".into())
        );
        for text in [
            "",
            "x",
            "0x1",
            "4x4x4T",
            "2x3x4T",
            "-1",
            "1x1x1x1",
            "9999999999",
            "4xé",
        ] {
            assert!(text.parse::<Shape>().is_err(), "{text}");
        }
    }
}
