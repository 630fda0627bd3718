//! What a run looks like to people and programs. All of it is made from a [`crate::results::Run`],
//! so a live report and one of a stored run are the same code.
//!
//! * [`terminal`]: the table; [`facts`] above it, its [`columns`]; [`progress`]: the bar on stderr.
//! * [`json`]: one object for programs. [`live`] feeds them all from the events of a run; [`watch`]: ranks and
//!   links while they are busy; [`metrics`]: for Prometheus.
//! * [`insight`]: what a simulation spent its time on. [`perfetto`]: timelines;
//!   [`played`]: that of a stored run, with its messages by [`flights`].
//! * [`placement`]: policies compared. [`placement_plan`]: what would be replayed for that.
//! * [`astra`]: the lines of ASTRA-sim. [`workload`]: what is in a trace.
//! * [`html`]: all of it as one file, with figures by [`svg`].
//! * [`diff`]: runs compared. [`gate`]: a run judged. [`list`]: the list of runs. [`style`]: width and colour of an output.

pub mod astra;
pub mod circuits;
pub mod columns;
pub mod diff;
pub mod facts;
pub mod flights;
pub mod gate;
pub mod html;
pub mod insight;
pub mod json;
pub mod list;
pub mod live;
pub mod metrics;
pub mod perfetto;
pub mod placement;
pub mod placement_plan;
pub mod played;
pub mod progress;
pub mod style;
pub mod svg;
pub mod terminal;
pub mod trace;
pub mod watch;
pub mod workload;
