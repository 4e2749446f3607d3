//! Files and keys that cannot be: each a clear problem with its place and a remedy, never a panic.

use super::{drain, replayed, spec, with_file};
use dryscale::problem::{Place, Problem};
use flate2::{Compression, write::GzEncoder};
use std::io::Write;

const CSV: &str = "timestamp,prompt_tokens,output_tokens\n";
const AZURE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\n";

fn zipped(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

/// The line of a problem; 0 for the file as a whole.
fn line(problem: &Problem) -> u64 {
    match problem.place {
        Place::Line { line, .. } => line,
        _ => 0,
    }
}

#[track_caller]
fn refused(bytes: &[u8], expected_line: u64, words: &str) {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    let problem = replayed(bytes, "").expect_err(&shown);
    assert_eq!(line(&problem), expected_line, "{shown:?}: {problem}");
    assert!(problem.message.contains(words), "{shown:?}: {problem}");
    assert!(problem.message.contains("trace"), "the file is named: {problem}");
    assert!(problem.help.is_some(), "{shown:?}: {problem} has no remedy");
}

#[test]
fn numbers_that_are_no_numbers_of_tokens_are_refused() {
    for (prompt, words) in [
        ("-5", "negative"),
        ("12.5", "not whole"),
        ("NaN", "NaN"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("", "empty"),
        ("many", "not a number"),
        ("0x10", "not a number"),
        ("0", "`prompt_tokens` is 0"),
        ("2147483648", "more than any model takes"),
        ("1000000000000", "more than any model takes"),
        ("1e300", "more than any model takes"),
    ] {
        refused(format!("{CSV}0,10,10\n1,{prompt},10\n").as_bytes(), 3, words);
    }
    refused(format!("{CSV}0,10,-1\n").as_bytes(), 2, "negative");
    refused(format!("{CSV}0,10,1000000000000\n").as_bytes(), 2, "`output_tokens`");
    refused(format!("{AZURE}2030-01-01 00:00:00,-3,10\n").as_bytes(), 2, "`ContextTokens` is -3");
    assert_eq!(
        replayed(format!("{CSV}0,2147483647,2147483647\n").as_bytes(), "").map(|all| all.len()),
        Ok(1)
    );
}

#[test]
fn mooncake_lines_that_are_none_are_refused() {
    let good = "{\"timestamp\": 0, \"input_length\": 600, \"output_length\": 5, \"hash_ids\": [1, 2]}\n";
    for (bad, words) in [
        ("{\"timestamp\": 1, \"input_length\": -600, \"output_length\": 5}", "negative"),
        ("{\"timestamp\": 1, \"input_length\": 0.5, \"output_length\": 5}", "not whole"),
        ("{\"timestamp\": 1, \"input_length\": NaN, \"output_length\": 5}", "column 34"),
        ("{\"timestamp\": 1, \"input_length\": 1000000000000, \"output_length\": 5}", "more than any"),
        ("{\"timestamp\": -1, \"input_length\": 600, \"output_length\": 5}", "negative"),
        ("{\"timestamp\": 1, \"output_length\": 5}", "missing field `input_length`"),
        ("{\"timestamp\": 1, \"input_length\": 600, \"output_length\": 5, \"chat_id\": 7}", "chat_id"),
        (
            "{\"timestamp\": 1, \"input_length\": 600, \"output_length\": 5, \"hash_ids\": [1, 2, 3]}",
            "3 hash_ids",
        ),
        ("{\"timestamp\": 1, \"input_length\": 600, \"output_length\": 5, \"hash_ids\": [1, -2]}", "column"),
        ("{\"timestamp\": 1, \"input_length\": 600, ", "EOF"),
        ("[[[[[[[[", "column"),
        ("timestamp,input_length,output_length", "column 2"),
    ] {
        refused(format!("{good}{bad}\n").as_bytes(), 2, words);
    }
}

#[test]
fn timestamps_that_cannot_be_are_refused() {
    refused(format!("{CSV}5,10,10\n4.9,10,10\n").as_bytes(), 3, "line 3 is earlier than that of line 2");
    refused(format!("{CSV}5,10,10\n\n\n4.9,10,10\n").as_bytes(), 5, "line 5 is earlier than that of line 2");
    refused(format!("{CSV}-5,10,10\n").as_bytes(), 2, "negative");
    refused(format!("{CSV}NaN,10,10\n").as_bytes(), 2, "not a timestamp");
    refused(format!("{CSV},10,10\n").as_bytes(), 2, "not a timestamp");
    refused(format!("{CSV}2030-01-01 00:00:00,10,10\n").as_bytes(), 2, "not a timestamp");
    refused(format!("{AZURE}17,10,10\n").as_bytes(), 2, "not a time");
    refused(format!("{AZURE}2030-02-30 00:00:00,10,10\n").as_bytes(), 2, "not a time");
    refused(format!("{CSV}0,10,10\n1e8,10,10\n").as_bytes(), 3, "106 days");
    refused(format!("{CSV}0,10,10\n1e99,10,10\n").as_bytes(), 3, "beyond any time");
    // Large as they are, only their difference counts.
    let epoch = format!("{CSV}1700000000.25,10,10\n1700000001.75,10,10\n");
    assert_eq!(replayed(epoch.as_bytes(), "").map(|all| all[1].sent.as_millis()), Ok(1_500));
}

#[test]
fn tables_that_lack_or_exceed_their_columns_are_refused() {
    refused(b"timestamp,prompt_tokens\n0,10\n", 1, "no column `output_tokens`");
    refused(b"timestamp,prompt_tokens,output_tokens,model\n0,10,10,m\n", 1, "`model` is not known");
    refused(b"timestamp,prompt_tokens,output_tokens,timestamp\n0,10,10,0\n", 1, "twice");
    refused(b"time,in,out\n0,10,10\n", 1, "cannot be told");
    refused(b"0,10,10\n1,10,10\n", 1, "cannot be told");
    refused(format!("{CSV}0,10,10\n1,10\n").as_bytes(), 3, "2 fields");
    refused(format!("{CSV}0,10,10\n1,10,10,10\n").as_bytes(), 3, "4 fields");
    refused(
        b"timestamp,Request tokens,Response tokens,Total tokens,Log Type\n5,472,18,490,Chat\n",
        1,
        "cannot be told",
    );
}

#[test]
fn files_without_requests_are_refused_when_the_workload_is_made() {
    let spec = spec("[[source]]\nkind = 'replay'\nfile = 'trace'");
    for bytes in [&b""[..], b"\n \r\n\n", CSV.as_bytes(), &zipped(""), &zipped(CSV), b"\xef\xbb\xbf"] {
        let problem = with_file(&spec, 1, 60, bytes).map(|_| ()).expect_err("there is no request");
        assert!(problem.message.contains("empty") || problem.message.contains("no request"), "{problem}");
        assert!(problem.help.is_some());
    }
}

#[test]
fn damaged_files_are_refused() {
    let rows: String =
        (0..5_000).map(|i| format!("{i},{},{}\n", 100 + i * 7_919 % 997, 1 + i * 31 % 89)).collect();
    let whole = zipped(&format!("{CSV}{rows}"));
    for cut in [3, 10, whole.len() / 2, whole.len() - 8, whole.len() - 1] {
        let problem = replayed(&whole[..cut], "").expect_err("the file is cut");
        assert!(problem.message.contains("cut short"), "{cut} bytes: {problem}");
        assert!(line(&problem) > 0 && problem.help.is_some(), "{problem}");
    }
    let mut damaged = whole;
    let middle = damaged.len() / 2;
    damaged[middle..middle + 40].fill(0xa5);
    replayed(&damaged, "").expect_err("the file is damaged");
    refused(b"timestamp,prompt_tokens,output_tokens\n0,10,10\n1,\xff\xfe,10\n", 3, "UTF-8");
    refused(&b"7".repeat(17 << 20), 1, "16 MiB");
    let long = format!("{CSV}0,10,10\n1,10,{}\n", "9".repeat(17 << 20));
    refused(&zipped(&long), 3, "16 MiB");
}

#[test]
fn any_bytes_give_an_answer_or_a_problem() {
    use proptest::prelude::*;
    let heads = ["", CSV, AZURE, "{\"timestamp\": 0, \"input_length\": 6, \"output_length\": 5}\n"];
    proptest!(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }, |(
        head in 0usize..4, tail in "([-0-9.,eE:{}\\[\\]\" \nTZ]|\\PC){0,60}", noise in prop::collection::vec(any::<u8>(), 0..20)
    )| {
        let bytes = [heads[head].as_bytes(), tail.as_bytes(), &noise].concat();
        if let Err(problem) = replayed(&bytes, "") {
            prop_assert!(!problem.message.is_empty());
        }
        let _ = replayed(&[&[0x1f, 0x8b][..], &noise].concat(), "");
    });
}

/// The key of the problem with `text`, met when the workload is made.
fn key_at_fault(text: &str) -> String {
    let problem = with_file(&spec(text), 1, 60, CSV.replace('\n', "\n0,5,5\n").as_bytes()).and_then(drain);
    let problem = problem.expect_err(text);
    assert!(problem.help.is_some(), "{text}: {problem} has no remedy");
    match problem.place {
        Place::Key(key) => key,
        place => panic!("{text}: {place:?}"),
    }
}

#[test]
fn sources_that_cannot_be_are_refused_at_their_key() {
    let class =
        "[[class]]\ninput = { dist = 'constant', value = 5 }\noutput = { dist = 'constant', value = 5 }\n";
    for (keys, key) in [
        ("", "source.0"),
        ("rate = -1", "source.0.rate.base.value"),
        ("rate = nan", "source.0.rate.base.value"),
        ("rate = inf", "source.0.rate.base.value"),
        ("rate = 1e9", "source.0.rate.base.value"),
        ("rate = {}", "source.0.rate"),
        ("rate = { base = { shape = 'constant' } }", "source.0.rate.base.shape"),
        ("rate = { base = { shape = 'constant', value = 1, mean = 2 } }", "source.0.rate.base.mean"),
        ("rate = { base = { shape = 'sinus', mean = 1, peak_to_trough = 2 } }", "source.0.rate.base.shape"),
        (
            "rate = { base = { shape = 'sinus', mean = 1, peak_to_trough = 0.5, period = '1h' } }",
            "source.0.rate.base.peak_to_trough",
        ),
        (
            "rate = { base = { shape = 'sinus', mean = 1, peak_to_trough = 2, period = '1ms' } }",
            "source.0.rate.base.period",
        ),
        ("rate = { points = { at = [] } }", "source.0.rate.points.at"),
        ("rate = { points = { at = [['5s', 1.0], ['4s', 1.0]] } }", "source.0.rate.points.at.1.0"),
        ("rate = { points = { at = [['5s', 1.0], ['6s', -1.0]] } }", "source.0.rate.points.at.1.1"),
        (
            "rate = { points = { at = [['5s', 1.0]] }, spikes = [{ at = '1s', hold = '5s', factor = nan }] }",
            "source.0.rate.spikes.0.factor",
        ),
        (
            "rate = { points = { at = [['5s', 1.0]] }, spikes = [{ at = '1s', hold = '5s', factor = 2 }, { at = '3s', hold = '5s', factor = 2 }] }",
            "source.0.rate.spikes.1.at",
        ),
        ("rate = { points = { at = [['0s', 1e6]] }, scale = 1e6 }", "source.0.rate"),
        ("rate = { base = { shape = 'constant', value = 1 }, time_scale = 0 }", "source.0.rate.time_scale"),
        ("rate = { file = { path = 'prom.json' } }", "source.0.rate.file"),
        ("rate = 1\narrival = { process = 'gamma' }", "source.0.arrival.process"),
        ("rate = 1\narrival = { process = 'gamma', cv = 0 }", "source.0.arrival.cv"),
        ("rate = 1\narrival = { process = 'gamma', cv = 1, shape = 1 }", "source.0.arrival.process"),
        ("rate = 1\narrival = { process = 'weibull', burstiness = 1 }", "source.0.arrival.burstiness"),
        ("rate = 1\narrival = { process = 'poisson', cv = 1 }", "source.0.arrival.cv"),
        ("rate = 1\narrival = { process = 'empirical_iat' }", "source.0.arrival.process"),
        ("rate = 1\narrival = { process = 'mmpp' }", "source.0.arrival.states"),
        (
            "rate = 1\narrival = { process = 'mmpp', states = [{ factor = 0, dwell = 1 }, { factor = 0, dwell = 1 }] }",
            "source.0.arrival.states",
        ),
        (
            "rate = 1\narrival = { process = 'mmpp', states = [{ factor = 1, dwell = 0 }, { factor = 0, dwell = 1 }] }",
            "source.0.arrival.states.0.dwell",
        ),
        (
            "rate = 1\narrival = { process = 'mmpp', states = [{ factor = 1, dwell = 1 }, { factor = -1, dwell = 1 }] }",
            "source.0.arrival.states.1.factor",
        ),
        ("rate = 1\nmix = { chat = 1.0 }", "source.0.mix.chat"),
        ("rate = 1\nmix = { default = -1.0 }", "source.0.mix.default"),
        ("rate = 1\nmix = { default = 0.0 }", "source.0.mix"),
        ("rate = 1\nmax_in_flight = { n = 0 }", "source.0.max_in_flight.n"),
        ("rate = 1\nfile = 'trace'", "source.0.file"),
        ("rate = 1\nname = ''", "source.0.name"),
        ("kind = 'closed'\nusers = 5\nthink = { dist = 'constant', value = '0s' }", "source.0.kind"),
        ("kind = 'replay'", "source.0"),
        ("kind = 'replay'\nfile = 'trace'\nrate = 1", "source.0.rate"),
        ("kind = 'replay'\nfile = 'trace'\nclass = 'chat'", "source.0.class"),
        ("kind = 'replay'\nfile = 'trace'\nloop = true", "source.0.loop"),
        ("kind = 'replay'\nfile = 'trace'\nturns = 'after_response'", "source.0.turns"),
        ("kind = 'replay'\nfile = 'trace'\ntime_scale = 0", "source.0.time_scale"),
        ("kind = 'replay'\nfile = 'trace'\nwindow = { from = '5s', to = '5s' }", "source.0.window.to"),
        ("kind = 'replay'\nfile = 'trace'\nwindow = { from = '5s' }", "source.0.window"),
        (
            "kind = 'replay'\nfile = 'trace'\nrate_scale = { factor = 2, mode = 'thin' }",
            "source.0.rate_scale.factor",
        ),
        (
            "kind = 'replay'\nfile = 'trace'\nrate_scale = { factor = nan, mode = 'superpose' }",
            "source.0.rate_scale.factor",
        ),
        (
            "kind = 'replay'\nfile = 'trace'\nrate_scale = { factor = 2, mode = 'compress' }",
            "source.0.rate_scale.mode",
        ),
        ("kind = 'replay'\nfile = 'trace'\nlengths = { input_scale = -1 }", "source.0.lengths.input_scale"),
        ("kind = 'replay'\nfile = 'trace'\nlengths = { max_input = 0 }", "source.0.lengths.max_input"),
        ("kind = 'replay'\nfile = 'trace'\nlengths = { on_over = 'drop' }", "source.0.lengths.on_over"),
        ("kind = 'replay'\nfile = 'trace'\nprefix = { block_tokens = 0 }", "source.0.prefix.block_tokens"),
        ("kind = 'replay'\nfile = 'trace'\nformat = 'azure'\ntime_unit = 'ms'", "source.0.time_unit"),
        (
            "kind = 'replay'\nfile = 'trace'\nformat = 'mooncake'\ncolumns = { timestamp = 'a', prompt_tokens = 'b', output_tokens = 'c' }",
            "source.0.columns",
        ),
    ] {
        assert_eq!(key_at_fault(&format!("{class}[[source]]\n{keys}")), key, "{keys}");
    }
}

#[test]
fn classes_that_cannot_be_are_refused_at_their_key() {
    let lengths = "input = { dist = 'constant', value = 5 }\noutput = { dist = 'constant', value = 5 }\n";
    for (keys, key) in [
        ("slo = { attainment = 1.5 }", "class.0.slo.attainment"),
        ("slo = { ttft = '0s' }", "class.0.slo.ttft"),
        ("client = { timeout = '0s' }", "class.0.client.timeout"),
        ("client = { retry = { max = 2 } }", "class.0.client.retry"),
        ("client = { abort = { prob = 0.1 } }", "class.0.client.abort"),
        ("client = { ttft_timeout = '5s' }", "class.0.client.ttft_timeout"),
        ("session = { turns = 4 }", "class.0.session"),
        ("prefix = { groups = 0, tokens = { dist = 'constant', value = 5 } }", "class.0.prefix.groups"),
        ("pair = { dist = 'empirical2', file = 'trace', input = 'a', output = 'b' }", "class.0.pair"),
        ("joint = { rho = 2.0 }", "class.0.joint.rho"),
    ] {
        assert_eq!(key_at_fault(&format!("[[class]]\n{lengths}{keys}\n[[source]]\nrate = 1")), key, "{keys}");
    }
    let twice =
        format!("[[class]]\nname = 'a'\n{lengths}[[class]]\nname = 'a'\n{lengths}[[source]]\nrate = 1");
    assert_eq!(key_at_fault(&twice), "class.1.name");
    let unnamed = format!("[[class]]\n{lengths}[[class]]\nname = 'a'\n{lengths}[[source]]\nrate = 1");
    assert_eq!(key_at_fault(&unnamed), "class.0");
    let no_mix =
        format!("[[class]]\nname = 'b'\n{lengths}[[class]]\nname = 'a'\n{lengths}[[source]]\nrate = 1");
    assert_eq!(key_at_fault(&no_mix), "source.0");
    assert_eq!(key_at_fault("[[source]]\nrate = 1"), "class");
    assert_eq!(key_at_fault("[[class]]\n[[source]]\nrate = 1"), "source.0.mix");
    assert_eq!(key_at_fault(""), "source");
    let trace = format!(
        "[[class]]\n{lengths}prefix = {{ groups = 1, tokens = {{ dist = 'constant', value = 5 }} }}\n"
    );
    assert_eq!(
        key_at_fault(&format!("{trace}[[source]]\nkind = 'replay'\nfile = 'trace'")),
        "source.0.class"
    );
}

#[test]
fn unknown_keys_and_wrong_types_are_refused_by_the_reader() {
    for text in [
        "[[source]]\nrte = 1",
        "[[source]]\nrate = 'fast'",
        "[[source]]\nrate = { bas = 1 }",
        "[[source]]\nkind = 'sideways'",
        "[[source]]\narrival = { process = 'pareto' }",
        "[[class]]\nimput = { dist = 'constant', value = 1 }",
        "[[class]]\ninput = { dist = 'cauchy', value = 1 }",
        "[[class]]\ninput = { dist = 'constant', valeu = 1 }",
        "[[class]]\nclient = { timeout = 'soon' }",
        "[[class]]\nslo = { ttft = '-1s' }",
        "[[class]]\nfinish = 'never'",
    ] {
        assert!(toml::from_str::<dryscale::workload::WorkloadSpec>(text).is_err(), "{text}");
    }
}

#[test]
fn a_file_that_cannot_be_opened_is_a_problem_of_its_key() {
    let open = |text: &str| {
        let spec = spec(text);
        let streams = dryscale::random::Streams::new(1);
        let duration = dryscale::units::SimDuration::from_secs(60);
        dryscale::workload::Workload::new(&spec, &streams, duration, &mut |_| {
            Err(Problem::whole("no such file"))
        })
        .map(|_| ())
        .expect_err("the file is not there")
        .place
    };
    let class = "[[class]]\noutput = { dist = 'constant', value = 5 }\ninput = { dist = 'empirical', file = 'f', column = 'c' }\n";
    assert_eq!(open("[[source]]\nkind = 'replay'\nfile = 'trace'"), Place::Key("source.0.file".to_owned()));
    assert_eq!(open(&format!("{class}[[source]]\nrate = 1")), Place::Key("class.0.input.file".to_owned()));
}
