//! A timeline as Chrome's JSON trace format, which Perfetto (ui.perfetto.dev) and chrome://tracing open:
//! events in, text out, to be taken and written piece by piece. Times are exact to the nanosecond.
//!
//! Format: "Trace Event Format", docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.

use std::collections::HashMap;
use std::fmt::Write;

/// Threads have numbers from here on, each its own: Perfetto names threads by their numbers, whichever process they are
/// of, and takes a thread that has its process's number for the main one.
const FIRST_THREAD: u32 = 1_000_001;

/// A row of a timeline: a thread of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Track {
    /// The process, from 0; shown as number + 1, because Perfetto takes process 0 for the kernel's.
    pub process: u32,
    /// The thread, from 0 in each process.
    pub thread: u32,
}

/// Something that an event says of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Argument<'a> {
    /// A whole number.
    Number(u64),
    /// Text.
    Text(&'a str),
}

/// What happens on a track.
#[derive(Debug, Clone, Copy)]
pub struct Slice<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its category.
    pub category: &'a str,
    /// Start, ns.
    pub from: u64,
    /// End, ns.
    pub to: u64,
    /// What it says of itself.
    pub arguments: &'a [(&'a str, Argument<'a>)],
}

/// A timeline being written.
#[derive(Debug)]
pub struct Trace {
    out: String,
    events: u64,
    threads: HashMap<Track, u32>,
}

impl Default for Trace {
    fn default() -> Self {
        Trace {
            out: "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[".into(),
            events: 0,
            threads: HashMap::new(),
        }
    }
}

/// Text as JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Nanoseconds as microseconds, none lost.
fn micros(ns: u64) -> String {
    format!("{}.{:03}", ns / 1000, ns % 1000)
}

impl Trace {
    /// Names a process; they are shown by `place`.
    pub fn process(&mut self, process: u32, name: &str, place: u32) {
        let pid = process + 1;
        self.event(format_args!(
            r#""ph":"M","name":"process_name","pid":{pid},"args":{{"name":{}}}"#,
            quoted(name)
        ));
        self.event(format_args!(
            r#""ph":"M","name":"process_sort_index","pid":{pid},"args":{{"sort_index":{place}}}"#
        ));
    }

    /// Names a thread; they are shown by `place`.
    pub fn thread(&mut self, track: Track, name: &str, place: u32) {
        let (pid, tid) = self.ids(track);
        self.event(format_args!(
            r#""ph":"M","name":"thread_name","pid":{pid},"tid":{tid},"args":{{"name":{}}}"#,
            quoted(name)
        ));
        self.event(format_args!(
            r#""ph":"M","name":"thread_sort_index","pid":{pid},"tid":{tid},"args":{{"sort_index":{place}}}"#
        ));
    }

    /// Something that takes a while. Slices of a track lie within each other or do not touch.
    pub fn slice(&mut self, track: Track, slice: &Slice<'_>) {
        let (pid, tid) = self.ids(track);
        let (name, category) = (quoted(slice.name), quoted(slice.category));
        let (from, length) = (micros(slice.from), micros(slice.to.saturating_sub(slice.from)));
        let arguments = object(slice.arguments);
        self.event(format_args!(
            r#""ph":"X","name":{name},"cat":{category},"pid":{pid},"tid":{tid},"ts":{from},"dur":{length},"args":{arguments}"#
        ));
    }

    /// Something that takes a while and may overlap others of its process and category.
    pub fn span(&mut self, process: u32, id: u64, slice: &Slice<'_>) {
        let (name, category, pid) = (quoted(slice.name), quoted(slice.category), process + 1);
        let arguments = object(slice.arguments);
        for (phase, at) in [("b", slice.from), ("e", slice.to)] {
            let at = micros(at);
            self.event(format_args!(
                r#""ph":"{phase}","name":{name},"cat":{category},"id":{id},"pid":{pid},"tid":{pid},"ts":{at},"args":{arguments}"#
            ));
        }
    }

    /// An arrow leaves the slice of a track at a time within it.
    pub fn arrow_from(&mut self, track: Track, name: &str, id: u64, at: u64) {
        self.arrow(track, name, id, at, r#""ph":"s""#);
    }

    /// The arrow of that number meets the slice of a track at a time within it.
    pub fn arrow_to(&mut self, track: Track, name: &str, id: u64, at: u64) {
        self.arrow(track, name, id, at, r#""ph":"f","bp":"e""#);
    }

    fn arrow(&mut self, track: Track, name: &str, id: u64, at: u64, phase: &str) {
        let (pid, tid) = self.ids(track);
        let (name, at) = (quoted(name), micros(at));
        self.event(format_args!(
            r#"{phase},"name":{name},"cat":"message","id":{id},"pid":{pid},"tid":{tid},"ts":{at}"#
        ));
    }

    /// A figure's value from a time on.
    pub fn counter(&mut self, process: u32, name: &str, at: u64, value: u64) {
        let (pid, name, at) = (process + 1, quoted(name), micros(at));
        self.event(format_args!(
            r#""ph":"C","name":{name},"pid":{pid},"ts":{at},"args":{{"value":{value}}}"#
        ));
    }

    /// Something that happened to all at once.
    pub fn moment(&mut self, process: u32, name: &str, at: u64) {
        let (pid, name, at) = (process + 1, quoted(name), micros(at));
        self.event(format_args!(
            r#""ph":"i","s":"g","name":{name},"cat":"moment","pid":{pid},"tid":{pid},"ts":{at}"#
        ));
    }

    /// Events so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The text since the last time.
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.out)
    }

    /// The rest of the text.
    pub fn finish(self) -> String {
        self.finish_with(&[])
    }

    /// The rest of the text, and what else there is to say of the whole.
    pub fn finish_with(mut self, notes: &[(&str, Argument<'_>)]) -> String {
        self.out.push_str("\n]");
        if !notes.is_empty() {
            write!(self.out, ",\"otherData\":{}", object(notes)).expect("strings take all");
        }
        self.out.push_str("}\n");
        self.out
    }

    fn ids(&mut self, track: Track) -> (u32, u32) {
        let next = FIRST_THREAD + self.threads.len() as u32;
        (track.process + 1, *self.threads.entry(track).or_insert(next))
    }

    fn event(&mut self, inside: std::fmt::Arguments<'_>) {
        let comma = if self.events > 0 { "," } else { "" };
        self.events += 1;
        write!(self.out, "{comma}\n{{{inside}}}").expect("strings take all");
    }
}

fn object(arguments: &[(&str, Argument<'_>)]) -> String {
    let pair = |(name, value): &(&str, Argument<'_>)| match value {
        Argument::Number(number) => format!("{}:{number}", quoted(name)),
        Argument::Text(text) => format!("{}:{}", quoted(name), quoted(text)),
    };
    let pairs: Vec<String> = arguments.iter().map(pair).collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_json_with_exact_times() {
        let mut trace = Trace::default();
        trace.process(0, "a \"quoted\"\nname", 3);
        let track = Track {
            process: 0,
            thread: 1,
        };
        let slice = Slice {
            name: "x\\y",
            category: "c",
            from: 1_234_567_890_123_456_789,
            to: 1_234_567_890_123_456_790,
            arguments: &[("bytes", Argument::Number(7)), ("to", Argument::Text("ü"))],
        };
        let mut text = trace.take();
        trace.slice(track, &slice);
        text.push_str(&trace.finish());
        assert!(
            text.contains(r#""ts":1234567890123456.789,"dur":0.001"#),
            "{text}"
        );
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["traceEvents"][0]["args"]["name"], "a \"quoted\"\nname");
        assert_eq!(json["traceEvents"][2]["pid"], 1);
        assert_eq!(json["traceEvents"][2]["tid"], FIRST_THREAD);
        assert_eq!(json["traceEvents"][2]["args"]["to"], "ü");
    }

    #[test]
    fn a_timeline_without_events_is_json() {
        let json: serde_json::Value = serde_json::from_str(&Trace::default().finish()).unwrap();
        assert_eq!(json["traceEvents"], serde_json::json!([]));
    }
}
