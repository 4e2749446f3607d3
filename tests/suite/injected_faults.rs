//! `[[monitoring.fault]]` as users write it, and what is said where it is wrong.

use dryscale::scenario::{Draft, Inputs};
use std::fs;

/// What the run of the default policy with this fault warns of, or the error.
fn warnings(fault: &str) -> Result<Vec<String>, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("experiment.toml");
    let world = "duration = '1h'\n[serving]\nmodel = 'llama-3.2-3b-a100-80gb-tp1'\n[[workload.class]]\n\
                 input = { dist = 'constant', value = 9 }\noutput = { dist = 'constant', value = 9 }\n\
                 [[workload.source]]\nrate = 1\n";
    fs::write(&path, format!("{world}[[monitoring.fault]]\n{fault}\n")).expect("it is written");
    let inputs = Inputs {
        policy: Some("queue-threshold-2".to_owned()),
        experiment: Some(path.display().to_string()),
        ..Inputs::default()
    };
    let scenario = Draft::load(&inputs).and_then(|draft| draft.scenario(&[]));
    let setup = scenario.and_then(|scenario| scenario.setup(1));
    setup.map(|setup| setup.warnings).map_err(|error| error.to_string())
}

#[test]
fn a_fault_is_told_of() {
    for (fault, told) in [
        (
            "kind = 'prometheus_down'\nfrom = '30m'\nto = '35m'",
            "injected fault: prometheus_down from 30m to 35m",
        ),
        (
            "kind = 'prometheus_slow'\nfrom = 0\nto = '2h'\nlatency = '5s'",
            "injected fault: prometheus_slow from 0s to 2h",
        ),
        (
            "kind = 'scrape_failing'\nfrom = 1.5\nto = 90\ntarget = '{job=\"$deployment\"}'",
            "injected fault: scrape_failing of {job=\"llama-32-3b-predictor\"} from 1s 500ms to 1m 30s",
        ),
        (
            "kind = 'series_vanish'\nfrom = 1\nto = 2\nseries = 'vllm:num_requests_waiting{namespace=\"$namespace\"}'",
            "injected fault: series_vanish of vllm:num_requests_waiting{namespace=\"llm\"} from 1s to 2s",
        ),
    ] {
        let warnings = warnings(fault).unwrap_or_else(|error| panic!("{error}"));
        assert!(warnings.iter().any(|warning| warning == told), "{fault}: {warnings:?}");
    }
    // A series that is not here cannot vanish: it may be meant for another release.
    let warnings = warnings("kind = 'series_vanish'\nfrom = 1\nto = 2\nseries = 'vllm:gpu_cache_usage_perc'");
    assert!(warnings.expect("only a warning").iter().any(|w| w.contains("kv_cache_usage_perc")));
}

#[test]
fn a_fault_that_cannot_be_is_refused_where_it_stands() {
    for (fault, says, marked) in [
        ("kind = 'prometheus_up'\nfrom = 1\nto = 2", "not one of the accepted values", "'prometheus_up'"),
        ("kind = 'prometheus_down'\nfrom = 2\nto = 2", "ends before it has begun", "to = 2"),
        ("kind = 'prometheus_down'\nfrom = '1h'\nto = '2h'", "begins when the run is over", "from = '1h'"),
        ("kind = 'prometheus_down'\nfrom = 1\nto = 2\nuntil = 3", "unknown key `until`", "until"),
        ("kind = 'prometheus_slow'\nfrom = 1\nto = 2", "needs `latency`", "kind = 'prometheus_slow'"),
        ("kind = 'target_frozen'\nfrom = 1\nto = 2\nlatency = 3", "has no `latency`", "latency = 3"),
        (
            "kind = 'scrape_failing'\nfrom = 1\nto = 2\ntarget = '{job=\"$deploymnt\"}'",
            "not a variable",
            "$deploymnt",
        ),
        (
            "kind = 'scrape_failing'\nfrom = 1\nto = 2\ntarget = '{job=\"vllm\"}'",
            "`job` is \"llama-32-3b-predictor\" or",
            "{job=\"vllm\"}",
        ),
        ("kind = 'scrape_failing'\nfrom = 1\nto = 2\ntarget = 'sum(up)'", "not a selector", "sum(up)"),
        (
            "kind = 'series_vanish'\nfrom = 1\nto = 2\nseries = 'vllm:num_requests_waiting{pod=\"llama\"}'",
            "no series of `vllm:num_requests_waiting` can ever match",
            "pod=\"llama\"",
        ),
    ] {
        let error = warnings(fault).expect_err(fault);
        let lines: Vec<&str> = error.lines().collect();
        let under = lines.iter().position(|line| line.contains('^')).unwrap_or_else(|| panic!("{error}"));
        let (start, end) =
            (lines[under].find('^').expect("a caret"), lines[under].rfind('^').expect("a caret"));
        assert!(error.contains(says), "{fault}:\n{error}");
        assert_eq!(lines[under - 1].get(start..=end), Some(marked), "{fault}:\n{error}");
    }
}
