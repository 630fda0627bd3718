//! What is asked of a comparison.

use super::series::{Field, Figure, Metric, Value};
use crate::scenario::units::Bytes;

/// What to compare, and when to believe it.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The figure that is compared.
    pub metric: Metric,
    /// Only rows that have one of the wanted values in each named field.
    pub filters: Vec<Filter>,
    /// Rows that differ only in these fields are one row.
    pub ignored: Vec<Field>,
    /// A geometric mean for each value of this field.
    pub group: Option<Field>,
    /// A difference is proven when its corrected p is below.
    pub alpha: f64,
    /// Of intervals, 0 to 1.
    pub confidence: f64,
    /// Changes up to this share are noise, whatever p says; `None`: as [`super::noise`] finds.
    pub floor: Option<f64>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            metric: Metric::default(),
            filters: Vec::new(),
            ignored: Vec::new(),
            group: None,
            alpha: 0.05,
            confidence: 0.95,
            floor: None,
        }
    }
}

/// A field and what it may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// The field.
    pub field: Field,
    /// The values.
    pub wanted: Vec<Value>,
}

/// Why a filter cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// No `=`.
    #[error("`{0}` is not a filter like `algorithm=ring` or `bytes=1 KiB,1 MiB`")]
    NoValue(String),
    /// No such field.
    #[error(
        "rows have no field `{0}`; they have op, algorithm, communicator, ranks, dtype, redop, root, bytes"
    )]
    NoField(String),
    /// Not a number or size.
    #[error("`{0}` is not a number or a size like `1 MiB`")]
    NoNumber(String),
}

impl Filter {
    /// Reads `field=value,value`.
    ///
    /// # Errors
    /// [`FilterError`].
    pub fn parse(text: &str) -> Result<Filter, FilterError> {
        let (name, values) = text
            .split_once('=')
            .ok_or_else(|| FilterError::NoValue(text.into()))?;
        let named = |field: &&Field| field.name() == name.trim();
        let field = *Field::ALL
            .iter()
            .find(named)
            .ok_or_else(|| FilterError::NoField(name.into()))?;
        Filter::of(field, values)
    }

    /// A filter of one field by values with commas between.
    ///
    /// # Errors
    /// [`FilterError::NoNumber`].
    pub fn of(field: Field, values: &str) -> Result<Filter, FilterError> {
        let value = |text: &str| match field {
            Field::Bytes | Field::Ranks => {
                let bytes = || text.parse::<Bytes>().ok().map(|bytes| bytes.0);
                let number = text.parse().ok().or_else(bytes);
                number
                    .map(Value::Number)
                    .ok_or_else(|| FilterError::NoNumber(text.into()))
            }
            _ => Ok(Value::Text(text.into())),
        };
        let wanted = values.split(',').map(|text| value(text.trim()));
        Ok(Filter {
            field,
            wanted: wanted.collect::<Result<_, _>>()?,
        })
    }

    /// Whether a row passes. A row that does not know the field does not.
    pub fn passes(&self, figure: &Figure) -> bool {
        let value = figure.key.get(&self.field);
        value.is_some_and(|value| {
            self.wanted
                .iter()
                .any(|wanted| wanted.to_string() == value.to_string())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_name_fields_and_values() {
        let filter = Filter::parse("bytes=1 KiB, 4096").unwrap();
        assert_eq!(filter.wanted, [Value::Number(1024), Value::Number(4096)]);
        assert_eq!(Filter::parse("op"), Err(FilterError::NoValue("op".into())));
        assert_eq!(
            Filter::parse("colour=red"),
            Err(FilterError::NoField("colour".into()))
        );
        assert!(matches!(
            Filter::parse("ranks=few"),
            Err(FilterError::NoNumber(_))
        ));
    }
}
