//! What one look of the autoscaler at its revision decides, with its reasons.

use super::autoscaler::{InvalidScale, ScaleResult};
use super::pod_autoscaler::ActiveCondition;
use super::scaler::{Bound, ToZero};
use super::serverless_service::OperationMode;
use crate::units::Replicas;
use serde::Serialize;

/// What the autoscaler reads of the Deployment and its pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ScaleTarget {
    /// `spec.replicas`.
    pub spec_replicas: Replicas,
    /// Pods that run, are ready and do not terminate.
    pub ready_pods: Replicas,
}

/// One look at a revision: a decision of the decider, a reconcile of the PodAutoscaler, or the one after the other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// What gave rise to it.
    pub cause: Cause,
    /// Deployment and pods before.
    pub target: ScaleTarget,
    /// The size to write into the Deployment; `None` where it stays.
    pub replicas: Option<Replicas>,
    /// What the decider decided, where it was asked and had data.
    pub scale: Option<ScaleResult>,
    /// Why it did not, where it was asked.
    pub invalid: Option<InvalidScale>,
    /// `status.desiredScale` of the decider: its last valid decision, `None` before the first.
    pub desired_scale: Option<Replicas>,
    /// The rounds of the reconcile: what one changes in PodAutoscaler or ServerlessService starts another. Empty where the
    /// decider decided as before.
    pub reconciles: Vec<Reconcile>,
}

/// Why the autoscaler looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The controller has just started.
    Created,
    /// The decider's tick, every 2 s.
    Tick,
    /// A request has come while none was wanted.
    Poke,
    /// An earlier reconcile asked for it.
    Requeue,
    /// The number of ready pods changed.
    Pods,
}

/// One round of the PodAutoscaler's reconcile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Reconcile {
    /// The size within bounds, or zero on the way there; `None` is not known.
    pub want: Option<Replicas>,
    /// Whether it is the Deployment's now.
    pub applied: bool,
    /// The bound that changed it.
    pub limited_by: Option<Bound>,
    /// The rule that decided about the last pod, where the size is zero within bounds.
    pub to_zero: Option<ToZero>,
    /// Condition `Active` after it.
    pub active: ActiveCondition,
    /// `spec.mode` of the ServerlessService after it.
    pub mode: OperationMode,
    /// `spec.numActivators` of the ServerlessService after it.
    pub activators: i32,
}
