//! Which release of vLLM is simulated.

use crate::problem::Problem;

/// A release of vLLM whose scheduler, defaults and metrics are implemented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Release {
    /// 0.32: what the scheduler was recorded from.
    #[default]
    V0_32,
}

impl Release {
    /// As users write it.
    pub const fn name(self) -> &'static str {
        match self {
            Release::V0_32 => "0.32",
        }
    }

    /// The release that the setting `vllm = "0.32"` names; a patch number and a leading `v` may be there.
    ///
    /// # Errors
    /// A problem with the key `vllm` for every other release: their schedulers admit, preempt and evict by other
    /// rules, and a run under the wrong ones would be a guess.
    pub fn parse(vllm: &str) -> Result<Release, Problem> {
        let mut numbers = vllm.strip_prefix('v').unwrap_or(vllm).split('.').map(str::parse::<u32>);
        let version = (numbers.next(), numbers.next(), numbers.next().unwrap_or(Ok(0)), numbers.next());
        match version {
            (Some(Ok(0)), Some(Ok(32)), Ok(_), None) => Ok(Release::V0_32),
            (Some(Ok(_)), Some(Ok(_)), Ok(_), None) => Err(Problem::key(
                "vllm",
                format!("the scheduler of vLLM {vllm} is not implemented; that of 0.32 is"),
            )
            .help(
                "set `vllm = \"0.32\"`; to see another release's metric names, set only `metrics_version`",
            )),
            _ => Err(Problem::key("vllm", format!("`{vllm}` is not a release of vLLM"))
                .help("such as `vllm = \"0.32\"`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_recorded_release_is_accepted() {
        for right in ["0.32", "0.32.0", "v0.32.1"] {
            assert_eq!(Release::parse(right), Ok(Release::V0_32), "{right}");
        }
        for (wrong, part) in [
            ("0.31", "not implemented"),
            ("0.8.5", "metrics_version"),
            ("1.32", "not implemented"),
            ("latest", "not a release"),
            ("0.32.0.1", "not a release"),
            ("0.32.x", "not a release"),
            ("", "not a release"),
        ] {
            let message = Release::parse(wrong).expect_err(wrong).to_string();
            assert!(message.contains(part), "{wrong}: {message}");
        }
    }
}
