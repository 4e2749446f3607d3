//! Statistics of the public traces, as loaded, against those that were computed from the files by other means.

use super::{drain, replayed, spec, with_file};
use dryscale::workload::{ContentId, Request};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

const SECOND: u64 = 1_000_000_000_000;

/// The data beside the checkout, or `None` with a line that says so; with `DRYSCALE_REQUIRE_DATA=1` it must be there.
fn data(file: &str) -> Option<Vec<u8>> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(file);
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            let required = std::env::var("DRYSCALE_REQUIRE_DATA").is_ok_and(|value| value == "1");
            assert!(!required, "{}: {error}", path.display());
            writeln!(std::io::stdout().lock(), "skipped: {}", path.display()).expect("stdout takes a line");
            None
        }
    }
}

fn expected(set: &str) -> Option<Value> {
    let all: Value = serde_json::from_slice(&data("trace-stats.json")?).expect("the statistics are JSON");
    Some(all[set].clone())
}

fn unzipped(bytes: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(bytes).read_to_string(&mut text).expect("the data is gzipped text");
    text
}

#[test]
fn the_azure_conversation_trace_has_its_published_statistics() {
    let (Some(expected), Some(bytes)) =
        (expected("azure_2023_conv"), data("traces/AzureLLMInferenceTrace_conv.csv.gz"))
    else {
        return;
    };
    let requests = replayed(&bytes, "").expect("the trace loads");
    let mut found = statistics(&requests);
    found.insert("on_off".to_owned(), json!([on_off(&requests, 2.0), on_off(&requests, 5.0)]));
    compare(&expected, &Value::Object(found), "azure_2023_conv");
}

#[test]
fn the_same_trace_in_another_tables_columns_has_them_too() {
    let (Some(expected), Some(bytes)) =
        (expected("vidur_splitwise_conv"), data("traces/AzureLLMInferenceTrace_conv.csv.gz"))
    else {
        return;
    };
    // The set is the Azure trace in vidur's columns, with seconds since its first request.
    let mut table = "arrived_at,num_prefill_tokens,num_decode_tokens\n".to_owned();
    for request in replayed(&bytes, "format = 'azure'").expect("the trace loads") {
        let (seconds, rest) = (request.sent.as_ps() / SECOND, request.sent.as_ps() % SECOND);
        table += &format!("{seconds}.{rest:012},{},{}\n", request.prompt_tokens, request.output_tokens);
    }
    let columns = "columns = { timestamp = 'arrived_at', prompt_tokens = 'num_prefill_tokens', \
                   output_tokens = 'num_decode_tokens' }";
    let requests = replayed(table.as_bytes(), columns).expect("the table loads");
    compare(&expected, &Value::Object(statistics(&requests)), "vidur_splitwise_conv");
}

#[test]
fn the_mooncake_conversation_trace_has_its_published_statistics() {
    let (Some(mut expected), Some(bytes)) =
        (expected("mooncake_conversation"), data("traces/mooncake_conversation_trace.jsonl.gz"))
    else {
        return;
    };
    let arrivals = expected["arrivals"].as_object_mut().expect("arrivals are an object");
    let dejittered =
        arrivals.remove("iat_cv_after_uniform_3s_dejitter_seed0_numpy_pcg64").expect("it is there");
    let requests = replayed(&bytes, "").expect("the trace loads");
    let mut found = statistics(&requests);
    found.insert("prefix".to_owned(), prefix_statistics(&requests));
    let distinct: BTreeSet<u64> = requests.iter().map(|request| request.sent.as_ps()).collect();
    found.insert("timestamp_note".to_owned(), json!({ "distinct_timestamps": distinct.len() }));
    compare(&expected, &Value::Object(found), "mooncake_conversation");

    // Spread over its batches of three seconds, it is as irregular as a Poisson process: other random numbers than those of
    // the statistics, hence within their spread.
    let spread = replayed(&bytes, "dejitter = '3s'").expect("the trace loads");
    let cv = arrivals_statistics(&times(&spread))["iat_cv"].as_f64().expect("a number");
    let dejittered = dejittered.as_f64().expect("a number");
    assert!((cv / dejittered - 1.0).abs() < 0.03, "{cv} against {dejittered}");
    assert_eq!(spread.len(), requests.len());
}

#[test]
fn the_arxiv_lengths_have_their_published_statistics_row_by_row_and_as_pairs() {
    let (Some(mut expected), Some(bytes)) = (
        expected("vidur_arxiv_summarization_lengths"),
        data("traces/vidur_arxiv_summarization_lengths.csv.gz"),
    ) else {
        return;
    };
    expected.as_object_mut().expect("an object").remove("note");
    // The set has no timestamps: each row gets that of its number.
    let text = unzipped(&bytes);
    let mut rows = text.lines().enumerate();
    let (_, header) = rows.next().expect("a header");
    let mut table = format!("timestamp,{header}\n");
    for (i, row) in rows {
        table += &format!("{i},{row}\n");
    }
    let columns = "columns = { timestamp = 'timestamp', prompt_tokens = 'num_prefill_tokens', \
                   output_tokens = 'num_decode_tokens' }";
    let requests = replayed(table.as_bytes(), columns).expect("the table loads");
    compare(&expected, &Value::Object(length_statistics(&requests)), "vidur_arxiv_summarization_lengths");

    let pair = "[[class]]\npair = { dist = 'empirical2', file = 'lengths.csv.gz', input = 'num_prefill_tokens', \
                output = 'num_decode_tokens' }\n[[source]]\nrate = 100.0\narrival = { process = 'constant' }";
    let drawn = with_file(&spec(pair), 1, 500, &bytes).and_then(drain).expect("the pairs load");
    let rows: BTreeSet<(u32, u32)> = requests.iter().map(lengths).collect();
    assert!(drawn.iter().all(|request| rows.contains(&lengths(request))), "a pair that is in no row");
    let found = length_statistics(&drawn);
    for (found, expected) in [
        (&found["corr_pearson"], &expected["corr_pearson"]),
        (&found["input_tokens"]["mean"], &expected["input_tokens"]["mean"]),
        (&found["output_tokens"]["mean"], &expected["output_tokens"]["mean"]),
    ] {
        let (found, expected) = (found.as_f64().expect("a number"), expected.as_f64().expect("a number"));
        assert!((found / expected - 1.0).abs() < 0.03, "{found} against {expected}");
    }
}

fn lengths(request: &Request) -> (u32, u32) {
    (request.prompt_tokens.get(), request.output_tokens.get())
}

fn times(requests: &[Request]) -> Vec<u64> {
    requests.iter().map(|request| request.sent.as_ps()).collect()
}

fn seconds(ps: u64) -> f64 {
    ps as f64 / SECOND as f64
}

fn statistics(requests: &[Request]) -> Map<String, Value> {
    let mut all = length_statistics(requests);
    let column = |f: fn(&Request) -> u32| requests.iter().map(|r| f64::from(f(r))).collect::<Vec<_>>();
    let (input, output) = (column(|r| r.prompt_tokens.get()), column(|r| r.output_tokens.get()));
    all.insert("arrivals".to_owned(), arrivals_statistics(&times(requests)));
    all.insert("corr_spearman".to_owned(), json!(pearson(&ranks(&input), &ranks(&output))));
    all.insert("log_input".to_owned(), logarithms(&input));
    let mut log_output = logarithms(&output);
    log_output["zeros"] = json!(output.iter().filter(|tokens| **tokens == 0.0).count());
    all.insert("log_output".to_owned(), log_output);
    all
}

fn length_statistics(requests: &[Request]) -> Map<String, Value> {
    let column = |f: fn(&Request) -> u32| requests.iter().map(|r| f64::from(f(r))).collect::<Vec<_>>();
    let (input, output) = (column(|r| r.prompt_tokens.get()), column(|r| r.output_tokens.get()));
    let mut all = Map::new();
    all.insert("input_tokens".to_owned(), tokens(&input));
    all.insert("output_tokens".to_owned(), tokens(&output));
    all.insert("corr_pearson".to_owned(), json!(pearson(&input, &output)));
    all
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Of the population, not of a sample.
fn variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / values.len() as f64
}

/// Nearest rank.
fn percentile(sorted: &[f64], p: f64) -> f64 {
    let rank = (p / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted[rank.max(1) - 1]
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn tokens(values: &[f64]) -> Value {
    let sorted = sorted(values);
    let mut all = json!({
        "n": values.len(), "sum": values.iter().sum::<f64>() as u64, "mean": mean(values),
        "std_pop": variance(values).sqrt(), "cv": variance(values).sqrt() / mean(values),
        "min": sorted[0], "max": sorted[sorted.len() - 1],
    });
    for p in [1, 10, 25, 50, 75, 90, 95, 99] {
        all[format!("p{p}")] = json!(percentile(&sorted, f64::from(p)));
    }
    all
}

fn logarithms(values: &[f64]) -> Value {
    let logs: Vec<f64> = values.iter().filter(|x| **x > 0.0).map(|x| x.ln()).collect();
    json!({ "mu": mean(&logs), "sigma": variance(&logs).sqrt() })
}

fn pearson(x: &[f64], y: &[f64]) -> f64 {
    let (mx, my) = (mean(x), mean(y));
    let covariance = x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum::<f64>() / x.len() as f64;
    covariance / (variance(x) * variance(y)).sqrt()
}

/// Ranks from 1, ties at their mean.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    for tie in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let first = order.partition_point(|i| values[*i] < values[tie[0]]);
        for i in tie {
            ranks[*i] = first as f64 + (tie.len() + 1) as f64 / 2.0;
        }
    }
    ranks
}

fn arrivals_statistics(times: &[u64]) -> Value {
    let (first, last) = (times[0], times[times.len() - 1]);
    let gaps: Vec<f64> = times.windows(2).map(|pair| seconds(pair[1] - pair[0])).collect();
    let duration = seconds(last - first);
    let mut all = json!({
        "n": times.len(), "first_s": seconds(first), "last_s": seconds(last), "duration_s": duration,
        "sorted": times.is_sorted(), "mean_rps": times.len() as f64 / duration,
        "iat_mean_s": mean(&gaps), "iat_std_pop_s": variance(&gaps).sqrt(),
        "iat_cv": variance(&gaps).sqrt() / mean(&gaps),
        "iat_max_s": gaps.iter().copied().fold(0.0, f64::max),
        "iat_zero": gaps.iter().filter(|gap| **gap == 0.0).count(),
    });
    for width in [1, 10, 60, 300] {
        let mut counts = vec![0.0; ((last - first) / (width * SECOND)) as usize];
        for time in times {
            if let Some(count) = counts.get_mut(((time - first) / (width * SECOND)) as usize) {
                *count += 1.0;
            }
        }
        let max = counts.iter().copied().fold(0.0, f64::max);
        let min = counts.iter().copied().fold(f64::INFINITY, f64::min);
        all[format!("bin{width}s")] = json!({
            "bins_full": counts.len(), "mean": mean(&counts), "var_pop": variance(&counts),
            "fano": variance(&counts) / mean(&counts), "min": min as u64, "max": max as u64,
            "peak_rps": max / width as f64, "peak_to_mean": max / mean(&counts),
        });
    }
    let full = (last - first) / (300 * SECOND);
    let mut cvs: Vec<f64> = (0..full)
        .filter_map(|window| {
            let inside: Vec<u64> =
                times.iter().copied().filter(|time| (time - first) / (300 * SECOND) == window).collect();
            let gaps: Vec<f64> = inside.windows(2).map(|pair| seconds(pair[1] - pair[0])).collect();
            (inside.len() > 30).then(|| variance(&gaps).sqrt() / mean(&gaps))
        })
        .collect();
    cvs.sort_by(f64::total_cmp);
    all["iat_cv_per_300s_window"] =
        json!({ "n": cvs.len(), "median": cvs[cvs.len() / 2], "min": cvs[0], "max": cvs[cvs.len() - 1] });
    all
}

/// Bursts: requests whose gaps are no longer than `threshold` seconds.
fn on_off(requests: &[Request], threshold: f64) -> Value {
    let times = times(requests);
    let bursts: Vec<&[u64]> = times.chunk_by(|a, b| seconds(b - a) <= threshold).collect();
    let on: Vec<f64> = bursts.iter().map(|burst| seconds(burst[burst.len() - 1] - burst[0])).collect();
    let off: Vec<f64> =
        bursts.windows(2).map(|pair| seconds(pair[1][0] - pair[0][pair[0].len() - 1])).collect();
    let sizes: Vec<f64> = bursts.iter().map(|burst| burst.len() as f64).collect();
    let median = |sorted: &[f64]| mean(&sorted[(sorted.len() - 1) / 2..=sorted.len() / 2]);
    let (on, sizes, off_sorted) = (sorted(&on), sorted(&sizes), sorted(&off));
    let on_time: f64 = on.iter().sum();
    let of_off = |f: &dyn Fn(&[f64]) -> f64| if off.is_empty() { Value::Null } else { json!(f(&off_sorted)) };
    json!({
        "gap_threshold_s": threshold, "bursts": bursts.len(), "on_time_s": on_time, "on_mean_s": mean(&on),
        "on_p50_s": median(&on), "off_mean_s": of_off(&mean),
        "off_p50_s": of_off(&median), "off_max_s": of_off(&|off| off[off.len() - 1]),
        "rate_in_on_rps": times.len() as f64 / on_time, "burst_requests_p50": median(&sizes),
        "burst_requests_max": sizes[sizes.len() - 1] as u64,
    })
}

/// What caches of whole blocks would hit, from the contents that the prompts share.
fn prefix_statistics(requests: &[Request]) -> Value {
    const BLOCK: u64 = 512;
    let blocks: Vec<Vec<ContentId>> =
        requests.iter().map(|r| r.shared.iter().map(|segment| segment.content).collect()).collect();
    let mut seen: BTreeSet<ContentId> = BTreeSet::new();
    let (mut hits, mut hit_tokens, mut any) = (0, 0, 0);
    for (request, ids) in requests.iter().zip(&blocks) {
        let hit = ids.iter().take_while(|id| seen.contains(id)).count() as u64;
        hits += hit;
        hit_tokens += (hit * BLOCK).min(u64::from(request.prompt_tokens.get()));
        any += usize::from(hit > 0);
        seen.extend(ids);
    }
    let total: usize = blocks.iter().map(Vec::len).sum();
    let prompt: u64 = requests.iter().map(|r| u64::from(r.prompt_tokens.get())).sum();
    let uncovered = requests.iter().filter(|r| {
        let tokens: u32 = r.shared.iter().map(|segment| segment.tokens.get()).sum();
        tokens != r.prompt_tokens.get() || r.shared.len() as u64 != u64::from(tokens).div_ceil(BLOCK)
    });
    let lru: Map<String, Value> = [1000, 4000, 16000, 64000]
        .into_iter()
        .map(|capacity| {
            let hits = lru_hits(&blocks, capacity);
            (capacity.to_string(), json!({ "hit_blocks": hits, "ratio": hits as f64 / total as f64 }))
        })
        .collect();
    json!({
        "block_tokens": BLOCK, "blocks_total": total, "blocks_distinct": seen.len(),
        "infinite_cache_prefix_hit_blocks": hits, "hit_ratio_blocks": hits as f64 / total as f64,
        "hit_tokens_capped": hit_tokens, "hit_ratio_tokens": hit_tokens as f64 / prompt as f64,
        "requests_with_any_hit": any, "requests_where_len_hash_ne_ceil": uncovered.count(),
        "distinct_first_block": blocks.iter().filter_map(|ids| ids.first()).collect::<BTreeSet<_>>().len(),
        "empty_hash_requests": blocks.iter().filter(|ids| ids.is_empty()).count(), "lru": lru,
    })
}

/// Hits of a cache that evicts the block whose last use is longest ago.
fn lru_hits(blocks: &[Vec<ContentId>], capacity: usize) -> usize {
    let (mut used_at, mut by_use) = (BTreeMap::new(), BTreeMap::new());
    let (mut hits, mut now) = (0, 0u64);
    for ids in blocks {
        hits += ids.iter().take_while(|id| used_at.contains_key(*id)).count();
        for id in ids {
            now += 1;
            if let Some(before) = used_at.insert(*id, now) {
                by_use.remove(&before);
            }
            by_use.insert(now, *id);
            if by_use.len() > capacity
                && let Some((_, oldest)) = by_use.pop_first()
            {
                used_at.remove(&oldest);
            }
        }
    }
    hits
}

/// Every number of `expected` must be in `found`: integers exactly, others to 1e-9 of their size.
fn compare(expected: &Value, found: &Value, place: &str) {
    match (expected, found) {
        (Value::Object(expected), found) => {
            for (key, value) in expected.iter().filter(|(key, _)| *key != "lru_semantics") {
                compare(value, &found[key], &format!("{place}.{key}"));
            }
        }
        (Value::Array(expected), found) => {
            for (i, value) in expected.iter().enumerate() {
                compare(value, &found[i], &format!("{place}.{i}"));
            }
        }
        (Value::Number(expected), Value::Number(found)) if expected.is_f64() => {
            let (expected, found) = (expected.as_f64().expect("a float"), found.as_f64().expect("a number"));
            assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{place}: {found} against {expected}");
        }
        (expected, found) => assert_eq!(found, expected, "{place}"),
    }
}
