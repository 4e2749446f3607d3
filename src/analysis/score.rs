//! Scores a run: listens to its records and gives the summary, key by key as its definitions say.

use super::attainment::{Attainment, ClassTargets, ratio};
use super::latency::{self, EXACT_UP_TO, Latencies};
use super::load::OfferedLoad;
use super::timeline::Timeline;
use crate::histogram::LogHistogram;
use crate::simulation::record::{Fate, Recorder, RequestRecord, RunTotals, ScaleRecord, TickRecord};
use crate::simulation::summary::{Engine, Provenance, Quantiles, ReplicaStats, Requests, Scaling, Summary};
use crate::units::{SimDuration, SimTime};
use std::cmp::Ordering;

/// What a run is judged by.
#[derive(Clone, Debug)]
pub struct Scoring {
    /// Name of the policy.
    pub policy: String,
    /// Its one-line summary.
    pub summary: String,
    /// Targets by class, in the workload's order: a request record's `class` is an index into it.
    pub classes: Vec<ClassTargets>,
    /// Requests due before are left out of latencies and attainment (the simulation marks them `measured: false`).
    pub warmup: SimDuration,
    /// How long requests are offered; the run may end earlier with its trace, or later to drain.
    pub duration: SimDuration,
    /// Price of a GPU for an hour.
    pub price_per_gpu_hour: f64,
    /// What is paid for.
    pub bill: Bill,
    /// Version, seed and hashes of the inputs. Runs with other seeds put theirs in place of `seed`.
    pub provenance: Provenance,
}

/// What is paid for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bill {
    /// The GPUs of a pod, from its assignment to a node until its container has exited.
    #[default]
    Gpu,
    /// The GPUs of a node, from its order until its removal.
    Node,
}

/// Listens to one run and adds up its summary.
#[derive(Debug)]
pub struct Score {
    scoring: Scoring,
    requests: Requests,
    latencies: Latencies,
    attainment: Attainment,
    unfinished: Vec<RequestRecord>,
    scaling: Scaling,
    last_change: Ordering,
    timeline: Timeline,
    arrived_at_ticks: u64,
    running_sum: u128,
    ticks: u64,
    totals: RunTotals,
}

impl Score {
    /// Ready to listen to a run.
    pub fn new(scoring: Scoring) -> Self {
        Score {
            attainment: Attainment::new(&scoring.classes),
            scoring,
            requests: Requests::default(),
            latencies: Latencies::new(EXACT_UP_TO),
            unfinished: Vec::new(),
            scaling: Scaling::default(),
            last_change: Ordering::Equal,
            timeline: Timeline::new(),
            arrived_at_ticks: 0,
            running_sum: 0,
            ticks: 0,
            totals: RunTotals::default(),
        }
    }

    /// The summary, after the run has ended.
    ///
    /// # Panics
    /// If a request that came due is without a fate: nothing that is computed from such a run can be trusted.
    pub fn finish(mut self) -> Summary {
        let requests = self.requests;
        assert!(
            self.arrived_at_ticks <= requests.arrived,
            "{} requests came due and only {} have a fate",
            self.arrived_at_ticks,
            requests.arrived
        );
        let ended = self.totals.ended;
        for request in &self.unfinished {
            self.attainment.judge(&self.scoring.classes, request, ended);
        }
        let offered = self.scoring.duration.min(ended.since(SimTime::ZERO));
        let load = OfferedLoad::new(&self.timeline, SimTime::ZERO + offered);
        let step = load.step();
        let measured = SimDuration::from_ps(offered.as_ps().saturating_sub(self.scoring.warmup.as_ps()));
        let gpu_hours = self.gpu_hours();
        Summary {
            duration_s: ended.as_secs_f64(),
            requests: Requests { attempts: self.totals.attempts, ..requests },
            quantiles: Quantiles {
                exact_up_to: EXACT_UP_TO,
                exact: self.latencies.exact(),
                histogram_relative_error: LogHistogram::RELATIVE_ERROR,
            },
            ttft_s: self.latencies.ttft.latency(),
            itl_s: latency::counted(&self.totals.itl),
            tpot_s: self.latencies.tpot.latency(),
            e2e_s: self.latencies.e2e.latency(),
            slo: self.attainment.slo(&self.scoring.classes, measured),
            load: load.stats(requests.arrived, offered),
            replicas: replicas(&self.totals),
            gpu_hours,
            cost: gpu_hours * self.scoring.price_per_gpu_hour,
            scaling: Scaling {
                step_at_s: step.map(|step| step.at.as_secs_f64()),
                step_to_capacity_s: step.and_then(|step| Some(step.capacity_after?.as_secs_f64())),
                ..self.scaling
            },
            engine: Engine {
                steps: self.totals.steps,
                preemptions: self.totals.preemptions,
                prefix_hit_rate: ratio(self.totals.prefix_hits, self.totals.prefix_queries),
                longest_queue: self.totals.longest_queue,
                running_mean: if self.ticks == 0 { 0.0 } else { self.running_sum as f64 / self.ticks as f64 },
            },
            warnings: self.totals.warnings,
            policy: self.scoring.policy,
            summary: self.scoring.summary,
            provenance: self.scoring.provenance,
        }
    }

    fn gpu_hours(&self) -> f64 {
        let paid_ps = match self.scoring.bill {
            Bill::Gpu => self.totals.gpu_ps,
            Bill::Node => self.totals.node_gpu_ps,
        };
        paid_ps as f64 / 3600e12
    }
}

impl Recorder for Score {
    fn request(&mut self, record: &RequestRecord) {
        self.requests.arrived += 1;
        *match record.fate {
            Fate::Finished => &mut self.requests.finished,
            Fate::Aborted => &mut self.requests.aborted,
            Fate::Killed => &mut self.requests.killed,
            Fate::Refused => &mut self.requests.refused,
            Fate::Waiting => &mut self.requests.waiting,
            Fate::Running => &mut self.requests.running,
        } += 1;
        if !record.measured {
            return;
        }
        self.latencies.record(record);
        match record.fate {
            // Whether its deadline has passed is known when the run's end is.
            Fate::Waiting | Fate::Running => self.unfinished.push(record.clone()),
            _ => self.attainment.judge(&self.scoring.classes, record, SimTime::ZERO),
        }
    }

    fn scale(&mut self, record: &ScaleRecord) {
        let change = record.to.cmp(&record.from);
        match change {
            Ordering::Greater => self.scaling.ups += 1,
            Ordering::Less => self.scaling.downs += 1,
            Ordering::Equal => return,
        }
        self.scaling.reversals += u64::from(change == self.last_change.reverse());
        self.last_change = change;
    }

    fn tick(&mut self, record: &TickRecord) {
        self.timeline.tick(record);
        self.arrived_at_ticks += record.arrived;
        self.running_sum += u128::from(record.running);
        self.ticks += 1;
    }

    fn end(&mut self, totals: &RunTotals) {
        self.totals = totals.clone();
    }
}

fn replicas(totals: &RunTotals) -> ReplicaStats {
    let (min, max) = totals.replicas_range;
    let (ready_min, ready_max) = totals.ready_range;
    let mean = |integral: u128, least: i32| match totals.ended.as_ps() {
        0 => f64::from(least),
        ended => integral as f64 / ended as f64,
    };
    ReplicaStats {
        mean: mean(totals.replica_ps, min.get()),
        min: min.get(),
        max: max.get(),
        at_max_s: totals.at_max.as_secs_f64(),
        ready_mean: mean(totals.ready_ps, ready_min.get()),
        ready_min: ready_min.get(),
        ready_max: ready_max.get(),
    }
}
