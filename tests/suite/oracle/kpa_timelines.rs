//! The Knative Pod Autoscaler's decisions over whole timelines: `knative/kpa_timelines.jsonl`.

use super::{Tally, absent, lines};
use dryscale::autoscaling::knative::{
    Autoscaler, DeciderSpec, MetricError, Observed, PodListerError, ReadyCount,
};
use dryscale::units::{Replicas, SimDuration, SimTime, UnixMillis};
use serde::Deserialize;

const KIND: &str = "kpa_timelines";

#[derive(Deserialize)]
struct Record {
    id: u64,
    spec: Spec,
    t0_unix_ms: i64,
    ready_at_creation: i32,
    ready_error_at_creation: bool,
    ticks: Vec<Tick>,
}

#[derive(Deserialize)]
struct Spec {
    target_value: f64,
    total_value: f64,
    max_scale_up_rate: f64,
    max_scale_down_rate: f64,
    target_burst_capacity: f64,
    panic_threshold: f64,
    stable_window_s: f64,
    scale_down_delay_s: f64,
    reachable: bool,
    activation_scale: i32,
}

#[derive(Deserialize)]
struct Tick {
    t_ms: u64,
    spec_update: Option<Spec>,
    ready: i32,
    pod_error: Option<String>,
    stable: f64,
    panic: f64,
    metric_error: Option<String>,
    #[serde(flatten)]
    out: Out,
}

#[derive(Deserialize, Debug, PartialEq)]
struct Out {
    desired: i32,
    scale_valid: bool,
    excess_burst_capacity: i32,
    panicking: bool,
    panic_t_ms: Option<u64>,
    max_panic_pods: i32,
}

#[test]
fn kpa_timelines() {
    let Some(lines) = lines("knative/kpa_timelines.jsonl") else { return absent(KIND) };
    let mut tally = Tally::new(KIND);
    for line in lines {
        let outcome = serde_json::from_str(&line).map_err(|error| error.to_string());
        tally.record(outcome.and_then(|record| check(&record)));
    }
    tally.finish();
}

fn check(record: &Record) -> Result<(), String> {
    let at_creation = if record.ready_error_at_creation {
        Err(PodListerError::Failed)
    } else {
        Ok(record.ready_at_creation)
    };
    let epoch = UnixMillis(record.t0_unix_ms);
    let spec = decider_spec(&record.spec)?;
    let mut autoscaler = Autoscaler::new(spec, at_creation.map(Replicas), epoch, SimTime::ZERO);
    for tick in &record.ticks {
        let got = replay(&mut autoscaler, tick)?;
        if got != tick.out {
            return Err(format!(
                "record {} at {} ms: got {got:?}, recorded {:?}",
                record.id, tick.t_ms, tick.out
            ));
        }
    }
    Ok(())
}

fn replay(autoscaler: &mut Autoscaler, tick: &Tick) -> Result<Out, String> {
    if let Some(update) = &tick.spec_update {
        autoscaler.update(decider_spec(update)?);
    }
    let now = SimTime::ZERO + SimDuration::from_millis(tick.t_ms);
    let result = autoscaler.scale(now, ready_of(tick)?, observed_of(tick)?).ok();
    Ok(Out {
        desired: result.as_ref().map_or(0, |result| result.desired_pod_count.get()),
        scale_valid: result.is_some(),
        excess_burst_capacity: result.as_ref().map_or(0, |result| result.excess_burst_capacity),
        panicking: autoscaler.panic_time().is_some(),
        panic_t_ms: autoscaler.panic_time().map(SimTime::as_millis),
        max_panic_pods: autoscaler.max_panic_pods().get(),
    })
}

fn ready_of(tick: &Tick) -> Result<ReadyCount, String> {
    match tick.pod_error.as_deref() {
        None => Ok(Ok(Replicas(tick.ready))),
        Some("not_found") => Ok(Err(PodListerError::NotFound)),
        Some("error") => Ok(Err(PodListerError::Failed)),
        Some(other) => Err(format!("pod error {other}")),
    }
}

fn observed_of(tick: &Tick) -> Result<Result<Observed, MetricError>, String> {
    match tick.metric_error.as_deref() {
        None => Ok(Ok(Observed { stable: tick.stable, panic: tick.panic })),
        Some("no_data") => Ok(Err(MetricError::NoData)),
        Some("not_collecting") => Ok(Err(MetricError::NotCollecting)),
        Some(other) => Err(format!("metric error {other}")),
    }
}

fn decider_spec(spec: &Spec) -> Result<DeciderSpec, String> {
    let seconds = |s| SimDuration::from_secs_f64(s).ok_or_else(|| format!("{s} s is no length of time"));
    Ok(DeciderSpec {
        max_scale_up_rate: spec.max_scale_up_rate,
        max_scale_down_rate: spec.max_scale_down_rate,
        target_value: spec.target_value,
        total_value: spec.total_value,
        target_burst_capacity: spec.target_burst_capacity,
        // Neither decides about a size.
        activator_capacity: 100.0,
        initial_scale: Replicas(1),
        panic_threshold: spec.panic_threshold,
        stable_window: seconds(spec.stable_window_s)?,
        scale_down_delay: seconds(spec.scale_down_delay_s)?,
        reachable: spec.reachable,
        activation_scale: Replicas(spec.activation_scale),
    })
}
