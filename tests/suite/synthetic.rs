//! Runs that never ran: records made by hand, for tests of what is computed and written from records.

use dryscale::analysis::{Bill, ClassTargets, Scoring, Setting, Stop, Worlds};
use dryscale::problem::Problem;
use dryscale::simulation::record::{
    Controller, DecisionRecord, Fate, PodRecord, Recorder, RequestRecord, RunTotals, ScaleRecord, TickRecord,
};
use dryscale::simulation::summary::Provenance;
use dryscale::units::{Gpus, Replicas, SimDuration, SimTime, Tokens};
use std::ops::ControlFlow;

pub(crate) fn at(seconds: f64) -> SimTime {
    SimTime::ZERO + secs(seconds)
}

pub(crate) fn secs(seconds: f64) -> SimDuration {
    SimDuration::from_secs_f64(seconds).expect("a length of time")
}

/// A request that was sent at `sent`, spoke `ttft` later, and got 101 tokens by `e2e`; seconds.
pub(crate) fn finished(ordinal: u64, sent: f64, ttft: f64, e2e: f64) -> RequestRecord {
    RequestRecord {
        ordinal,
        source: 0,
        class: 0,
        due: at(sent),
        sent: Some(at(sent)),
        pod: Some(0),
        first_token: Some(at(sent + ttft)),
        ended: Some(at(sent + e2e)),
        prompt_tokens: Tokens(1000),
        output_tokens: Tokens(101),
        cached_tokens: Tokens(16),
        preemptions: 0,
        attempts: 1,
        fate: Fate::Finished,
        reason: "",
        measured: true,
    }
}

/// A request that was sent at `sent` and came to `fate` without a token.
pub(crate) fn unserved(ordinal: u64, sent: f64, fate: Fate) -> RequestRecord {
    RequestRecord {
        pod: None,
        first_token: None,
        ended: None,
        output_tokens: Tokens(0),
        cached_tokens: Tokens(0),
        fate,
        ..finished(ordinal, sent, 0.0, 0.0)
    }
}

pub(crate) fn scaled(seconds: f64, from: i32, to: i32) -> ScaleRecord {
    ScaleRecord { at: at(seconds), from: Replicas(from), to: Replicas(to), by: Controller::HpaSync }
}

pub(crate) fn pod(ordinal: u32, name: &str) -> PodRecord {
    PodRecord {
        ordinal,
        name: name.to_owned(),
        node: Some("node-0".to_owned()),
        created: at(0.0),
        scheduled: Some(at(0.5)),
        ready: Some(at(100.25)),
        deleted: None,
        exited: None,
        finished: 7,
        killed: 0,
        steps: 900,
        preemptions: 1,
    }
}

pub(crate) fn decision(seconds: f64) -> DecisionRecord {
    DecisionRecord {
        at: at(seconds),
        controller: Controller::HpaSync,
        replicas_before: Replicas(1),
        replicas_after: Replicas(3),
        detail: serde_json::json!({ "raw": 6.0, "reason": "ScaleUpLimit" }),
    }
}

/// `chat`, with a TTFT of 2 s and a TPOT of 50 ms for 95 % of the requests.
pub(crate) fn scoring() -> Scoring {
    Scoring {
        policy: "queue-threshold-2".to_owned(),
        summary: "Two waiting requests per replica.".to_owned(),
        classes: vec![ClassTargets {
            name: "chat".to_owned(),
            ttft: Some(secs(2.0)),
            tpot: Some(secs(0.05)),
            e2e: None,
            attainment: 0.95,
        }],
        warmup: SimDuration::ZERO,
        duration: secs(7200.0),
        price_per_gpu_hour: 1.5,
        bill: Bill::Gpu,
        provenance: Provenance {
            version: "0.1.0".to_owned(),
            seed: 0,
            inputs: [("policy".to_owned(), "ab".repeat(32))].into_iter().collect(),
        },
    }
}

/// Two hours at 5 req/s of a fleet that flips between 1 and 5 replicas every five minutes: a caricature of the sawing
/// policy. The setting `size` fixes the fleet instead, `class` names the class, and `fail` makes every run `panic` or have a `problem`.
pub(crate) struct Sawing;

impl Sawing {
    fn setting<'a>(settings: &'a [Setting], key: &str) -> Option<&'a toml::Value> {
        settings.iter().find(|setting| setting.key == key).map(|setting| &setting.value)
    }
}

impl Worlds for Sawing {
    type Error = Problem;

    fn scoring(&self, settings: &[Setting]) -> Result<Scoring, Problem> {
        if Self::setting(settings, "size").and_then(toml::Value::as_integer) == Some(0) {
            return Err(Problem::key("size", "0 replicas serve nobody").help("give at least 1"));
        }
        let mut scoring = scoring();
        if let Some(class) = Self::setting(settings, "class").and_then(toml::Value::as_str) {
            class.clone_into(&mut scoring.classes[0].name);
        }
        Ok(scoring)
    }

    fn run(
        &self,
        settings: &[Setting],
        seed: u64,
        stop: &Stop,
        recorder: &mut dyn Recorder,
    ) -> Result<ControlFlow<()>, Problem> {
        match Self::setting(settings, "fail").and_then(toml::Value::as_str) {
            Some("panic") => panic!("blocks used + free = 7, not 8"),
            Some("problem") => return Err(Problem::line(3, "x,y,z", "`y` is no number of tokens")),
            _ => {}
        }
        let size = Self::setting(settings, "size").and_then(toml::Value::as_integer).map(|size| size as i32);
        let (mut noise, mut ordinal, mut replica_s, mut longest) = (Noise(seed), 0, 0, 0);
        let mut replicas = size.unwrap_or(1);
        let first = replicas;
        for minute in 0..120u32 {
            if stop.asked() {
                return Ok(ControlFlow::Break(()));
            }
            let wanted = size.unwrap_or(if minute / 5 % 2 == 0 { 1 } else { 5 });
            if wanted != replicas {
                recorder.scale(&scaled(f64::from(minute) * 60.0, replicas, wanted));
                replicas = wanted;
            }
            replica_s += replicas as u128 * 60;
            // Below three replicas the queue grows for the five minutes that the fleet is small.
            let small_for = if replicas >= 3 { 0 } else { u64::from(minute % 5) };
            let queue = small_for * 90 + noise.below(5);
            longest = longest.max(queue);
            let arrived = 300 + noise.below(20) - 10;
            recorder.tick(&TickRecord {
                at: at(f64::from(minute + 1) * 60.0),
                arrived,
                finished: arrived,
                waiting: queue,
                running: 60,
                replicas: Replicas(replicas),
                ready: Replicas(replicas),
                gpus: Gpus(replicas as u32),
                kv_usage_mean: 0.25,
                kv_usage_max: 0.5,
                ..TickRecord::default()
            });
            for i in 0..arrived {
                let sent = f64::from(minute) * 60.0 + i as f64 / arrived as f64 * 60.0;
                let ttft = 0.1 + noise.below(100) as f64 / 1000.0 + small_for as f64 * 30.0;
                recorder.request(&finished(
                    ordinal,
                    sent,
                    ttft,
                    ttft + 2.0 + noise.below(100) as f64 / 100.0,
                ));
                ordinal += 1;
            }
        }
        let mut itl = dryscale::histogram::LogHistogram::new();
        itl.record_n(SimDuration::from_millis(20 + noise.below(5)), 100 * ordinal);
        recorder.pod(&pod(0, "vllm-0"));
        recorder.decision(&decision(15.0));
        recorder.end(&RunTotals {
            ended: at(7200.0),
            attempts: ordinal,
            replica_ps: replica_s * 1_000_000_000_000,
            ready_ps: replica_s * 1_000_000_000_000,
            gpu_ps: replica_s * 1_000_000_000_000,
            at_max: secs(if size.is_some() { 7200.0 } else { 3600.0 }),
            replicas_range: (Replicas(first), Replicas(size.unwrap_or(5))),
            ready_range: (Replicas(first), Replicas(size.unwrap_or(5))),
            steps: 300_000,
            prefix_queries: 1000,
            prefix_hits: 16,
            longest_queue: longest,
            itl,
            ..RunTotals::default()
        });
        Ok(ControlFlow::Continue(()))
    }
}

/// Enough chance to tell seeds apart.
struct Noise(u64);

impl Noise {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}
