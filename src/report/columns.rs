//! The columns of the table: which there are, which a plan and a width allow, and how figures are
//! written. Widths are fixed by the plan before the first row, so rows can be printed as they come.

use crate::network::message::Rank;
use crate::results::summary::{Row, TRACE, has_root, name_of};
use crate::scenario::plan::Plan;
use crate::system::op::Algorithm;

/// A column of the table, in the order in which they are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Bytes.
    Size,
    /// Elements.
    Count,
    /// Element type.
    Type,
    /// Reduction operator.
    Redop,
    /// Root.
    Root,
    /// Collective.
    Op,
    /// Algorithm.
    Algorithm,
    /// Ranks of the communicator.
    Ranks,
    /// Fastest iteration.
    Min,
    /// Median iteration.
    P50,
    /// 99th percentile.
    P99,
    /// Algorithm bandwidth, GB/s.
    Algbw,
    /// Bus bandwidth, GB/s.
    Busbw,
    /// Bus bandwidth, Gbit/s.
    BusbwBits,
    /// Share of the payload limit.
    Limit,
    /// Wrong elements.
    Wrong,
    /// Marks of cautions.
    Note,
}

/// The columns of one table with their widths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Columns and widths in order.
    pub columns: Vec<(Column, usize)>,
    short_names: bool,
}

/// In which order columns go when there is no room.
const DISPENSABLE: [Column; 9] = [
    Column::Root,
    Column::BusbwBits,
    Column::Count,
    Column::Redop,
    Column::Type,
    Column::Min,
    Column::Algbw,
    Column::P99,
    Column::Ranks,
];

impl Layout {
    /// The widest table of `plan` that fits `width`.
    pub fn of(plan: &Plan, width: usize) -> Layout {
        let mut wanted = Column::of(plan);
        let mut layout = Layout::with(plan, &wanted, false);
        if layout.width() > width {
            layout = Layout::with(plan, &wanted, true);
        }
        for column in DISPENSABLE {
            if layout.width() <= width {
                break;
            }
            wanted.retain(|kept| *kept != column);
            layout = Layout::with(plan, &wanted, true);
        }
        layout
    }

    fn with(plan: &Plan, columns: &[Column], short_names: bool) -> Layout {
        let width = |column: &Column| {
            let cells = plan.ops.iter().map(|op| match column {
                Column::Size | Column::Count => {
                    let bytes = op.trace.as_ref().map_or(op.op.bytes, |trace| trace.payload_bytes);
                    bytes.to_string()
                }
                Column::Op if op.trace.is_some() => TRACE.into(),
                Column::Op => name_of(&op.op.collective),
                Column::Algorithm => match &op.trace {
                    Some(trace) => trace.name.clone(),
                    None => algorithm(op.op.algorithm, short_names),
                },
                Column::Type => name_of(&op.op.dtype),
                _ => String::new(),
            });
            let widest = cells.map(|cell| cell.len()).max().unwrap_or(0);
            widest
                .max(column.least_width())
                .max(column.title().len())
                .max(column.unit().len())
        };
        Layout {
            columns: columns.iter().map(|column| (*column, width(column))).collect(),
            short_names,
        }
    }

    /// Columns of text of a line: a first character (`#` in headers), and a space between columns.
    fn width(&self) -> usize {
        self.columns.iter().map(|(_, width)| width + 1).sum()
    }

    /// Whether a column is there.
    pub fn has(&self, column: Column) -> bool {
        self.columns.iter().any(|(present, _)| *present == column)
    }

    /// A line with `first` before its cells.
    pub fn line(&self, first: char, cell: impl Fn(Column) -> String) -> String {
        let mut line = first.to_string();
        for (place, (column, width)) in self.columns.iter().enumerate() {
            let cell = cell(*column);
            let gap = if place == 0 { "" } else { " " };
            line += &match column {
                Column::Note => format!("{gap}{cell}"),
                _ => format!("{gap}{cell:>width$}"),
            };
        }
        line.trim_end().to_owned()
    }

    /// What stands in a cell.
    pub fn cell(&self, column: Column, row: &Row) -> String {
        let time =
            |pick: fn(crate::results::statistics::Times) -> f64| row.time.map(|time| micros(pick(time)));
        let dash = |cell: Option<String>| cell.unwrap_or_else(|| "-".into());
        match column {
            Column::Size => row.bytes.to_string(),
            Column::Count => row.count.to_string(),
            Column::Type => name_of(&row.dtype),
            Column::Redop => row.redop.as_ref().map_or_else(|| "none".into(), name_of),
            Column::Root => dash(row.root.map(|root: Rank| root.to_string())),
            Column::Op => row.title(),
            Column::Algorithm => match &row.trace {
                Some(name) => name.clone(),
                None => algorithm(row.algorithm, self.short_names),
            },
            Column::Ranks => row.ranks.to_string(),
            Column::Min => dash(time(|time| time.min)),
            Column::P50 => dash(time(|time| time.p50)),
            Column::P99 => dash(time(|time| time.p99)),
            Column::Algbw => dash(row.algbw_gbps.map(|gbps| figures(gbps / 8.0))),
            Column::Busbw => dash(row.busbw_gbps.map(|gbps| figures(gbps / 8.0))),
            Column::BusbwBits => dash(row.busbw_gbps.map(figures)),
            Column::Limit => dash(row.link_share.map(|share| format!("{:.1}", share * 100.0))),
            Column::Wrong => dash(row.wrong.map(|wrong| wrong.to_string())),
            Column::Note => row.cautions.iter().map(|caution| caution.mark()).collect(),
        }
    }
}

impl Column {
    /// All columns that say something about this plan.
    fn of(plan: &Plan) -> Vec<Column> {
        use Column::{
            Algbw, Algorithm, Busbw, BusbwBits, Count, Limit, Min, Note, Op, P50, P99, Ranks, Redop, Root,
            Size, Type, Wrong,
        };
        let all = [
            Size, Count, Type, Redop, Root, Op, Algorithm, Ranks, Min, P50, P99, Algbw, Busbw, BusbwBits,
            Limit, Wrong, Note,
        ];
        let rooted = plan.ops.iter().any(|op| has_root(op.op.collective));
        let subsets = plan.ops.iter().any(|op| op.op.communicator != 0);
        all.into_iter()
            .filter(|column| match column {
                Wrong => plan.testbed.verify,
                Root => rooted,
                Ranks => subsets,
                _ => true,
            })
            .collect()
    }

    /// First header line; nccl-tests' word where it has one.
    pub fn title(self) -> &'static str {
        match self {
            Column::Size => "size",
            Column::Count => "count",
            Column::Type => "type",
            Column::Redop => "redop",
            Column::Root => "root",
            Column::Op => "op",
            Column::Algorithm => "algorithm",
            Column::Ranks => "ranks",
            Column::Min => "time min",
            Column::P50 => "time p50",
            Column::P99 => "time p99",
            Column::Algbw => "algbw",
            Column::Busbw | Column::BusbwBits => "busbw",
            Column::Limit => "limit",
            Column::Wrong => "#wrong",
            Column::Note => "note",
        }
    }

    /// Second header line.
    pub fn unit(self) -> &'static str {
        match self {
            Column::Size => "(B)",
            Column::Count => "(elems)",
            Column::Min | Column::P50 | Column::P99 => "(us)",
            Column::Algbw | Column::Busbw => "(GB/s)",
            Column::BusbwBits => "(Gb/s)",
            Column::Limit => "(%)",
            _ => "",
        }
    }

    /// Room for values that only the run will tell.
    fn least_width(self) -> usize {
        match self {
            Column::Min | Column::P50 | Column::P99 => 9,
            Column::Algbw | Column::Busbw | Column::BusbwBits | Column::Wrong => 6,
            Column::Limit => 5,
            _ => 4,
        }
    }
}

/// Algorithm names, shortened where the table is narrow.
fn algorithm(algorithm: Algorithm, short: bool) -> String {
    match algorithm {
        Algorithm::HalvingDoubling if short => "halving-dbl".into(),
        Algorithm::RecursiveDoubling if short => "recurs-dbl".into(),
        Algorithm::DoubleBinaryTree if short => "dbl-tree".into(),
        algorithm => name_of(&algorithm),
    }
}

/// Microseconds with about five figures, at most nine characters up to a quarter of an hour.
fn micros(us: f64) -> String {
    match us {
        us if us < 1e3 => format!("{us:.2}"),
        us if us < 1e5 => format!("{us:.1}"),
        us => format!("{us:.0}"),
    }
}

/// At most six characters below a million, four figures or all of the whole number.
pub fn figures(value: f64) -> String {
    match value {
        v if v < 10.0 => format!("{v:.4}"),
        v if v < 100.0 => format!("{v:.3}"),
        v if v < 1000.0 => format!("{v:.2}"),
        v => format!("{v:.0}"),
    }
}
