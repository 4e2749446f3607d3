//! Writes `models/*.toml`, one file for each combination of model, GPU and tensor parallelism in the coefficient table.
//!
//! ```text
//! cargo run --example generate_models                         # reads ../shared/data/steps/coef_table.json
//! cargo run --example generate_models -- path/coef_table.json
//! ```
//!
//! Shapes and prices come from `models/architectures.toml` and `models/gpus.toml`, which are written by hand. The same input
//! gives the same bytes; a test compares them with what is committed.

mod render;

use anyhow::{Context, Result, bail};
use dryscale::serving::performance::Catalogue;
use std::fs;
use std::path::Path;

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = match std::env::args().nth(1) {
        Some(path) => path.into(),
        None => root.join("../shared/data/steps/coef_table.json"),
    };
    let models = root.join("models");
    let read =
        |path: &Path| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    let catalogue = Catalogue {
        gpus: toml::from_str(&read(&models.join("gpus.toml"))?)?,
        architectures: toml::from_str(&read(&models.join("architectures.toml"))?)?,
    };
    catalogue.check()?;
    let files = render::model_files(&read(&table)?, &catalogue)?;
    if files.is_empty() {
        bail!("{} holds no combination", table.display());
    }
    for (name, text) in files {
        let path = models.join(format!("{name}.toml"));
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
