//! One trigger as one loop evaluated it.

use crate::units::MilliValue;
use serde::Serialize;

/// What a trigger is worth, with everything that led there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TriggerReading {
    /// Name of its metric.
    pub metric: String,
    /// Where the value came from.
    pub source: Source,
    /// The float before any rounding; `None` after an error or from the cache.
    pub value: Option<f64>,
    /// What is reported, in thousandths, the fallback's value included.
    pub value_milli: Option<MilliValue>,
    /// Whether the value is above the activation threshold, the cron trigger's times are on, or the value is the
    /// fallback's. Only polls act on it: of a cached record the poll has judged it already, and it is false here.
    pub is_active: bool,
    /// Whether the value is the fallback's.
    pub fallback_active: bool,
    /// `numberOfFailures` after this evaluation; `None` where it is not counted.
    pub failures: Option<i32>,
    /// The scaler's error, also where the fallback stands in for it.
    pub scaler_error: Option<String>,
    /// The error that remains after the fallback.
    pub error: Option<String>,
}

/// Where a reading came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A query.
    Prometheus,
    /// The wall clock.
    Clock,
    /// The record of the last poll (`useCachedMetrics`).
    Cache,
}

impl TriggerReading {
    /// What KEDA's metrics server answers the HPA: the value in thousandths, or an error that names the metric alone
    /// (`pkg/scaling/scale_handler.go`, `pkg/metricsservice/server.go`, v2.20.2).
    ///
    /// # Errors
    /// The text that the API server passes on.
    pub fn reported(&self) -> Result<MilliValue, String> {
        let metric = &self.metric;
        self.outcome().map_err(|_| {
            format!(
                "rpc error: code = Unknown desc = error when getting metric values metric:{metric} encountered error"
            )
        })
    }

    /// The value, or what went wrong.
    pub(super) fn outcome(&self) -> Result<MilliValue, String> {
        self.value_milli.ok_or_else(|| self.error.clone().unwrap_or_default())
    }
}
