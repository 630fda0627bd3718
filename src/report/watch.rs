//! `genie run --live`: ranks and links while they are busy, as lines below the bar of progress.

use crate::event::Pulse;
use crate::scenario::plan::Plan;

/// Ranks that have a line of their own.
const RANKS: usize = 16;
/// Links that have one: the busiest.
const LINKS: usize = 8;
/// Characters of a bar.
const BAR: usize = 20;

/// Remembers what was last seen, because rates are differences.
#[derive(Debug, Default)]
pub struct Watch {
    before: Option<Pulse>,
}

impl Watch {
    /// What there is to see now.
    pub fn lines(&mut self, plan: &Plan, pulse: &Pulse) -> Vec<String> {
        let before = self
            .before
            .replace(pulse.clone())
            .filter(|before| before.at_s < pulse.at_s);
        let mut lines = ranks(plan, pulse, before.as_ref());
        lines.extend(links(plan, pulse, before.as_ref()));
        lines
    }
}

fn ranks(plan: &Plan, pulse: &Pulse, before: Option<&Pulse>) -> Vec<String> {
    let planned = plan
        .ops
        .get(pulse.op)
        .map_or(1, |op| u64::from(op.warmup) + u64::from(op.iterations));
    let mut lines = vec![format!(
        "{:>6}  {:<BAR$}  {:>14}  {:>14}  waits for",
        "rank", "iterations", "", "sent+received"
    )];
    for (rank, now) in pulse.ranks.iter().enumerate().take(RANKS) {
        let rate = before.and_then(|before| Some((before.ranks.get(rank)?.moved_bytes, before.at_s)));
        let rate = rate.map(|(bytes, at_s)| per_second(now.moved_bytes, bytes, pulse.at_s - at_s));
        let share = now.iterations as f64 / planned.max(1) as f64;
        let waiting: Vec<String> = now.waiting.iter().map(|rank| rank.to_string()).collect();
        let line = format!(
            "{rank:>6}  {}  {:>14}  {:>14}  {}",
            bar(share),
            format!("{}/{planned}", now.iterations),
            rate.map_or_else(String::new, gigabits),
            waiting.join(" ")
        );
        lines.push(line.trim_end().to_owned());
    }
    if pulse.ranks.len() > RANKS {
        lines.push(format!("        and {} ranks more", pulse.ranks.len() - RANKS));
    }
    lines
}

fn links(plan: &Plan, pulse: &Pulse, before: Option<&Pulse>) -> Vec<String> {
    let Some(before) =
        before.filter(|before| before.links.len() == pulse.links.len() && !pulse.links.is_empty())
    else {
        return Vec::new();
    };
    let seconds = pulse.at_s - before.at_s;
    let mut busy: Vec<(f64, Option<f64>, String)> = Vec::new();
    for (number, (now, then)) in pulse.links.iter().zip(&before.links).enumerate() {
        let Some(link) = plan.network.links.get(number) else {
            continue;
        };
        // Nominal rates are as many times higher as time is dilated.
        let limit = link.rate.map(|rate| rate.0 as f64 / plan.dilation);
        for direction in 0..2 {
            let rate = per_second(now[direction], then[direction], seconds);
            let arrow = if direction == 0 { "->" } else { "<-" };
            busy.push((
                rate,
                limit.map(|limit| rate / limit),
                format!("{} {arrow}", link.name),
            ));
        }
    }
    busy.sort_by(|a, b| b.0.total_cmp(&a.0));
    let line = |(rate, share, name): &(f64, Option<f64>, String)| {
        format!(
            "{:>16}  {}  {:>14}",
            name,
            share.map_or_else(|| " ".repeat(BAR + 2), bar),
            gigabits(*rate)
        )
    };
    busy.iter().take(LINKS).map(line).collect()
}

/// Bits per second.
fn per_second(now: u64, then: u64, seconds: f64) -> f64 {
    now.saturating_sub(then) as f64 * 8.0 / seconds
}

fn gigabits(rate: f64) -> String {
    format!("{:.3} Gbit/s", rate / 1e9)
}

fn bar(share: f64) -> String {
    let full = (share.clamp(0.0, 1.0) * BAR as f64).round() as usize;
    format!("[{}{}]", "=".repeat(full), " ".repeat(BAR - full))
}
