//! The run store: what a run measured, on disk and in memory.
//!
//! * [`run`]: a run in memory, built from events or read back; [`recorder`] writes it as it happens, events as
//!   [`event_line`] has them.
//! * [`store`]: the folder of runs: lookup, tags, limits, archives; [`reader`] opens one run.
//! * [`diff`]: runs side by side; [`gate`]: a run against a baseline.
//! * [`summary`] and [`statistics`]: from raw times to a row; [`cautions`]: when not to trust it.
//! * [`columns`], [`tables`], [`circuits`], [`csv`]: the files of a run folder and their schemas; [`iterations`], [`links`],
//!   [`nodes`], [`messages`]: back from them.
//! * [`parquet`]: tables as other programs read them fastest.
//! * [`environment`]: the machine that the run was made on; [`run_id`]: what runs are called.
//! * [`digest`] and [`durable`]: files that are whole, or known not to be.

pub mod cautions;
pub mod circuits;
pub mod columns;
pub mod csv;
pub mod diff;
pub mod digest;
pub mod durable;
pub mod environment;
mod event_line;
pub mod gate;
pub mod iterations;
pub mod links;
pub mod messages;
pub mod nodes;
pub mod parquet;
pub mod reader;
pub mod recorder;
pub mod run;
pub mod run_id;
pub mod statistics;
pub mod store;
pub mod summary;
pub mod tables;
pub mod trace;

pub use environment::Environment;
pub use recorder::Recorder;
pub use run::{Run, State};
pub use run_id::RunId;
pub use store::Store;
pub use summary::Row;
