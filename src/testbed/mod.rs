//! Brings a fabric up, starts one process per rank, lets them meet, plays the plan and takes
//! everything down again, whatever happens.
//!
//! * [`controller`]: the run from beginning to end.
//! * [`stages`]: what the controller waits for: reports, losses, deadlines, signals. [`beside`]: work meanwhile.
//! * [`store`]: rendezvous: ranks dial in with a token and say who they are.
//! * [`control`]: the words between controller and ranks.
//! * [`rank`], [`player`]: a rank process and its data thread. `transports`: what it plays over.
//! * [`clock`]: hybrid timers and their lateness.
//! * [`launch`]: starting rank processes.
//! * [`fabric`]: emulated or host. [`congestion`]: whether its TCP can be as asked for.
//! * [`devices`]: whether ranks have their RDMA devices. [`capacity`]: whether the machine can hold the plan.
//!   `peers`: who connects with whom. `cpu_time`: CPU time that a hypervisor or other programs took.
//! * [`model`]: the same machines in virtual time, over the analytical network.
//! * [`forecast`]: a trace that is played, in virtual time over the planned network.
//! * [`exit`]: exit codes.

pub mod beside;
pub mod capacity;
pub mod clock;
pub mod congestion;
pub mod control;
pub mod controller;
mod cpu_time;
pub mod devices;
pub mod exit;
pub mod fabric;
pub mod forecast;
pub mod launch;
pub mod model;
mod peers;
pub mod player;
pub mod rank;
pub mod stages;
pub mod store;
mod transports;
