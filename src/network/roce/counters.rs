//! What an endpoint counts, under the names that rxe and mlx5 use for the same things in
//! `/sys/class/infiniband/*/ports/*/hw_counters`.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters of one queue pair or of a whole endpoint.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Every counter with its name.
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),*]
            }

            /// Adds another's counts.
            pub fn add(&mut self, other: &Counters) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counters! {
    /// Packets sent (rxe).
    sent_pkts,
    /// Packets received (rxe).
    rcvd_pkts,
    /// Payload bytes of packets sent, repetitions included.
    sent_bytes,
    /// Payload bytes taken in order.
    rcvd_bytes,
    /// Request packets sent again.
    retransmitted_pkts,
    /// Requests that had been taken before (rxe, mlx5).
    duplicate_request,
    /// Requests ahead of the one expected (rxe).
    out_of_seq_request,
    /// Refusals for a missing packet that were sent.
    sent_seq_err,
    /// Refusals for a missing packet that came in (rxe).
    rcvd_seq_err,
    /// "Receiver not ready" sent (rxe).
    send_rnr_err,
    /// "Receiver not ready" received (rxe).
    rcvd_rnr_err,
    /// Timeouts that led to a repetition (mlx5).
    local_ack_timeout_err,
    /// Missing responses noticed by a later acknowledge or response (mlx5).
    implied_nak_seq_err,
    /// Repetitions for any reason (rxe).
    completer_retry_err,
    /// Queue pairs that gave up after their retransmissions (rxe).
    retry_exceeded_err,
    /// Queue pairs that gave up on a receiver that was not ready (rxe).
    retry_rnr_exceeded_err,
    /// Requests refused for their key, bounds or access (mlx5).
    resp_remote_access_errors,
    /// Packets for which no queue pair is here, or that are malformed.
    rcvd_discards,
    /// Packets whose checksum was wrong (mlx5).
    rx_icrc_encapsulated,
    /// Packets that a switch had marked (mlx5).
    np_ecn_marked_roce_packets,
    /// Congestion notifications sent (mlx5).
    np_cnp_sent,
    /// Congestion notifications received and acted upon (mlx5).
    rp_cnp_handled,
    /// Congestion notifications received while congestion control was off (mlx5).
    rp_cnp_ignored,
    /// Messages that the kernel could not send: no route, a link that is down, a full queue.
    send_errors,
    /// Packets that were to be sent and were dropped on purpose.
    injected_drops,
}
