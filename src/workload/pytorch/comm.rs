//! What a communication operator says of itself: NCCL's in `record_param_comms` (attributes, or arguments
//! of the kernel), Gloo's and MPI's in the annotation `gloo:all_reduce` and its tensor.

use serde_json::{Map, Value};

use super::super::chakra::CollectiveType;
use super::host::Operator;

/// A communication operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Comm {
    /// What it does.
    pub operation: Operation,
    /// Bytes that go in and come out, of this rank.
    pub bytes: (u64, u64),
    /// Name of the process group, if said.
    pub group: Option<String>,
    /// Ranks of that group, if said.
    pub group_size: Option<u64>,
    /// The other rank of a send or receive, if said.
    pub peer: Option<u32>,
    /// Elements for each rank, of an uneven all-to-all.
    pub splits: (Vec<i64>, Vec<i64>),
    /// Type of an element.
    pub dtype: String,
}

/// What a communication operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operation {
    Collective(CollectiveType),
    Send,
    Recv,
}

impl Comm {
    /// Bytes as Chakra counts them: what goes in; of an all-gather, too, what this rank adds.
    pub fn size(&self) -> u64 {
        match self.operation {
            Operation::Recv => self.bytes.0.max(self.bytes.1),
            _ if self.bytes.0 > 0 => self.bytes.0,
            _ => self.bytes.1,
        }
    }
}

/// The operation of a backend's annotation, `gloo:all_reduce`.
pub fn backend_operation(name: &str) -> Option<Operation> {
    let (backend, operation) = name.split_once(':')?;
    matches!(backend, "gloo" | "nccl" | "mpi" | "ucc" | "xccl")
        .then(|| operation_of(operation))
        .flatten()
}

/// From the arguments of a kernel or of `record_param_comms`: "Collective name", "In msg nelems", ...
/// in Kineto, `collective_name`, `in_msg_nelems`, ... in the host trace.
pub fn of_arguments(args: &Map<String, Value>) -> Option<Comm> {
    let get = |kineto: &str, host: &str| args.get(kineto).or_else(|| args.get(host));
    let text = |kineto: &str, host: &str| match get(kineto, host) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let operation = operation_of(&text("Collective name", "collective_name")?)?;
    let dtype = text("dtype", "dtype").unwrap_or_default();
    let count = |kineto: &str, host: &str| {
        let elements = text(kineto, host)
            .and_then(|text| text.parse::<u64>().ok())
            .unwrap_or(0);
        elements.saturating_mul(element_bytes(&dtype))
    };
    let small = |kineto: &str, host: &str| text(kineto, host).and_then(|text| text.parse::<u32>().ok());
    let peer = match operation {
        Operation::Send => small("Dst Rank", "dst_rank"),
        Operation::Recv => small("Src Rank", "src_rank"),
        Operation::Collective(_) => None,
    };
    Some(Comm {
        operation,
        bytes: (
            count("In msg nelems", "in_msg_nelems"),
            count("Out msg nelems", "out_msg_nelems"),
        ),
        group: text("Process Group Name", "pg_name"),
        group_size: text("Group size", "pg_size").and_then(|text| text.parse().ok()),
        peer,
        splits: (
            splits(get("In split size", "in_split_size")),
            splits(get("Out split size", "out_split_size")),
        ),
        dtype,
    })
}

/// From the inputs of an operator of the host trace, where its name says what it does.
pub fn of_operator(operator: &Operator) -> Option<Comm> {
    if let Some(comm) = of_arguments(&operator.attributes) {
        return Some(comm);
    }
    let operation = backend_operation(&operator.name)?;
    let dtype = operator
        .types
        .first()
        .and_then(|kind| kind.split(['(', ')']).nth(1))
        .unwrap_or_default();
    let bytes = operator.inputs.first().map_or(0, tensor_bytes);
    Some(Comm {
        operation,
        bytes: (bytes, bytes),
        group: None,
        group_size: None,
        peer: None,
        splits: (Vec::new(), Vec::new()),
        dtype: dtype.to_owned(),
    })
}

/// Peer and tag of `c10d::send` and `c10d::recv_`, which follow tensors and group.
pub fn peer_and_tag(operator: &Operator) -> Option<(u32, u32)> {
    let is_p2p = matches!(operator.name.as_str(), "c10d::send" | "c10d::recv_");
    let small = |index: usize| {
        operator
            .inputs
            .get(index)?
            .as_u64()
            .and_then(|n| u32::try_from(n).ok())
    };
    is_p2p.then(|| Some((small(2)?, small(3).unwrap_or(0)))).flatten()
}

/// Root of `c10d::broadcast_`, `c10d::reduce_`, ...
pub fn root(operator: &Operator) -> Option<u32> {
    let index = match operator.name.as_str() {
        "c10d::broadcast_" => 2,
        "c10d::reduce_" | "c10d::gather_" | "c10d::scatter_" => 3,
        _ => return None,
    };
    operator
        .inputs
        .get(index)?
        .as_u64()
        .and_then(|n| u32::try_from(n).ok())
}

/// A tensor is `[tensor id, storage id, offset, elements, bytes of an element, device]`.
fn tensor_bytes(value: &Value) -> u64 {
    let Some(list) = value.as_array() else { return 0 };
    let number = |index: usize| list.get(index).and_then(Value::as_u64);
    match (number(3), number(4), list.get(5)) {
        (Some(elements), Some(size), Some(Value::String(_))) => elements.saturating_mul(size),
        _ => list.iter().map(tensor_bytes).fold(0, u64::saturating_add),
    }
}

fn splits(value: Option<&Value>) -> Vec<i64> {
    match value {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_i64).collect(),
        Some(Value::String(text)) => {
            let numbers = text.trim_matches(['[', ']']).split(',');
            numbers.filter_map(|number| number.trim().parse().ok()).collect()
        }
        _ => Vec::new(),
    }
}

fn operation_of(name: &str) -> Option<Operation> {
    let plain: String = name
        .to_lowercase()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric())
        .collect();
    let plain = plain.trim_end_matches("coalesced");
    use CollectiveType as C;
    Some(match plain {
        "send" | "isend" => Operation::Send,
        "recv" | "irecv" | "recvanysource" => Operation::Recv,
        _ if plain.contains("reducescatter") => Operation::Collective(C::ReduceScatter),
        _ if plain.contains("allreduce") => Operation::Collective(C::AllReduce),
        _ if plain.contains("allgather") => Operation::Collective(C::AllGather),
        _ if plain.contains("alltoall") => Operation::Collective(C::AllToAll),
        _ if plain.contains("broadcast") => Operation::Collective(C::Broadcast),
        _ if plain.contains("barrier") => Operation::Collective(C::Barrier),
        _ if plain.contains("gather") => Operation::Collective(C::Gather),
        _ if plain.contains("scatter") => Operation::Collective(C::Scatter),
        _ if plain.contains("reduce") => Operation::Collective(C::Reduce),
        _ => return None,
    })
}

/// Bytes of an element, by PyTorch's name of its type (`c10/core/ScalarType.h`).
fn element_bytes(dtype: &str) -> u64 {
    let dtype = dtype.to_lowercase();
    match dtype.as_str() {
        "byte" | "char" | "bool" | "uint8" | "int8" => 1,
        "half" | "bfloat16" | "short" | "int16" | "float16" => 2,
        "int" | "float" | "int32" | "float32" | "" => 4,
        "long" | "double" | "int64" | "float64" | "complexfloat" => 8,
        _ if dtype.starts_with("float8") => 1,
        _ => 4,
    }
}
