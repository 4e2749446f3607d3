//! Experimental parts of PromQL, which Prometheus has only where `--enable-feature` names them.

use super::semantics::Release;
use crate::problem::Problem;

/// What `--enable-feature` has turned on (Prometheus, cmd/prometheus/main.go, `setFeatureListOptions`); nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// `promql-experimental-functions`: the functions and aggregations that their table marks as experimental. Since 2.49.
    pub experimental_functions: bool,
    /// `promql-duration-expr`: arithmetic in ranges, steps and offsets, such as `[5m * 2]`. Since 3.4.
    pub duration_expressions: bool,
}

/// The name under which a feature is turned on, and the first release here that knows it.
const NAMES: [(&str, Release); 2] =
    [(Features::EXPERIMENTAL_FUNCTIONS, Release::V2_53), (Features::DURATION_EXPRESSIONS, Release::V3_5)];

/// Features that change what a query means and are left out, with the reason.
const LEFT_OUT: [(&str, &str); 1] =
    [("promql-delayed-name-removal", "names of metrics are removed at once here, as by default")];

impl Features {
    /// The name of [`Features::experimental_functions`].
    pub const EXPERIMENTAL_FUNCTIONS: &'static str = "promql-experimental-functions";
    /// The name of [`Features::duration_expressions`].
    pub const DURATION_EXPRESSIONS: &'static str = "promql-duration-expr";

    /// The names of those that are on, as [`Features::named`] takes them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let all = [
            (Features::EXPERIMENTAL_FUNCTIONS, self.experimental_functions),
            (Features::DURATION_EXPRESSIONS, self.duration_expressions),
        ];
        all.into_iter().filter_map(|(name, on)| on.then_some(name))
    }

    /// What to do where a query needs the feature of this name.
    pub(super) fn how_to_enable(name: &str) -> String {
        format!(
            "as with `--enable-feature={name}` of Prometheus: enable_features = [\"{name}\"] in [monitoring]"
        )
    }

    /// The features of these names, as a server of this release takes them.
    ///
    /// # Errors
    /// A name that the release does not know, which Prometheus would log and ignore, or one that is left out here.
    pub fn named<'n>(
        names: impl IntoIterator<Item = &'n str>,
        release: Release,
    ) -> Result<Features, Problem> {
        let mut features = Features::default();
        for name in names {
            if let Some((_, why)) = LEFT_OUT.iter().find(|(left_out, _)| *left_out == name) {
                return Err(Problem::whole(format!("`{name}` is not supported")).help(*why));
            }
            let since = NAMES.iter().find(|(known, _)| *known == name).map(|(_, since)| *since);
            match (name, since) {
                (_, Some(since)) if since > release => {
                    return Err(Problem::whole(format!("Prometheus {release} has no feature `{name}`"))
                        .help(format!("since {since}")));
                }
                (Features::EXPERIMENTAL_FUNCTIONS, _) => features.experimental_functions = true,
                (Features::DURATION_EXPRESSIONS, _) => features.duration_expressions = true,
                _ => {
                    let known: Vec<&str> = NAMES.iter().map(|(known, _)| *known).collect();
                    return Err(Problem::whole(format!("there is no feature `{name}` of PromQL"))
                        .help(format!("one of {}", known.join(", "))));
                }
            }
        }
        Ok(features)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_turned_on_by_prometheus_names() {
        let named = |names: &[&str], release| Features::named(names.iter().copied(), release);
        let both = named(&["promql-duration-expr", "promql-experimental-functions"], Release::V3_5);
        assert_eq!(both, Ok(Features { experimental_functions: true, duration_expressions: true }));
        assert_eq!(named(&[], Release::V2_42), Ok(Features::default()));
        assert!(named(&["promql-experimental-functions"], Release::V2_53).is_ok());
        for (name, release, part) in [
            ("promql-experimental-functions", Release::V2_42, "since 2.53"),
            ("promql-duration-expr", Release::V2_53, "since 3.5"),
            ("promql-delayed-name-removal", Release::V3_5, "at once"),
            ("native-histograms", Release::V3_5, "one of"),
        ] {
            let problem = named(&[name], release).expect_err(name).to_string();
            assert!(problem.contains(part), "{problem}");
        }
    }
}
