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
/// The fabric could not be brought up, or changed during the run (a link was deleted).
pub const FABRIC: i32 = 5;
/// `verify = true` found wrong data.
pub const WRONG_DATA: i32 = 6;
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
  4    no progress within testbed.deadline (a stopped rank, a message that never came)
  5    the fabric could not be brought up, or a link vanished during the run
  6    verify = true found wrong data
  130  interrupted (Ctrl-C; a second one ends at once)
  143  ended by SIGTERM";
