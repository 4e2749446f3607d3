//! What a run has used up of its bounds.

use super::super::error::{Class, Failure};
use super::super::limits::{MEMORY_BUDGET, STEPS_MAX};

/// Counts the work and the memory of a run.
#[derive(Debug, Default)]
pub(in super::super) struct Meter {
    memory: u64,
    steps: u64,
}

impl Meter {
    /// So many items or bytes more (`memGrow`).
    ///
    /// # Errors
    /// The budget is used up.
    pub(in super::super) fn grow(&mut self, size: usize) -> Result<(), Failure> {
        self.memory = self.memory.saturating_add(size as u64);
        if self.memory >= MEMORY_BUDGET {
            return Err(Failure::new(Class::MemoryBudget, "memory budget exceeded"));
        }
        Ok(())
    }

    /// So much work more.
    ///
    /// # Errors
    /// More than a formula is given.
    pub(in super::super) fn step(&mut self, count: usize) -> Result<(), Failure> {
        self.steps = self.steps.saturating_add(count as u64);
        if self.steps > STEPS_MAX {
            return Err(Failure::unsupported(format!("the formula takes more than {STEPS_MAX} steps")));
        }
        Ok(())
    }
}
