//! A comparison of placement policies: a table for people, with the paper's figures beside ours, and JSON.

use std::fmt::Write;

use serde_json::json;

use crate::placement::policy::Kind;
use crate::placement::published::{JCT_GAIN, UTILISATION_GAIN};
use crate::placement::study::{Report, Row};

/// As one JSON object: `policies` has a row for each load and policy.
pub fn json(name: &str, report: &Report) -> String {
    let value = json!({
        "name": name,
        "clock": "virtual",
        "measured": false,
        "policies": report.rows,
        "headlines": headlines(report).iter().map(Headline::json).collect::<Vec<_>>(),
        "public_rule": report.public_rule,
        "unwired": report.unwired,
        "jobs_left_out": report.left_out,
        "fault": report.fault,
    });
    serde_json::to_string_pretty(&value).expect("figures are plain JSON") + "\n"
}

/// For people.
pub fn text(name: &str, report: &Report) -> String {
    let mut out = format!(
        "# {name}: computed in virtual time, nothing measured; `paper` is published (arXiv 2510.03891): JCT by its public \
         plot script, completion as remembered of its text\n"
    );
    let mut load = None;
    for row in &report.rows {
        if load != Some(row.load) {
            load = Some(row.load);
            let _ = writeln!(
                out,
                "\n# arrivals pressed together {} times, {} seeds",
                row.load, row.seeds
            );
            out += HEADER;
        }
        out += &line(row);
    }
    out.push('\n');
    for headline in headlines(report) {
        out += &headline.text();
    }
    if let Some(census) = &report.public_rule {
        let _ = writeln!(
            out,
            "# the public simulator's rule admitted {} jobs, {} on several cubes, {} of several kinds of blocks; circuits cannot \
             join {} of them where it put them; the search of offsets finds a place for {} of those",
            census.admitted,
            census.several_cubes,
            census.several_kinds,
            census.not_wireable,
            census.recovered
        );
    }
    for row in &report.unwired {
        let hours = |value: Option<f64>| value.map_or("-".into(), |h| format!("{h:.3}"));
        let _ = writeln!(
            out,
            "# its {} on cubes of 4, load {}, if nobody asked for wires: {:.1} % done, JCT {}/{}/{} h, utilisation {:.1} % over time, \
             {:.1} % over events",
            row.policy,
            row.load,
            row.completion_rate * 100.0,
            hours(row.jct_h.p50),
            hours(row.jct_h.p90),
            hours(row.jct_h.p99),
            row.utilisation_time * 100.0,
            row.utilisation_event * 100.0,
        );
    }
    let verified: u64 = report.rows.iter().map(|row| row.verified).sum();
    let verdict = if report.fault.is_some() {
        "one was WRONG"
    } else {
        "all are sound"
    };
    let _ = writeln!(
        out,
        "# {verified} placements were verified from their cross-connects alone: {verdict}"
    );
    out
}

const HEADER: &str = "# policy          cube fill   done%  (paper)  JCT p50      p90      p99 h (paper p50/p90/p99)     util% time event   \
                      wait h: resource shape wiring   circuits\n";

fn line(row: &Row) -> String {
    let hours = |value: Option<f64>| value.map_or("-".into(), |h| format!("{h:.3}"));
    let paper = row.published.filter(|_| row.load == 1.0);
    let rate = paper
        .and_then(|p| p.completion_rate)
        .map_or(String::new(), |r| format!("({:.1})", r * 100.0));
    let jct = paper
        .and_then(|p| p.jct_h)
        .map_or(String::new(), |[a, b, c]| format!("({a}/{b}/{c})"));
    let cube = row.cube.map_or("-".into(), |cube| {
        format!("{cube}{}", if row.buildable { "" } else { "*" })
    });
    format!(
        "  {:<15} {cube:>4} {:>4}  {:>6.1} {rate:>8} {:>8} {:>8} {:>8} {jct:<26} {:>6.1} {:>6.1} {:>16.2} {:>6.2} {:>6.2} {:>10}\n",
        row.policy.to_string(),
        row.backfill,
        row.completion_rate * 100.0,
        hours(row.jct_h.p50),
        hours(row.jct_h.p90),
        hours(row.jct_h.p99),
        row.utilisation_time * 100.0,
        row.utilisation_event * 100.0,
        row.waiting_h.resource,
        row.waiting_h.shape,
        row.waiting_h.wiring,
        row.cross_connects_changed,
    )
}

/// A ratio of the abstract beside ours.
struct Headline {
    what: &'static str,
    load: f64,
    published: f64,
    computed: f64,
    /// The same by the public simulator's rules, which do not ask for wires.
    unwired: Option<f64>,
}

impl Headline {
    fn json(&self) -> serde_json::Value {
        json!({ "what": self.what, "load": self.load, "published": self.published, "computed": self.computed, "unwired": self.unwired })
    }

    fn text(&self) -> String {
        let Headline {
            what,
            load,
            published,
            computed,
            unwired,
        } = self;
        let unwired = unwired.map_or(String::new(), |value| {
            format!(", {value:.1} by the public rules without wires")
        });
        format!("# {what}, load {load}: {computed:.1} computed{unwired}, up to {published} published\n")
    }
}

/// The abstract's two, under each load.
fn headlines(report: &Report) -> Vec<Headline> {
    let mut all = Vec::new();
    for load in loads(report) {
        let find = |policy, cube| {
            let mut rows = report.rows.iter();
            rows.find(|row| {
                (row.policy, row.cube, row.backfill) == (policy, Some(cube), 0) && row.load == load
            })
        };
        let unwired = |policy| {
            let mut rows = report.unwired.iter();
            rows.find(|row| row.policy == policy && row.load == load)
        };
        let rfold = find(Kind::Rfold, 4);
        let fixed = report
            .rows
            .iter()
            .find(|row| row.policy == Kind::FirstFit && row.load == load);
        if let Some((rfold, fixed)) = rfold.zip(fixed) {
            all.push(Headline {
                what: "utilisation over events, RFold(4) less first fit, points",
                load,
                published: UTILISATION_GAIN,
                computed: (rfold.utilisation_event - fixed.utilisation_event) * 100.0,
                unwired: unwired(Kind::Rfold)
                    .map(|rfold| (rfold.utilisation_event - fixed.utilisation_event) * 100.0),
            });
        }
        let p50 = |row: Option<&Row>| row.and_then(|row| row.jct_h.p50);
        if let Some((slow, fast)) = p50(find(Kind::Reconfiguration, 4)).zip(p50(rfold)) {
            all.push(Headline {
                what: "p50 of the JCT, reconfiguration(4) over RFold(4)",
                load,
                published: JCT_GAIN,
                computed: slow / fast,
                unwired: unwired(Kind::Reconfiguration)
                    .zip(unwired(Kind::Rfold))
                    .and_then(|(slow, fast)| Some(slow.jct_h.p50? / fast.jct_h.p50?)),
            });
        }
    }
    all
}

fn loads(report: &Report) -> Vec<f64> {
    let mut loads: Vec<f64> = report.rows.iter().map(|row| row.load).collect();
    loads.dedup();
    loads
}
