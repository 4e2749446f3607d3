//! The optimization loop: from the analysis to the size that is asked for (`internal/engines/saturation/engine.go` and
//! `internal/saturation/analyzer.go`: `CalculateSaturationTargets`, v0.5.1).

use super::analysis::{Analysis, SaturationScalingConfig};
use super::replicas;
use crate::autoscaling::instant_query::Answer;
use crate::units::{Replicas, SimDuration};
use serde::Serialize;

/// From the end of one run of the loop to the next. It is fixed in the code: `GLOBAL_OPT_INTERVAL`, 60 s by default, is read
/// and of no effect (`NewEngine`, `optimize`).
pub const OPTIMIZATION_INTERVAL: SimDuration = SimDuration::from_secs(30);

/// What a run of the loop sees.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// Answer to the first of [`super::queries`].
    pub kv_cache_usage: Answer,
    /// Answer to the second.
    pub queue_length: Answer,
    /// Names of the Deployment's pods that exist, terminating ones included.
    pub pods: Vec<String>,
    /// `spec.replicas` of the Deployment.
    pub spec_replicas: Replicas,
    /// `status.replicas`: pods that exist and do not terminate.
    pub status_replicas: Replicas,
    /// `status.readyReplicas`.
    pub ready_replicas: Replicas,
}

/// What the target does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// One replica more.
    ScaleUp,
    /// One replica less.
    ScaleDown,
    /// None of both.
    NoChange,
}

/// Everything that shaped one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// The thresholds.
    pub config: SaturationScalingConfig,
    /// `status.replicas`, or `spec.replicas` where that is 0.
    pub current_replicas: Replicas,
    /// How many of them are not ready.
    pub pending_replicas: Replicas,
    /// What the run before asked for; `None` where nothing was asked yet.
    pub desired_before: Option<Replicas>,
    /// The analysis; `None` without metrics.
    pub analysis: Option<Analysis>,
    /// Why the variant is in transition, in which nothing is decided; empty where it is not.
    pub transition: Vec<String>,
    /// What is done.
    pub action: Action,
    /// Why.
    pub reason: String,
    /// The value of `wva_desired_replicas` from now on; `None` where the series does not exist yet.
    pub desired_replicas: Option<Replicas>,
    /// Why the analysis failed.
    pub error: Option<String>,
}

/// The WVA for one variant of a model, and what it remembers.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimizer {
    config: SaturationScalingConfig,
    /// `status.desiredOptimizedAlloc.numReplicas`.
    desired: Option<Replicas>,
    /// The gauge.
    exported: Option<Replicas>,
}

/// What a run decides.
struct Target {
    replicas: Replicas,
    action: Action,
    reason: String,
    transition: Vec<String>,
}

impl Optimizer {
    /// A WVA that has not run yet.
    pub fn new(config: SaturationScalingConfig) -> Self {
        Optimizer { config, desired: None, exported: None }
    }

    /// The value of the gauge `wva_desired_replicas`; `None` where it was never set.
    pub fn exported(&self) -> Option<Replicas> {
        self.exported
    }

    /// One run of the loop.
    pub fn optimize(&mut self, observed: &Observed) -> Decision {
        let current = if observed.status_replicas == Replicas::ZERO {
            observed.spec_replicas
        } else {
            observed.status_replicas
        };
        let mut decision = Decision {
            config: self.config,
            current_replicas: current,
            pending_replicas: (current - observed.ready_replicas).max(Replicas::ZERO),
            desired_before: self.desired,
            analysis: None,
            transition: Vec::new(),
            action: Action::NoChange,
            reason: String::new(),
            desired_replicas: None,
            error: None,
        };
        // A Deployment that is scaled to zero is none of this loop's.
        if observed.spec_replicas == Replicas::ZERO {
            decision.reason = "the Deployment has no replicas".to_owned();
        } else {
            match replicas::collect(&observed.kv_cache_usage, &observed.queue_length, &observed.pods) {
                Err(why) => {
                    decision.reason =
                        "the analysis failed: what was asked for before, or the present size".to_owned();
                    decision.error = Some(why);
                    self.exported = Some(self.desired.unwrap_or(observed.status_replicas));
                }
                Ok(metrics) if metrics.is_empty() => {
                    decision.reason = "no replica has metrics: what was asked for before".to_owned();
                    self.exported = self.desired.or(self.exported);
                }
                Ok(metrics) => {
                    let analysis = Analysis::of(&metrics, &self.config);
                    let target = self.target(&analysis, current, decision.pending_replicas);
                    decision.analysis = Some(analysis);
                    (decision.action, decision.reason) = (target.action, target.reason);
                    decision.transition = target.transition;
                    // Scale to zero is off: one replica at least.
                    self.desired = Some(target.replicas.max(Replicas(1)));
                    self.exported = self.desired;
                }
            }
        }
        decision.desired_replicas = self.exported;
        decision
    }

    /// `CalculateSaturationTargets` for the one variant.
    fn target(&self, analysis: &Analysis, current: Replicas, pending: Replicas) -> Target {
        let measured = Replicas(analysis.replicas.len() as i32);
        let mut transition = Vec::new();
        let awaited = self.desired.filter(|&desired| desired != current);
        if let Some(desired) = awaited {
            transition.push(format!("desired({desired})!=current({current})"));
        }
        if measured != current {
            transition.push(format!("metrics({measured})!=current({current})"));
        }
        let hold = |replicas, reason: &str, transition| Target {
            replicas,
            action: Action::NoChange,
            reason: reason.to_owned(),
            transition,
        };
        if !transition.is_empty() {
            return hold(awaited.unwrap_or(current), "in transition", transition);
        }
        if analysis.should_scale_up {
            if pending > Replicas::ZERO {
                return hold(measured, "replicas are pending", transition);
            }
            let reason = analysis.scale_up_reason.clone();
            return Target { replicas: measured + Replicas(1), action: Action::ScaleUp, reason, transition };
        }
        if analysis.scale_down_safe && measured > Replicas(1) {
            let reason = "enough to spare with one less".to_owned();
            return Target {
                replicas: measured - Replicas(1),
                action: Action::ScaleDown,
                reason,
                transition,
            };
        }
        hold(measured, "adequate", transition)
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::WvaSpec;
    use super::*;

    fn optimizer() -> Optimizer {
        let spec: WvaSpec = toml::from_str("max_replicas = 8").expect("a spec");
        Optimizer::new(spec.config())
    }

    /// Replicas with their KV cache usage and no queue; the first `ready` of `replicas` pods have metrics.
    fn observed(replicas: i32, usage: &[f64]) -> Observed {
        let pods: Vec<String> = (0..replicas).map(|i| format!("llama-{i}")).collect();
        let elements = |value: fn(f64) -> f64| {
            let element = |(pod, &usage): (&String, &f64)| (pod.clone(), value(usage));
            let owned: Vec<(String, f64)> = pods.iter().zip(usage).map(element).collect();
            Answer::vector(&owned.iter().map(|(pod, value)| (pod.as_str(), *value)).collect::<Vec<_>>())
        };
        Observed {
            kv_cache_usage: elements(|usage| usage),
            queue_length: elements(|_| 0.0),
            spec_replicas: Replicas(replicas),
            status_replicas: Replicas(replicas),
            ready_replicas: Replicas(usage.len() as i32),
            pods: pods.clone(),
        }
    }

    #[test]
    fn one_more_and_then_nothing_until_it_has_metrics() {
        let mut wva = optimizer();
        let up = wva.optimize(&observed(1, &[0.75]));
        assert_eq!((up.action, up.desired_replicas), (Action::ScaleUp, Some(Replicas(2))));
        let waiting = wva.optimize(&observed(1, &[0.79]));
        assert_eq!((waiting.desired_replicas, waiting.transition.len()), (Some(Replicas(2)), 1));
        let loading = wva.optimize(&observed(2, &[0.79]));
        assert_eq!((loading.desired_replicas, loading.reason.as_str()), (Some(Replicas(2)), "in transition"));
        assert_eq!(loading.transition, ["metrics(1)!=current(2)"]);
        let up = wva.optimize(&observed(2, &[0.75, 0.78]));
        assert_eq!(up.desired_replicas, Some(Replicas(3)));
    }

    #[test]
    fn metrics_before_readiness_do_not_make_it_ask_for_more() {
        let mut wva = optimizer();
        let pending = Observed { ready_replicas: Replicas(1), ..observed(2, &[0.78, 0.78]) };
        let decision = wva.optimize(&pending);
        assert_eq!((decision.action, decision.desired_replicas), (Action::NoChange, Some(Replicas(2))));
        assert_eq!(decision.pending_replicas, Replicas(1));
    }

    #[test]
    fn one_less_where_that_is_safe_and_never_none() {
        let mut wva = optimizer();
        let down = wva.optimize(&observed(3, &[0.2, 0.2, 0.2]));
        assert_eq!((down.action, down.desired_replicas), (Action::ScaleDown, Some(Replicas(2))));
        // A pod that terminates still exists and has metrics.
        let terminating =
            Observed { status_replicas: Replicas(2), spec_replicas: Replicas(2), ..observed(3, &[0.2; 3]) };
        assert_eq!(wva.optimize(&terminating).transition, ["metrics(3)!=current(2)"]);
        assert_eq!(wva.optimize(&observed(2, &[0.1, 0.1])).desired_replicas, Some(Replicas(1)));
        assert_eq!(wva.optimize(&observed(1, &[0.0])).desired_replicas, Some(Replicas(1)));
    }

    #[test]
    fn beyond_the_hpas_bounds_it_waits_for_ever() {
        let mut wva = optimizer();
        assert_eq!(wva.optimize(&observed(8, &[0.79; 8])).desired_replicas, Some(Replicas(9)));
        // The HPA stops at 8, and the load goes away.
        let idle = wva.optimize(&observed(8, &[0.0; 8]));
        assert_eq!((idle.action, idle.desired_replicas), (Action::NoChange, Some(Replicas(9))));
    }

    #[test]
    fn without_metrics_the_last_value_stays_and_a_failure_falls_back_to_the_present_size() {
        let mut wva = optimizer();
        assert_eq!(wva.optimize(&observed(2, &[])).desired_replicas, None);
        let failed = Observed { queue_length: Answer::Error("503".to_owned()), ..observed(2, &[0.3, 0.3]) };
        let decision = wva.optimize(&failed);
        assert_eq!(decision.desired_replicas, Some(Replicas(2)));
        assert_eq!(decision.error.as_deref(), Some("queue length query failed: 503"));
        assert_eq!(wva.optimize(&observed(2, &[])).desired_replicas, Some(Replicas(2)), "a gauge stays");
        assert_eq!(wva.optimize(&observed(2, &[0.75, 0.75])).desired_replicas, Some(Replicas(3)));
        assert_eq!(wva.optimize(&failed).desired_replicas, Some(Replicas(3)));
        assert_eq!(wva.optimize(&observed(2, &[])).desired_replicas, Some(Replicas(3)));
        assert_eq!(wva.exported(), Some(Replicas(3)));
    }

    #[test]
    fn a_decision_tells_every_step_as_json() {
        let json = serde_json::to_value(optimizer().optimize(&observed(1, &[0.75]))).expect("serializes");
        assert_eq!(json["action"], "scale-up");
        assert_eq!(json["analysis"]["replicas"][0]["pod"], "llama-0");
        assert_eq!(json["config"]["kv_cache_threshold"], 0.8);
        assert_eq!(json["desired_before"], serde_json::Value::Null);
    }
}
