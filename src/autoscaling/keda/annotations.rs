//! Annotations of a ScaledObject that pause or force scaling (`apis/keda/v1alpha1/scaledobject_types.go`, v2.20.2).

use crate::autoscaling::go;
use crate::problem::Problem;
use crate::units::Replicas;
use indexmap::IndexMap;

/// The prefix of KEDA's annotations.
const PREFIX: &str = "autoscaling.keda.sh/";

/// What the annotations ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    /// `paused`: no poll loop, no HPA, the size stays.
    pub paused: bool,
    /// `paused-replicas`: likewise, at this size.
    pub paused_replicas: Option<Replicas>,
    /// `paused-scale-in`: neither KEDA nor the HPA makes the target smaller.
    pub paused_scale_in: bool,
    /// `paused-scale-out`: neither makes it larger.
    pub paused_scale_out: bool,
    /// `force-activation`: active whatever the triggers say.
    pub force_activation: bool,
}

impl Annotations {
    /// Reads `metadata.annotations`; others than KEDA's do not matter. A text that is no boolean of Go's counts as true.
    ///
    /// # Errors
    /// `paused-replicas` that is not a number of replicas, which KEDA's reconciler fails on.
    pub fn of(annotations: &IndexMap<String, String>) -> Result<Self, Problem> {
        let get = |name: &str| annotations.get(&format!("{PREFIX}{name}"));
        let flag = |name: &str| get(name).is_some_and(|text| go::parse_bool(text).unwrap_or(true));
        let paused_replicas = match get("paused-replicas") {
            None => None,
            Some(text) => match text.parse::<i32>() {
                Ok(replicas) if replicas >= 0 => Some(Replicas(replicas)),
                _ => {
                    let key = format!("annotations.{PREFIX}paused-replicas");
                    return Err(Problem::key(key, format!("`{text}` is no number of replicas")));
                }
            },
        };
        Ok(Annotations {
            paused: flag("paused"),
            paused_replicas,
            paused_scale_in: flag("paused-scale-in"),
            paused_scale_out: flag("paused-scale-out"),
            force_activation: flag("force-activation"),
        })
    }

    /// Whether the ScaledObject is paused as a whole.
    pub fn pauses(&self) -> bool {
        self.paused || self.paused_replicas.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, value: &str) -> Result<Annotations, Problem> {
        Annotations::of(&IndexMap::from([(format!("{PREFIX}{name}"), value.to_owned())]))
    }

    #[test]
    fn what_is_no_boolean_counts_as_true() {
        for (text, paused) in [("true", true), ("F", false), ("0", false), ("yes", true), ("", true)] {
            assert_eq!(of("paused", text).map(|a| (a.paused, a.pauses())), Ok((paused, paused)), "{text}");
        }
        assert_eq!(of("paused-scale-in", "false"), Ok(Annotations::default()));
    }

    #[test]
    fn paused_replicas_is_a_size() {
        assert_eq!(
            of("paused-replicas", "0").map(|a| (a.paused_replicas, a.pauses())),
            Ok((Some(Replicas(0)), true))
        );
        assert!(of("paused-replicas", "many").is_err() && of("paused-replicas", "-1").is_err());
    }
}
