//! Real data for verification.
