//! genie.
fn main() {}
