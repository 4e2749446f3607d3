//! vLLM 0.32's scheduler over whole scenarios, every step and field. A record is one scenario.

use super::{Tally, absent, lines};
use dryscale::serving::engine::{
    Batch, BlockCache, EngineArgs, EngineConfig, EngineRequest, FinishReason, GpuClass, KvCache, ModelLimits,
    PrefixCacheStats, RequestId, RunLengthCache, Scheduler, Slot, TokenOutput, Unclocked,
};
use dryscale::units::{Blocks, SimTime, Tokens};
use dryscale::workload::{ContentId, Finish, Segment};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{HashSet, VecDeque};
use std::fmt::Debug;

#[derive(Deserialize)]
struct Scenario {
    name: String,
    config: serde_json::Map<String, Value>,
    requests: Vec<Client>,
    steps: Vec<Step>,
    per_request: Vec<Fate>,
    totals: Totals,
}

#[derive(Deserialize)]
struct Client {
    id: u64,
    arrival_step: u64,
    abort_step: Option<u64>,
    prompt: Vec<(String, u64, u32)>,
    prompt_len: u32,
    output_len: u32,
    finish: Finish,
    priority: i32,
}

/// What one call of the engine showed; an absent field is empty.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Step {
    t: u64,
    arr: Vec<u64>,
    abt: Vec<u64>,
    sched: Vec<u64>,
    new: Vec<[u64; 2]>,
    res: Vec<[u64; 2]>,
    pre: Vec<u64>,
    #[serde(rename = "S")]
    scheduled: Option<[u64; 3]>,
    ft: Vec<u64>,
    fin: Vec<u64>,
    #[serde(rename = "U")]
    updated: Option<[u64; 4]>,
    pc: Option<[u64; 3]>,
    pp: Option<[u64; 3]>,
}

/// Id, step of the first admission, of the first token and of the end, outputs, preemptions, tokens hit on the first
/// admission, and why it ended.
type Fate = (u64, Option<u64>, Option<u64>, Option<u64>, u64, u64, Option<u64>, Option<String>);

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Totals {
    preemptions: u64,
    prefix_queries: u64,
    prefix_hits: u64,
    preempted_prefix_queries: u64,
    preempted_prefix_hits: u64,
    wasted_tokens: u64,
    steps: u64,
}

#[test]
fn vllm_scheduler() {
    let Some(lines) = lines("vllm/scheduler.jsonl") else { return absent("vllm") };
    let mut tally = Tally::new("vllm");
    for line in lines {
        tally.record(outcome(&line, Reference::<BlockCache>::new).map(drop));
    }
    tally.finish();
}

/// The same scenarios on the other cache, not counted again.
#[test]
fn vllm_scheduler_on_run_lengths() {
    all_agree(Reference::<RunLengthCache>::new);
}

/// The same scenarios on the fast engine, not counted again.
#[test]
fn vllm_scheduler_by_cohorts() {
    let calls = all_agree(|config, blocks| Counted {
        engine: Unclocked::new(config, blocks).expect("enough blocks"),
        calls: 0,
        by_cohort: 0,
    });
    let (by_cohort, calls) = calls
        .iter()
        .fold((0, 0), |(by_cohort, calls), counted| (by_cohort + counted.by_cohort, calls + counted.calls));
    // Most scenarios are about what a cohort cannot do.
    assert!(2 * by_cohort > calls || calls == 0, "{by_cohort} of {calls} calls were a cohort's");
}

fn all_agree<E: Calls>(new: impl Fn(EngineConfig, Blocks) -> E) -> Vec<E> {
    let outcomes = lines("vllm/scheduler.jsonl").into_iter().flatten().map(|line| outcome(&line, &new));
    let (agree, differ): (Vec<_>, Vec<_>) = outcomes.partition(Result::is_ok);
    let differ: Vec<String> = differ.into_iter().filter_map(Result::err).collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    agree.into_iter().filter_map(Result::ok).collect()
}

fn outcome<E: Calls>(line: &str, new: impl FnOnce(EngineConfig, Blocks) -> E) -> Result<E, String> {
    let scenario: Scenario = serde_json::from_str(line).map_err(|e| e.to_string())?;
    replay(&scenario, new).map_err(|why| format!("{}: {why}", scenario.name))
}

fn replay<E: Calls>(scenario: &Scenario, new: impl FnOnce(EngineConfig, Blocks) -> E) -> Result<E, String> {
    let mut driver = Driver::new(scenario, new)?;
    for want in &scenario.steps {
        let got = driver.step().ok_or_else(|| format!("ended before step {}", want.t))?;
        same(&format!("step {}", want.t), &got, want)?;
    }
    if let Some(extra) = driver.step() {
        return Err(format!("goes on with step {}", extra.t));
    }
    for (got, want) in driver.fates.iter().zip(&scenario.per_request) {
        same("per_request", got, want)?;
    }
    same("per_request.length", &driver.fates.len(), &scenario.per_request.len())?;
    same("totals", &driver.totals, &scenario.totals)?;
    Ok(driver.engine)
}

/// An engine without a clock.
trait Calls {
    fn add_request(&mut self, request: &EngineRequest);
    fn abort(&mut self, id: RequestId) -> Option<Slot>;
    fn has_requests(&self) -> bool;
    fn schedule(&mut self) -> Batch;
    /// Takes back the batch that was scheduled first.
    fn update(&mut self, batch: &Batch) -> Vec<TokenOutput>;
    fn num_running(&self) -> u32;
    fn num_waiting(&self) -> u32;
    fn num_deferred(&self) -> u32;
    fn free_blocks(&self) -> Blocks;
    fn take_prefix_cache_stats(&mut self) -> PrefixCacheStats;
}

/// The scheduler that lists everything.
struct Reference<C: KvCache>(Scheduler<C>);

impl<C: KvCache> Reference<C> {
    fn new(config: EngineConfig, num_gpu_blocks: Blocks) -> Self {
        Reference(Scheduler::with_cache(config, num_gpu_blocks))
    }
}

impl<C: KvCache> Calls for Reference<C> {
    fn add_request(&mut self, request: &EngineRequest) {
        self.0.add_request(request);
    }
    fn abort(&mut self, id: RequestId) -> Option<Slot> {
        self.0.abort(id)
    }
    fn has_requests(&self) -> bool {
        self.0.has_requests()
    }
    fn schedule(&mut self) -> Batch {
        let mut batch = Batch::default();
        self.0.schedule(&mut batch);
        batch
    }
    fn update(&mut self, batch: &Batch) -> Vec<TokenOutput> {
        let mut outputs = Vec::new();
        self.0.update(batch, &mut outputs);
        outputs
    }
    fn num_running(&self) -> u32 {
        self.0.num_running()
    }
    fn num_waiting(&self) -> u32 {
        self.0.num_waiting()
    }
    fn num_deferred(&self) -> u32 {
        self.0.num_deferred()
    }
    fn free_blocks(&self) -> Blocks {
        self.0.free_blocks()
    }
    fn take_prefix_cache_stats(&mut self) -> PrefixCacheStats {
        self.0.take_prefix_cache_stats()
    }
}

/// The fast engine, with how often a cohort answered.
struct Counted {
    engine: Unclocked,
    calls: u64,
    by_cohort: u64,
}

impl Calls for Counted {
    fn add_request(&mut self, request: &EngineRequest) {
        self.engine.add_request(request);
    }
    fn abort(&mut self, id: RequestId) -> Option<Slot> {
        self.engine.abort(id)
    }
    fn has_requests(&self) -> bool {
        self.engine.has_requests()
    }
    fn schedule(&mut self) -> Batch {
        let batch = self.engine.schedule();
        self.calls += 1;
        self.by_cohort += u64::from(self.engine.num_members() > 0);
        batch
    }
    fn update(&mut self, _: &Batch) -> Vec<TokenOutput> {
        self.engine.update()
    }
    fn num_running(&self) -> u32 {
        self.engine.num_running()
    }
    fn num_waiting(&self) -> u32 {
        self.engine.num_waiting()
    }
    fn num_deferred(&self) -> u32 {
        self.engine.num_deferred()
    }
    fn free_blocks(&self) -> Blocks {
        self.engine.free_blocks()
    }
    fn take_prefix_cache_stats(&mut self) -> PrefixCacheStats {
        self.engine.take_prefix_cache_stats()
    }
}

fn same<T: Debug + PartialEq>(what: &str, got: &T, want: &T) -> Result<(), String> {
    if got == want { Ok(()) } else { Err(format!("{what}: got {got:?}, want {want:?}")) }
}

/// The recording's own loop: one call of the engine a step, and no clock.
struct Driver<'a, E> {
    config: EngineConfig,
    engine: E,
    in_flight: VecDeque<Batch>,
    arrivals: VecDeque<&'a Client>,
    named: HashSet<ContentId>,
    aborts: VecDeque<(u64, u64)>,
    t: u64,
    fates: Vec<Fate>,
    totals: Totals,
}

impl<'a, E: Calls> Driver<'a, E> {
    fn new(scenario: &'a Scenario, new: impl FnOnce(EngineConfig, Blocks) -> E) -> Result<Self, String> {
        let (config, num_gpu_blocks) = configuration(scenario.config.clone())?;
        let mut arrivals: Vec<&Client> = scenario.requests.iter().collect();
        arrivals.sort_by_key(|client| (client.arrival_step, client.id));
        let mut aborts: Vec<(u64, u64)> =
            arrivals.iter().filter_map(|client| Some((client.abort_step?, client.id))).collect();
        aborts.sort_unstable();
        Ok(Driver {
            engine: new(config.clone(), num_gpu_blocks),
            config,
            in_flight: VecDeque::new(),
            fates: arrivals.iter().map(|client| (client.id, None, None, None, 0, 0, None, None)).collect(),
            named: arrivals.iter().flat_map(|client| client.others_texts()).collect(),
            arrivals: arrivals.into(),
            aborts: aborts.into(),
            t: 0,
            totals: Totals::default(),
        })
    }

    /// The next call of the engine; `None` when everything has arrived and left.
    fn step(&mut self) -> Option<Step> {
        if !self.engine.has_requests() && self.in_flight.is_empty() {
            self.t = self.t.max(self.arrivals.front()?.arrival_step);
        }
        let mut step = Step { t: self.t, ..Step::default() };
        self.add_arrivals(&mut step);
        self.abort(&mut step);
        if self.config.async_scheduling {
            self.async_call(&mut step)
        } else {
            self.sync_call(&mut step)
        }
        self.t += 1;
        self.totals.steps += 1;
        Some(step)
    }

    fn sync_call(&mut self, step: &mut Step) {
        if self.engine.has_requests() {
            let batch = self.schedule(step);
            self.update(&batch, step);
        }
    }

    fn async_call(&mut self, step: &mut Step) {
        if self.engine.has_requests() {
            let batch = self.schedule(step);
            let executed = !batch.is_empty();
            self.in_flight.push_back(batch);
            if self.in_flight.len() < 2 && (executed || self.engine.has_requests()) {
                return;
            }
        }
        if let Some(oldest) = self.in_flight.pop_front() {
            self.update(&oldest, step);
        }
    }

    fn add_arrivals(&mut self, step: &mut Step) {
        while let Some(client) = self.arrivals.front().filter(|client| client.arrival_step <= self.t) {
            self.engine.add_request(&client.request(&self.named));
            step.arr.push(client.id);
            self.arrivals.pop_front();
        }
    }

    fn abort(&mut self, step: &mut Step) {
        while let Some(&(_, id)) = self.aborts.front().filter(|(at, _)| *at <= self.t) {
            if self.engine.abort(RequestId(id)).is_some() {
                step.abt.push(id);
                let fate = self.fate(RequestId(id));
                (fate.3, fate.7) = (Some(step.t), Some("abort".to_owned()));
            }
            self.aborts.pop_front();
        }
    }

    fn schedule(&mut self, step: &mut Step) -> Batch {
        let batch = self.engine.schedule();
        step.sched = batch.scheduled.iter().flat_map(|s| [s.id.0, s.tokens.get().into()]).collect();
        for admitted in &batch.admitted {
            let entry = [admitted.id.0, admitted.cached_tokens.get().into()];
            if admitted.resumed {
                step.res.push(entry);
            } else {
                step.new.push(entry);
                let fate = self.fate(admitted.id);
                (fate.1, fate.6) = (Some(step.t), Some(entry[1]));
            }
        }
        step.pre = batch.preempted.iter().map(|(id, _)| id.0).collect();
        for &(id, _) in &batch.preempted {
            self.fate(id).5 += 1;
            self.totals.preemptions += 1;
        }
        let s = &self.engine;
        step.scheduled = Some([s.num_running().into(), s.num_waiting().into(), s.free_blocks().get().into()]);
        batch
    }

    fn update(&mut self, batch: &Batch, step: &mut Step) {
        let outputs = self.engine.update(batch);
        for output in &outputs {
            let fate = self.fate(output.id);
            fate.4 += 1;
            if fate.4 == 1 {
                fate.2 = Some(step.t);
                step.ft.push(output.id.0);
            }
            if let Some(reason) = output.finish {
                let reason = if reason == FinishReason::Stop { "stop" } else { "length" };
                (fate.3, fate.7) = (Some(step.t), Some(reason.to_owned()));
                step.fin.push(output.id.0);
            }
        }
        let sampled = batch.scheduled.iter().filter(|scheduled| scheduled.samples).count();
        self.totals.wasted_tokens += (sampled - outputs.len()) as u64;
        let s = &self.engine;
        step.updated = Some([
            s.num_running().into(),
            u64::from(s.num_waiting() - s.num_deferred()),
            s.num_deferred().into(),
            s.free_blocks().get().into(),
        ]);
        let stats = self.engine.take_prefix_cache_stats();
        step.pc = (stats.requests > 0).then_some([stats.requests, stats.queries, stats.hits]);
        step.pp = (stats.preempted_requests > 0).then_some([
            stats.preempted_requests,
            stats.preempted_queries,
            stats.preempted_hits,
        ]);
        self.totals.prefix_queries += stats.queries;
        self.totals.prefix_hits += stats.hits;
        self.totals.preempted_prefix_queries += stats.preempted_queries;
        self.totals.preempted_prefix_hits += stats.preempted_hits;
    }

    fn fate(&mut self, id: RequestId) -> &mut Fate {
        self.fates.iter_mut().find(|fate| fate.0 == id.0).expect("an id of the scenario")
    }
}

/// The recorded settings are vLLM's engine arguments, but for two names.
fn configuration(mut recorded: serde_json::Map<String, Value>) -> Result<(EngineConfig, Blocks), String> {
    let mut take = |key: &str| recorded.remove(key).ok_or_else(|| format!("config has no {key}"));
    let policy = take("policy")?;
    let blocks = serde_json::from_value(take("num_gpu_blocks")?).map_err(|e| e.to_string())?;
    let limits = ModelLimits {
        max_model_len: serde_json::from_value(take("max_model_len")?).map_err(|e| e.to_string())?,
    };
    recorded.insert("scheduling_policy".to_owned(), policy);
    let args: EngineArgs = serde_json::from_value(recorded.into()).map_err(|e| e.to_string())?;
    let gpu = GpuClass { name: String::new(), memory_bytes: 0 };
    let config = args.resolve(&gpu, &limits).map_err(|problem| problem.to_string())?;
    Ok((config, Blocks(blocks)))
}

impl Client {
    /// Gives names to the texts that another request begins with; the rest is the request's own.
    fn request(&self, named: &HashSet<ContentId>) -> EngineRequest {
        let own = stream("U", self.id);
        let segments = self
            .prompt
            .iter()
            .map(|(kind, ident, n)| Segment { content: stream(kind, *ident), tokens: Tokens(*n) });
        let mut prompt: Vec<Segment> = segments.collect();
        prompt.pop_if(|last| last.content == own && !named.contains(&own));
        EngineRequest {
            id: RequestId(self.id),
            // arrival_time = arrival_step + id * 1e-6, in seconds; only its order counts.
            arrival_time: SimTime::from_ps(self.arrival_step * 1_000_000_000_000 + self.id * 1_000_000),
            prompt: prompt.into(),
            prompt_tokens: Tokens(self.prompt_len),
            output_tokens: Tokens(self.output_len),
            finish: self.finish,
            max_tokens: Some(Tokens(match self.finish {
                Finish::Length => self.output_len,
                Finish::Eos => self.output_len + 1000,
            })),
            output_content: Some(stream("O", self.id)).filter(|answer| named.contains(answer)),
            priority: self.priority,
            measured: false,
        }
    }

    /// The texts of its prompt that are not its own.
    fn others_texts(&self) -> impl Iterator<Item = ContentId> {
        let own = stream("U", self.id);
        self.prompt.iter().map(|(kind, ident, _)| stream(kind, *ident)).filter(move |text| *text != own)
    }
}

/// The recording's streams: shared prefixes, prompts of one request, answers.
fn stream(kind: &str, ident: u64) -> ContentId {
    let base = match kind {
        "G" => 1,
        "U" => 2,
        "O" => 3,
        other => panic!("no stream is called {other}"),
    };
    ContentId(base << 32 | ident)
}
