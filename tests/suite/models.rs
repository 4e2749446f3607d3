//! The shipped model files: what they say, that the generator says the same, and how well estimates meet them.

#[path = "../../examples/generate_models/render.rs"]
mod render;

use dryscale::serving::performance::{Catalogue, ModelFile, ModelSpec};
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
