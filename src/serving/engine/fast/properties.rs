//! Both engines under random loads: the same outputs at the same times, and the same picture at every instant.

use super::side_by_side::{Act, Form, Load, at, compare};
use super::*;
use crate::serving::engine::{EngineArgs, GpuClass, ModelLimits, SchedulingPolicy};
use crate::workload::{ContentId, Finish, Segment};
use proptest::prelude::*;

prop_compose! {
    fn config(max_model_len: u32)(
        block_size in 1u32..9,
        seats in prop_oneof![1u32..7, 8u32..40],
        budget in prop_oneof![7u32..60, 100u32..300],
        chunked in prop::bool::weighted(0.8),
        threshold in prop_oneof![4 => Just(0u32), 1 => 1u32..9],
        adaptive in any::<bool>(),
        flags in any::<[bool; 3]>(),
        priority in prop::bool::weighted(0.2),
        watermark in prop_oneof![Just(0.0), Just(0.2)],
        scheduled in prop::option::weighted(0.2, 5u32..40),
        active in prop::option::weighted(0.1, 1u32..7),
    ) -> EngineConfig {
        EngineArgs {
            max_num_seqs: Some(seats),
            max_num_active_seqs: active.map(|active| active.min(seats)),
            max_num_batched_tokens: Some(if chunked { budget.max(seats) } else { budget.max(seats).max(max_model_len) }),
            max_num_scheduled_tokens: scheduled.filter(|_| chunked).map(|scheduled| scheduled.min(budget)),
            enable_chunked_prefill: Some(chunked),
            long_prefill_token_threshold: Some(threshold),
            long_prefill_token_threshold_adaptive: Some(adaptive),
            block_size: Some(block_size),
            watermark: Some(watermark),
            enable_prefix_caching: Some(flags[0]),
            scheduler_reserve_full_isl: Some(flags[1]),
            async_scheduling: Some(flags[2]),
            scheduling_policy: Some(if priority { SchedulingPolicy::Priority } else { SchedulingPolicy::Fcfs }),
            ..EngineArgs::default()
        }
        .resolve(
            &GpuClass { name: String::new(), memory_bytes: 0 },
            &ModelLimits { max_model_len: Tokens(max_model_len) },
        )
        .expect("a valid configuration")
    }
}

prop_compose! {
    /// A request, how long after the one before it comes, and how long its client waits.
    fn client(max_model_len: u32, sharing: u32)(
        gap in prop_oneof![2 => Just(0u64), 3 => 0u64..300, 2 => 0u64..20_000],
        abort_after in prop::option::weighted(0.15, 0u64..40_000),
        texts in prop::option::weighted(f64::from(sharing.max(1)) / 1000.0, prop::collection::vec((0u64..4, 1u32..30), 1..3)),
        own in prop_oneof![1u32..12, 1u32..80],
        output in prop_oneof![1u32..5, 1u32..300],
        finish in prop_oneof![Just(Finish::Eos), Just(Finish::Length)],
        priority in 0i32..3,
        measured in any::<bool>(),
        answer in prop::option::weighted(f64::from(sharing.max(1)) / 5000.0, 0u64..4),
    ) -> (u64, Option<u64>, EngineRequest) {
        let prompt: Arc<[Segment]> = texts
            .unwrap_or_default()
            .into_iter()
            .map(|(text, n)| Segment { content: ContentId(text), tokens: Tokens(n) })
            .collect();
        let shared: u32 = prompt.iter().map(|segment| segment.tokens.get()).sum();
        (gap, abort_after, EngineRequest {
            id: RequestId(0),
            arrival_time: SimTime::ZERO,
            prompt,
            prompt_tokens: Tokens((shared + own).min(max_model_len - 1)),
            output_tokens: Tokens(output),
            finish,
            max_tokens: None,
            output_content: answer.map(ContentId),
            priority,
            measured,
        })
    }
}

fn load() -> impl Strategy<Value = Load> {
    // Short and long contexts; nobody shares, a few do, most do; blocks for little more than one request, or ample.
    let sizes = (
        40u32..400,
        prop_oneof![Just(1u32), Just(20), Just(600)],
        prop_oneof![0u32..12, 20u32..200, 2000u32..4000],
    );
    sizes.prop_flat_map(|(max_model_len, sharing, spare_blocks)| {
        let form = (1u64..200, 0u64..9, 0u64..3, prop_oneof![Just(1u64), 1u64..2000]);
        (
            config(max_model_len),
            form,
            prop::collection::vec(client(max_model_len, sharing), 1..30),
            prop::collection::vec(0u64..100_000, 0..20),
        )
            .prop_map(move |(config, (base, request, slope, floor), clients, looks)| {
                let mut acts = Vec::new();
                let mut now = 0;
                for (id, (gap, abort_after, request)) in (0..).zip(clients) {
                    now += gap;
                    let arrival_time = at(now.saturating_sub(3));
                    let id = RequestId(id);
                    acts.extend(abort_after.map(|after| (at(now + after), Act::Abort(id))));
                    acts.push((at(now), Act::Submit(EngineRequest { id, arrival_time, ..request })));
                }
                acts.extend(looks.into_iter().map(|ns| (at(ns), Act::Look)));
                let num_gpu_blocks = config.blocks_of(config.max_model_len) + Blocks(1 + spare_blocks);
                Load::new(config, num_gpu_blocks, Form { base, request, slope, floor }, acts)
            })
    })
}

proptest! {
    // More where PROPTEST_CASES asks for more.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(600)))]

    #[test]
    fn both_engines_are_one(load in load()) {
        let (stepwise, fast) = compare(&load)?;
        prop_assert!(fast <= stepwise, "{fast} events, {stepwise} step by step");
    }
}
