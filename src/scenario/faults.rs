//! From `[[monitoring.fault]]` to faults that a world can have.

use super::experiment::Target;
use super::input_error::InputError;
use super::sensor::Targets;
use super::world::Scenario;
use crate::monitoring::MonitoringSpec;
use crate::monitoring::faults::{FaultKind, FaultSpec, Faults};
use crate::monitoring::promql::Query;
use crate::problem::Problem;

impl Scenario {
    /// The faults of the experiment. Each is told of: nobody should take such a run for a usual one.
    ///
    /// # Errors
    /// A selector that is none, or that no target or series here can ever match.
    pub(super) fn faults(&self, targets: &Targets, warnings: &mut Vec<String>) -> Result<Faults, InputError> {
        let mut faults = Vec::new();
        for (index, spec) in self.monitoring.fault.iter().enumerate() {
            let locate = |key: &str, problem: Problem| {
                self.locate_text(&format!("monitoring.fault.{index}.{key}"), problem)
            };
            let fault = spec
                .compile(self.monitoring.query_options())
                .map_err(|(key, problem)| locate(key, problem))?;
            if let Some(text) = spec.target.as_ref().filter(|_| !targets.has_target_of(&fault)) {
                let problem = Problem::text(text, (0, text.len()), "no target here can ever match this");
                let problem = problem.help(format!("`job` is {} here", quoted(&targets.jobs())));
                return Err(locate("target", problem));
            }
            if let Some(text) = &spec.series {
                let query = Query::compile(text, self.monitoring.query_options());
                let findings = query.and_then(|query| targets.check(&query));
                warnings.extend(findings.map_err(|problem| locate("series", problem))?);
            }
            warnings.push(told(spec));
            faults.push(fault);
        }
        Ok(Faults::new(faults))
    }
}

/// A fault as the summary tells it.
fn told(spec: &FaultSpec) -> String {
    let time = |seconds: crate::random::distribution::Seconds| {
        humantime::format_duration(std::time::Duration::from_millis(seconds.duration().as_millis()))
            .to_string()
    };
    let what = match (spec.kind, &spec.target, &spec.series) {
        (FaultKind::SeriesVanish, _, Some(series)) => format!(" of {series}"),
        (FaultKind::ScrapeFailing | FaultKind::TargetFrozen, Some(target), _) => format!(" of {target}"),
        _ => String::new(),
    };
    format!("injected fault: {}{what} from {} to {}", spec.kind.name(), time(spec.from), time(spec.to))
}

fn quoted(values: &[&str]) -> String {
    values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(" or ")
}

/// Replaces the variables in the selectors of faults; `at` is where a key of their list stands.
///
/// # Errors
/// A variable that there is not.
pub(super) fn resolve_selectors(
    monitoring: &mut MonitoringSpec,
    target: &Target,
    at: impl Fn(&str, Problem) -> InputError,
) -> Result<(), InputError> {
    for (index, fault) in monitoring.fault.iter_mut().enumerate() {
        for (key, text) in [("target", &mut fault.target), ("series", &mut fault.series)] {
            if let Some(text) = text {
                let resolved = target.resolve(text);
                *text = resolved.map_err(|problem| at(&format!("{index}.{key}"), problem))?.text;
            }
        }
    }
    Ok(())
}
