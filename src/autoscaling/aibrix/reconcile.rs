//! One reconcile of a PodAutoscaler: `computeScaleDecision` of `podautoscaler_controller.go` (v0.7.0).
//!
//! It comes in two halves, since only some reconciles read metrics: [`plan`] decides, or asks for the samples, with which
//! [`decide`] goes on.

use super::annotations::ScalingContext;
use super::apa::{self, ApaProposal};
use super::cooldown::{Cooldown, Recommendations};
use super::fetch::{Collected, Samples};
use super::kpa::{self, KpaProposal};
use super::pod_autoscaler::{PodAutoscalerSpec, ScalingStrategy};
use super::status::Status;
use super::validate;
use super::window::MetricWindows;
use crate::problem::Problem;
use crate::units::{Replicas, SimTime, UnixMillis};
use serde::Serialize;

/// A PodAutoscaler as its controller reads it: checked, with defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct PodAutoscaler {
    strategy: Strategy,
    min_replicas: Replicas,
    max_replicas: Replicas,
    metrics: Vec<Metric>,
    context: ScalingContext,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strategy {
    Apa,
    Kpa,
}

#[derive(Clone, Debug, PartialEq)]
struct Metric {
    name: String,
    target: f64,
}

/// What the controller remembers between reconciles, in memory and in the object's status.
#[derive(Clone, Debug, PartialEq)]
pub struct PodAutoscalerState {
    /// The wall clock at t = 0.
    epoch: UnixMillis,
    /// By metric.
    windows: Vec<MetricWindows>,
    recommendations: Recommendations,
    status: Status,
}

/// The first half of a reconcile.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// Decided without a look at any metric.
    Decided(Box<Decision>),
    /// The samples of all metrics are wanted; then call [`decide`].
    Fetch,
}

/// What decided about the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// The present size alone.
    BoundaryCheck,
    /// Strategy APA.
    Apa,
    /// Strategy KPA.
    Kpa,
}

/// Everything that shaped one reconcile.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// `spec.replicas` before.
    pub current_replicas: Replicas,
    /// `minReplicas`.
    pub min_replicas: Replicas,
    /// `maxReplicas`.
    pub max_replicas: Replicas,
    /// Each metric's proposal; empty where none was read.
    pub metrics: Vec<Proposal>,
    /// The largest proposal.
    pub recommendation: Option<Replicas>,
    /// What the cooldown made of it.
    pub cooldown: Option<Cooldown>,
    /// The size that is wanted; the present one after an error.
    pub desired_replicas: Replicas,
    /// Whether it is another than the present one.
    pub should_scale: bool,
    /// What decided; `None` after an error.
    pub algorithm: Option<Algorithm>,
    /// Why, in AIBrix's words; empty after an error.
    pub reason: String,
    /// Why no size was computed, or a size was not written.
    pub error: Option<String>,
    /// Whether `spec.replicas` was written.
    pub scaled: bool,
    /// Whether the object's status was written, which makes the controller reconcile again.
    pub wrote_status: bool,
}

/// What one metric proposes, with everything that led there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proposal {
    /// `targetMetric`.
    pub metric: String,
    /// `targetValue`.
    pub target: f64,
    /// This reconcile's samples, one a pod; `None` after an error.
    pub samples: Option<Vec<f64>>,
    /// Mean of the means of the last 180 s; `None` after an error. `null` in JSON where it is no number.
    pub stable: Option<f64>,
    /// The same of the last 60 s.
    pub panic: Option<f64>,
    /// How the strategy went on; `None` after an error.
    #[serde(flatten)]
    pub computed: Option<Computed>,
    /// The proposed size, within the bounds; `None` after an error.
    pub replicas: Option<Replicas>,
    /// Why there is no proposal.
    pub error: Option<String>,
}

/// The strategy's own numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Computed {
    /// Strategy APA.
    Apa(ApaProposal),
    /// Strategy KPA.
    Kpa(KpaProposal),
}

impl PodAutoscaler {
    /// The PodAutoscaler that `spec` describes.
    ///
    /// # Errors
    /// What [`validate::problems`] finds.
    pub fn new(spec: &PodAutoscalerSpec) -> Result<Self, Vec<Problem>> {
        let problems = validate::problems(spec);
        let strategy = match spec.scaling_strategy {
            ScalingStrategy::Apa => Strategy::Apa,
            ScalingStrategy::Kpa => Strategy::Kpa,
            ScalingStrategy::Hpa => return Err(problems),
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        let metric = |source: &super::MetricSource| {
            let target = validate::target_value(source).map_err(|problem| vec![problem])?;
            Ok(Metric { name: source.target_metric.clone(), target })
        };
        Ok(PodAutoscaler {
            strategy,
            min_replicas: Replicas(spec.min_replicas.unwrap_or(1)),
            max_replicas: Replicas(spec.max_replicas),
            metrics: spec.metrics_sources.iter().map(metric).collect::<Result<_, Vec<Problem>>>()?,
            context: spec.annotations.scaling_context()?,
        })
    }
}

impl PodAutoscalerState {
    /// The state of a PodAutoscaler that was just created, in a run that began at `epoch`.
    pub fn new(autoscaler: &PodAutoscaler, epoch: UnixMillis) -> Self {
        PodAutoscalerState {
            epoch,
            windows: vec![MetricWindows::new(); autoscaler.metrics.len()],
            recommendations: Recommendations::default(),
            status: Status::default(),
        }
    }
}

/// Starts a reconcile for a target with `current` replicas in its spec.
///
/// No metric is read at 0 replicas, above `maxReplicas` and below `minReplicas`.
pub fn plan(autoscaler: &PodAutoscaler, current: Replicas, state: &mut PodAutoscalerState) -> Plan {
    let (desired, reason) = if current == Replicas::ZERO && autoscaler.min_replicas != Replicas::ZERO {
        (current, "scaling disabled: current replicas is 0")
    } else if current > autoscaler.max_replicas {
        (autoscaler.max_replicas, "current replicas exceed maximum")
    } else if current < autoscaler.min_replicas {
        (autoscaler.min_replicas, "current replicas below minimum")
    } else {
        return Plan::Fetch;
    };
    let decision = Decision {
        desired_replicas: desired,
        algorithm: Some(Algorithm::BoundaryCheck),
        reason: reason.to_owned(),
        ..Decision::unchanged(autoscaler, current)
    };
    Plan::Decided(Box::new(decision.finish(state, false)))
}

/// Ends a reconcile that began at `now` with what was collected, one entry for each metric of the spec in its order.
pub fn decide(
    autoscaler: &PodAutoscaler,
    current: Replicas,
    state: &mut PodAutoscalerState,
    now: SimTime,
    collected: &Collected,
) -> Decision {
    let mut decision = Decision::unchanged(autoscaler, current);
    let metrics = autoscaler.metrics.iter().zip(&mut state.windows).zip(&collected.samples);
    decision.metrics = metrics
        .map(|((metric, windows), samples)| {
            record(windows, state.epoch, now, samples);
            autoscaler.propose(metric, windows, samples, current)
        })
        .collect();
    let Some(recommendation) = decision.metrics.iter().filter_map(|metric| metric.replicas).max() else {
        decision.error = Some(format!("all {} metric sources failed", autoscaler.metrics.len()));
        return decision;
    };
    let cooldown = state.recommendations.stabilize(recommendation, current, &autoscaler.context, now);
    decision.recommendation = Some(recommendation);
    decision.cooldown = Some(cooldown);
    decision.desired_replicas = autoscaler.within_bounds(cooldown.replicas);
    let (algorithm, name) = match autoscaler.strategy {
        Strategy::Apa => (Algorithm::Apa, "apa"),
        Strategy::Kpa => (Algorithm::Kpa, "kpa"),
    };
    decision.algorithm = Some(algorithm);
    decision.reason = match decision.desired_replicas.cmp(&current) {
        std::cmp::Ordering::Greater => format!("{name} above target"),
        std::cmp::Ordering::Less => "All metrics below target".to_owned(),
        std::cmp::Ordering::Equal => "stable".to_owned(),
    };
    decision.finish(state, collected.timed_out)
}

/// Stores the plain mean over the pods; an error or no pod at all leaves the windows as they are.
fn record(windows: &mut MetricWindows, epoch: UnixMillis, now: SimTime, samples: &Samples) {
    if let Ok(values) = samples
        && !values.is_empty()
    {
        windows.record(epoch, now, values.iter().sum::<f64>() / values.len() as f64);
    }
}

impl PodAutoscaler {
    fn propose(
        &self,
        metric: &Metric,
        windows: &MetricWindows,
        samples: &Samples,
        current: Replicas,
    ) -> Proposal {
        let mut proposal = Proposal {
            metric: metric.name.clone(),
            target: metric.target,
            samples: None,
            stable: None,
            panic: None,
            computed: None,
            replicas: None,
            error: None,
        };
        match samples {
            Err(why) => proposal.error = Some(why.clone()),
            Ok(values) => {
                let (stable, panic) = (windows.stable(), windows.panic());
                let (computed, replicas) = match self.strategy {
                    Strategy::Apa => {
                        let apa = apa::propose(current, stable, metric.target, &self.context);
                        (Computed::Apa(apa), apa.replicas)
                    }
                    Strategy::Kpa => {
                        let kpa = kpa::propose(current, (stable, panic), metric.target, &self.context);
                        (Computed::Kpa(kpa), kpa.replicas)
                    }
                };
                proposal.samples = Some(values.clone());
                (proposal.stable, proposal.panic) = (Some(stable), Some(panic));
                proposal.computed = Some(computed);
                proposal.replicas = Some(self.within_bounds(replicas));
            }
        }
        proposal
    }

    fn within_bounds(&self, replicas: Replicas) -> Replicas {
        replicas.max(self.min_replicas).min(self.max_replicas)
    }
}

impl Decision {
    fn unchanged(autoscaler: &PodAutoscaler, current: Replicas) -> Self {
        Decision {
            current_replicas: current,
            min_replicas: autoscaler.min_replicas,
            max_replicas: autoscaler.max_replicas,
            metrics: Vec::new(),
            recommendation: None,
            cooldown: None,
            desired_replicas: current,
            should_scale: false,
            algorithm: None,
            reason: String::new(),
            error: None,
            scaled: false,
            wrote_status: false,
        }
    }

    /// Writes the size, if it is another one, and the status, unless the reconcile's time is used up.
    fn finish(mut self, state: &mut PodAutoscalerState, timed_out: bool) -> Self {
        self.should_scale = self.desired_replicas != self.current_replicas;
        self.scaled = self.should_scale && !timed_out;
        if self.should_scale && timed_out {
            self.error = Some("failed to apply scaling: context deadline exceeded".to_owned());
        }
        if !timed_out {
            self.wrote_status = state.status.update(self.current_replicas, self.desired_replicas);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::fetch::{PodAnswer, collect};
    use super::*;
    use crate::units::SimDuration;

    fn autoscaler(strategy: &str, min: i32, max: i32) -> PodAutoscaler {
        let text = format!(
            "scaling_strategy = '{strategy}'\nmin_replicas = {min}\nmax_replicas = {max}\n
             metrics_sources = [{{ target_metric = 'kv_cache_usage_perc', target_value = '0.5' }},
                                {{ target_metric = 'num_requests_waiting', target_value = '10' }}]"
        );
        PodAutoscaler::new(&toml::from_str(&text).expect("a spec")).expect("valid")
    }

    struct Run {
        autoscaler: PodAutoscaler,
        state: PodAutoscalerState,
    }

    impl Run {
        fn new(autoscaler: PodAutoscaler) -> Self {
            let state = PodAutoscalerState::new(&autoscaler, UnixMillis(0));
            Run { autoscaler, state }
        }

        fn reconcile(&mut self, current: i32, seconds: u64, samples: [Samples; 2]) -> Decision {
            let collected =
                Collected { samples: samples.to_vec(), took: SimDuration::ZERO, timed_out: false };
            match plan(&self.autoscaler, Replicas(current), &mut self.state) {
                Plan::Decided(decision) => *decision,
                Plan::Fetch => {
                    let now = SimTime::ZERO + SimDuration::from_secs(seconds);
                    decide(&self.autoscaler, Replicas(current), &mut self.state, now, &collected)
                }
            }
        }
    }

    fn failed() -> Samples {
        Err("refused".to_owned())
    }

    #[test]
    fn the_largest_of_the_valid_proposals_wins() {
        let mut run = Run::new(autoscaler("APA", 1, 8));
        let decision = run.reconcile(4, 0, [Ok(vec![0.5, 0.5]), Ok(vec![15.0])]);
        assert_eq!((decision.recommendation, decision.desired_replicas), (Some(Replicas(6)), Replicas(6)));
        assert_eq!(decision.reason, "apa above target");
        let decision = run.reconcile(6, 10, [failed(), Ok(vec![0.0])]);
        assert_eq!(decision.metrics[0].replicas, None);
        assert_eq!(decision.recommendation, Some(Replicas(5)), "7.5 is the mean of two samples");
    }

    #[test]
    fn each_proposal_is_within_the_bounds() {
        let mut run = Run::new(autoscaler("APA", 2, 5));
        let decision = run.reconcile(3, 0, [Ok(vec![0.0]), Ok(vec![50.0])]);
        let proposed: Vec<_> = decision.metrics.iter().map(|metric| metric.replicas).collect();
        assert_eq!(proposed, [Some(Replicas(2)), Some(Replicas(5))]);
    }

    #[test]
    fn when_all_metrics_fail_nothing_changes_or_is_remembered() {
        let mut run = Run::new(autoscaler("KPA", 1, 8));
        let before = run.state.clone();
        let decision = run.reconcile(4, 0, [failed(), failed()]);
        assert_eq!(decision.error.as_deref(), Some("all 2 metric sources failed"));
        assert_eq!((decision.desired_replicas, decision.algorithm), (Replicas(4), None));
        assert!(!decision.should_scale && run.state == before);
    }

    #[test]
    fn outside_the_bounds_no_metric_is_read() {
        let mut run = Run::new(autoscaler("KPA", 2, 8));
        for (current, desired, scaled) in [(0, 0, false), (9, 8, true), (1, 2, true)] {
            let decision = run.reconcile(current, 0, [failed(), failed()]);
            assert_eq!((decision.desired_replicas, decision.scaled), (Replicas(desired), scaled));
            assert_eq!(decision.algorithm, Some(Algorithm::BoundaryCheck));
        }
        let mut to_zero = Run::new(autoscaler("KPA", 0, 8));
        let decision = to_zero.reconcile(0, 0, [Ok(vec![]), Ok(vec![])]);
        assert_eq!((decision.algorithm, decision.reason.as_str()), (Some(Algorithm::Kpa), "stable"));
    }

    #[test]
    fn apa_goes_on_to_its_maximum_by_the_reconciles_that_its_own_writes_cause() {
        let mut run = Run::new(autoscaler("APA", 1, 8));
        let mut sizes = vec![1];
        let mut current = 1;
        loop {
            // The new pods have no address yet.
            let decision = run.reconcile(current, 0, [Ok(vec![0.9]), Ok(vec![0.0])]);
            if !decision.wrote_status {
                break;
            }
            current = decision.desired_replicas.get();
            sizes.push(current);
        }
        assert_eq!(sizes, [1, 2, 4, 8, 8, 8]);
    }

    #[test]
    fn a_reconcile_whose_time_is_used_up_writes_nothing() {
        let mut run = Run::new(autoscaler("APA", 1, 8));
        let starting = vec![PodAnswer::Value(0.9), PodAnswer::Failed, PodAnswer::Failed];
        let collected = collect(&[starting.clone(), starting]);
        let decision = decide(&run.autoscaler, Replicas(3), &mut run.state, SimTime::ZERO, &collected);
        assert_eq!((decision.should_scale, decision.scaled, decision.wrote_status), (true, false, false));
        assert!(decision.error.is_some());
    }

    #[test]
    fn a_decision_tells_every_step_as_json() {
        let mut run = Run::new(autoscaler("KPA", 1, 8));
        let decision = run.reconcile(2, 0, [Ok(vec![0.9, 0.7]), failed()]);
        let json = serde_json::to_value(decision).expect("serializes");
        assert_eq!(json["metrics"][0]["stable"], 0.8);
        assert_eq!(json["metrics"][0]["kpa"]["mode"], "stable");
        assert_eq!(json["metrics"][1]["error"], "refused");
        assert_eq!(json["cooldown"]["pick"], "current");
        assert_eq!(json["algorithm"], "kpa");
    }
}
