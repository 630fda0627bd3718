//! Operation codes of reliable connections and of congestion notification (InfiniBand Architecture
//! Specification volume 1, table "OpCode field"; annex A17 for congestion notification).

/// What a packet is for. A message of one packet is an `Only`; longer ones go `First`, `Middle`..,
/// `Last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // The specification's own names.
pub enum Opcode {
    SendFirst = 0x00,
    SendMiddle = 0x01,
    SendLast = 0x02,
    SendLastImmediate = 0x03,
    SendOnly = 0x04,
    SendOnlyImmediate = 0x05,
    WriteFirst = 0x06,
    WriteMiddle = 0x07,
    WriteLast = 0x08,
    WriteLastImmediate = 0x09,
    WriteOnly = 0x0a,
    WriteOnlyImmediate = 0x0b,
    ReadRequest = 0x0c,
    ReadResponseFirst = 0x0d,
    ReadResponseMiddle = 0x0e,
    ReadResponseLast = 0x0f,
    ReadResponseOnly = 0x10,
    Acknowledge = 0x11,
    AtomicAcknowledge = 0x12,
    CompareSwap = 0x13,
    FetchAdd = 0x14,
    CongestionNotification = 0x81,
}

/// Which operation of the sender's a request packet belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Into a posted receive.
    Send,
    /// Into a memory region.
    Write,
}

const ALL: [Opcode; 22] = {
    use Opcode::*;
    [
        SendFirst,
        SendMiddle,
        SendLast,
        SendLastImmediate,
        SendOnly,
        SendOnlyImmediate,
        WriteFirst,
        WriteMiddle,
        WriteLast,
        WriteLastImmediate,
        WriteOnly,
        WriteOnlyImmediate,
        ReadRequest,
        ReadResponseFirst,
        ReadResponseMiddle,
        ReadResponseLast,
        ReadResponseOnly,
        Acknowledge,
        AtomicAcknowledge,
        CompareSwap,
        FetchAdd,
        CongestionNotification,
    ]
};

impl Opcode {
    /// The opcode with this number, if it is one that is known here.
    pub fn from_number(number: u8) -> Option<Self> {
        match ALL.get(usize::from(number)) {
            Some(opcode) if *opcode as u8 == number => Some(*opcode),
            _ if number == Opcode::CongestionNotification as u8 => Some(Opcode::CongestionNotification),
            _ => None,
        }
    }

    /// The number on the wire.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// A packet of a send or write: its operation, whether it is its message's first and last, and
    /// whether it carries an immediate.
    pub fn part(self) -> Option<(Operation, bool, bool, bool)> {
        use Operation::{Send, Write};
        Some(match self {
            Opcode::SendFirst => (Send, true, false, false),
            Opcode::SendMiddle => (Send, false, false, false),
            Opcode::SendLast => (Send, false, true, false),
            Opcode::SendLastImmediate => (Send, false, true, true),
            Opcode::SendOnly => (Send, true, true, false),
            Opcode::SendOnlyImmediate => (Send, true, true, true),
            Opcode::WriteFirst => (Write, true, false, false),
            Opcode::WriteMiddle => (Write, false, false, false),
            Opcode::WriteLast => (Write, false, true, false),
            Opcode::WriteLastImmediate => (Write, false, true, true),
            Opcode::WriteOnly => (Write, true, true, false),
            Opcode::WriteOnlyImmediate => (Write, true, true, true),
            _ => return None,
        })
    }

    /// The opcode of a packet of a send or write.
    pub fn of_part(operation: Operation, first: bool, last: bool, immediate: bool) -> Self {
        let within = match (first, last, immediate) {
            (true, false, _) => 0,
            (false, false, _) => 1,
            (false, true, false) => 2,
            (false, true, true) => 3,
            (true, true, false) => 4,
            (true, true, true) => 5,
        };
        match operation {
            Operation::Send => ALL[within],
            Operation::Write => ALL[6 + within],
        }
    }

    /// The opcode of a packet of a read's response.
    pub fn of_response(first: bool, last: bool) -> Self {
        match (first, last) {
            (true, true) => Opcode::ReadResponseOnly,
            (true, false) => Opcode::ReadResponseFirst,
            (false, true) => Opcode::ReadResponseLast,
            (false, false) => Opcode::ReadResponseMiddle,
        }
    }

    /// A packet of a read's response.
    pub fn is_response(self) -> bool {
        matches!(self.number(), 0x0d..=0x10)
    }

    /// A request: handled by the side that did not post the operation.
    pub fn is_request(self) -> bool {
        matches!(self.number(), 0x00..=0x0c | 0x13 | 0x14)
    }

    /// Carries an RDMA extended transport header.
    pub fn has_reth(self) -> bool {
        matches!(
            self,
            Opcode::WriteFirst | Opcode::WriteOnly | Opcode::WriteOnlyImmediate | Opcode::ReadRequest
        )
    }

    /// Carries an acknowledge extended transport header.
    pub fn has_aeth(self) -> bool {
        let response = self.is_response() && self != Opcode::ReadResponseMiddle;
        response || matches!(self, Opcode::Acknowledge | Opcode::AtomicAcknowledge)
    }

    /// Carries four bytes for the receiver's completion.
    pub fn has_immediate(self) -> bool {
        matches!(self.part(), Some((_, _, _, true)))
    }

    /// Carries an atomic operation's header.
    pub fn is_atomic(self) -> bool {
        matches!(self, Opcode::CompareSwap | Opcode::FetchAdd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_parts_are_their_own_inverse() {
        let known = (0..=255).filter_map(Opcode::from_number);
        assert_eq!(known.clone().count(), ALL.len());
        for opcode in known {
            assert_eq!(Opcode::from_number(opcode.number()), Some(opcode));
            if let Some((operation, first, last, immediate)) = opcode.part() {
                assert_eq!(Opcode::of_part(operation, first, last, immediate), opcode);
            }
        }
        assert_eq!(Opcode::from_number(0x15), None);
        assert_eq!(Opcode::from_number(0x80), None);
    }
}
