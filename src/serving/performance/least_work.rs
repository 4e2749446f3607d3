//! The least time that an engine must spend on a request, whatever shares its steps.
//!
//! A step's time is at least the sum of what its tokens are charged here, for every batch that the scheduler can make:
//!
//! ```text
//!   T(B, q, S, pairs)  >=  V(B, q) + D S + P pairs            StepTime's form without its floor
//!   V(B, q)             =  B * x V / (x B + y q)  +  q * y V / (x B + y q)
//!                            decode tokens             prefill tokens        for any x, y > 0
//! ```
//!
//! So each prefill token is charged the smallest `y V / (x B + y q)` of all batches. A decode token is charged by how long its
//! step lasts: small batches are quick and dear, and who must be quick cannot be served in the cheapest one. The charge is the
//! convex envelope over all batches, so that it holds for a request's *mean* time per token, which is what a target limits.

use super::step_time::StepTime;
use crate::serving::engine::EngineConfig;
use crate::units::SimDuration;

/// Ratio of two decode batch sizes next to each other among the mixed batches that are looked at.
const GRID_RATIO: f64 = 1.03;

/// The smallest charges of one engine; times are in picoseconds.
#[derive(Clone, Debug)]
pub struct LeastWork {
    /// Step duration and charge of a decode token, the lower convex envelope: durations ascend, charges fall.
    decode: Vec<(f64, f64)>,
    prefill_token: f64,
    context_token: f64,
    pair: f64,
}

impl LeastWork {
    /// The charges that hold for every batch of an engine of this configuration.
    pub fn new(step_time: &StepTime, config: &EngineConfig) -> LeastWork {
        let seqs = u64::from(config.max_num_seqs);
        let budget = u64::from(config.max_num_scheduled_tokens.get());
        let base = |decoding: u64, prefill: u64| step_time.without_contexts(decoding, prefill).as_ps() as f64;
        // What a token of either kind adds to a full batch: close to what either is worth in a mixed one.
        let weights = (base(seqs.min(budget).max(1), 0) / seqs.min(budget).max(1) as f64, {
            let prefill = budget.max(1);
            base(0, prefill) / prefill as f64
        });
        let charges = |decoding: u64, prefill: u64| {
            let time = base(decoding, prefill);
            let shares = weights.0 * decoding as f64 + weights.1 * prefill as f64;
            (time, weights.0 * time / shares, weights.1 * time / shares)
        };
        let mut decode: Vec<(f64, f64)> = (1..=seqs.min(budget))
            .map(|decoding| {
                let (time, charge, _) = charges(decoding, 0);
                (time, charge)
            })
            .collect();
        let mut prefill_token = f64::INFINITY;
        for tokens in 1..=budget {
            prefill_token = prefill_token.min(charges(0, tokens).2);
            // For a fixed number of tokens, time is linear in the decoding requests and both charges are monotone, so
            // between two sizes all three are at least the smaller value at the ends.
            let mut before: Option<(f64, f64)> = None;
            for decoding in sizes((tokens - 1).min(seqs)) {
                let (time, charge, prefill_charge) = charges(decoding, tokens - decoding);
                prefill_token = prefill_token.min(prefill_charge);
                let (earlier, dearer) = before.unwrap_or((time, charge));
                decode.push((time.min(earlier), charge.min(dearer)));
                before = Some((time, charge));
            }
        }
        LeastWork {
            decode: lower_envelope(decode),
            prefill_token,
            context_token: step_time.context_slope().as_ps() as f64,
            pair: step_time.prefill_pair_ps(),
        }
    }

    /// The least time for the prefill of `computed` tokens on top of `cached` ones, which are found in the prefix cache.
    pub fn prefill_ps(&self, computed: u32, cached: u32) -> f64 {
        let (computed, cached) = (f64::from(computed), f64::from(cached));
        computed * self.prefill_token + computed * (cached + computed / 2.0) * self.pair
    }

    /// The least time for `tokens` tokens after the first of an answer to `prompt` tokens, where their steps may last
    /// `mean_step` on average; without a limit, for ever. `None`: no step is that short.
    ///
    /// Tokens that are computed anew after a preemption are taken to cost no less than a step that decodes.
    pub fn decode_ps(&self, prompt: u32, tokens: u32, mean_step: Option<SimDuration>) -> Option<f64> {
        if tokens == 0 {
            return Some(0.0);
        }
        let charge = self.decode_token(mean_step.map_or(f64::INFINITY, |step| step.as_ps() as f64))?;
        let (prompt, tokens) = (f64::from(prompt), f64::from(tokens));
        // Token i attends to the prompt and the i tokens before it.
        let contexts = tokens * prompt + tokens * (tokens + 1.0) / 2.0;
        Some(tokens * charge + contexts * self.context_token)
    }

    /// The duration of the quickest step that decodes.
    pub fn quickest_step(&self) -> SimDuration {
        SimDuration::from_ps(self.decode.first().map_or(0.0, |point| point.0) as u64)
    }

    /// The envelope at `duration`.
    fn decode_token(&self, duration: f64) -> Option<f64> {
        let above = self.decode.partition_point(|point| point.0 <= duration);
        let (left, right) = (self.decode.get(above.checked_sub(1)?)?, self.decode.get(above));
        let Some(right) = right else { return Some(left.1) };
        let share = (duration - left.0) / (right.0 - left.0);
        Some(left.1 + share * (right.1 - left.1))
    }
}

/// 1, ... up to `largest` and with it, each at most [`GRID_RATIO`] times the one before.
fn sizes(largest: u64) -> impl Iterator<Item = u64> {
    let next = move |size: &u64| {
        let next = ((*size as f64 * GRID_RATIO) as u64).max(size + 1).min(largest);
        (*size < largest).then_some(next)
    };
    std::iter::successors((largest > 0).then_some(1), next)
}

/// The lower convex envelope of points, as far as it falls.
fn lower_envelope(mut points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut hull: Vec<(f64, f64)> = Vec::new();
    for point in points {
        if hull.last().is_some_and(|last| point.1 >= last.1) {
            continue;
        }
        while let [.., a, b] = hull[..]
            && (b.1 - a.1) * (point.0 - a.0) >= (point.1 - a.1) * (b.0 - a.0)
        {
            hull.pop();
        }
        if hull.last().is_some_and(|last| last.0 == point.0) {
            hull.pop();
        }
        hull.push(point);
    }
    hull
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serving::engine::{BatchShape, EngineArgs, GpuClass, ModelLimits, StepTimer};
    use crate::serving::performance::CudaGraphs;
    use crate::units::Tokens;
    use proptest::prelude::*;

    const SPEC: &str = "
        alpha = 1.25
        provenance = { kind = 'assumed', date = '2026-11-24', source = 'a test' }
        decode_attention = { step_ms = 0.5, request_ms = 0.04, context_token_ms = 5.0e-5 }
        prefill_attention = { step_ms = 0.4, token_ms = 0.01, pair_ms = 3.0e-6 }
        cpu_floor = { step_ms = 3.0, request_ms = 0.05, provenance = { kind = 'assumed', date = '2026-11-24', source = 'a test' } }
        mixed_attention = { decode_request_ms = 0.25, provenance = { kind = 'assumed', date = '2026-11-24', source = 'a test' } }
        host = { step_ms = 0.1, request_ms = 0.02, provenance = { kind = 'assumed', date = '2026-11-24', source = 'a test' } }
        host_sync = { step_ms = 1.0, request_ms = 1.0, provenance = { kind = 'assumed', date = '2026-11-24', source = 'a test' } }
        [gemm]
        tokens = [1, 8, 9, 128, 129, 1024]
        decode_ms = [5.0, 5.5, 6.0, 7.0, 9.0, 40.0]
        mixed_ms = [5.5, 6.0, 7.0, 8.0, 11.0, 50.0]
    ";

    fn engine(max_num_seqs: u32, max_num_batched_tokens: u32) -> (StepTime, LeastWork) {
        let spec = toml::from_str(SPEC).expect("the spec reads");
        let step_time = StepTime::new(&spec, CudaGraphs::up_to(64), true).expect("the spec is good");
        let args = EngineArgs {
            max_num_seqs: Some(max_num_seqs),
            max_num_batched_tokens: Some(max_num_batched_tokens),
            ..EngineArgs::default()
        };
        let gpu = GpuClass { name: "L40S".to_owned(), memory_bytes: 1 << 35 };
        let limits = ModelLimits { max_model_len: Tokens(max_num_batched_tokens) };
        let config = args.resolve(&gpu, &limits).expect("good arguments");
        let least = LeastWork::new(&step_time, &config);
        (step_time, least)
    }

    proptest! {
        /// The heart of it: no batch takes less time than its tokens are charged.
        #[test]
        fn a_step_takes_at_least_what_its_tokens_are_charged(
            decoding in 0u32..48, prefill in 0u32..400, context in 1u64..4000, cached in 0u64..2000,
        ) {
            prop_assume!(decoding + prefill > 0 && decoding + prefill <= 400);
            let (step_time, least) = engine(48, 400);
            let chunk = u64::from(prefill);
            let batch = BatchShape {
                decode_requests: decoding,
                decode_context: context * u64::from(decoding),
                prefill_requests: u32::from(prefill > 0),
                prefill_tokens: chunk,
                prefill_pairs_x2: u128::from(chunk * (2 * cached + chunk)),
            };
            let time = step_time.step_time(&batch);
            let decode = match decoding {
                0 => 0.0,
                // One token each, in a step of just this duration.
                n => f64::from(n) * (least.decode_token(time.as_ps() as f64).expect("a step that exists")
                        + context as f64 * least.context_token),
            };
            let charged = decode + least.prefill_ps(prefill, cached as u32);
            prop_assert!(charged <= time.as_ps() as f64 * (1.0 + 1e-9), "{charged} > {}", time.as_ps());
        }
    }

    #[test]
    fn who_must_be_quick_is_dearer_and_who_must_be_too_quick_is_impossible() {
        let (_, least) = engine(48, 400);
        let cost = |ms: u64| least.decode_ps(100, 10, Some(SimDuration::from_millis(ms)));
        assert_eq!(cost(1), None);
        let (quick, slow) = (cost(8).expect("possible"), cost(60).expect("possible"));
        assert!(quick > slow && Some(slow) >= least.decode_ps(100, 10, None), "{quick} {slow}");
        assert_eq!(least.decode_ps(100, 0, Some(SimDuration::ZERO)), Some(0.0));
    }

    #[test]
    fn the_envelope_is_convex_and_below_all_points() {
        let points = vec![(1.0, 9.0), (2.0, 7.0), (3.0, 2.0), (4.0, 3.0), (4.0, 1.0), (6.0, 1.5), (2.0, 8.0)];
        assert_eq!(lower_envelope(points), [(1.0, 9.0), (3.0, 2.0), (4.0, 1.0)]);
        assert_eq!(sizes(0).count(), 0);
        assert_eq!(sizes(3).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(sizes(500).last(), Some(500));
    }
}
