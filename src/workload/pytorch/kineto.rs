//! Kineto's trace (`torch.profiler`, Chrome's format): complete events on threads and streams, times in
//! microseconds with nanoseconds behind the point. Links: "External id" and "correlation" from a kernel to the
//! operator and the call that launched it, "Record function id" to the host trace.

use serde_json::{Map, Value};

use super::super::error::FormatError;
use super::super::json::syntax;

/// What is kept of a Kineto trace.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Kineto {
    /// Operators, calls and kernels, by their beginning; of two that begin together the longer first.
    pub events: Vec<Event>,
    /// This process's rank, if it says so.
    pub rank: Option<u32>,
    /// How many ranks there are, if it says so.
    pub world_size: Option<u32>,
    /// Process groups.
    pub groups: Vec<super::host::Group>,
}

/// One complete event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Where it ran.
    pub lane: Lane,
    /// What kind of event.
    pub kind: Kind,
    /// Beginning, nanoseconds.
    pub start: i64,
    /// End, nanoseconds.
    pub end: i64,
    /// Everything else.
    pub args: Map<String, Value>,
}

/// A thread, or a stream of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Lane {
    Thread(i64, i64),
    Stream(i64, i64),
}

/// What kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An operator, or an annotation that the backend of a process group makes.
    Operator,
    /// A call of the device's driver: launches, waits.
    Runtime,
    /// Something on a stream.
    Kernel,
    /// A recorded wait of a stream for another (`cuda_sync`).
    StreamWait,
}

/// Reads a Kineto trace; `name` stands for its file.
///
/// # Errors
/// No JSON, no Kineto trace, times that are no numbers.
pub fn read(bytes: &[u8], name: &str) -> Result<Kineto, FormatError> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| syntax(name, &error))?;
    let list = value.get("traceEvents").unwrap_or(&value).as_array();
    let Some(list) = list else {
        return Err(FormatError::new(name, "there is no list `traceEvents`"));
    };
    let mut kineto = Kineto::default();
    for (index, raw) in list.iter().enumerate() {
        let error = |what: &str| FormatError::new(name, what).at(format!("event {index} of `traceEvents`"));
        let Some(kind) = kind(raw) else { continue };
        let times = ns(raw.get("ts")).zip(ns(raw.get("dur")).filter(|dur| *dur >= 0));
        let (start, dur) =
            times.ok_or_else(|| error("`ts` and `dur` must be times in microseconds, `dur` not below 0"))?;
        let end = start
            .checked_add(dur)
            .ok_or_else(|| error("it ends beyond all time"))?;
        let args = raw
            .get("args")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        let number = |value: Option<&Value>| value.and_then(Value::as_i64).unwrap_or(0);
        let lane = match kind {
            Kind::Operator | Kind::Runtime => Lane::Thread(number(raw.get("pid")), number(raw.get("tid"))),
            _ => Lane::Stream(number(args.get("device")), number(args.get("stream"))),
        };
        let title = raw
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        kineto.events.push(Event {
            name: title,
            lane,
            kind,
            start,
            end,
            args,
        });
    }
    kineto
        .events
        .sort_by_key(|event| (event.start, std::cmp::Reverse(event.end)));
    if let Some(info) = value.get("distributedInfo") {
        let small = |key: &str| {
            info.get(key)
                .and_then(Value::as_u64)
                .and_then(|n| u32::try_from(n).ok())
        };
        (kineto.rank, kineto.world_size) = (small("rank"), small("world_size"));
        let config = info.get("pg_config").and_then(Value::as_array);
        kineto.groups = config.into_iter().flatten().filter_map(group).collect();
    }
    Ok(kineto)
}

fn group(value: &Value) -> Option<super::host::Group> {
    let ranks = value.get("ranks")?.as_array()?;
    let ranks: Vec<u32> = ranks
        .iter()
        .map(|rank| u32::try_from(rank.as_u64()?).ok())
        .collect::<Option<_>>()?;
    let size = value
        .get("pg_size")
        .and_then(Value::as_u64)
        .unwrap_or(ranks.len() as u64);
    Some(super::host::Group {
        name: value.get("pg_name")?.as_str()?.to_owned(),
        ranks,
        size,
    })
}

/// `None` for what is of no interest: metadata, arrows, Python frames, annotations of the user.
fn kind(raw: &Value) -> Option<Kind> {
    if raw.get("ph").and_then(Value::as_str) != Some("X") {
        return None;
    }
    let name = raw.get("name").and_then(Value::as_str).unwrap_or_default();
    match raw
        .get("cat")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_lowercase()
        .as_str()
    {
        "cpu_op" | "operator" => Some(Kind::Operator),
        "user_annotation" if super::comm::backend_operation(name).is_some() => Some(Kind::Operator),
        "cuda_runtime" | "cuda_driver" | "hip_runtime" | "runtime" => Some(Kind::Runtime),
        "kernel" | "gpu_memcpy" | "gpu_memset" => Some(Kind::Kernel),
        "cuda_sync" if name.to_lowercase().contains("stream wait") => Some(Kind::StreamWait),
        _ => None,
    }
}

/// Microseconds with a fraction, as nanoseconds. Older traces write times as texts.
fn ns(value: Option<&Value>) -> Option<i64> {
    let micros = match value? {
        Value::String(text) => text.parse().ok()?,
        other => other.as_f64()?,
    };
    let ns = (micros * 1000.0).round();
    (ns.is_finite() && ns.abs() < 9e18).then_some(ns as i64)
}
