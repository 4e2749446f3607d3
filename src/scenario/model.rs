//! The model of an experiment: a file, something that ships, or a combination for which the numbers are estimated.

use super::document::{Node, Value};
use super::find::Places;
use super::input_error::InputError;
use super::set::Setting;
use super::shipped::Kind;
use super::source_text::SourceText;
use super::spelling::Spelling;
use super::toml_text;
use super::typed::typed;
use crate::problem::Problem;
use crate::serving::performance::{Catalogue, Combination, ModelFile, estimate};
use std::sync::Arc;

/// What `serving.model` led to.
pub(super) enum Model {
    /// A text, to which settings of `model.…` are still applied.
    Text(Arc<SourceText>),
    /// The file of a combination of architecture and GPU, found or estimated.
    Combined {
        file: Box<ModelFile>,
        /// The combination as the user wrote it.
        text: Arc<SourceText>,
    },
}

impl Model {
    /// Looks for the model that `serving.model` of `root` names, or describes as `{ architecture = …, gpu = … }`.
    ///
    /// # Errors
    /// There is none, or nothing can be estimated for what it describes.
    pub(super) fn find(root: &Node, places: &Places, catalogue: &Catalogue) -> Result<Model, InputError> {
        let found = root.find("serving.model");
        match &found.node.value {
            Value::String(reference) if found.complete => {
                let at = |problem: Problem| InputError::at(&found.node.origin, problem);
                places.text(Kind::Model, reference).map(Model::Text).map_err(|unfound| unfound.at(at))
            }
            Value::Table(_) if found.complete => combined(root, found.node, catalogue),
            _ => {
                let problem = Problem::key("serving.model", "the experiment names no model");
                let help = "such as `model = \"llama-3.2-3b-a100-80gb-tp1\"` in `[serving]`";
                Err(root.locate(problem.help(help)))
            }
        }
    }

    /// Refuses a setting of `model.…` where there is no model file that it could change.
    ///
    /// # Errors
    /// The model is a combination, whose numbers are estimated.
    pub(super) fn refuse_setting(&self, setting: &Setting) -> Result<(), InputError> {
        match self {
            Model::Text(_) => Ok(()),
            Model::Combined { .. } => {
                let problem = Problem::whole("`serving.model` is a combination, whose numbers are estimated")
                    .help("name a model file in `serving.model` to change what is in it");
                Err(InputError::at(&setting.key, problem))
            }
        }
    }

    /// The text that stands for it in provenance and in the copies of inputs.
    pub(super) fn text(&self) -> &Arc<SourceText> {
        match self {
            Model::Text(text) | Model::Combined { text, .. } => text,
        }
    }
}

fn combined(root: &Node, node: &Node, catalogue: &Catalogue) -> Result<Model, InputError> {
    let combination: Combination = typed(node, Spelling::Snake)?;
    let shipped = Kind::Model.names().filter_map(|name| Kind::Model.shipped(name)).map(|text| {
        let file: Result<ModelFile, InputError> =
            toml_text::parse(&text).and_then(|node| typed(&node, Spelling::Snake));
        file
    });
    let shipped = shipped.collect::<Result<Vec<_>, _>>()?;
    let file = estimate::model_file(&combination, &shipped, catalogue)
        .map_err(|problem| root.locate(problem.under("serving.model")))?;
    let text = SourceText::new("serving.model", node.origin.text());
    Ok(Model::Combined { file: Box::new(file), text })
}
