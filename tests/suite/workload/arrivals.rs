//! When open sources send: rates are exact under ramps, waves, spikes and states.

use super::{drain, requests, spec, with_file};
use dryscale::workload::Request;

const PS: f64 = 1e-12;
const CLASS: &str =
    "[[class]]\ninput = { dist = 'constant', value = 100 }\noutput = { dist = 'constant', value = 10 }\n";

fn sent(source: &str, secs: u64) -> Vec<u64> {
    let text = format!("{CLASS}[[source]]\n{source}");
    requests(&text, secs).iter().map(|request: &Request| request.sent.as_ps()).collect()
}

fn count(times: &[u64], from: f64, to: f64) -> usize {
    times.iter().filter(|t| (from..to).contains(&(**t as f64 * PS))).count()
}

/// `found` arrivals of a Poisson process where `expected` were due: within five standard deviations.
#[track_caller]
fn assert_poisson(found: usize, expected: f64) {
    let off = (found as f64 - expected) / expected.sqrt();
    assert!(off.abs() < 5.0, "{found} arrivals where {expected} were expected: {off} standard deviations");
}

#[test]
fn evenly_spaced_requests_do_not_drift_by_a_picosecond_in_hours() {
    let times = sent("rate = 25\narrival = { process = 'constant' }", 7_200);
    assert_eq!(times.len(), 180_000);
    for (i, time) in times.iter().enumerate() {
        assert!(time.abs_diff((i as u64 + 1) * 40_000_000_000) <= 1, "request {i} at {time}");
    }
}

#[test]
fn evenly_spaced_requests_follow_a_ramp_exactly() {
    let source =
        "rate = { points = { at = [['0s', 0.0], ['100s', 10.0]] } }\narrival = { process = 'constant' }";
    let times = sent(source, 200);
    // The integral is t^2 / 20 up to 100 s, then 500 + 10 (t - 100).
    assert_eq!(times.len(), 1_500);
    for (i, time) in times.iter().enumerate() {
        let n = i as f64 + 1.0;
        let exact = if n <= 500.0 { (20.0 * n).sqrt() } else { 100.0 + (n - 500.0) / 10.0 };
        assert!((*time as f64 - exact / PS).abs() <= 1.0, "request {i} at {time}, due at {exact}");
    }
}

#[test]
fn a_stretch_without_rate_has_no_arrivals_and_its_gap_goes_on_after_it() {
    let source = "rate = { base = { shape = 'constant', value = 1.0 }, \
                  points = { interp = 'step', at = [['0s', 1.0], ['10500ms', 0.0], ['110500ms', 1.0]] } }\n\
                  arrival = { process = 'constant' }";
    let times = sent(source, 113);
    let seconds: Vec<f64> = times.iter().map(|time| *time as f64 * PS).collect();
    assert_eq!(seconds, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 111.0, 112.0, 113.0]);
    assert!(sent("rate = 0", 100).is_empty());
}

#[test]
fn poisson_counts_follow_the_integral_of_waves_points_and_spikes() {
    let source = "rate = { base = { shape = 'sinus', mean = 20.0, peak_to_trough = 3.0, period = '1h', peak_at = '10m' }, \
                  points = { interp = 'linear', at = [['0s', 1.0], ['30m', 1.0], ['40m', 2.5]] }, \
                  spikes = [{ at = '55m', rise = '1m', hold = '2m', fall = '1m', factor = 4.0 }], scale = 2.0 }";
    let times = sent(source, 3_600);
    let rate = |t: f64| {
        let wave = 1.0 + 0.5 * (std::f64::consts::TAU * (t - 600.0) / 3_600.0).cos();
        let points = 1.0 + 1.5 * ((t - 1_800.0) / 600.0).clamp(0.0, 1.0);
        let spike =
            1.0 + 3.0 * ((t - 3_300.0) / 60.0).clamp(0.0, 1.0) - 3.0 * ((t - 3_480.0) / 60.0).clamp(0.0, 1.0);
        2.0 * 20.0 * wave * points * spike
    };
    let integral = |from: f64, to: f64| {
        let width = (to - from) / 1_000.0;
        (0..1_000).map(|i| rate(from + (f64::from(i) + 0.5) * width) * width).sum::<f64>()
    };
    assert_poisson(times.len(), integral(0.0, 3_600.0));
    let mut chi_square = 0.0;
    for window in 0..120 {
        let (from, to) = (f64::from(window) * 30.0, f64::from(window) * 30.0 + 30.0);
        let expected = integral(from, to);
        assert_poisson(count(&times, from, to), expected);
        chi_square += (count(&times, from, to) as f64 - expected).powi(2) / expected;
    }
    // 120 degrees of freedom: mean 120, standard deviation 15.5. Too small would be as wrong as too large.
    assert!((60.0..200.0).contains(&chi_square), "{chi_square}");
}

#[test]
fn gaps_have_the_coefficient_of_variation_that_was_asked_for() {
    let cases = [
        ("{ process = 'poisson' }", 1.0),
        ("{ process = 'gamma', cv = 1.4 }", 1.4),
        ("{ process = 'gamma', shape = 4.0 }", 0.5),
        ("{ process = 'gamma', burstiness = 0.25 }", 2.0),
        ("{ process = 'weibull', cv = 2.0 }", 2.0),
        ("{ process = 'weibull', shape = 2.0 }", 0.5227),
    ];
    for (arrival, cv) in cases {
        let times = sent(&format!("rate = 10\narrival = {arrival}"), 10_000);
        let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64 * PS).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean * 10.0 - 1.0).abs() < 0.02, "{arrival}: mean gap {mean}");
        assert!((variance.sqrt() / mean / cv - 1.0).abs() < 0.03, "{arrival}: {}", variance.sqrt() / mean);
    }
}

#[test]
fn an_exact_count_is_exact_and_ends_with_the_run() {
    for process in [
        "{ process = 'gamma', cv = 3.0, normalize = 'exact' }",
        "{ process = 'poisson', normalize = 'exact' }",
    ] {
        let times = sent(&format!("rate = 2.5\narrival = {process}"), 1_000);
        assert_eq!(times.len(), 2_500);
        assert_eq!(times.last(), Some(&1_000_000_000_000_000));
    }
    let ramp =
        "rate = { points = { at = [['0s', 0.0], ['100s', 10.0]] } }\narrival = { normalize = 'exact' }";
    assert_eq!(sent(ramp, 100).len(), 500);
}

#[test]
fn an_on_off_source_is_silent_when_off_and_keeps_its_mean() {
    // The factors 8 and 0 have the mean 2, so the rate inside is 2.5 * 8 / 2.
    let source = "rate = 2.5\narrival = { process = 'mmpp', dwell_dist = 'constant', within = 'poisson', \
                  states = [{ factor = 8.0, dwell = '9s' }, { factor = 0.0, dwell = '27s' }] }";
    let times = sent(source, 36_000);
    assert_poisson(times.len(), 90_000.0);
    let bursts: Vec<&[u64]> = times.chunk_by(|a, b| b - a < 20_000_000_000_000).collect();
    assert!((1_000..=1_001).contains(&bursts.len()), "{}", bursts.len());
    for burst in &bursts {
        assert!(burst[burst.len() - 1] - burst[0] <= 9_000_000_000_000);
    }
    let phase = |burst: &[u64]| burst[0] % 36_000_000_000_000;
    let phases: Vec<u64> = bursts[1..].iter().map(|burst| phase(burst)).collect();
    let spread = phases.iter().max().zip(phases.iter().min()).map(|(max, min)| max - min);
    assert!(spread < Some(3_000_000_000_000), "constant stays keep their phase: {spread:?}");
}

#[test]
fn memoryless_stays_have_their_mean_from_the_first_second_on() {
    // Over many seeds, any second of the run must see the mean rate, the first one too.
    let text = format!(
        "{CLASS}[[source]]\nrate = 2.5\narrival = {{ process = 'mmpp', \
         states = [{{ factor = 4.0, dwell = '9s' }}, {{ factor = 0.0, dwell = '27s' }}] }}"
    );
    let spec = spec(&text);
    let (mut early, mut late) = (0, 0);
    for seed in 0..2_000 {
        let requests = with_file(&spec, seed, 60, b"").and_then(drain).expect("the source is good");
        early += requests.iter().filter(|request| request.sent.as_millis() < 2_000).count();
        late += requests.iter().filter(|request| request.sent.as_millis() >= 58_000).count();
    }
    // 10,000 are expected in each; a run is on with probability 1/4, so the standard deviation is about 0.04 of that.
    for (found, what) in [(early, "first"), (late, "last")] {
        assert!(
            (8_500..11_500).contains(&found),
            "{found} arrivals in the {what} two seconds, 10,000 expected"
        );
    }
}

#[test]
fn a_profile_that_runs_faster_keeps_its_rates() {
    let profile = |speed: f64| {
        let source = format!(
            "rate = {{ base = {{ shape = 'sinus', mean = 10.0, peak_to_trough = 4.0, period = '40m', peak_at = '10m' }}, \
             points = {{ interp = 'step', at = [['0s', 1.0], ['20m', 0.5]] }}, time_scale = {speed:?} }}\n\
             arrival = {{ process = 'constant' }}"
        );
        sent(&source, (2_400.0 / speed) as u64)
    };
    let (slow, fast) = (profile(1.0), profile(2.0));
    assert!((slow.len() as f64 / 2.0 - fast.len() as f64).abs() <= 1.0);
    // The same part of the profile, at the same rate, in half the time.
    let (slow, fast) = (count(&slow, 1_200.0, 1_800.0), count(&fast, 600.0, 900.0));
    assert!((slow as f64 / 2.0 - fast as f64).abs() <= 1.0, "{slow} {fast}");
}

#[test]
fn equal_instants_go_by_source_and_ordinals_count_all() {
    let text = format!(
        "{CLASS}[[source]]\nname = 'b'\nrate = 1\narrival = {{ process = 'constant' }}\n\
         [[source]]\nname = 'a'\nrate = 2\narrival = {{ process = 'constant' }}"
    );
    let requests = requests(&text, 2);
    let order: Vec<(u64, u64, u16)> =
        requests.iter().map(|r| (r.ordinal, r.sent.as_millis(), r.source)).collect();
    assert_eq!(order, [(0, 500, 1), (1, 1000, 0), (2, 1000, 1), (3, 1500, 1), (4, 2000, 0), (5, 2000, 1)]);
}

#[test]
fn classes_are_mixed_by_their_shares() {
    let text = "[[class]]\nname = 'chat'\ninput = { dist = 'constant', value = 1 }\noutput = { dist = 'constant', value = 2 }\n\
                finish = 'length'\npriority = -3\nclient = { timeout = '600s' }\nslo = { ttft = '1s', attainment = 0.9 }\n\
                [[class]]\nname = 'code'\ninput = { dist = 'constant', value = 3 }\noutput = { dist = 'constant', value = 4 }\n\
                prefix = { groups = 2, tokens = { dist = 'constant', value = 50 } }\n\
                [[source]]\nrate = 100\nmix = { code = 1, chat = 3 }\nmax_in_flight = { n = 5, policy = 'drop' }";
    let workload = with_file(&spec(text), 1, 1_000, b"").expect("the workload is good");
    assert_eq!(workload.sources()[0].max_in_flight.map(|cap| cap.n), Some(5));
    assert_eq!(workload.classes()[0].slo.ttft.map(|ttft| ttft.as_millis()), Some(1_000));
    assert_eq!((workload.classes()[0].slo.attainment, workload.classes()[1].slo.attainment), (0.9, 0.95));
    let requests = drain(workload).expect("nothing is read");
    let chat = requests.iter().filter(|request| request.class == 0).count();
    assert!((chat as f64 / requests.len() as f64 - 0.75).abs() < 0.01, "{chat} of {}", requests.len());
    for request in &requests {
        let (prompt, output) = (request.prompt_tokens.get(), request.output_tokens.get());
        match request.class {
            0 => assert_eq!((prompt, output, request.priority, request.shared.len()), (1, 2, -3, 0)),
            // The prefix is added to the input.
            _ => {
                assert_eq!((prompt, output, request.priority, request.shared[0].tokens.get()), (53, 4, 0, 50))
            }
        }
        assert_eq!(
            request.timeout.map(|timeout| timeout.as_millis()),
            (request.class == 0).then_some(600_000)
        );
    }
}
