//! What a policy does: which autoscaler decides, and how it is set.

use super::policy::REPLICAS_MAX;
use crate::autoscaling::aibrix::{self, PodAutoscalerSpec};
use crate::autoscaling::hpa::{HorizontalPodAutoscalerSpec, KubernetesVersion};
use crate::autoscaling::keda::ScaledObjectSpec;
use crate::autoscaling::knative::KnativeSpec;
use crate::autoscaling::wva::WvaSpec;
use crate::problem::Problem;
use crate::simulation::Schedule;
use crate::units::Replicas;

/// What a policy does.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// So many replicas at all times: `static:N`.
    Static(Replicas),
    /// So many replicas by the clock: `[[schedule]]`.
    Schedule(Schedule),
    /// KEDA and an HPA.
    ScaledObject(Box<ScaledObjectSpec>),
    /// An HPA over prometheus-adapter.
    Hpa(Box<HorizontalPodAutoscalerSpec>),
    /// Knative's autoscaler.
    Knative(Box<KnativeSpec>),
    /// AIBrix's PodAutoscaler.
    Aibrix(Box<PodAutoscalerSpec>),
    /// The HPA that follows llm-d's Workload Variant Autoscaler.
    Wva(Box<WvaSpec>),
}

/// The keys of a policy that say what it does. `wva` may stand beside `scaled_object`, which then follows it.
pub(super) const KEYS: [&str; 7] =
    ["replicas", "schedule", "scaled_object", "hpa", "knative", "aibrix", "wva"];

impl Rule {
    /// The sizes between which it moves.
    pub fn range(&self) -> (Replicas, Replicas) {
        let between = |min: Option<i32>, max: i32| (Replicas(min.unwrap_or(1)), Replicas(max));
        match self {
            Rule::Static(replicas) => (*replicas, *replicas),
            Rule::Schedule(schedule) => schedule.range(),
            Rule::ScaledObject(spec) => (spec.min_replicas(), spec.hpa_max_replicas()),
            Rule::Hpa(spec) => between(spec.min_replicas, spec.max_replicas),
            Rule::Knative(spec) => (Replicas(spec.min_scale()), Replicas(spec.max_scale())),
            Rule::Aibrix(spec) => between(spec.min_replicas, spec.max_replicas),
            Rule::Wva(spec) => between(spec.min_replicas, spec.max_replicas().get()),
        }
    }

    /// Why it has no ScaledObject, at its key.
    pub(super) fn not_exported(&self) -> Problem {
        let (key, what, instead) = match self {
            Rule::Static(_) => {
                ("replicas", "a fixed number of replicas", "set `spec.replicas` of the Deployment")
            }
            Rule::Schedule(_) => ("schedule", "a timetable", "a `cron` trigger has bounds by the clock"),
            Rule::ScaledObject(_) => ("scaled_object", "this policy", "export it as it is"),
            Rule::Hpa(_) => ("hpa", "a plain HPA", "apply it with prometheus-adapter's rules"),
            Rule::Knative(_) => {
                ("knative", "Knative's autoscaler", "its keys are annotations of the revision")
            }
            Rule::Aibrix(_) => ("aibrix", "AIBrix", "its keys are those of a PodAutoscaler"),
            Rule::Wva(_) => {
                ("wva", "the WVA with an HPA of its own", "`[scaled_object]` beside it can follow it")
            }
        };
        Problem::key(key, format!("{what} has no ScaledObject to export")).help(instead)
    }

    /// What the system that it is written for would refuse, and what cannot be simulated; keys are the policy's.
    /// A ScaledObject is checked elsewhere: that takes its name too.
    pub(super) fn problems(&self, kubernetes: KubernetesVersion) -> Vec<Problem> {
        let (key, problems) = match self {
            Rule::Static(_) | Rule::Schedule(_) | Rule::ScaledObject(_) => return Vec::new(),
            Rule::Hpa(spec) => ("hpa", spec.problems(kubernetes)),
            Rule::Knative(spec) => ("knative", knative_problems(spec)),
            Rule::Aibrix(spec) => ("aibrix", aibrix::validate::problems(spec)),
            Rule::Wva(spec) => ("wva", spec.problems(kubernetes)),
        };
        problems.into_iter().map(|problem| problem.under(key)).collect()
    }

    /// Each size that it names, with its key.
    pub(super) fn sizes(&self) -> Vec<(&'static str, Option<i32>)> {
        match self {
            Rule::Static(_) | Rule::Schedule(_) => Vec::new(),
            Rule::ScaledObject(spec) => vec![
                ("scaled_object.min_replica_count", spec.min_replica_count),
                ("scaled_object.max_replica_count", spec.max_replica_count),
                ("scaled_object.idle_replica_count", spec.idle_replica_count),
                ("scaled_object.fallback.replicas", spec.fallback.as_ref().map(|fallback| fallback.replicas)),
            ],
            Rule::Hpa(spec) => {
                vec![("hpa.min_replicas", spec.min_replicas), ("hpa.max_replicas", Some(spec.max_replicas))]
            }
            Rule::Knative(spec) => vec![
                ("knative.min_scale", spec.min_scale),
                ("knative.max_scale", spec.max_scale),
                ("knative.initial_scale", spec.initial_scale),
                ("knative.activation_scale", spec.activation_scale),
                ("knative.config.min_scale", Some(spec.config.min_scale)),
                ("knative.config.max_scale", Some(spec.config.max_scale)),
                ("knative.config.initial_scale", Some(spec.config.initial_scale)),
            ],
            Rule::Aibrix(spec) => vec![
                ("aibrix.min_replicas", spec.min_replicas),
                ("aibrix.max_replicas", Some(spec.max_replicas)),
            ],
            Rule::Wva(spec) => {
                vec![("wva.min_replicas", spec.min_replicas), ("wva.max_replicas", spec.max_replicas)]
            }
        }
    }
}

/// Knative knows an autoscaler without a maximum. A run does not: it could fill the memory with pods.
fn knative_problems(spec: &KnativeSpec) -> Vec<Problem> {
    let mut problems = spec.problems();
    if problems.is_empty() && spec.max_scale() == 0 {
        let problem = Problem::key("max_scale", "there is no maximum, and so nothing that ends a runaway");
        problems.push(problem.help(format!("give one, from 1 to {REPLICAS_MAX}")));
    }
    problems
}
