//! What users read: the terminal's screen and table, JSON, CSV, and the folder of a run.
//!
//! The wing reads records, summaries and what `analysis` made of them. It prints nothing: it returns text, or writes to
//! what it is given.

mod comparison;
mod csv;
mod duration;
mod estimate;
mod folder;
mod json;
mod number;
mod query;
mod replace;
pub mod results;
mod screen;
mod sparkline;
mod table;
mod wrap;

pub use self::csv::{Names, PodsCsv, RequestsCsv, TimelineCsv};
pub use comparison::{comparison_json, comparison_text};
pub use duration::{compact, humane, spoken};
pub use folder::{Folder, Input, SERIES};
pub use json::{DecisionsJsonl, summary_json, sweep_json};
pub use query::{query_json, query_text};
pub use replace::replace;
pub use screen::{Screen, sentence};
pub use table::table;
