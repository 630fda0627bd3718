//! Exit codes of `genie`. They are part of the command-line contract: see docs/stability.md.

/// Everything asked for was done.
pub const OK: i32 = 0;
/// A bug, or the machine refused something that should work.
pub const INTERNAL: i32 = 1;
/// Bad input, or a capability or permission that is missing: nothing was started.
pub const USAGE: i32 = 2;
/// A rank was killed, crashed, or lost a peer.
pub const RANK_LOST: i32 = 3;
/// No progress within the deadline: a rank was stopped, or a message never came.
pub const DEADLINE: i32 = 4;
/// The fabric could not be brought up, changed during the run (a link was deleted), or its circuits could not be.
pub const FABRIC: i32 = 5;
/// `verify = true` found wrong data.
pub const WRONG_DATA: i32 = 6;
/// `genie gate` found a regression; `genie diff --exit-code` a proven one.
pub const REGRESSION: i32 = 7;
/// `genie gate`: figures of the baseline are missing in the run.
pub const MISSING_DATA: i32 = 8;
/// `genie gate`: the run was not made as the baseline says, so that its figures say nothing.
pub const ENVIRONMENT: i32 = 9;
/// `genie gate`: figures spread too much to tell whether they are within their limits.
pub const TOO_NOISY: i32 = 10;
/// Interrupted by SIGINT (Ctrl-C).
pub const INTERRUPTED: i32 = 130;
/// Ended by SIGTERM.
pub const TERMINATED: i32 = 143;

/// The list as `genie run --help` prints it.
pub const HELP: &str = "\
Exit codes:
  0    everything planned was played
  1    internal error, or the machine refused something that should work
  2    bad input, or a missing capability or permission: nothing was started
  3    a rank was killed, crashed, or lost a peer: results are partial
  4    no progress within testbed.deadline (a stopped rank, a lost message), or not ready in time
  5    the fabric could not be brought up, a link vanished, or circuits could not be changed
  6    verify = true found wrong data
  7    gate: a figure is worse than its baseline allows (diff --exit-code: proven to be worse)
  8    gate: figures of the baseline are missing in the run
  9    gate: the run was not made as the baseline says: its figures cannot be compared
  10   gate: figures spread too much to tell
  130  interrupted (Ctrl-C; a second one ends at once)
  143  ended by SIGTERM";
