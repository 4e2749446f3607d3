//! Series that become alike when they are renamed.
//!
//! Prometheus evaluates a subquery, and a range query, node by node over all instants, so two series that a node leaves with
//! the same labels are an error for it even where they are never there together: the pod that was and the pod that is,
//! without their names.

use super::eval::Evaluation;
use super::value::{ExecutionError, LabelsId};
use rustc_hash::FxHashMap;

/// What each label set that a node gave was made of, over the instants of one query.
#[derive(Clone, Debug, Default)]
pub(super) struct Renamed {
    /// The query that these are of, as [`Evaluation::query`].
    query: u64,
    origins: FxHashMap<LabelsId, LabelsId>,
}

impl Renamed {
    /// Notes that the node made `to` of `from`.
    pub(super) fn note(
        &mut self,
        evaluation: &Evaluation<'_>,
        from: LabelsId,
        to: LabelsId,
    ) -> Result<(), ExecutionError> {
        // At one instant, comparing the elements is enough.
        if !evaluation.has_several_instants {
            return Ok(());
        }
        if self.query != evaluation.query {
            self.query = evaluation.query;
            self.origins.clear();
        }
        match self.origins.insert(to, from) {
            Some(other) if other != from => Err(ExecutionError::same_labelset()),
            _ => Ok(()),
        }
    }
}
