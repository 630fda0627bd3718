//! TCP sockets, without touching payload.
