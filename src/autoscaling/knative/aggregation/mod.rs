//! How samples become the values of the stable and the panic window (`pkg/autoscaler/aggregation`).

mod bucketing;
mod time_window;
mod weighted;

pub use bucketing::TimedFloat64Buckets;
pub use time_window::TimeWindow;
pub use weighted::WeightedFloat64Buckets;
