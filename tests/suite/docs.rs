//! The reference in docs/: its examples load, and it names every key that a user may write and every one that a run answers.
//!
//! What a fenced block is, the words behind its fence say: `toml experiment` (complete), `toml experiment part` (over the
//! default experiment), `toml policy`, `yaml policy`, and `file=NAME` for a data file that examples read.

use crate::synthetic::scoring;
use dryscale::analysis::{Answer, Score};
use dryscale::monitoring::labels::Labels;
use dryscale::monitoring::promql::QueryOptions;
use dryscale::monitoring::series::{Database, Retention};
use dryscale::monitoring::vllm_metrics::MetricsRelease;
use dryscale::monitoring::wal;
use dryscale::report::{Names, PodsCsv, RequestsCsv, TimelineCsv};
use dryscale::scenario::{Axis, Draft, InputError, Inputs, Kind, Policy, Setting, SourceText};
use dryscale::units::{SimTime, UnixMillis};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A fenced block.
struct Block {
    /// File and line of its fence.
    place: String,
    /// What stands behind the fence.
    words: Vec<String>,
    text: String,
}

impl Block {
    fn has(&self, word: &str) -> bool {
        self.words.iter().any(|own| own == word)
    }
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

fn page(name: &str) -> String {
    fs::read_to_string(docs().join(name)).expect("the page is there")
}

/// The fenced blocks of all pages.
fn blocks() -> Vec<Block> {
    let entries = fs::read_dir(docs()).expect("docs/ is there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("it lists").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "md"));
    files.sort();
    let mut blocks = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("it is text");
        let mut open: Option<Block> = None;
        for (index, line) in text.lines().enumerate() {
            match (open.take(), line.strip_prefix("```")) {
                (None, None) => {}
                (None, Some(info)) => {
                    let place = format!("{}:{}", file.display(), index + 1);
                    let words = info.split_whitespace().map(str::to_owned).collect();
                    open = Some(Block { place, words, text: String::new() });
                }
                (Some(block), Some("")) => blocks.push(block),
                (Some(mut block), _) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                    open = Some(block);
                }
            }
        }
        assert!(open.is_none(), "{}: a fence is not closed", file.display());
    }
    blocks
}

/// A folder with the data files of all pages.
fn folder(blocks: &[Block]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for block in blocks {
        if let Some(name) = block.words.iter().find_map(|word| word.strip_prefix("file=")) {
            fs::write(folder.path().join(name), &block.text).expect("it is written");
        }
    }
    folder
}

/// The default experiment with the keys of `part` in place of its own: tables are merged, everything else is replaced.
fn completed(part: &str) -> String {
    fn merge(whole: &mut toml::Table, part: toml::Table) {
        for (key, value) in part {
            match (whole.get_mut(&key), value) {
                (Some(toml::Value::Table(own)), toml::Value::Table(more)) => merge(own, more),
                (_, value) => drop(whole.insert(key, value)),
            }
        }
    }
    let default = Kind::Experiment.shipped("default").expect("it ships");
    let mut whole: toml::Table = toml::from_str(default.text()).expect("it is TOML");
    merge(&mut whole, toml::from_str(part).expect("the example is TOML"));
    toml::to_string(&whole).expect("it was TOML")
}

/// The settings of each point of a grid.
fn points(grid: &[Axis]) -> Result<Vec<Vec<Setting>>, InputError> {
    let mut points: Vec<Vec<Setting>> = vec![Vec::new()];
    for axis in grid {
        let mut longer = Vec::new();
        for value in axis.values() {
            let setting = Setting::of(&axis.key, &value)?;
            longer.extend(
                points.iter().map(|point| [point.as_slice(), std::slice::from_ref(&setting)].concat()),
            );
        }
        points = longer;
    }
    Ok(points)
}

/// Builds every world of the experiment at `path`, as far as that goes without running one.
fn build(path: &Path) -> Result<(), InputError> {
    let experiment = Some(path.display().to_string());
    let draft = Draft::load(&Inputs { experiment: experiment.clone(), ..Inputs::default() })?;
    let Some(sweep) = draft.sweep() else {
        let policy = Some("queue-threshold-2".to_owned());
        let scenario = Draft::load(&Inputs { policy, experiment, ..Inputs::default() })?.scenario(&[])?;
        return scenario.setup(scenario.seed).map(drop);
    };
    for grid in &sweep.grids {
        for point in points(grid)? {
            let scenario = draft.scenario(&point)?;
            scenario.setup(scenario.seed)?;
        }
    }
    Ok(())
}

#[test]
fn the_experiments_of_the_docs_are_worlds() {
    let blocks = blocks();
    let folder = folder(&blocks);
    let mut count = 0;
    for example in blocks.iter().filter(|block| block.has("toml") && block.has("experiment")) {
        let text = if example.has("part") { completed(&example.text) } else { example.text.clone() };
        let path = folder.path().join(format!("experiment-{count}.toml"));
        fs::write(&path, text).expect("it is written");
        build(&path).unwrap_or_else(|error| panic!("{}\n{error}", example.place));
        count += 1;
    }
    assert!(count >= 5, "only {count} examples were found");
}

#[test]
fn the_policies_of_the_docs_load_and_survive_their_export() {
    let blocks = blocks();
    let folder = folder(&blocks);
    let mut count = 0;
    for example in blocks.iter().filter(|block| block.has("policy")) {
        let path = folder.path().join(format!("policy-{count}.{}", example.words[0]));
        fs::write(&path, &example.text).expect("it is written");
        let inputs = Inputs { policy: Some(path.display().to_string()), ..Inputs::default() };
        let scenario = Draft::load(&inputs).and_then(|draft| draft.scenario(&[]));
        let scenario = scenario.unwrap_or_else(|error| panic!("{}\n{error}", example.place));
        let setup = scenario.setup(scenario.seed).map(drop);
        setup.unwrap_or_else(|error| panic!("{}\n{error}", example.place));
        count += 1;
        let Some(spec) = scenario.policy.scaled_object() else { continue };
        let yaml = scenario.policy.to_yaml(&[]).unwrap_or_else(|error| panic!("{}\n{error}", example.place));
        let again = Policy::read(&SourceText::new("again.yaml", yaml), &scenario.target);
        let again = again.unwrap_or_else(|error| panic!("{}\n{error}", example.place));
        assert_eq!(again.scaled_object(), Some(spec), "{}", example.place);
    }
    assert!(count >= 3, "only {count} examples were found");
}

/// Every key that the program itself says it accepts in `table`, from its refusal of one that it does not.
fn accepted(table: &str) -> Vec<String> {
    let dot = if table.is_empty() { "" } else { "." };
    let inputs = Inputs {
        policy: Some("queue-threshold-2".to_owned()),
        settings: vec![format!("{table}{dot}zzzzzzzzzzzzzzzzzzzzzzzz=1")],
        ..Inputs::default()
    };
    let refused = Draft::load(&inputs).and_then(|draft| draft.scenario(&[]).map(drop));
    let error = refused.expect_err("there is no such key").to_string();
    if let Some((_, only)) = error.split_once("help: only `") {
        return only.split('`').take(1).map(str::to_owned).collect();
    }
    let lists = ["accepted here: ", "those that do are "];
    let list = lists.iter().find_map(|before| Some(error.split_once(before)?.1));
    let list = list.unwrap_or_else(|| panic!("{table}: the refusal lists no keys\n{error}"));
    list.lines().next().unwrap_or_default().split(", ").map(str::to_owned).collect()
}

#[test]
fn every_key_that_is_accepted_is_in_the_reference() {
    const BEHAVIOR: &str = "policy.scaled_object.advanced.horizontal_pod_autoscaler_config.behavior";
    let up = format!("{BEHAVIOR}.scale_up");
    let experiment = [
        "",
        "target",
        "workload.class.0",
        "workload.class.0.client",
        "workload.class.0.slo",
        "workload.source.0",
        "serving",
        "serving.engine",
        "serving.nodes",
        "serving.startup",
        "serving.startup.readiness",
        "serving.pod",
        "serving.router",
        "serving.gateway",
        "monitoring",
        "slo",
        "cost",
        "measure",
        "keda",
        "hpa",
        "gate",
    ];
    let policy = [
        "policy",
        "policy.scaled_object",
        "policy.scaled_object.fallback",
        "policy.scaled_object.advanced",
        "policy.scaled_object.advanced.horizontal_pod_autoscaler_config",
        BEHAVIOR,
        up.as_str(),
        "policy.scaled_object.triggers.0",
        "policy.scaled_object.triggers.0.authentication_ref",
    ];
    let mut missing = Vec::new();
    for (name, tables) in [("experiment.md", &experiment[..]), ("policy.md", &policy[..])] {
        let page = page(name);
        for table in tables {
            for key in accepted(table) {
                // `key`, `table.key`, `table.key.below`, [table.key], { key, other }.
                let forms = ["`K`", ".K`", "`K.", ".K.", "[K]", ".K]", "{ K", ", K"];
                if !forms.iter().any(|form| page.contains(&form.replace('K', &key))) {
                    missing.push(format!("docs/{name} lacks `{key}` of `{table}`"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// A log with a line of every kind.
fn log() -> String {
    let header = wal::Header {
        start: UnixMillis(0),
        options: QueryOptions::default(),
        metrics: MetricsRelease::default(),
    };
    let mut db = Database::new(Retention::All);
    db.keep_log();
    let group = db.open(Labels::default(), [Labels::metric("up")].into());
    db.append(group, UnixMillis(1), SimTime::ZERO, &[1.0]);
    let mut writer = wal::Writer::new(Vec::new(), &header);
    db.take_log().iter().for_each(|record| writer.write(record));
    let log = writer.finish(SimTime::ZERO).expect("memory takes everything");
    String::from_utf8(log).expect("JSON is text")
}

#[test]
fn everything_that_a_run_answers_is_in_the_reference() {
    let page = page("output.md");
    let named = |name: &str| page.contains(&format!("`{name}`"));
    let answer = Answer::of(&[Score::new(scoring()).finish()]).expect("one run");
    let mut missing = Vec::new();
    for (key, _) in answer.numbers() {
        let found = match key.split_once('.') {
            Some((latency @ ("ttft_s" | "itl_s" | "tpot_s" | "e2e_s"), statistic)) => {
                named(latency) && named(&format!(".{statistic}"))
            }
            Some(("slo", class)) if class.starts_with("classes.") => named("slo.classes.NAME.attainment"),
            _ => named(&key),
        };
        if !found {
            missing.push(key);
        }
    }
    let header = |bytes: io::Result<Vec<u8>>| {
        String::from_utf8(bytes.expect("memory takes everything")).expect("CSV is text")
    };
    for columns in [
        header(TimelineCsv::new(Vec::new()).finish()),
        header(PodsCsv::new(Vec::new()).finish()),
        header(RequestsCsv::new(Vec::new(), Names::default()).finish()),
    ] {
        missing.extend(columns.trim().split(',').filter(|column| !named(column)).map(str::to_owned));
    }
    for line in log().lines() {
        let line: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).expect("an object");
        let keys = line.iter().flat_map(|(kind, of)| {
            let keys = of.as_object().expect("an object").keys().map(move |key| format!("{kind}: {key}"));
            std::iter::once(kind.clone()).chain(keys)
        });
        missing.extend(keys.filter(|key| !named(key.rsplit(": ").next().unwrap_or(key))));
    }
    assert!(missing.is_empty(), "docs/output.md lacks {}", missing.join(", "));
}

#[test]
fn every_shipped_policy_is_in_the_reference() {
    let page = page("policy.md");
    for name in Kind::Policy.names() {
        assert!(page.contains(&format!("`{name}`")), "docs/policy.md lacks `{name}`");
    }
}
