//! The annotations that tune a PodAutoscaler, and what they say.

use crate::autoscaling::go;
use crate::problem::Problem;
use crate::units::SimDuration;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// What stands before each name in `metadata.annotations`.
const PREFIX: &str = "autoscaling.aibrix.ai/";

/// Annotations `autoscaling.aibrix.ai/...` (`pkg/controller/podautoscaler/types/annotations.go`, v0.7.0) by their names in
/// snake_case, as text, as Kubernetes keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Annotations {
    /// `max-scale-up-rate`: the size grows by at most this factor in one reconcile; `2` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_scale_up_rate: Option<String>,
    /// `max-scale-down-rate`: the size shrinks by at most this factor in one reconcile; `2` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_scale_down_rate: Option<String>,
    /// `scale-up-tolerance`: how far above the target nothing changes, a fraction; `0.1` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_up_tolerance: Option<String>,
    /// `scale-down-tolerance`: how far below it; `0.1` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_down_tolerance: Option<String>,
    /// `panic-threshold`: KPA panics where the panic window's mean is more than so many times the stable window's; `2` when
    /// left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub panic_threshold: Option<String>,
    /// `scale-up-cooldown-window`: Go's duration; `0s` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_up_cooldown_window: Option<String>,
    /// `scale-down-cooldown-window`: Go's duration; `300s` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_down_cooldown_window: Option<String>,
    /// `scale-to-zero`: read, and of no effect in v0.7.0; `min_replicas` alone decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_to_zero: Option<String>,
}

/// What the annotations say, defaults filled in (`context/context.go`: `NewBaseScalingContext`).
#[derive(Clone, Debug, PartialEq)]
pub struct ScalingContext {
    /// Largest growth in one reconcile, a factor.
    pub max_scale_up_rate: f64,
    /// Largest shrinking in one reconcile, a divisor.
    pub max_scale_down_rate: f64,
    /// Tolerance above the target, a fraction of it.
    pub scale_up_tolerance: f64,
    /// Tolerance below the target, a fraction of it.
    pub scale_down_tolerance: f64,
    /// KPA's panic threshold, a ratio of means.
    pub panic_threshold: f64,
    /// Window of recommendations upwards.
    pub scale_up_cooldown_window: SimDuration,
    /// Window of recommendations downwards.
    pub scale_down_cooldown_window: SimDuration,
}

impl Default for ScalingContext {
    fn default() -> Self {
        ScalingContext {
            max_scale_up_rate: 2.0,
            max_scale_down_rate: 2.0,
            scale_up_tolerance: 0.1,
            scale_down_tolerance: 0.1,
            panic_threshold: 2.0,
            scale_up_cooldown_window: SimDuration::ZERO,
            scale_down_cooldown_window: SimDuration::from_secs(300),
        }
    }
}

impl Annotations {
    /// Those of an object's `metadata.annotations` that AIBrix reads; the others are nobody's or somebody else's.
    pub fn of(metadata: &IndexMap<String, String>) -> Self {
        let get = |name: &str| metadata.get(&format!("{PREFIX}{name}")).cloned();
        Annotations {
            max_scale_up_rate: get("max-scale-up-rate"),
            max_scale_down_rate: get("max-scale-down-rate"),
            scale_up_tolerance: get("scale-up-tolerance"),
            scale_down_tolerance: get("scale-down-tolerance"),
            panic_threshold: get("panic-threshold"),
            scale_up_cooldown_window: get("scale-up-cooldown-window"),
            scale_down_cooldown_window: get("scale-down-cooldown-window"),
            scale_to_zero: get("scale-to-zero"),
        }
    }

    /// Whether none is given.
    pub fn is_empty(&self) -> bool {
        *self == Annotations::default()
    }

    /// What they say.
    ///
    /// # Errors
    /// Each text that is no number, duration or boolean, or that no scaling can mean. AIBrix logs the first such text and
    /// drops others at random, since it walks through them in the order of a Go map.
    pub fn scaling_context(&self) -> Result<ScalingContext, Vec<Problem>> {
        let default = ScalingContext::default();
        let mut read = Reader::default();
        let context = ScalingContext {
            max_scale_up_rate: read
                .rate("max_scale_up_rate", &self.max_scale_up_rate)
                .unwrap_or(default.max_scale_up_rate),
            max_scale_down_rate: read
                .rate("max_scale_down_rate", &self.max_scale_down_rate)
                .unwrap_or(default.max_scale_down_rate),
            scale_up_tolerance: read
                .tolerance("scale_up_tolerance", &self.scale_up_tolerance)
                .unwrap_or(default.scale_up_tolerance),
            scale_down_tolerance: read
                .tolerance("scale_down_tolerance", &self.scale_down_tolerance)
                .unwrap_or(default.scale_down_tolerance),
            panic_threshold: read
                .rate("panic_threshold", &self.panic_threshold)
                .unwrap_or(default.panic_threshold),
            scale_up_cooldown_window: read
                .window("scale_up_cooldown_window", &self.scale_up_cooldown_window)
                .unwrap_or(default.scale_up_cooldown_window),
            scale_down_cooldown_window: read
                .window("scale_down_cooldown_window", &self.scale_down_cooldown_window)
                .unwrap_or(default.scale_down_cooldown_window),
        };
        read.boolean("scale_to_zero", &self.scale_to_zero);
        if read.problems.is_empty() { Ok(context) } else { Err(read.problems) }
    }
}

/// Reads annotations; `None` where there is none, or its text is a problem.
#[derive(Default)]
struct Reader {
    problems: Vec<Problem>,
}

impl Reader {
    fn rate(&mut self, key: &str, text: &Option<String>) -> Option<f64> {
        let rate = |text: &str| text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
        self.read(key, text, rate, "is no number above 0", "write \"2.0\"")
    }

    fn tolerance(&mut self, key: &str, text: &Option<String>) -> Option<f64> {
        let tolerance = |text: &str| text.parse().ok().filter(|part: &f64| part.is_finite() && *part >= 0.0);
        self.read(key, text, tolerance, "is no fraction of 0 or more", "write 10 % as \"0.1\"")
    }

    fn window(&mut self, key: &str, text: &Option<String>) -> Option<SimDuration> {
        self.read(key, text, go::parse_duration, "is no duration of 0 or more", "write \"300s\" or \"5m\"")
    }

    fn boolean(&mut self, key: &str, text: &Option<String>) -> Option<bool> {
        self.read(key, text, go::parse_bool, "is no boolean", "write \"true\" or \"false\"")
    }

    fn read<T>(
        &mut self,
        key: &str,
        text: &Option<String>,
        parse: impl Fn(&str) -> Option<T>,
        fault: &str,
        help: &str,
    ) -> Option<T> {
        let text = text.as_deref()?;
        let value = parse(text);
        if value.is_none() {
            self.problems.push(Problem::key(key, format!("`{text}` {fault}")).help(help));
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_aibrix_default() {
        let context = Annotations::default().scaling_context().expect("nothing is wrong");
        assert_eq!(context, ScalingContext::default());
        assert!(Annotations::default().is_empty());
    }

    #[test]
    fn annotations_of_an_object_have_a_prefix_and_dashes() {
        let metadata = IndexMap::from(
            [
                ("autoscaling.aibrix.ai/max-scale-up-rate", "1.5"),
                ("autoscaling.aibrix.ai/scale-up-cooldown-window", "1m30s"),
                ("apa.autoscaling.aibrix.ai/window", "30s"),
            ]
            .map(|(name, text)| (name.to_owned(), text.to_owned())),
        );
        let context = Annotations::of(&metadata).scaling_context().expect("valid");
        assert_eq!(context.max_scale_up_rate, 1.5);
        assert_eq!(context.scale_up_cooldown_window, SimDuration::from_secs(90));
        assert_eq!(context.scale_down_cooldown_window, SimDuration::from_secs(300));
    }

    #[test]
    fn each_text_that_says_nothing_is_a_problem_with_its_key() {
        let written = "
            max_scale_up_rate = '0'
            max_scale_down_rate = 'inf'
            scale_up_tolerance = '-0.1'
            scale_down_tolerance = '10%'
            panic_threshold = 'NaN'
            scale_up_cooldown_window = '60'
            scale_down_cooldown_window = '-5m'
            scale_to_zero = 'yes'";
        let annotations: Annotations = toml::from_str(written).expect("known keys");
        let problems = annotations.scaling_context().expect_err("all are wrong");
        let keys: Vec<String> = problems
            .iter()
            .map(|problem| problem.to_string().split(':').next().unwrap_or_default().to_owned())
            .collect();
        let written: Vec<&str> =
            written.lines().filter_map(|line| line.split_once('=')).map(|(key, _)| key.trim()).collect();
        // The boolean is looked at last, as it stands last.
        assert_eq!(keys, written);
    }
}
