//! What cannot be as the user gave it: exit 3 (2 for the command line itself), with a place and a remedy, at once.

use super::{EAGER, Shell};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::time::{Duration, Instant};

/// Longer than any refusal should take, on any machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `simulate` with these arguments, which must be refused with all of `parts` in the message, and nothing written.
fn refused(shell: &Shell, arguments: &[&str], parts: &[&str]) {
    let before = shell.names(".");
    let started = Instant::now();
    let ended = shell.run(&[&["simulate"], arguments].concat()).expect(3);
    assert!(started.elapsed() < PATIENCE, "{:?}: {}", started.elapsed(), ended.told());
    assert_eq!(ended.stdout, "", "{}", ended.told());
    assert!(ended.stderr.starts_with("error: ") && ended.stderr.len() < 8_000, "{}", ended.told());
    for part in parts {
        assert!(ended.stderr.contains(part), "{part:?} is not in\n{}", ended.told());
    }
    assert_eq!(shell.names("."), before, "{}", ended.told());
}

#[test]
fn wrong_usage_exits_2() {
    let shell = Shell::new();
    for arguments in [
        &[][..],
        &["simulate", "--duration", "soon"],
        &["simulate", "--policy", "concurrency", "--threads", "0"],
        &["simulate", "--policy", "concurrency", "--repetitions", "0"],
        &["simulate", "--policy", "concurrency", "--seed", "-1"],
        &["simulate", "--policy", "concurrency", "--format", "xml"],
        &["simulate", "--policy", "concurrency", "--no-such-flag"],
        &["sweep"],
        &["export"],
        &["export", "--policy", "concurrency", "--best", "results.csv"],
    ] {
        let ended = shell.run(arguments).expect(2);
        assert_eq!(ended.stdout, "", "{}", ended.told());
        assert!(!ended.stderr.is_empty());
    }
    for arguments in [&["--help"][..], &["--version"], &["simulate", "--help"]] {
        let ended = shell.run(arguments).expect(0);
        assert_eq!(ended.stderr, "", "{}", ended.told());
    }
    assert!(shell.names(".").is_empty());
}

#[test]
fn arguments() {
    let shell = Shell::new();
    let policy = ["--policy", "concurrency", "--duration", "1m"];
    let cases: &[(&[&str], &[&str])] = &[
        (
            &["--policy", "queue-treshold-2"],
            &["--policy:1:1", "did you mean the shipped policy `queue-threshold-2`?"],
        ),
        (&["--policy", "."], &["`.` is a directory, not a file"]),
        (&["--policy", "static:many"], &["--policy:1:8", "such as `static:3`"]),
        (&["--policy", "static:-1"], &["from 0 to 10000"]),
        (
            &["--policy", "concurrency", "--experiment", "defualt"],
            &["did you mean the shipped experiment `default`?"],
        ),
        (&["--policy", "concurrency", "--model", "llama"], &["no shipped model of that name"]),
        (&["--policy", "concurrency", "--trace", "no.csv"], &["--trace:1:1", "cannot be opened"]),
        (&["--policy", "concurrency", "--trace", "."], &["is a directory"]),
        (
            &["--policy", "concurrency", "--duration", "0s"],
            &["--duration:1:1", "a run without time shows nothing"],
        ),
        (&["--policy", "concurrency", "--duration", "200d"], &["\"200d\" is longer than 106 days"]),
    ];
    for (arguments, parts) in cases {
        refused(&shell, arguments, parts);
    }
    for (assertion, message) in [
        ("ttft.p95<2", "did you mean `ttft_s.p95`?"),
        ("ttft_s.p95=2", "use <, <=, >, >=, == or !="),
        ("ttft_s.p95<2s", "`2s` is not a number"),
        ("ttft_s<2", "it has ttft_s.mean"),
        ("cost<nan", "can be compared with nothing"),
        ("cost", "compares nothing"),
        ("", "compares nothing"),
    ] {
        refused(&shell, &[&policy[..], &["--assert", assertion]].concat(), &[message, "--assert"]);
    }
    for (setting, message) in [
        ("a", "this is not KEY=VALUE"),
        ("serving.nodes.maxnodes=3", "did you mean `max_nodes`?"),
        ("workload.source.1.rate=1", "the list has one item, 0"),
        ("workload.source=[]", "the workload has no source"),
        ("workload.class.0.input={dist='constant',value=0}", "a length is from 1"),
        ("serving.nodes.max_nodes=1.0", "the number 1.0 stands where a whole number is expected"),
        ("serving.engine.num_gpu_blocks_override=4000000000", "10000000 can be simulated"),
        ("serving.engine.kv_cache_memory_bytes=1000000000000000", "in bytes"),
        ("serving.engine.max_num_seqs=0", "at least 1"),
        ("serving.engine.max_model_len=100000000", "at most 131072"),
        ("serving.engine.enable_lora=true", "LoRA adapters are not simulated"),
        ("serving.nodes.scan_interval='1ns'", "such as \"10s\""),
        ("hpa.sync_period='1ns'", "the HPA cannot sync that often"),
        ("workload.source.0.rate=1e9", "from 0 to 1e6"),
        ("workload.source.0.rate={points=[['0s',1]]}", "a list stands where a table is expected"),
        ("serving.pod.pre_stop='60s'", "raise `termination_grace_period`"),
        ("policy.scaled_object.max_replica_count=2000000000", "at most 10000"),
        ("cost.currency=\"\\u001b[31m\"", "a sign or a code"),
        ("sweep.x=3", "cannot change `[sweep]`"),
        ("measure.warmup='2h'", "the warm-up is as long as the run"),
    ] {
        // The caret is in what the user typed, not in what it replaces.
        refused(&shell, &[&policy[..], &["--set", setting]].concat(), &[message, "--> --set:1:"]);
    }
}

#[test]
fn policies() {
    let shell = Shell::new();
    let with = |from: &str, to: &str| {
        assert_eq!(EAGER.matches(from).count(), 1, "{from}");
        EAGER.replace(from, to)
    };
    let query = "sum(vllm:num_requests_running) + sum(vllm:num_requests_waiting)";
    let cases = [
        (
            with("min_replica_count = 1", "min_replica_count = 9"),
            "policy.toml:3:1",
            "above `max_replica_count` 5",
        ),
        (with("max_replica_count = 5", "max_replica_count = 0"), "policy.toml:4:1", "give 1 or more"),
        (with("\"6\"", "6"), "policy.toml:12:13", "quote it: \"6\""),
        (with("\"6\"", "\"six\""), "policy.toml:12:1", "`six` is no number"),
        (with("\"6\"", "\"0\""), "policy.toml:12:1", "not above 0"),
        (with("\"6\"", "\"nan\""), "policy.toml:12:1", "is no number"),
        (with("prometheus\"\n[", "kafka\"\n["), "policy.toml:8:1", "use `prometheus`"),
        (with("query =", "qeury ="), "policy.toml:11:1", "the prometheus trigger has no `qeury`"),
        (with(query, "sum("), "policy.toml:11:13", "`(` is never closed"),
        (with(query, "nope(up)"), "policy.toml:11:10", "there is no function `nope`"),
        (with(query, "rate(up)"), "policy.toml:11:10", "expected type range vector"),
        (with(query, "up{job='x'}"), "policy.toml:11:13", "`job` is \"llama-32-3b-predictor\""),
        (with(query, "up{pod=~'x.*'}"), "policy.toml:11:13", "can ever match pod=~\"x.*\""),
        (
            with(query, "vllm:num_requests_running{namespace='llm',namespace='x'}"),
            "policy.toml:11:52",
            "can ever match namespace=\"x\"",
        ),
        ("[scaled_object]\ntriggers = []\n".to_owned(), "policy.toml:2:1", "there is no trigger"),
        (
            "[scaled_object]\ntriggers = [['prometheus']]\n".to_owned(),
            "policy.toml:2:13",
            "a table is expected",
        ),
        (String::new(), "policy.toml", "this policy has no `[scaled_object]`"),
    ];
    for (text, place, message) in cases {
        shell.write("policy.toml", text);
        refused(&shell, &["--policy", "policy.toml", "--duration", "1m"], &[place, message]);
    }
    // As long as a file may be, and quoted in full by none of them.
    shell.write("policy.toml", with("\"6\"", &format!("\"{}\"", "9".repeat(10_000_000))));
    refused(&shell, &["--policy", "policy.toml"], &["policy.toml:12:1"]);
    shell.write("policy.toml", vec![b'#'; 20_000_000]);
    refused(&shell, &["--policy", "policy.toml"], &["larger than 16 MiB"]);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

#[test]
fn traces() {
    let shell = Shell::new();
    const HEADER: &str = "timestamp,prompt_tokens,output_tokens\n";
    let csv = |rows: &str| format!("{HEADER}{rows}").into_bytes();
    let good: String = (0..50).map(|i| format!("{i},100,20\n")).collect();
    let packed = gzip(&csv(&good));
    let mut spoilt = packed.clone();
    let checksum = spoilt.len() - 8;
    spoilt[checksum] ^= 0xff;
    let mooncake = |ids: &str| {
        format!("{{\"timestamp\": 0, \"input_length\": 600, \"output_length\": 9, \"hash_ids\": {ids}}}\n")
            .into_bytes()
    };
    let cases: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        ("t.csv", csv("0,-5,9\n"), "t.csv:2:1", "which is negative"),
        ("t.csv", csv("0,1.5,9\n"), "t.csv:2:1", "which is not whole"),
        ("t.csv", csv("0,NaN,9\n"), "t.csv:2:1", "not a number of tokens"),
        ("t.csv", csv("0,inf,9\n"), "t.csv:2:1", "not a number of tokens"),
        ("t.csv", csv("0,9,1000000000000\n"), "t.csv:2:1", "more than any model takes"),
        ("t.csv", csv("0,9,2147483648\n"), "t.csv:2:1", "from 0 to 2147483647"),
        ("t.csv", csv("0,,9\n"), "t.csv:2:1", "`prompt_tokens` is empty"),
        (
            "t.csv",
            csv("0,9,9\n2,9,9\n1,9,9\n"),
            "t.csv:4:1",
            "the timestamp of line 4 is earlier than that of line 3",
        ),
        ("t.csv", csv("0,9,9\n1e308,9,9\n"), "t.csv:3:1", "beyond any time a run can hold"),
        ("t.csv", csv("nan,9,9\n"), "t.csv:2:1", "is not a timestamp"),
        ("t.csv", csv("0,9,9\n99999999,9,9\n"), "t.csv:3:1", "more than 106 days after the first"),
        ("t.csv", csv("0,9\n"), "t.csv:2:1", "is the file cut short?"),
        (
            "t.csv",
            b"timestamp,prompt_tokens\n0,9\n".to_vec(),
            "t.csv:1:1",
            "there is no column `output_tokens`",
        ),
        ("t.csv", csv(""), "t.csv\n", "there is a header and no request"),
        ("t.csv", Vec::new(), "t.csv\n", "the file is empty"),
        ("t.csv", b"\x89PNG\r\n\x1a\n\xff\xfe\x00".to_vec(), "t.csv:1:1", "is not UTF-8 text"),
        ("t.csv", csv(&format!("0,{},9\n", "1".repeat(17 << 20))), "t.csv:2:1", "longer than 16 MiB"),
        ("t.csv.gz", packed[..packed.len() / 2].to_vec(), "t.csv.gz:", "the file is cut short"),
        ("t.csv.gz", spoilt, "t.csv.gz:", "the gzip data is damaged"),
        ("t.jsonl", mooncake("[1, -1]"), "t.jsonl:1:1", "a Mooncake line is"),
        ("t.jsonl", mooncake("[1, 2, 3, 4]"), "t.jsonl:1:1", "set `prefix.block_tokens`"),
        ("t.jsonl", mooncake("[1")[..60].to_vec(), "t.jsonl:1:1", "EOF"),
    ];
    for (name, bytes, place, message) in cases {
        shell.write(name, bytes);
        refused(
            &shell,
            &["--policy", "static:1", "--trace", name, "--duration", "1h"],
            &[place, message, "help:"],
        );
    }
    for (name, bytes) in [
        ("t.csv", csv(&good)),
        ("t.csv", csv(&good).strip_suffix(b"\n").expect("a newline").to_vec()),
        ("crlf.csv", String::from_utf8(csv(&good)).expect("text").replace('\n', "\r\n").into_bytes()),
        ("bom.csv", [b"\xef\xbb\xbf".to_vec(), csv(&good)].concat()),
        ("t.csv.gz", packed),
    ] {
        shell.write(name, bytes);
        let summary = shell.summary(&["--policy", "static:1", "--trace", name]);
        assert_eq!(
            (&summary["requests"]["arrived"], &summary["duration_s"]),
            (&50.into(), &49.0.into()),
            "{name}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_can_be_a_policy_and_is_refused_as_a_trace() {
    use std::process::Command;
    let shell = Shell::new();
    shell.write("eager.toml", EAGER);
    let dryscale = env!("CARGO_BIN_EXE_dryscale");
    let bash = |script: String| {
        Command::new("bash")
            .arg("-c")
            .arg(script)
            .current_dir(shell.folder.path())
            .output()
            .expect("bash runs")
    };
    let piped = bash(format!("{dryscale} simulate --duration 10s --policy <(cat eager.toml)"));
    assert_eq!(piped.status.code(), Some(0), "{}", String::from_utf8_lossy(&piped.stderr));
    let fifo =
        bash(format!("mkfifo trace && timeout 20 {dryscale} simulate --policy static:1 --trace trace"));
    assert_eq!(fifo.status.code(), Some(3), "{}", String::from_utf8_lossy(&fifo.stderr));
    assert!(String::from_utf8_lossy(&fifo.stderr).contains("write it to a file first"));
}
