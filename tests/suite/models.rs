//! The shipped model files: what they say, that the generator says the same, and how well estimates meet them.

#[path = "../../examples/generate_models/render.rs"]
mod render;

use dryscale::random::Streams;
use dryscale::serving::engine::{BatchShape, EngineArgs, EngineConfig, GpuClass, ModelLimits, StepTimer};
use dryscale::serving::performance::kv_capacity::KvCacheSpec;
use dryscale::serving::performance::{
    ByName, Catalogue, Combination, CudaGraphs, Dtype, ModelFile, ModelSpec, StartupOverlay, StepTime,
    StepTimeSpec, estimate, typical,
};
use proptest::prelude::*;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

fn catalogue() -> Catalogue {
    let toml = |name: &str| read(&models().join(name));
    let catalogue = Catalogue {
        gpus: toml::from_str(&toml("gpus.toml")).expect("gpus.toml reads"),
        architectures: toml::from_str(&toml("architectures.toml")).expect("architectures.toml reads"),
    };
    catalogue.check().expect("the catalogue is good");
    catalogue
}

/// The shipped files in order of their names.
fn shipped() -> Vec<ModelFile> {
    let entries = fs::read_dir(models()).expect("models/").map(|entry| entry.expect("entry").path());
    let mut paths: Vec<PathBuf> = entries
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.ends_with(".toml") && !["gpus.toml", "architectures.toml"].contains(&name)
        })
        .collect();
    paths.sort();
    let read = |path: &PathBuf| -> ModelFile {
        toml::from_str(&read(path)).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
    };
    let files: Vec<ModelFile> = paths.iter().map(read).collect();
    for (path, file) in paths.iter().zip(&files) {
        assert_eq!(path.file_stem().and_then(|stem| stem.to_str()), Some(file.name.as_str()));
    }
    files
}

fn resolve(file: &ModelFile, catalogue: &Catalogue) -> ModelSpec {
    file.resolve(catalogue).unwrap_or_else(|problem| panic!("{}: {problem}", file.name))
}

/// The text of a file of public data beside the checkout; where it is absent the test is skipped, and says so past the
/// harness's capture.
fn data(path: &str) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/steps").join(path);
    if path.exists() {
        return Some(read(&path));
    }
    assert_ne!(
        std::env::var("DRYSCALE_REQUIRE_DATA").as_deref(),
        Ok("1"),
        "{} is required and absent",
        path.display()
    );
    writeln!(std::io::stdout().lock(), "skipped: {}", path.display()).expect("stdout takes a line");
    None
}

#[test]
fn every_shipped_file_is_good_and_can_be_served_where_the_weights_fit() {
    let (catalogue, files) = (catalogue(), shipped());
    assert_eq!(files.len(), 62);
    for file in &files {
        file.check(&catalogue).unwrap_or_else(|problem| panic!("{}: {problem}", file.name));
    }
    // 61 GiB of weights on a GPU of 44 GiB: the grid has its kernels, and nobody can serve it.
    let unfit: Vec<String> = files
        .iter()
        .filter_map(|file| file.resolve(&catalogue).err().map(|problem| format!("{}: {problem}", file.name)))
        .collect();
    assert_eq!(unfit.len(), 1, "{unfit:?}");
    assert!(
        unfit[0].starts_with("gpt-oss-120b-l40s-tp1: tensor_parallel: ")
            && unfit[0].ends_with("(at least 2)")
    );
}

#[test]
fn the_generator_writes_what_is_committed() {
    let Some(table) = data("coef_table.json") else { return };
    let files = render::model_files(&table, &catalogue()).expect("the table is known");
    assert_eq!(files.len(), 62);
    for (name, text) in &files {
        let committed = read(&models().join(format!("{name}.toml")));
        assert!(
            committed == *text,
            "models/{name}.toml is not what `cargo run --example generate_models` writes"
        );
    }
}

/// Steps of many kinds, in seconds: decode-only ones by batch and context, and prefills among few and many that decode.
fn steps(spec: &StepTimeSpec) -> Vec<f64> {
    let timer = StepTime::new(spec, CudaGraphs::up_to(512), true).expect("the spec is good");
    let mut batches = Vec::new();
    for b in [1, 4, 16, 64, 128, 256] {
        for context in [512, 2048, 8192] {
            let decode_context = u64::from(b) * context;
            batches.push(BatchShape { decode_requests: b, decode_context, ..BatchShape::default() });
        }
    }
    for b in [0, 16, 128] {
        for q in [128, 512, 1024, 2048, 4096, 8000] {
            batches.push(BatchShape {
                decode_requests: b,
                decode_context: u64::from(b) * 2048,
                prefill_requests: 1,
                prefill_tokens: q,
                prefill_pairs_x2: u128::from(q) * u128::from(q),
            });
        }
    }
    batches.iter().map(|batch| timer.step_time(batch).as_secs_f64()).collect()
}

fn quantile(mut values: Vec<f64>, q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * q).round() as usize]
}

fn combination(file: &ModelFile) -> Combination {
    Combination {
        architecture: file.architecture.clone(),
        gpu: file.gpu.clone(),
        tensor_parallel: file.tensor_parallel,
        dtype: file.dtype,
    }
}

/// Each table left out in turn and estimated from the others.
#[test]
fn estimates_meet_the_tables_that_they_do_not_see() {
    let (catalogue, files) = (catalogue(), shipped());
    let mut medians = Vec::new();
    for (i, file) in files.iter().enumerate() {
        let mut others = files.clone();
        others.remove(i);
        // One does not fit its GPU; one table is in doubt, so an estimate that met it would be in doubt too.
        let skipped = ["gpt-oss-120b-l40s-tp1", "qwen3-32b-fp8-b200-tp1"];
        if skipped.contains(&file.name.as_str()) {
            continue;
        }
        let estimated =
            estimate::model_file(&combination(file), &others, &catalogue).expect("it can be estimated");
        assert!(estimated.caution.is_some_and(|caution| caution.contains("estimate")));
        let pairs = steps(&estimated.step_time).into_iter().zip(steps(&file.step_time));
        medians.push(quantile(pairs.map(|(estimate, table)| (estimate / table - 1.0).abs()).collect(), 0.5));
    }
    assert_eq!(medians.len(), 60);
    let (middle, most) = (quantile(medians.clone(), 0.5), quantile(medians, 0.9));
    assert!(middle < 0.032 && most < 0.105, "median error {middle}, nine of ten below {most}");
}

#[test]
fn what_is_known_is_not_estimated() {
    let (catalogue, files) = (catalogue(), shipped());
    let wanted = |text: &str| -> Combination { toml::from_str(text).expect(text) };
    let file = |text: &str| estimate::model_file(&wanted(text), &files, &catalogue);
    let shipped =
        file("architecture = 'meta-llama/Llama-3.2-3B-Instruct'\ngpu = 'A100'").expect("it is shipped");
    assert_eq!((shipped.name.as_str(), shipped.caution), ("llama-3.2-3b-a100-80gb-tp1", None));
    // The same shape under another name has the same steps.
    let twin = file("architecture = 'llama-3.1-70b'\ngpu = 'h100-80gb'\ntensor_parallel = 2")
        .expect("it is shipped");
    assert_eq!(twin.name, "llama-3.3-70b-h100-80gb-tp2");
    let small = file("architecture = 'llama-3.2-1b'\ngpu = 'l4'").expect("it can be estimated");
    let spec = resolve(&small, &catalogue);
    assert!(spec.warnings[0].contains("estimate"), "{:?}", spec.warnings);
    assert!(spec.step_time_provenance().source.contains("scaled"));
    let far =
        file("architecture = 'mixtral-8x7b'\ngpu = 'mi300x'\ndtype = 'fp8'").expect("it can be estimated");
    assert!(far.caution.is_some_and(|caution| caution.contains("roofline alone")));
}

#[test]
fn what_cannot_be_served_is_refused_with_the_nearest_that_can() {
    let (catalogue, files) = (catalogue(), shipped());
    let cases = [
        ("architecture = 'llama-3.2-4b'\ngpu = 'a100-80gb'", "architecture", "`llama-3.2-3b`"),
        ("architecture = 'llama-3.2-3b'\ngpu = 'a100-8gb'", "gpu", "`a100-80gb`"),
        (
            "architecture = 'llama-3.2-3b'\ngpu = 'a100-80gb'\ntensor_parallel = 5",
            "tensor_parallel",
            "1, 2, 4, 8",
        ),
        (
            "architecture = 'llama-3.2-3b'\ngpu = 'a100-80gb'\ntensor_parallel = 0",
            "tensor_parallel",
            "1, 2, 4, 8",
        ),
        ("architecture = 'llama-3.3-70b'\ngpu = 'a100-80gb'", "tensor_parallel", "at least 2"),
        (
            "architecture = 'qwen3-235b-a22b'\ngpu = 't4'\ntensor_parallel = 4",
            "tensor_parallel",
            "larger GPU",
        ),
        ("architecture = 'llama-3.2-3b'\ngpu = 'a100-80gb'\ndtype = 'mxfp4'", "dtype", "bf16"),
    ];
    for (text, key, remedy) in cases {
        let wanted: Combination = toml::from_str(text).expect(text);
        let problem = estimate::model_file(&wanted, &files, &catalogue).expect_err(text).to_string();
        assert!(problem.starts_with(&format!("{key}: ")) && problem.contains(remedy), "{text}: {problem}");
    }
    assert!(toml::from_str::<Combination>("architecture = 'x'\ngpu = 'y'\ntp = 2").is_err());
}

fn engine(model: &ModelSpec, args: &str) -> EngineConfig {
    let args: EngineArgs = toml::from_str(args).expect(args);
    args.resolve(&model.gpu_class(), &model.limits()).expect("the arguments are good")
}

fn named(files: &[ModelFile], name: &str, catalogue: &Catalogue) -> ModelSpec {
    resolve(files.iter().find(|file| file.name == name).expect(name), catalogue)
}

#[test]
fn the_default_world_has_the_memory_and_the_start_of_a_real_one() {
    let (catalogue, files) = (catalogue(), shipped());
    let model = named(&files, "llama-3.2-3b-a100-80gb-tp1", &catalogue);
    // 0.92 of 79.25 GiB, less 6 GiB of weights and about 1 GiB, at 112 KiB a token.
    let tokens = model.kv_blocks(&engine(&model, "")).expect("it fits").get() * 16;
    assert!((600_000..630_000).contains(&tokens), "{tokens}");
    let startup = model.startup(&StartupOverlay::default()).expect("the phases are good");
    let streams = Streams::new(1).named("startup");
    let plans: Vec<_> = (0..4000).map(|pod| startup.plan(&mut streams.at(pod))).collect();
    let mean = plans.iter().map(|plan| plan.ready_after.as_secs_f64()).sum::<f64>() / plans.len() as f64;
    assert!((60.0..90.0).contains(&mean), "a warm node with the image is Ready after {mean} s");
    for plan in &plans {
        let wait = plan.ready_after.as_secs_f64() - plan.serving_after.as_secs_f64();
        assert!((0.0..10.0).contains(&wait), "{plan:?}");
    }
}

#[test]
fn kv_blocks_follow_the_arguments() {
    let (catalogue, files) = (catalogue(), shipped());
    let model = named(&files, "llama-3.1-8b-l40s-tp2", &catalogue);
    let blocks = |args: &str| model.kv_blocks(&engine(&model, args)).map(|blocks| blocks.get());
    assert_eq!(blocks("num_gpu_blocks_override = 9000"), Ok(9000));
    // 64 KiB a token on each of two GPUs: 1 MiB a block of 16.
    assert_eq!(blocks("kv_cache_memory_bytes = 10737418240"), Ok(10_240));
    assert_eq!(blocks("kv_cache_memory_bytes = 10737418240\nblock_size = 32"), Ok(5120));
    let refused = |args: &str| blocks(args).expect_err(args).to_string();
    let short = refused("num_gpu_blocks_override = 1001");
    assert!(short.starts_with("max_model_len: ") && short.contains("at most 16000"), "{short}");
    assert_eq!(blocks("num_gpu_blocks_override = 1001\nmax_model_len = 16000"), Ok(1001));
    assert!(refused("max_model_len = 16001\nnum_gpu_blocks_override = 1001").contains("at most 16000"));
    assert!(refused("gpu_memory_utilization = 0.15").starts_with("gpu_memory_utilization: "));
    assert!(refused("gpu_memory_utilization = 1.0").contains("in use before the engine starts"));
    let by_memory: Vec<u32> = ["", "gpu_memory_utilization = 0.8", "max_num_batched_tokens = 65536"]
        .map(|args| blocks(args).expect("it fits"))
        .into();
    assert!(by_memory[0] > by_memory[1] && by_memory[0] > by_memory[2], "{by_memory:?}");
}

/// The logs of vLLM's V1 engine. The older ones of the file are of its predecessor, which profiled by other rules.
#[test]
fn kv_capacity_meets_the_logs_of_real_engines() {
    let Some(logs) = data("kv_capacity_reported.csv") else { return };
    let catalogue = catalogue();
    let mut reader = csv::Reader::from_reader(logs.as_bytes());
    let mut compared = 0;
    for row in reader.deserialize::<ReportedCapacity>() {
        let row = row.expect("the columns are known");
        let release: Vec<u32> = row.vllm.split('.').filter_map(|number| number.parse().ok()).collect();
        let [0, minor, _] = release[..] else { continue };
        if minor < 10 {
            continue;
        }
        let gpu = catalogue.gpu(&ByName::Name("h100-80gb".to_owned())).expect("it is there").clone();
        let architecture = ByName::Name(row.model.clone());
        let architecture = catalogue.architecture(&architecture).expect("it is there");
        // Before 0.20 CUDA graphs were no part of the budget.
        let cache = typical::kv_cache(Dtype::Bf16);
        let cache = KvCacheSpec { graphs_gib: if minor < 20 { 0.0 } else { cache.graphs_gib }, ..cache };
        let limits = ModelLimits { max_model_len: architecture.max_model_len };
        let class = GpuClass { name: gpu.name.clone(), memory_bytes: gpu.memory_bytes() };
        let (tokens, seqs) = if minor < 20 { (2048, 128) } else { (8192, 1024) };
        let args = format!(
            "gpu_memory_utilization = {}\nmax_num_batched_tokens = {tokens}\nmax_num_seqs = {seqs}",
            row.gpu_memory_utilization
        );
        let args: EngineArgs = toml::from_str(&args).expect("the arguments read");
        let engine = args.resolve(&class, &limits).expect("the arguments are good");
        let blocks = cache.blocks(architecture, &gpu, row.tp, Dtype::Bf16, &engine).expect("it fits");
        let error = f64::from(blocks.get() * 16) / row.reported_tokens - 1.0;
        assert!(error.abs() < 0.003, "{} x {}: {error}", row.model, row.tp);
        compared += 1;
    }
    assert_eq!(compared, 5);
}

#[derive(serde::Deserialize)]
struct ReportedCapacity {
    model: String,
    tp: u32,
    gpu_memory_utilization: f64,
    vllm: String,
    reported_tokens: f64,
}

/// The numbers and words of a text, as they stand.
fn values(text: &str) -> Vec<std::ops::Range<usize>> {
    let value =
        regex::Regex::new(r#"(?m)(?:= |\[|, |    )(-?[0-9][0-9.e+-]*|"[^"]*"|true|false)"#).expect("pattern");
    value.captures_iter(text).filter_map(|hit| hit.get(1)).map(|value| value.range()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever a user writes in place of a value is either refused with a remedy or gives times, blocks and starts.
    #[test]
    fn no_value_of_a_model_file_is_fatal(
        at in 0usize..10_000,
        new in prop::sample::select(vec![
            "nan", "inf", "-1", "0", "1", "1e308", "-0.0", "4294967295", "4294967296", "1e-300", "[]", "{}", "\"\"",
            "\"1000000h\"", "true", "9223372036854775807",
        ]),
    ) {
        let catalogue = catalogue();
        let text = read(&models().join("llama-3.2-3b-a100-80gb-tp1.toml"));
        // Half of the draws above the long tables, which come last.
        let places = values(&text);
        let place = places[if at % 2 == 0 { at % 90 } else { at % places.len() }].clone();
        let mut changed = text.clone();
        changed.replace_range(place, new);
        let Ok(file) = toml::from_str::<ModelFile>(&changed) else { return Ok(()) };
        match file.resolve(&catalogue) {
            Err(problem) => prop_assert!(problem.help.is_some() || problem.to_string().contains('`'), "{problem}"),
            Ok(model) => {
                let config = engine(&model, "");
                let timer = model.step_time(&config).expect("a resolved model has step times");
                let batch = BatchShape { decode_requests: 7, decode_context: 7000, ..BatchShape::default() };
                prop_assert!(!timer.step_time(&batch).is_zero());
                let _ = model.kv_blocks(&config);
                let startup = model.startup(&StartupOverlay::default()).expect("a resolved model starts");
                startup.plan(&mut Streams::new(1).stream("startup"));
            }
        }
    }
}

#[test]
fn unknown_keys_are_refused_everywhere() {
    let text = read(&models().join("llama-3.2-3b-a100-80gb-tp1.toml"));
    let tables: Vec<&str> =
        text.lines().filter(|line| line.starts_with('[') && line.ends_with(']')).collect();
    assert_eq!(tables.len(), 19, "{tables:?}");
    for table in tables {
        let changed = text.replacen(table, &format!("{table}\nunheard_of = 1"), 1);
        let why = toml::from_str::<ModelFile>(&changed).expect_err(table).to_string();
        assert!(why.contains("unheard_of"), "{table}: {why}");
    }
}
