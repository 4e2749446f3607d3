//! What a release of KEDA does not know: the API server drops fields that the CRD does not have, and nobody reads an
//! annotation that came later.

use super::annotations::Annotations;
use super::scaled_object::ScaledObjectSpec;
use super::version::KedaVersion;

/// A ScaledObject as a release of KEDA reads it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pruned {
    pub(super) spec: ScaledObjectSpec,
    pub(super) annotations: Annotations,
    /// What is without effect, and why.
    pub(super) warnings: Vec<String>,
}

/// Drops what `version` does not know.
pub(super) fn prune(spec: &ScaledObjectSpec, annotations: Annotations, version: KedaVersion) -> Pruned {
    let mut pruned = Pruned { spec: spec.clone(), annotations, warnings: Vec::new() };
    pruned.prune_fallback(version);
    pruned.prune_tolerance(version);
    pruned.prune_annotations(version);
    pruned
}

impl Pruned {
    fn prune_fallback(&mut self, version: KedaVersion) {
        if version.has_fallback_behaviors() {
            return;
        }
        let Some(fallback) = &mut self.spec.fallback else { return };
        if fallback.behavior.take().is_some() {
            self.warnings.push(format!(
                "fallback.behavior has no effect: KEDA {version} does not know it, and falls back to fallback.replicas; \
                 behaviors came with 2.17"
            ));
        }
    }

    fn prune_tolerance(&mut self, version: KedaVersion) {
        let config = self
            .spec
            .advanced
            .as_mut()
            .and_then(|advanced| advanced.horizontal_pod_autoscaler_config.as_mut());
        let behavior = config.and_then(|config| config.behavior.as_mut());
        let Some(behavior) = behavior.filter(|_| !version.keeps_tolerance()) else { return };
        let rules = [behavior.scale_up.as_mut(), behavior.scale_down.as_mut()];
        let dropped = rules.into_iter().flatten().filter_map(|rules| rules.tolerance.take()).count();
        if dropped > 0 {
            self.warnings.push(format!(
                "behavior.*.tolerance has no effect: the CRD of KEDA {version} does not have it; it came with 2.18"
            ));
        }
    }

    fn prune_annotations(&mut self, version: KedaVersion) {
        if version.pauses_directions() {
            return;
        }
        let annotations = &mut self.annotations;
        let flags = [
            ("paused-scale-in", &mut annotations.paused_scale_in),
            ("paused-scale-out", &mut annotations.paused_scale_out),
            ("force-activation", &mut annotations.force_activation),
        ];
        for (name, flag) in flags {
            if std::mem::take(flag) {
                self.warnings.push(format!(
                    "annotation autoscaling.keda.sh/{name} has no effect: KEDA {version} does not know it; it came with 2.18"
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "
        [fallback]
        failure_threshold = 3
        replicas = 4
        behavior = 'currentReplicas'
        [advanced.horizontal_pod_autoscaler_config.behavior.scale_up]
        tolerance = '50m'
        [[triggers]]
        type = 'prometheus'
        metadata = { query = 'up', threshold = '2' }";

    #[test]
    fn what_came_later_is_dropped_and_told_of() {
        let spec: ScaledObjectSpec = toml::from_str(ALL).expect("valid TOML");
        let annotations = Annotations {
            paused_scale_in: true,
            force_activation: true,
            paused: true,
            ..Annotations::default()
        };
        for version in KedaVersion::ALL {
            let pruned = prune(&spec, annotations, version);
            let behavior = pruned.spec.fallback.as_ref().and_then(|fallback| fallback.behavior);
            let rules =
                pruned.spec.hpa_config().and_then(|config| config.behavior.clone()).and_then(|b| b.scale_up);
            assert_eq!(behavior.is_some(), version >= KedaVersion::V2_17, "{version}");
            assert_eq!(
                rules.map(|rules| rules.tolerance.is_some()),
                Some(version >= KedaVersion::V2_18),
                "{version}: the rules stay, and with them the behavior"
            );
            assert_eq!(pruned.annotations.force_activation, version >= KedaVersion::V2_18, "{version}");
            assert!(pruned.annotations.paused, "{version}");
            let warnings = match version {
                KedaVersion::V2_15 | KedaVersion::V2_16 => 4,
                KedaVersion::V2_17 => 3,
                KedaVersion::V2_18 | KedaVersion::V2_19 | KedaVersion::V2_20 => 0,
            };
            assert_eq!(pruned.warnings.len(), warnings, "{version}: {:?}", pruned.warnings);
        }
    }
}
