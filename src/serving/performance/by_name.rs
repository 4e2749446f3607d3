//! A thing by its name in the catalogue, or written out in place.

use super::architectures::Architecture;
use super::gpus::Gpu;
use super::roofline::Efficiency;
use crate::nearest::by_distance;
use crate::problem::Problem;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// How many names a refusal offers.
const NEAREST_MAX: usize = 3;

/// Something that a file names, or writes out as a table in place.
#[derive(Clone, Debug, PartialEq)]
pub enum ByName<T> {
    /// Its name in the catalogue.
    Name(String),
    /// Itself.
    Inline(T),
}

// Written by hand because serde's untagged enums lose the reason for a refusal, such as an unknown key.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for ByName<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrTable<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for NameOrTable<T> {
            type Value = ByName<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, or a table")
            }
            fn visit_str<E: Error>(self, name: &str) -> Result<ByName<T>, E> {
                Ok(ByName::Name(name.to_owned()))
            }
            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<ByName<T>, M::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(ByName::Inline)
            }
        }
        deserializer.deserialize_any(NameOrTable(PhantomData))
    }
}

/// The GPUs of `models/gpus.toml` and the architectures of `models/architectures.toml`, by name.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// GPUs by name: `a100-80gb`.
    pub gpus: BTreeMap<String, Gpu>,
    /// Architectures by name: `llama-3.2-3b`.
    pub architectures: BTreeMap<String, Architecture>,
}

impl Catalogue {
    /// Refuses what is no GPU and no architecture, with keys relative to the file: `a100-80gb.memory_gib`.
    ///
    /// # Errors
    /// The first problem in order of the names, GPUs first.
    pub fn check(&self) -> Result<(), Problem> {
        for (name, gpu) in &self.gpus {
            gpu.check().map_err(|problem| problem.under(name))?;
            self.efficiency(gpu).map_err(|problem| problem.under(name))?;
        }
        for (name, architecture) in &self.architectures {
            architecture.check().map_err(|problem| problem.under(name))?;
        }
        Ok(())
    }

    /// The GPU that a file names or writes out.
    ///
    /// # Errors
    /// A problem with `gpu`: an unknown name, with the nearest known ones; or a table that is no GPU.
    pub fn gpu<'a>(&'a self, by_name: &'a ByName<Gpu>) -> Result<&'a Gpu, Problem> {
        match by_name {
            ByName::Name(name) => find(&self.gpus, "gpu", "GPU", name),
            ByName::Inline(gpu) => gpu.check().map(|()| gpu).map_err(|problem| problem.under("gpu")),
        }
    }

    /// The architecture that a file names or writes out.
    ///
    /// # Errors
    /// A problem with `architecture`: an unknown name, with the nearest known ones; or a table that is no architecture.
    pub fn architecture<'a>(
        &'a self,
        by_name: &'a ByName<Architecture>,
    ) -> Result<&'a Architecture, Problem> {
        match by_name {
            ByName::Name(name) => find(&self.architectures, "architecture", "architecture", name),
            ByName::Inline(architecture) => {
                architecture.check().map(|()| architecture).map_err(|problem| problem.under("architecture"))
            }
        }
    }

    /// What models reach of the GPU's peaks.
    ///
    /// # Errors
    /// A problem with `roofline`: a name that is no GPU with efficiencies of its own.
    pub fn efficiency<'a>(&'a self, gpu: &'a Gpu) -> Result<&'a Efficiency, Problem> {
        match &gpu.roofline {
            ByName::Inline(efficiency) => Ok(efficiency),
            ByName::Name(name) => match &find(&self.gpus, "roofline", "GPU", name)?.roofline {
                ByName::Inline(efficiency) => Ok(efficiency),
                ByName::Name(_) => {
                    let known = self.gpus.iter().filter(|(_, gpu)| matches!(gpu.roofline, ByName::Inline(_)));
                    let names: Vec<&str> = known.map(|(name, _)| name.as_str()).collect();
                    Err(Problem::key("roofline", format!("`{name}` has no efficiencies of its own"))
                        .help(format!("one of {}", names.join(", "))))
                }
            },
        }
    }
}

/// What has other names beside its key.
trait Aliases {
    /// The names under which it is known elsewhere.
    fn also(&self) -> &[String];
}

impl Aliases for Gpu {
    fn also(&self) -> &[String] {
        &self.also
    }
}

impl Aliases for Architecture {
    fn also(&self) -> &[String] {
        &self.also
    }
}

/// By key or other name, with any capitals.
fn find<'a, T: Aliases>(
    known: &'a BTreeMap<String, T>,
    key: &str,
    what: &str,
    name: &str,
) -> Result<&'a T, Problem> {
    let matches = |own: &str| own.eq_ignore_ascii_case(name);
    let found = known.iter().find(|(own, thing)| matches(own) || thing.also().iter().any(|own| matches(own)));
    if let Some((_, thing)) = found {
        return Ok(thing);
    }
    let nearest = by_distance(name, known.keys().map(String::as_str));
    let nearest: Vec<String> = nearest.iter().take(NEAREST_MAX).map(|near| format!("`{near}`")).collect();
    Err(Problem::key(key, format!("there is no {what} `{name}`"))
        .help(format!("the nearest names are {}; or write it out as a table", nearest.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Place;

    fn catalogue() -> Catalogue {
        let shape = "publisher = 'x'\nlayers = 1\nhidden = 1\nheads = 1\nkv_heads = 1\nhead_dim = 1\nintermediate = 1\nvocab = 1
            parameters_billion = 1.0\ntied_embeddings = true\nmax_model_len = 1
            provenance = { kind = 'assumed', date = '2026-11-23', source = 'a test' }";
        let named = |name: &str, also: &str| format!("['{name}']\nalso = ['{also}']\n{shape}\n");
        let text =
            named("llama-3.2-3b", "meta-llama/Llama-3.2-3B-Instruct") + &named("qwen3-8b", "Qwen/Qwen3-8B");
        Catalogue {
            gpus: BTreeMap::new(),
            architectures: toml::from_str(&text).expect("the catalogue reads"),
        }
    }

    fn by_name(name: &str) -> ByName<Architecture> {
        ByName::Name(name.to_owned())
    }

    #[test]
    fn things_are_found_by_any_of_their_names() {
        let catalogue = catalogue();
        assert_eq!(catalogue.check(), Ok(()));
        for name in ["llama-3.2-3b", "Llama-3.2-3B", "meta-llama/llama-3.2-3b-instruct"] {
            let wanted = by_name(name);
            let found = catalogue.architecture(&wanted).expect(name);
            assert_eq!(found.also, ["meta-llama/Llama-3.2-3B-Instruct"]);
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest() {
        let problem = catalogue().architecture(&by_name("LLAMA-3.2-8b")).expect_err("unknown").to_string();
        assert!(
            problem.starts_with("architecture: ") && problem.contains("names are `llama-3.2-3b`"),
            "{problem}"
        );
        let wide = "x".repeat(100_000);
        assert!(catalogue().architecture(&by_name(&wide)).is_err());
    }

    #[test]
    fn a_table_in_place_keeps_the_reason_of_its_refusal() {
        #[derive(Debug, serde::Deserialize)]
        struct File {
            #[serde(rename = "architecture")]
            _architecture: ByName<Architecture>,
        }
        let why =
            toml::from_str::<File>("architecture = { layrs = 3 }").expect_err("an unknown key").to_string();
        assert!(why.contains("layrs"), "{why}");
        assert!(toml::from_str::<File>("architecture = 3").is_err());
        let mut written_out = catalogue().architectures["qwen3-8b"].clone();
        written_out.layers = 0;
        let problem = catalogue().architecture(&ByName::Inline(written_out)).expect_err("no layers").place;
        assert_eq!(problem, Place::Key("architecture.layers".to_owned()));
    }
}
