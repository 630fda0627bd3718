//! What a rank plays, in which order.
