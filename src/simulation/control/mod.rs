//! The controllers' loops: who decides about `spec.replicas`, each at its own pace.

mod aibrix;
mod hpa;
mod hpa_loop;
mod keda;
mod knative;
mod schedule;
mod wva;

pub use aibrix::AibrixSetup;
pub use hpa::HpaSetup;
pub use keda::KedaSetup;
pub use knative::KnativeSetup;
pub use schedule::{Schedule, ScheduleStep};
pub(super) use wva::Wva;
pub use wva::WvaSetup;

use super::record::{Controller, DecisionRecord, Recorder};
use super::world::World;
use crate::monitoring::promql::Query;
use crate::random::Streams;
use crate::units::{Replicas, SimDuration, SimTime, UnixMillis};
use aibrix::Aibrix;
use hpa::PlainHpa;
use keda::Keda;
use knative::Knative;
use serde::Serialize;

/// What decides about `spec.replicas`.
pub enum Autoscaling {
    /// Nothing does: a fixed size.
    Static,
    /// A timetable.
    Schedule(Schedule),
    /// KEDA and the HPA that it generates.
    Keda(Box<KedaSetup>),
    /// An HPA over prometheus-adapter.
    Hpa(Box<HpaSetup>),
    /// AIBrix's PodAutoscaler.
    Aibrix(Box<AibrixSetup>),
    /// Knative's autoscaler.
    Knative(Box<KnativeSetup>),
}

impl Autoscaling {
    /// What it asks Prometheus.
    pub fn queries(&self) -> Vec<&Query> {
        match self {
            Autoscaling::Keda(keda) => keda.queries.iter().flatten().collect(),
            Autoscaling::Hpa(hpa) => hpa.queries.iter().collect(),
            Autoscaling::Static
            | Autoscaling::Schedule(_)
            | Autoscaling::Aibrix(_)
            | Autoscaling::Knative(_) => Vec::new(),
        }
    }
}

/// The loops in motion.
pub(super) enum ControlLoops {
    Static,
    Schedule(Schedule),
    Keda(Box<Keda>),
    Hpa(Box<PlainHpa>),
    Aibrix(Box<Aibrix>),
    Knative(Box<Knative>),
}

impl ControlLoops {
    pub(super) fn new(autoscaling: Autoscaling, epoch: UnixMillis, streams: &Streams) -> Self {
        match autoscaling {
            Autoscaling::Static => ControlLoops::Static,
            Autoscaling::Schedule(schedule) => ControlLoops::Schedule(schedule),
            Autoscaling::Keda(setup) => ControlLoops::Keda(Box::new(Keda::new(*setup, streams))),
            Autoscaling::Hpa(setup) => ControlLoops::Hpa(Box::new(PlainHpa::new(*setup, streams))),
            Autoscaling::Aibrix(setup) => ControlLoops::Aibrix(Box::new(Aibrix::new(*setup, epoch, streams))),
            Autoscaling::Knative(setup) => {
                ControlLoops::Knative(Box::new(Knative::new(&setup, epoch, streams)))
            }
        }
    }
}

impl World<'_> {
    /// Schedules what the controllers do first.
    pub(super) fn start_control(&mut self) {
        match &self.control {
            ControlLoops::Static => {}
            ControlLoops::Schedule(_) => self.start_schedule(),
            ControlLoops::Keda(_) => self.start_keda(),
            ControlLoops::Hpa(_) => self.start_hpa(),
            ControlLoops::Aibrix(_) => self.start_aibrix(),
            ControlLoops::Knative(_) => self.start_knative(),
        }
        self.start_wva();
    }

    /// The HPA syncs, whoever made it.
    pub(super) fn hpa_sync(&mut self) {
        match &self.control {
            ControlLoops::Keda(_) => self.sync_kedas_hpa(),
            ControlLoops::Hpa(_) => self.sync_plain_hpa(),
            ControlLoops::Static
            | ControlLoops::Schedule(_)
            | ControlLoops::Aibrix(_)
            | ControlLoops::Knative(_) => {}
        }
    }

    /// What a careful colleague would say about the controllers, once the run is over.
    pub(super) fn warn_about_control(&mut self) {
        if let ControlLoops::Keda(keda) = &self.control {
            keda.warnings().for_each(|warning| self.totals.warn(warning));
        }
    }
}

/// When a loop of `period` begins: at a phase of its own, for relative to the traffic and to other loops it is arbitrary.
fn phase(streams: &Streams, name: &str, period: SimDuration) -> SimTime {
    SimTime::ZERO + SimDuration::from_ps(streams.stream(name).below(period.as_ps().max(1)))
}

/// Tells a decision to whoever wants to hear it; `sizes` are `spec.replicas` before and after.
fn record_decision(
    recorder: &mut dyn Recorder,
    at: SimTime,
    controller: Controller,
    sizes: (Replicas, Replicas),
    detail: &impl Serialize,
) {
    if !recorder.wants_decisions() {
        return;
    }
    let (replicas_before, replicas_after) = sizes;
    // Serializing plain structs with string keys cannot fail; a null would still be a record of when it happened.
    let detail = serde_json::to_value(detail).unwrap_or_default();
    recorder.decision(&DecisionRecord { at, controller, replicas_before, replicas_after, detail });
}
