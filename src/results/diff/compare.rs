//! The comparison: rows matched by what names them, each column's median with its interval, and for
//! every column after the first its change, tested and corrected. A pure function of numbers.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::facts::{self, Difference};
use super::noise;
use super::options::Options;
use super::series::{Field, Figure, Key, Metric, Series, Value};
use crate::results::statistics::blocks::block_medians;
use crate::results::statistics::correction::{holm, joint};
use crate::results::statistics::mann_whitney::{Method, smallest_p};
use crate::results::statistics::median::{interval, median, median_of_sorted, sorted};
use crate::results::statistics::{mann_whitney, shift};

/// What one sample is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// The median of a repetition of the whole run.
    Repetition,
    /// The median of a block of consecutive iterations: a side has no repetitions.
    Block,
}

/// How p values were corrected for the number of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Correction {
    /// Holm.
    Holm,
    /// Westfall and Young: few repetitions, dealt out anew with all rows together.
    Joint,
}

/// A comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// What was compared.
    pub metric: Metric,
    /// Its unit.
    pub unit: &'static str,
    /// What one sample is.
    pub sample: Unit,
    /// A change is proven when its corrected p is below and it exceeds the noise floor.
    pub alpha: f64,
    /// Of intervals.
    pub confidence: f64,
    /// The columns.
    pub columns: Vec<Column>,
    /// How the machines and scenarios differ.
    pub differences: Vec<Difference>,
    /// The fields by which rows were matched.
    pub matched_by: Vec<Field>,
    /// The rows.
    pub rows: Vec<Row>,
    /// Geometric means: of all rows, or one for each value of the group's field.
    pub means: Vec<Row>,
    /// Rows that a side lacks, in words.
    pub missing: Vec<String>,
    /// What the reader must know.
    pub notes: Vec<String>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Column {
    /// What it was called on the command line.
    pub label: String,
    /// Where it comes from.
    pub source: String,
    /// Repetitions.
    pub repetitions: usize,
    /// How its p values were corrected; `None` for the first column.
    pub correction: Option<Correction>,
    /// Its cautions.
    pub cautions: Vec<String>,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What names it; of a mean, the group.
    pub key: Key,
    /// One cell for each column; `None`: the column lacks the row.
    pub cells: Vec<Option<Cell>>,
    /// One change for each column after the first.
    pub changes: Vec<Option<Change>>,
}

/// A column's figure of a row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cell {
    /// Median of the samples; of a mean, the geometric mean of medians.
    pub median: f64,
    /// Lower bound of the median; `None`: too few samples for one.
    pub low: Option<f64>,
    /// Upper bound.
    pub high: Option<f64>,
    /// Samples.
    pub samples: usize,
    /// Iterations behind them.
    pub iterations: usize,
    #[serde(skip)]
    values: Vec<f64>,
}

/// What of a change is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Proven, and good.
    Better,
    /// Proven, and bad.
    Worse,
    /// Not proven.
    Unproven,
}

/// A change from the first column.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Change {
    /// Ratio of the medians, less 1.
    pub change: f64,
    /// Lower bound of the change (Hodges and Lehmann); `None`: too few samples for one.
    pub low: Option<f64>,
    /// Upper bound.
    pub high: Option<f64>,
    /// By Mann and Whitney's test; `None`: there is nothing to test.
    pub p: Option<f64>,
    /// How p was found.
    pub p_method: Option<Method>,
    /// Corrected for the number of rows.
    pub p_corrected: Option<f64>,
    /// Changes up to this share are noise.
    pub noise_floor: f64,
    /// One of the runs that are compared was disturbed by others on its machine: nothing is proven.
    pub disturbed: bool,
    /// What is proven.
    pub verdict: Verdict,
}

/// Compares the columns with the first.
pub fn compare(series: &[Series], options: &Options) -> Comparison {
    let matched_by = matched_by(series, options);
    let sides: Vec<Side> = series
        .iter()
        .map(|side| Side::of(side, &matched_by, options))
        .collect();
    let repeated = series.iter().all(|side| side.repetitions > 1 || side.exact);
    let unit = if repeated && series.iter().any(|side| side.repetitions > 1) {
        Unit::Repetition
    } else {
        Unit::Block
    };
    let mut rows: Vec<Row> = Vec::new();
    for key in keys(&sides) {
        let cells = sides.iter().map(|side| side.cell(&key, unit, options)).collect();
        rows.push(Row {
            key,
            cells,
            changes: Vec::new(),
        });
    }
    let mut means = means(&rows, &sides, unit, options);
    let mut columns: Vec<Column> = series.iter().map(column).collect();
    for place in 1..series.len() {
        let exact = series[0].exact && series[place].exact;
        for row in rows.iter_mut().chain(&mut means) {
            let change = row.change(place, [&sides[0], &sides[place]], unit, options);
            row.changes.push(change);
        }
        let mut tested: Vec<&mut Row> = rows.iter_mut().chain(&mut means).collect();
        columns[place].correction = correct(&mut tested, place, unit, options);
        for row in tested {
            row.judge(place, exact, options);
        }
    }
    let mut comparison = Comparison {
        metric: options.metric,
        unit: options.metric.unit(),
        sample: unit,
        alpha: options.alpha,
        confidence: options.confidence,
        columns,
        differences: facts::differences(series),
        missing: missing(&rows, series),
        matched_by,
        rows,
        means,
        notes: Vec::new(),
    };
    comparison.notes = notes(&comparison, series);
    comparison
}

impl Comparison {
    /// Whether some row of some column is proven to be worse.
    pub fn has_regression(&self) -> bool {
        let worse = |change: &Option<Change>| change.is_some_and(|change| change.verdict == Verdict::Worse);
        self.rows
            .iter()
            .chain(&self.means)
            .any(|row| row.changes.iter().any(worse))
    }
}

fn column(side: &Series) -> Column {
    Column {
        label: side.label.clone(),
        source: side.source.clone(),
        repetitions: side.repetitions,
        correction: None,
        cautions: side.cautions.clone(),
    }
}

/// The fields that every source knows of all its rows.
fn matched_by(series: &[Series], options: &Options) -> Vec<Field> {
    let known = |field: &Field| {
        let mut figures = series.iter().flat_map(|side| &side.figures);
        figures.all(|figure| figure.key.contains_key(field)) && !options.ignored.contains(field)
    };
    Field::ALL.into_iter().filter(known).collect()
}

/// One column's figures by row.
struct Side<'a> {
    order: Vec<Key>,
    figures: HashMap<Key, Vec<&'a Figure>>,
    repetitions: usize,
    foreign: bool,
}

impl<'a> Side<'a> {
    fn of(series: &'a Series, fields: &[Field], options: &Options) -> Side<'a> {
        let mut side = Side {
            order: Vec::new(),
            figures: HashMap::new(),
            repetitions: series.repetitions,
            foreign: series.facts.is_empty(),
        };
        // How often a row was met in a repetition: rows that are equal are told apart by their order.
        let mut met: HashMap<(Key, usize), u64> = HashMap::new();
        let wanted = |figure: &&Figure| options.filters.iter().all(|filter| filter.passes(figure));
        for figure in series.figures.iter().filter(wanted) {
            let field = |field: &Field| Some((*field, figure.key.get(field)?.clone()));
            let mut key: Key = fields.iter().filter_map(field).collect();
            let times = met.entry((key.clone(), figure.repetition)).or_insert(0);
            *times += 1;
            if *times > 1 {
                key.insert(Field::Occurrence, Value::Number(*times));
            }
            let figures = side.figures.entry(key.clone()).or_default();
            if figures.is_empty() {
                side.order.push(key);
            }
            figures.push(figure);
        }
        side
    }

    fn figures(&self, key: &Key) -> &[&'a Figure] {
        self.figures.get(key).map_or(&[], Vec::as_slice)
    }

    fn cell(&self, key: &Key, unit: Unit, options: &Options) -> Option<Cell> {
        let figures = self.figures(key);
        let values = match unit {
            Unit::Repetition => medians(figures),
            Unit::Block => figures
                .iter()
                .flat_map(|figure| block_medians(&figure.samples))
                .collect(),
        };
        let iterations = figures.iter().map(|figure| figure.samples.len()).sum();
        Cell::of(values, iterations, options.confidence)
    }
}

/// The median of each repetition.
fn medians(figures: &[&Figure]) -> Vec<f64> {
    figures
        .iter()
        .filter_map(|figure| median(&figure.samples))
        .collect()
}

impl Cell {
    fn of(values: Vec<f64>, iterations: usize, confidence: f64) -> Option<Cell> {
        let ordered = sorted(&values);
        let bounds = interval(&ordered, confidence);
        Some(Cell {
            median: median_of_sorted(&ordered)?,
            low: bounds.low,
            high: bounds.high,
            samples: values.len(),
            iterations,
            values,
        })
    }
}

/// All rows, in the order of the first column that has them.
fn keys(sides: &[Side<'_>]) -> Vec<Key> {
    let mut seen = std::collections::HashSet::new();
    let all = sides.iter().flat_map(|side| &side.order);
    all.filter(|key| seen.insert((*key).clone())).cloned().collect()
}

/// The geometric means over the rows that all columns have, for each value of the group's field.
fn means(rows: &[Row], sides: &[Side<'_>], unit: Unit, options: &Options) -> Vec<Row> {
    let mut groups: BTreeMap<Option<Value>, Vec<&Row>> = BTreeMap::new();
    let common = |row: &&Row| {
        row.cells
            .iter()
            .all(|cell| cell.as_ref().is_some_and(|cell| cell.median > 0.0))
    };
    for row in rows.iter().filter(common) {
        let group = options.group.and_then(|field| row.key.get(&field).cloned());
        groups.entry(group).or_default().push(row);
    }
    let mean = |(group, rows): (Option<Value>, Vec<&Row>)| {
        let key = options.group.zip(group).into_iter().collect();
        let cell = |(place, side): (usize, &Side<'_>)| mean_cell(&rows, place, side, unit, options);
        Row {
            key,
            cells: sides.iter().enumerate().map(cell).collect(),
            changes: Vec::new(),
        }
    };
    // The mean of one row is that row.
    let several = groups.into_iter().filter(|(_, rows)| rows.len() > 1);
    several.map(mean).collect()
}

/// With repetitions, each repetition's geometric mean is a sample, as far as it has all rows.
fn mean_cell(rows: &[&Row], place: usize, side: &Side<'_>, unit: Unit, options: &Options) -> Option<Cell> {
    let cells: Vec<&Cell> = rows.iter().filter_map(|row| row.cells[place].as_ref()).collect();
    let iterations = cells.iter().map(|cell| cell.iterations).sum();
    if unit == Unit::Repetition && cells.iter().all(|cell| cell.samples == side.repetitions) {
        let of = |repetition: usize| geometric_mean(cells.iter().map(|cell| cell.values[repetition]));
        let values = (0..side.repetitions).filter_map(of).collect();
        return Cell::of(values, iterations, options.confidence);
    }
    Some(Cell {
        median: geometric_mean(cells.iter().map(|cell| cell.median))?,
        low: None,
        high: None,
        samples: 0,
        iterations,
        values: Vec::new(),
    })
}

/// `None` for no values, or one that is not positive.
fn geometric_mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let logs: Vec<f64> = values.map(f64::ln).collect();
    let mean = logs.iter().sum::<f64>() / logs.len() as f64;
    Some(mean.exp()).filter(|mean| mean.is_finite() && *mean > 0.0)
}

impl Row {
    /// The change of a column, tested; not judged yet.
    fn change(&self, place: usize, sides: [&Side<'_>; 2], unit: Unit, options: &Options) -> Option<Change> {
        let (a, b) = (self.cells[0].as_ref()?, self.cells[place].as_ref()?);
        let change = b.median / a.median - 1.0;
        let (low, high) = shift::interval(&a.values, &b.values, options.confidence);
        let several = a.values.len() > 1 && b.values.len() > 1;
        let test = mann_whitney(&a.values, &b.values).filter(|_| several);
        let noise_floor = options.floor.unwrap_or_else(|| match unit {
            Unit::Repetition => noise::of_repetitions([&a.values, &b.values]),
            Unit::Block => self.single_runs_floor(sides),
        });
        let disturbed = unit == Unit::Block
            && sides
                .iter()
                .any(|side| side.figures(&self.key).iter().any(|figure| figure.disturbed));
        change.is_finite().then_some(Change {
            change,
            low: low.map(|ratio| ratio - 1.0),
            high: high.map(|ratio| ratio - 1.0),
            p: test.map(|test| test.p),
            p_method: test.map(|test| test.method),
            p_corrected: None,
            noise_floor,
            disturbed,
            verdict: Verdict::Unproven,
        })
    }

    fn single_runs_floor(&self, sides: [&Side<'_>; 2]) -> f64 {
        let figures = sides.map(|side| side.figures(&self.key));
        let repetitions = figures.map(medians);
        let all = figures.into_iter().flatten();
        let most = all.max_by(|x, y| {
            let share = |figure: &Figure| figure.link_share.unwrap_or(0.0);
            share(x).total_cmp(&share(y))
        });
        let foreign = sides.iter().any(|side| side.foreign);
        most.map_or(noise::LEAST, |figure| {
            noise::of_single_runs([&repetitions[0], &repetitions[1]], figure, foreign)
        })
    }

    fn judge(&mut self, place: usize, exact: bool, options: &Options) {
        let Some(change) = self.changes[place - 1].as_mut() else {
            return;
        };
        let proven = match change.p_corrected {
            _ if exact => change.change != 0.0,
            Some(p) => !change.disturbed && p < options.alpha && change.change.abs() > change.noise_floor,
            None => false,
        };
        // Medians and ranks must point the same way.
        let against = |bound: Option<f64>, sign: f64| bound.is_some_and(|bound| bound * sign < 0.0);
        let reversed =
            against(change.high, change.change.signum()) && against(change.low, change.change.signum());
        if proven && !reversed {
            change.verdict = match (change.change > 0.0) == options.metric.more_is_better() {
                true => Verdict::Better,
                false => Verdict::Worse,
            };
        }
    }
}

/// Fills in corrected p values of a column. The choice of the correction looks at the numbers of rows
/// and repetitions only, never at what was measured.
fn correct(rows: &mut [&mut Row], place: usize, unit: Unit, options: &Options) -> Option<Correction> {
    let tested: Vec<usize> = (0..rows.len())
        .filter(|row| p_of(rows[*row], place).is_some())
        .collect();
    let p: Vec<f64> = tested.iter().filter_map(|row| p_of(rows[*row], place)).collect();
    if p.is_empty() {
        return None;
    }
    let sizes = |row: &usize| {
        let size = |cell: &Option<Cell>| cell.as_ref().map_or(0, |cell| cell.values.len());
        (size(&rows[*row].cells[0]), size(&rows[*row].cells[place]))
    };
    let (first, other) = sizes(&tested[0]);
    let together = unit == Unit::Repetition && tested.iter().all(|row| sizes(row) == (first, other));
    // Holm could prove nothing, or at most rows whose samples are wholly apart.
    let hopeless = 2.0 * smallest_p(first, other) * p.len() as f64 >= options.alpha;
    let positive = |cell: &Option<Cell>| {
        cell.iter()
            .all(|cell| cell.values.iter().all(|value| *value > 0.0))
    };
    let measurable = tested
        .iter()
        .all(|row| positive(&rows[*row].cells[0]) && positive(&rows[*row].cells[place]));
    let (correction, corrected) = if together && hopeless && measurable {
        let values = |row: &usize| {
            let cells = [&rows[*row].cells[0], &rows[*row].cells[place]];
            cells
                .into_iter()
                .flatten()
                .flat_map(|cell| cell.values.clone())
                .collect()
        };
        let values: Vec<Vec<f64>> = tested.iter().map(values).collect();
        let joint = joint(&values, first);
        let corrected = joint
            .iter()
            .zip(&p)
            .map(|(joint, alone)| joint.max(*alone))
            .collect();
        (Correction::Joint, corrected)
    } else {
        (Correction::Holm, holm(&p))
    };
    for (row, corrected) in tested.into_iter().zip::<Vec<f64>>(corrected) {
        if let Some(change) = rows[row].changes[place - 1].as_mut() {
            change.p_corrected = Some(corrected);
        }
    }
    Some(correction)
}

fn p_of(row: &Row, place: usize) -> Option<f64> {
    row.changes[place - 1].and_then(|change| change.p)
}

/// `B lacks all-reduce ring world 4 float32 sum none 1024`.
fn missing(rows: &[Row], series: &[Series]) -> Vec<String> {
    let mut sentences = Vec::new();
    for (place, side) in series.iter().enumerate() {
        let lacking: Vec<&Row> = rows.iter().filter(|row| row.cells[place].is_none()).collect();
        if lacking.len() == rows.len() && !rows.is_empty() {
            sentences.push(format!("{} has none of the rows", side.label));
            continue;
        }
        sentences.extend(
            lacking
                .iter()
                .map(|row| format!("{} lacks {}", side.label, words(&row.key))),
        );
    }
    sentences
}

/// A row in words: `op all-reduce, bytes 1024`.
pub fn words(key: &Key) -> String {
    let word = |(field, value): (&Field, &Value)| format!("{} {value}", field.name());
    key.iter().map(word).collect::<Vec<_>>().join(", ")
}

/// What the reader must know of the comparison itself.
fn notes(comparison: &Comparison, series: &[Series]) -> Vec<String> {
    let mut notes = Vec::new();
    let joint = comparison
        .columns
        .iter()
        .any(|column| column.correction == Some(Correction::Joint));
    let fewest = series
        .iter()
        .filter(|side| !side.exact)
        .map(|side| side.repetitions)
        .min();
    match comparison.sample {
        Unit::Repetition => {
            notes.push("a sample is the median of one repetition of the whole run".into());
            if fewest.is_some_and(|fewest| smallest_p(fewest, fewest) >= comparison.alpha) {
                notes.push(format!(
                    "{} repetitions cannot prove anything at {}: repeat both at least {} times",
                    fewest.unwrap_or(0),
                    comparison.alpha,
                    needed(comparison.alpha)
                ));
            }
        }
        Unit::Block if series.iter().any(|side| !side.exact) => notes.push(format!(
            "a sample is the median of a block of iterations, because not every side has repetitions: single runs differ \
             for many reasons, so changes up to an assumed noise floor prove nothing; `genie run --repeat {}` is worth more",
            needed(comparison.alpha).max(5)
        )),
        Unit::Block => {}
    }
    let disturbed = |row: &&Row| row.changes.iter().flatten().any(|change| change.disturbed);
    let disturbed = comparison.rows.iter().filter(disturbed).count();
    if disturbed > 0 {
        notes.push(format!(
            "others used this machine's CPU time while {disturbed} of {} rows were played; that proves nothing of them",
            comparison.rows.len()
        ));
    }
    if joint {
        notes.push(
            "p is corrected by dealing the repetitions out anew with all rows together (Westfall and Young): with so few \
             repetitions and so many rows Holm's correction proves next to nothing"
                .into(),
        );
    }
    let unknown: Vec<&str> = Field::ALL
        .iter()
        .filter(|field| !comparison.matched_by.contains(field))
        .filter(|field| {
            series
                .iter()
                .any(|side| side.figures.iter().any(|f| f.key.contains_key(*field)))
        })
        .map(|field| field.name())
        .collect();
    if !unknown.is_empty() {
        notes.push(format!(
            "rows are matched without {}: not every side knows it, or it was to be ignored",
            unknown.join(", ")
        ));
    }
    notes
}

/// Repetitions of both sides from which one row can be proven to differ.
fn needed(alpha: f64) -> usize {
    (2..100).find(|n| smallest_p(*n, *n) < alpha).unwrap_or(100)
}
