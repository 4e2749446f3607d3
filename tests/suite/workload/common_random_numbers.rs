//! Whatever is compared under one seed sees the same requests.

use super::{drain, requests, spec, with_file};
use dryscale::workload::Request;

const CHAT: &str = "[[class]]\nname = 'chat'\ninput = { dist = 'lognormal', mean = 1155, cv = 0.96 }\n\
    output = { dist = 'gamma', mean = 211, cv = 0.77 }\njoint = { rho = 0.4 }\n\
    prefix = { groups = 100, popularity = { dist = 'zipf', s = 1.0 }, tokens = { dist = 'uniform', min = 10, max = 90 } }\n";
const CODE: &str = "[[class]]\nname = 'code'\ninput = { dist = 'gamma', mean = 500, cv = 2.0 }\noutput = { dist = 'exponential', mean = 12 }\n";
const INTERACTIVE: &str = "[[source]]\nname = 'interactive'\nrate = 5\nmix = { chat = 1.0 }\narrival = { process = 'gamma', cv = 1.4 }\n";
const BURSTY: &str = "[[source]]\nname = 'bursty'\nrate = 3\nmix = { code = 1.0 }\narrival = { process = 'mmpp', \
    states = [{ factor = 4.0, dwell = '9s' }, { factor = 0.0, dwell = '27s' }] }\n";

/// Everything of a request but its place among others.
fn body(request: &Request) -> String {
    format!("{:?}", Request { ordinal: 0, source: 0, class: 0, ..request.clone() })
}

fn of_source(requests: &[Request], source: u16) -> Vec<String> {
    requests.iter().filter(|request| request.source == source).map(body).collect()
}

#[test]
fn one_seed_gives_one_traffic_and_another_gives_another() {
    let spec = spec(&format!("{CHAT}{CODE}{INTERACTIVE}{BURSTY}"));
    let run = |seed| with_file(&spec, seed, 300, b"").and_then(drain).expect("the workload is good");
    let bodies = |seed| run(seed).iter().map(body).collect::<Vec<_>>();
    assert_eq!(bodies(1), bodies(1));
    assert_ne!(bodies(1), bodies(2));
}

#[test]
fn another_source_and_another_class_shift_nothing() {
    let alone = requests(&format!("{CHAT}{INTERACTIVE}"), 300);
    let after = requests(&format!("{CHAT}{CODE}{INTERACTIVE}{BURSTY}"), 300);
    let before = requests(&format!("{CODE}{CHAT}{BURSTY}{INTERACTIVE}"), 300);
    assert!(alone.len() > 1_000);
    assert_eq!(of_source(&alone, 0), of_source(&after, 0));
    assert_eq!(of_source(&alone, 0), of_source(&before, 1));
}

#[test]
fn a_longer_run_begins_like_a_shorter_one() {
    let text = format!("{CHAT}{CODE}{INTERACTIVE}{BURSTY}");
    let (short, long) = (requests(&text, 100), requests(&text, 300));
    assert_eq!(of_source(&short, 0), of_source(&long, 0)[..of_source(&short, 0).len()]);
    assert_eq!(of_source(&short, 1), of_source(&long, 1)[..of_source(&short, 1).len()]);
}

#[test]
fn a_higher_rate_sends_the_same_requests_sooner() {
    let slow = requests(&format!("{CHAT}{INTERACTIVE}"), 100);
    let fast = requests(&format!("{CHAT}{INTERACTIVE}").replace("rate = 5", "rate = 10"), 100);
    assert!(fast.len() > slow.len());
    for (slow, fast) in slow.iter().zip(&fast) {
        assert!((slow.sent.as_ps() / 2).abs_diff(fast.sent.as_ps()) <= 1, "half the time, to the picosecond");
        assert_eq!((slow.prompt_tokens, slow.output_tokens), (fast.prompt_tokens, fast.output_tokens));
        assert_eq!(slow.shared, fast.shared);
    }
}

#[test]
fn other_lengths_leave_the_instants_alone() {
    let text = format!("{CHAT}{INTERACTIVE}");
    let (a, b) = (requests(&text, 100), requests(&text.replace("mean = 211", "mean = 900"), 100));
    let instants = |requests: &[Request]| requests.iter().map(|request| request.sent).collect::<Vec<_>>();
    assert_eq!(instants(&a), instants(&b));
}
