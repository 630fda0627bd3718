//! Controller, ranks, fabric, launchers, clocks.
