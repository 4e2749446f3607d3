//! `compare`: paired, the same bytes on any number of threads, and the optimum beside it.

use super::{BUSY, EAGER, Shell};

/// The policies that these tests compare, and the world.
fn shell() -> Shell {
    let shell = Shell::new();
    let ten = format!("repetitions = 2\n{}", BUSY.replace("[slo]", "[slo]\nattainment = 0.5"));
    shell.write("busy.toml", ten).write("eager.toml", EAGER);
    shell.write(
        "by-the-clock.toml",
        "[[schedule]]\nat = '0s'\nreplicas = 2\n[[schedule]]\nat = '8s'\nreplicas = 3\n",
    );
    shell
}

const COMPARE: [&str; 6] =
    ["compare", "static:2", "eager.toml", "by-the-clock.toml", "--experiment", "busy.toml"];

fn compare(shell: &Shell, more: &[&str]) -> super::Ended {
    shell.run(&[&COMPARE[..], more].concat())
}

#[test]
fn a_comparison_gives_the_same_bytes_on_1_2_and_8_threads() {
    let shell = shell();
    let on = |threads: &str| {
        compare(&shell, &["--threads", threads, "--format", "json", "--duration", "40s"]).expect(0)
    };
    let one = on("1");
    assert_eq!(one.stderr, "");
    assert_eq!(one.stdout, on("2").stdout);
    assert_eq!(one.stdout, on("8").stdout);
}

#[test]
fn each_policy_is_what_simulate_says_and_differences_are_paired() {
    let shell = shell();
    let compared = compare(&shell, &["--format", "json", "--out", "out", "--no-optimum"]).expect(0).json();
    let policies = compared["policies"].as_array().expect("policies");
    let names: Vec<&str> = policies.iter().filter_map(|policy| policy["policy"].as_str()).collect();
    assert_eq!(names, ["static-2", "eager", "by-the-clock"]);
    for (policy, reference) in policies.iter().zip(&COMPARE[1..]) {
        let alone = shell.summary(&["--policy", reference, "--experiment", "busy.toml"]);
        assert_eq!(policy["summary"], alone, "{reference}");
    }
    let pairs = compared["pairs"].as_array().expect("pairs");
    let named = |i: usize, key: &str| pairs[i][key].as_str().expect("a name").to_owned();
    let both: Vec<(String, String)> = (0..pairs.len()).map(|i| (named(i, "a"), named(i, "b"))).collect();
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(
        both,
        [pair("static-2", "eager"), pair("static-2", "by-the-clock"), pair("eager", "by-the-clock")]
    );
    for pair in pairs {
        let arrived = &pair["differences"]["requests.arrived"];
        assert_eq!(
            (arrived["mean"].as_f64(), arrived["low"].as_f64()),
            (Some(0.0), Some(0.0)),
            "the same requests"
        );
    }
    let hours = |i: usize| policies[i]["summary"]["gpu_hours"].as_f64().expect("a number");
    let difference = pairs[0]["differences"]["gpu_hours"]["mean"].as_f64().expect("a number");
    assert!((difference - (hours(1) - hours(0))).abs() < 1e-9);

    assert_eq!(shell.names("out"), ["by-the-clock", "comparison.json", "eager", "static-2"]);
    let kept = shell.read("out/comparison.json");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&kept).expect("JSON"), compared);
    assert!(shell.names("out/eager").contains(&"decisions.jsonl".to_owned()));
    // A second run takes the place of the first.
    compare(&shell, &["--no-optimum", "--out", "out", "--no-requests"]).expect(0);
    assert!(!shell.names("out/eager").contains(&"requests.csv".to_owned()));
}

#[test]
fn the_optimum_lies_between_the_bound_and_the_best_timetable() {
    let shell = shell();
    let compared = compare(&shell, &["--format", "json"]).expect(0).json();
    let optimum = &compared["optimum"];
    let bound = optimum["lower_bound_gpu_hours"]["mean"].as_f64().expect("a bound");
    let best = &optimum["best_found"]["summary"];
    assert_eq!(best["slo"]["met"], true, "{optimum:#}");
    let hours = best["gpu_hours"].as_f64().expect("a number");
    assert!(bound > 0.0 && hours >= bound, "{hours} {bound}");
    for policy in compared["policies"].as_array().expect("policies") {
        let (summary, regret) = (&policy["summary"], &policy["regret_gpu_hours"]);
        let used = summary["gpu_hours"].as_f64().expect("a number");
        let close = |key: &str, over: f64| {
            (regret[key]["mean"].as_f64().expect("a number") - (used - over)).abs() < 1e-9
        };
        assert!(close("at_most", bound) && close("at_least", hours), "{regret:#}");
        assert!(summary["slo"]["met"] != true || used >= bound);
    }
    let text = compare(&shell, &[]).expect(0).stdout;
    assert!(text.contains("No policy that meets the SLO can use less than"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn what_no_fleet_can_meet_is_infeasible() {
    let shell = shell();
    // By a proof: no step is that short. By a run: the largest fleet is too small.
    for (setting, reason) in [("slo.tpot=100us", "of their own"), ("slo.ttft=26ms", "miss")] {
        let compared = compare(&shell, &["--format", "json", "--set", setting]).expect(0).json();
        let infeasible = compared["optimum"]["infeasible"].as_str().unwrap_or_else(|| panic!("{setting}"));
        assert!(infeasible.contains(reason), "{setting}: {infeasible}");
        assert!(compared["optimum"]["best_found"].is_null());
    }
}

#[test]
fn assertions_hold_for_each_policy_and_two_of_one_name_are_told_apart() {
    let shell = shell();
    let failed = compare(&shell, &["--no-optimum", "--assert", "scaling.ups<1"]).expect(1);
    assert!(failed.stderr.contains("eager: assertion failed: scaling.ups<1"), "{}", failed.stderr);
    assert!(!failed.stderr.contains("static-2:"), "{}", failed.stderr);
    shell.write("other/eager.toml", EAGER.replace("\"6\"", "\"60\""));
    let same = ["compare", "eager.toml", "other/eager.toml", "--experiment", "busy.toml", "--no-optimum"];
    let text = shell.run(&same).expect(0).stdout;
    assert!(text.contains(" other/eager.toml "), "{text}");
}

#[test]
fn one_seed_has_no_interval_and_a_bad_policy_is_refused_before_anything_runs() {
    let shell = shell();
    let one = compare(&shell, &["--no-optimum", "--repetitions", "1", "--format", "json"]).expect(0).json();
    let hours = &one["pairs"][0]["differences"]["gpu_hours"];
    assert!(hours["mean"].is_f64() && hours["low"].is_null() && hours["high"].is_null(), "{hours}");
    let bad =
        shell.run(&["compare", "static:2", "no-such", "--experiment", "busy.toml", "--out", "out"]).expect(3);
    assert!(bad.stderr.contains("no-such") && !shell.path("out").exists(), "{}", bad.told());
    shell.run(&["compare"]).expect(2);
    shell.run(&["compare", "-", "-"]).expect(2);
}
