//! Figures as SVG that stands within an HTML page: no fonts, images or scripts of their own. Colours
//! are classes that the page's style gives a meaning in light and in dark; shapes and dashes say the same.
//!
//! * [`canvas`]: shapes and text. [`scale`]: from values to places, and where ticks stand.
//! * [`plot`]: lines over two axes. [`heat`]: cells. [`lanes`]: what happened when. [`forest`]: changes with
//!   their intervals. [`spread`]: distributions in a row.

pub mod canvas;
pub mod forest;
pub mod heat;
pub mod lanes;
pub mod plot;
pub mod scale;
pub mod spread;
