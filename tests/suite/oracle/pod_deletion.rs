//! The order in which a ReplicaSet deletes its pods: `hpa/pod_deletion.jsonl`.

use super::{Tally, absent, lines};
use dryscale::serving::replica_set::{Candidate, PodPhase, deletion_order};
use dryscale::units::{SimDuration, SimTime};
use serde::Deserialize;

#[derive(Deserialize)]
struct Record {
    id: u64,
    pods: Vec<Pod>,
    deletion_order: Vec<String>,
}

#[derive(Deserialize)]
struct Pod {
    uid: String,
    /// Empty for a pod that was not assigned.
    node: String,
    phase: String,
    ready_age_s: Option<u64>,
    age_s: u64,
    deletion_cost: i32,
    max_restarts: i32,
    rank: usize,
}

#[test]
fn pod_deletion() {
    let Some(lines) = lines("hpa/pod_deletion.jsonl") else { return absent("pod_deletion") };
    let mut tally = Tally::new("pod_deletion");
    for line in lines {
        let outcome = serde_json::from_str(&line).map_err(|error| error.to_string());
        tally.record(outcome.and_then(|record| check(&record)));
    }
    tally.finish();
}

fn check(record: &Record) -> Result<(), String> {
    let candidates = record.pods.iter().map(candidate).collect::<Result<Vec<_>, _>>()?;
    let got: Vec<&str> = deletion_order(&candidates, NOW).into_iter().map(|i| candidates[i].uid).collect();
    if got == record.deletion_order {
        Ok(())
    } else {
        Err(format!("record {}: got {got:?}, recorded {:?}", record.id, record.deletion_order))
    }
}

/// The recording has ages; the last instant of a run leaves room for each of them.
const NOW: SimTime = SimTime::HORIZON;

fn candidate(pod: &Pod) -> Result<Candidate<'_>, String> {
    let ago = |seconds: u64| NOW - SimDuration::from_secs(seconds);
    Ok(Candidate {
        uid: &pod.uid,
        assigned: !pod.node.is_empty(),
        phase: match pod.phase.as_str() {
            "Pending" => PodPhase::Pending,
            "Unknown" => PodPhase::Unknown,
            "Running" => PodPhase::Running,
            other => return Err(format!("phase {other}")),
        },
        ready_since: pod.ready_age_s.map(ago),
        deletion_cost: pod.deletion_cost,
        rank: pod.rank,
        max_restarts: pod.max_restarts,
        created: ago(pod.age_s),
    })
}
