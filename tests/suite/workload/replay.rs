//! What a replay makes of a trace.

use super::{drain, replayed, spec, with_file};
use dryscale::workload::Request;
use flate2::{Compression, write::GzEncoder};
use std::io::Write;

const AZURE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\n\
    2030-01-01 00:00:00.0000000,374,44\n2030-01-01 00:00:04.3145790,396,109\n2030-01-01 00:00:04.3145790,17,0\n";
const MOONCAKE: &str = "{\"timestamp\": 27482, \"input_length\": 1100, \"output_length\": 52, \"hash_ids\": [46, 47, 2353]}\n\
    {\"timestamp\": 30535, \"input_length\": 1030, \"output_length\": 26, \"hash_ids\": [46, 47, 2366]}\n";
const CSV: &str = "timestamp,prompt_tokens,output_tokens\n10,100,1\n11.5,200,2\n11.5,300,3\n20,400,4\n";

fn shape(requests: &[Request]) -> Vec<(u64, u32, u32)> {
    requests.iter().map(|r| (r.sent.as_millis(), r.prompt_tokens.get(), r.output_tokens.get())).collect()
}

fn load(text: &str, keys: &str) -> Vec<(u64, u32, u32)> {
    shape(&replayed(text.as_bytes(), keys).unwrap_or_else(|problem| panic!("{problem}")))
}

/// A thousand requests, one a second, of 1000 tokens and more.
fn long() -> String {
    let rows = (0..1_000).map(|i| format!("{i},{},10\n", 1_000 + i));
    "timestamp,prompt_tokens,output_tokens\n".to_owned() + &rows.collect::<String>()
}

#[test]
fn each_format_is_told_from_its_first_line() {
    // An answer of 0 tokens becomes one of 1: vLLM makes no fewer.
    let azure = [(0, 374, 44), (4314, 396, 109), (4314, 17, 1)];
    let mooncake = [(0, 1100, 52), (3053, 1030, 26)];
    let csv = [(0, 100, 1), (1500, 200, 2), (1500, 300, 3), (10_000, 400, 4)];
    for (text, format, expected) in
        [(AZURE, "azure", &azure[..]), (MOONCAKE, "mooncake", &mooncake), (CSV, "csv", &csv)]
    {
        assert_eq!(load(text, ""), expected);
        assert_eq!(load(text, &format!("format = '{format}'")), expected);
        assert_eq!(load(&text.replace('\n', "\r\n"), ""), expected);
        assert_eq!(load(&format!("\u{feff}{text}\n\n"), ""), expected);
        let mut zipped = GzEncoder::new(Vec::new(), Compression::default());
        zipped.write_all(text.as_bytes()).expect("a vector takes all");
        let zipped = zipped.finish().expect("a vector takes all");
        assert_eq!(shape(&replayed(&zipped, "").expect("gzip is recognised by its bytes")), expected);
    }
    let swapped = "output_tokens,\"timestamp\", prompt_tokens\n1, 5,\"100\"\n2,7,200.0\n";
    assert_eq!(load(swapped, ""), [(0, 100, 1), (2000, 200, 2)]);
}

#[test]
fn equal_blocks_share_their_contents_and_the_last_is_cut_to_the_prompt() {
    let requests = replayed(MOONCAKE.as_bytes(), "").expect("the trace loads");
    let (a, b) = (&requests[0].shared, &requests[1].shared);
    let tokens = |request: &Request| request.shared.iter().map(|s| s.tokens.get()).collect::<Vec<_>>();
    assert_eq!((tokens(&requests[0]), tokens(&requests[1])), (vec![512, 512, 76], vec![512, 512, 6]));
    assert_eq!((a[0].content, a[1].content), (b[0].content, b[1].content));
    assert_ne!(a[2].content, b[2].content);

    // A copy is another user's: its prompts share with other copies of the same pass only.
    let copies =
        replayed(MOONCAKE.as_bytes(), "rate_scale = { factor = 2.0, mode = 'superpose', jitter = '0s' }")
            .expect("the trace loads");
    assert_eq!(copies.len(), 4);
    assert_ne!(copies[0].shared[0].content, copies[1].shared[0].content);
    assert_eq!(copies[0].shared[0].content, copies[2].shared[0].content);
    assert_eq!(copies[1].shared[0].content, copies[3].shared[0].content);

    let scaled = replayed(MOONCAKE.as_bytes(), "lengths = { input_scale = 0.5 }").expect("the trace loads");
    assert_eq!((tokens(&scaled[0]), scaled[0].prompt_tokens.get()), (vec![256, 256, 38], 550));
    let cut = replayed(MOONCAKE.as_bytes(), "lengths = { max_input = 600 }").expect("the trace loads");
    assert_eq!((tokens(&cut[0]), cut[0].prompt_tokens.get()), (vec![512, 88], 600));
    let alone = replayed(MOONCAKE.as_bytes(), "prefix = { hash_ids = 'ignore' }").expect("the trace loads");
    assert!(alone.iter().all(|request| request.shared.is_empty()));
}

#[test]
fn a_window_and_a_time_scale_cut_and_stretch() {
    assert_eq!(load(CSV, "window = { from = '1s', to = '10s' }"), [(500, 200, 2), (500, 300, 3)]);
    assert_eq!(load(CSV, "window = { from = '1s' }\ntime_scale = 2.0").last(), Some(&(18_000, 400, 4)));
    assert_eq!(load(CSV, "time_scale = 0.5").last(), Some(&(5_000, 400, 4)));
    assert_eq!(load(CSV, "loop = false\nturns = 'timestamp'\ndejitter = 'none'"), load(CSV, ""));
    assert_eq!(load(CSV, "time_unit = 'ms'").last(), Some(&(10, 400, 4)));
}

#[test]
fn the_duration_cuts_a_trace_and_a_shorter_trace_says_where_it_ended() {
    let spec = spec("[[source]]\nkind = 'replay'\nfile = 'trace'");
    for (secs, count, end) in [(5, 3, None), (10, 4, Some(10_000)), (60, 4, Some(10_000))] {
        let mut workload = with_file(&spec, 1, secs, CSV.as_bytes()).expect("the trace loads");
        let mut found = 0;
        while workload.next_request().expect("the trace is good").is_some() {
            found += 1;
        }
        assert_eq!((found, workload.trace_end().map(|end| end.as_millis())), (count, end), "{secs} s");
    }
}

#[test]
fn thinning_keeps_a_share_and_more_of_it_keeps_those_too() {
    let thin = |factor: &str| load(&long(), &format!("rate_scale = {{ factor = {factor}, mode = 'thin' }}"));
    let (third, half) = (thin("0.3"), thin("0.5"));
    assert!((255..345).contains(&third.len()), "{}", third.len());
    assert!(third.iter().all(|request| half.contains(request)));
    assert_eq!(thin("1"), load(&long(), ""));
    assert!(thin("0").is_empty());
}

#[test]
fn superposing_lays_shifted_copies_over_the_trace_in_order() {
    let copies = load(&long(), "rate_scale = { factor = 2.5, mode = 'superpose', jitter = '10s' }");
    assert!((2_440..2_560).contains(&copies.len()), "{}", copies.len());
    assert!(copies.is_sorted_by_key(|(at, ..)| *at));
    // The original is where it was, each copy up to ten seconds later.
    for (at, prompt, _) in &copies {
        let original = u64::from(prompt - 1_000) * 1_000;
        assert!((original..original + 10_000).contains(at), "{prompt} at {at}");
    }
    let originals = copies.iter().filter(|(at, prompt, _)| *at == u64::from(prompt - 1_000) * 1_000);
    assert!(originals.count() >= 1_000);
}

#[test]
fn dejitter_spreads_a_batch_and_keeps_order_over_batches() {
    let batches: String = (0..200).map(|i| format!("{},{},1\n", 3 * (i / 20), 100 + i / 20)).collect();
    let text = format!("timestamp,prompt_tokens,output_tokens\n{batches}");
    let spread = load(&text, "dejitter = '3s'");
    assert_eq!(spread.len(), 200);
    assert!(spread.is_sorted_by_key(|(at, prompt, _)| (*at, *prompt)));
    let mut instants: Vec<u64> = spread.iter().map(|(at, ..)| *at).collect();
    instants.dedup();
    assert!(instants.len() > 190, "a batch is spread over its three seconds");
    for (at, prompt, _) in spread {
        assert_eq!(at / 3_000, u64::from(prompt - 100));
    }
    assert_eq!(load(&text, "dejitter = 'none'"), load(&text, ""));
}

#[test]
fn lengths_are_scaled_then_clamped_or_dropped() {
    assert_eq!(load(CSV, "lengths = { input_scale = 1.5, output_scale = 10.0 }")[1], (1_500, 300, 20));
    assert_eq!(load(CSV, "lengths = { output_scale = 0.001 }")[3], (10_000, 400, 1));
    assert_eq!(load(CSV, "lengths = { max_input = 250 }")[2], (1_500, 250, 3));
    let dropped = load(CSV, "lengths = { max_input = 250, on_over = 'drop' }");
    assert_eq!(dropped, [(0, 100, 1), (1_500, 200, 2)]);
}

#[test]
fn a_trace_takes_everything_but_lengths_from_its_class() {
    let text = "[[class]]\nname = 'other'\n[[class]]\nname = 'chat'\npriority = 2\nfinish = 'length'\n\
                client = { timeout = 30 }\n[[source]]\nkind = 'replay'\nclass = 'chat'\nfile = 'trace'";
    let requests = with_file(&spec(text), 1, 60, CSV.as_bytes()).and_then(drain).expect("the trace loads");
    for request in requests {
        assert_eq!((request.class, request.priority), (1, 2));
        assert_eq!(request.finish, dryscale::workload::Finish::Length);
        assert_eq!(request.timeout.map(|timeout| timeout.as_millis()), Some(30_000));
    }
}

#[test]
fn a_workload_of_a_trace_alone_needs_one_line() {
    let spec = dryscale::workload::WorkloadSpec::replay("azure.csv");
    let workload = with_file(&spec, 1, 60, AZURE.as_bytes()).expect("the trace loads");
    assert_eq!((workload.classes().len(), workload.sources()[0].trace.as_deref()), (1, Some("azure.csv")));
    assert_eq!(drain(workload).expect("the trace loads").len(), 3);
}
