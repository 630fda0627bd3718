//! A run that goes on, as OpenMetrics text: what Prometheus and its kin read from `genie run --metrics`.
//!
//! Format: OpenMetrics 1.0 (prometheus.io/docs/specs/om/open_metrics_spec).

use std::fmt::Write;

use crate::event::{Event, Pulse};
use crate::results::Run;
use crate::results::summary::{Row, name_of};
use crate::results::tables;

/// What is told with the text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What events have told that the run itself does not hold.
#[derive(Debug, Default)]
pub struct Metrics {
    pulse: Option<Pulse>,
    /// The operation that is played and iterations of it that all ranks have finished.
    progress: Option<(usize, u64)>,
}

impl Metrics {
    /// Follows one event.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Pulse(pulse) => self.pulse = Some(pulse.clone()),
            Event::OpStarted { op, .. } => self.progress = Some((*op, 0)),
            Event::Progress { op, iterations } => self.progress = Some((*op, *iterations)),
            Event::RunFinished { .. } => self.progress = None,
            _ => {}
        }
    }

    /// The text of now.
    pub fn text(&self, run: &Run) -> String {
        let mut out = Text::default();
        self.run(&mut out, run);
        rows(&mut out, run);
        self.ranks(&mut out);
        self.links(&mut out, run);
        out.0 + "# EOF\n"
    }

    fn run(&self, out: &mut Text, run: &Run) {
        let (manifest, plan) = (&run.manifest, &run.manifest.plan);
        out.family("genie_run", "info", "", "The run that is being played.");
        let labels = [
            ("run_id", manifest.run_id.to_string()),
            ("scenario", manifest.scenario.clone()),
            ("fabric", name_of(&plan.testbed.fabric)),
            ("transport", name_of(&plan.testbed.transport)),
            ("genie_version", manifest.environment.genie_version.clone()),
        ];
        out.sample("genie_run_info", &labels, 1.0);
        out.family("genie_ranks", "gauge", "", "Ranks of the run.");
        out.sample("genie_ranks", &[], plan.ranks.len() as f64);
        out.family(
            "genie_lost_ranks",
            "gauge",
            "",
            "Ranks that ended before their time.",
        );
        out.sample("genie_lost_ranks", &[], manifest.lost_ranks.len() as f64);
        out.family(
            "genie_cautions",
            "gauge",
            "",
            "Reasons to read the figures with care, so far.",
        );
        out.sample("genie_cautions", &[], manifest.cautions.len() as f64);
        out.family(
            "genie_operations_planned",
            "gauge",
            "",
            "Operations that are to be played.",
        );
        out.sample("genie_operations_planned", &[], plan.ops.len() as f64);
        out.family(
            "genie_operations_finished",
            "counter",
            "",
            "Operations that have been played.",
        );
        out.sample("genie_operations_finished_total", &[], run.rows.len() as f64);
        if let Some((op, iterations)) = self.progress {
            let labels = [("operation", op.to_string())];
            out.family(
                "genie_operation_iterations",
                "gauge",
                "",
                "Iterations of the operation that is played, warm-up included, that all ranks have finished.",
            );
            out.sample("genie_operation_iterations", &labels, iterations as f64);
        }
    }

    fn ranks(&self, out: &mut Text) {
        let Some(pulse) = &self.pulse else { return };
        let ranks = || pulse.ranks.iter().enumerate();
        let label = |rank: usize| [("rank", rank.to_string())];
        out.family(
            "genie_rank_moved_bytes",
            "counter",
            "bytes",
            "Payload that a rank has sent and received.",
        );
        ranks().for_each(|(rank, now)| {
            out.sample(
                "genie_rank_moved_bytes_total",
                &label(rank),
                now.moved_bytes as f64,
            )
        });
        out.family(
            "genie_rank_iterations",
            "gauge",
            "",
            "Iterations of the operation that a rank has finished.",
        );
        ranks()
            .for_each(|(rank, now)| out.sample("genie_rank_iterations", &label(rank), now.iterations as f64));
        out.family(
            "genie_rank_waits",
            "gauge",
            "",
            "Ranks that a rank has been waiting for for a while.",
        );
        ranks()
            .for_each(|(rank, now)| out.sample("genie_rank_waits", &label(rank), now.waiting.len() as f64));
    }

    fn links(&self, out: &mut Text, run: &Run) {
        let plan = &run.manifest.plan;
        let links = self.pulse.as_ref().map_or(&[][..], |pulse| &pulse.links);
        if links.is_empty() {
            return;
        }
        out.family(
            "genie_link_bytes",
            "counter",
            "bytes",
            "Bytes of frames counted on a link direction.",
        );
        for (link, counted) in plan.network.links.iter().zip(links) {
            for (direction, bytes) in counted.iter().enumerate() {
                let labels = [
                    ("link", link.name.clone()),
                    ("direction", tables::way(plan, link, direction)),
                ];
                out.sample("genie_link_bytes_total", &labels, *bytes as f64);
            }
        }
    }
}

/// What has been measured so far.
fn rows(out: &mut Text, run: &Run) {
    let labels = |row: &Row| {
        [
            ("operation", row.index.to_string()),
            ("op", row.title()),
            (
                "algorithm",
                row.trace.clone().unwrap_or_else(|| name_of(&row.algorithm)),
            ),
            ("bytes", row.bytes.to_string()),
        ]
    };
    out.family(
        "genie_iteration_seconds",
        "summary",
        "seconds",
        "Time of an iteration of an operation that has been played, nominal.",
    );
    for row in &run.rows {
        let Some(time) = row.time else { continue };
        for (quantile, us) in [("0.5", time.p50), ("0.99", time.p99)] {
            let mut labels = labels(row).to_vec();
            labels.push(("quantile", quantile.into()));
            out.sample("genie_iteration_seconds", &labels, us / 1e6);
        }
        let count = f64::from(row.iterations);
        out.sample("genie_iteration_seconds_count", &labels(row), count);
        out.sample(
            "genie_iteration_seconds_sum",
            &labels(row),
            time.mean / 1e6 * count,
        );
    }
    out.family(
        "genie_busbw_bits_per_second",
        "gauge",
        "bits_per_second",
        "Bus bandwidth of an operation that has been played, nominal, as nccl-tests defines it.",
    );
    let measured = |row: &&Row| row.busbw_gbps.is_some();
    for row in run.rows.iter().filter(measured) {
        out.sample(
            "genie_busbw_bits_per_second",
            &labels(row),
            row.busbw_gbps.unwrap_or(0.0) * 1e9,
        );
    }
    out.family(
        "genie_link_share_ratio",
        "gauge",
        "ratio",
        "Payload rate of the busiest link over its payload limit.",
    );
    for row in &run.rows {
        if let Some(share) = row.link_share {
            out.sample("genie_link_share_ratio", &labels(row), share);
        }
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    /// Opens a family; its samples follow.
    fn family(&mut self, name: &str, kind: &str, unit: &str, help: &str) {
        let _ = writeln!(self.0, "# TYPE {name} {kind}");
        if !unit.is_empty() {
            let _ = writeln!(self.0, "# UNIT {name} {unit}");
        }
        let _ = writeln!(self.0, "# HELP {name} {}", escaped(help));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, String)], value: f64) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

/// Back-slashes, quotes and line ends, escaped.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
