//! A component of a KServe InferenceService in Knative mode (kserve v0.20.0,
//! `pkg/controller/v1beta1/inferenceservice/reconcilers/knative`, `SetAutoScalingAnnotations`).

use super::config::ConfigAutoscaler;
use super::spec::{KnativeSpec, Metric};
use crate::problem::Problem;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// `DefaultMinReplicas`: without a word about it a service never goes to zero.
const MIN_REPLICAS_DEFAULT: i32 = 1;

/// What a predictor says about its scaling, by KServe's names in snake_case or as in a manifest. `None` is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InferenceServiceComponent {
    /// `minReplicas`: fewest pods; 1 when left out, 0 allows none.
    #[serde(alias = "minReplicas", skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<i32>,
    /// `maxReplicas`: most pods; 0 and left out are the cluster's own bound.
    #[serde(alias = "maxReplicas", skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<i32>,
    /// `scaleTarget`: what one pod is good for; the autoscaler aims at 70 % of it.
    #[serde(alias = "scaleTarget", skip_serializing_if = "Option::is_none")]
    pub scale_target: Option<i32>,
    /// `scaleMetric`: what pods are counted by; `concurrency` when left out.
    #[serde(alias = "scaleMetric", skip_serializing_if = "Option::is_none")]
    pub scale_metric: Option<Metric>,
    /// `containerConcurrency`: the hard limit of requests in flight in a pod; none when left out.
    #[serde(alias = "containerConcurrency", skip_serializing_if = "Option::is_none")]
    pub container_concurrency: Option<i64>,
    /// Annotations of the InferenceService: everything else that Knative can be told.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub annotations: IndexMap<String, String>,
}

impl InferenceServiceComponent {
    /// The Knative revision that KServe makes of it, in a cluster with `config`.
    ///
    /// # Errors
    /// Annotations that Knative could not read, and what KServe's webhook refuses (`validateReplicas`,
    /// `validateContainerConcurrency`, `validateScalingKPACompExtension`). What Knative itself refuses
    /// [`KnativeSpec::problems`] tells.
    pub fn revision(&self, config: ConfigAutoscaler) -> Result<KnativeSpec, Vec<Problem>> {
        let problems = self.problems();
        if !problems.is_empty() {
            return Err(problems);
        }
        let annotated = KnativeSpec::from_annotations(&self.annotations)?;
        Ok(KnativeSpec {
            // What the component says goes before an annotation, `minReplicas` even where it says nothing.
            target: self.scale_target.map(f64::from).or(annotated.target),
            metric: self.scale_metric.or(annotated.metric),
            min_scale: Some(self.min_replicas.unwrap_or(MIN_REPLICAS_DEFAULT)),
            max_scale: self.max_replicas.filter(|&max| max != 0).or(annotated.max_scale),
            container_concurrency: self.container_concurrency,
            config,
            ..annotated
        })
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut refuse = |key: &str, message: String, help: &str| {
            problems.push(Problem::key(key, message).help(help));
        };
        let min = self.min_replicas.unwrap_or(MIN_REPLICAS_DEFAULT);
        let max = self.max_replicas.unwrap_or(0);
        if min < 0 {
            refuse("min_replicas", format!("`min_replicas` {min} is negative"), "give 0 or more");
        }
        if max < 0 {
            refuse("max_replicas", format!("`max_replicas` {max} is negative"), "0 is no bound");
        }
        if max > 0 && min > max {
            let message = format!("`min_replicas` {min} is above `max_replicas` {max}");
            refuse("max_replicas", message, "raise it, or leave it out for no bound");
        }
        if let Some(limit) = self.container_concurrency.filter(|&limit| limit < 0) {
            let message = format!("`container_concurrency` {limit} is negative");
            refuse("container_concurrency", message, "0 is no limit");
        }
        if let Some(target) = self.scale_target.filter(|&target| target < 1)
            && self.scale_metric == Some(Metric::Rps)
        {
            let message = format!("`scale_target` {target} is below 1 request per second");
            refuse("scale_target", message, "give 1 or more");
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscaling::knative::{DeciderSpec, GoDuration};
    use crate::units::Replicas;

    fn revision(text: &str) -> Result<KnativeSpec, Vec<Problem>> {
        let component: InferenceServiceComponent = toml::from_str(text).expect(text);
        component.revision(ConfigAutoscaler::default())
    }

    #[test]
    fn one_pod_stays_unless_zero_is_asked_for() {
        let spec = revision("").expect("nothing is said");
        assert_eq!(spec, KnativeSpec { min_scale: Some(1), ..KnativeSpec::default() });
        assert_eq!(revision("minReplicas = 0").map(|spec| spec.min_scale), Ok(Some(0)));
    }

    #[test]
    fn the_component_goes_before_its_annotations() {
        let spec = revision(
            "scale_target = 10\nmax_replicas = 0\ncontainer_concurrency = 4\n[annotations]\n\
             'autoscaling.knative.dev/target' = '3'\n'autoscaling.knative.dev/max-scale' = '6'\n\
             'autoscaling.knative.dev/minScale' = '5'\n'autoscaling.knative.dev/window' = '30s'",
        )
        .expect("all of it is fine");
        assert_eq!((spec.min_scale, spec.max_scale), (Some(1), Some(6)));
        assert_eq!(spec.window, Some(GoDuration::from_secs(30)));
        let decider = DeciderSpec::of(&spec, true);
        assert_eq!((decider.target_value, decider.total_value), (2.8, 4.0));
        assert_eq!(decider.activation_scale, Replicas::ZERO);
    }

    #[test]
    fn what_kserve_refuses_is_a_problem_with_its_key() {
        for (text, key) in [
            ("min_replicas = -1", "min_replicas"),
            ("max_replicas = -1", "max_replicas"),
            ("min_replicas = 3\nmax_replicas = 2", "max_replicas"),
            ("container_concurrency = -1", "container_concurrency"),
            ("scale_metric = 'rps'\nscale_target = 0", "scale_target"),
            (
                "annotations = { 'autoscaling.knative.dev/scale' = '1' }",
                "annotations.autoscaling.knative.dev/scale",
            ),
        ] {
            let found = revision(text).expect_err(text);
            assert!(found.len() == 1 && found[0].to_string().starts_with(&format!("{key}:")), "{found:?}");
        }
        assert!(toml::from_str::<InferenceServiceComponent>("scale_metric = 'cpu'").is_err());
    }
}
