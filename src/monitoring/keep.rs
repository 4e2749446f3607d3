//! Which series a store keeps: all, or those that some query can read.
//!
//! A pod's page has some 400 series, of which a policy reads one or twenty. Dropping the others changes no answer, as
//! `metric_relabel_configs` with `action: keep` does it in a cluster (prometheus/prometheus model/relabel/relabel.go).

use super::labels::{Labels, METRIC_NAME};
use super::promql::{Matcher, Query};

/// How many samples the page of a target had, before any was dropped.
const PAGE_SIZE: &str = "scrape_samples_scraped";

/// Which series are kept.
#[derive(Clone, Debug, Default)]
pub enum Keep {
    /// All of them.
    #[default]
    All,
    /// Those that pass all matchers of one of these selectors, as far as their own labels say.
    Selected(Vec<Vec<Matcher>>),
}

impl Keep {
    /// What these queries can read. All where one of them reads how many samples a page has: the page must be whole then.
    pub fn read_by<'q>(queries: impl IntoIterator<Item = &'q Query>) -> Keep {
        let reads = queries.into_iter().flat_map(Query::reads);
        let selectors: Vec<Vec<Matcher>> = reads.map(|read| read.matchers.clone()).collect();
        let keep = Keep::Selected(selectors);
        if keep.wants(&Labels::metric(PAGE_SIZE)) { Keep::All } else { keep }
    }

    /// The places of the series that are kept among `columns`; `None` for all of them.
    pub(super) fn places(&self, columns: &[Labels]) -> Option<Box<[usize]>> {
        let Keep::Selected(_) = self else { return None };
        Some((0..columns.len()).filter(|&at| self.wants(&columns[at])).collect())
    }

    /// Whether a series with these labels of its own is kept. A label that it does not have may be its target's, so it does
    /// not count against it.
    pub fn wants(&self, own: &Labels) -> bool {
        let passes = |matcher: &Matcher| {
            let value = own.get(&matcher.name);
            (value.is_empty() && matcher.name != METRIC_NAME) || matcher.matches(value)
        };
        match self {
            Keep::All => true,
            Keep::Selected(selectors) => selectors.iter().any(|selector| selector.iter().all(passes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::promql::QueryOptions;
    use super::*;

    fn keep(queries: &[&str]) -> Keep {
        let compile = |text: &&str| Query::compile(text, QueryOptions::default()).expect(text);
        Keep::read_by(&queries.iter().map(compile).collect::<Vec<Query>>())
    }

    fn series(name: &str, reason: &str) -> Labels {
        Labels::new([(METRIC_NAME, name), ("engine", "0"), ("reason", reason)])
    }

    #[test]
    fn a_series_is_kept_unless_its_own_labels_exclude_it() {
        let keep = keep(&[
            r#"sum(waiting{reason="capacity", pod=~"a.*"}) / sum(rate(success[1m]))"#,
            r#"{__name__=~"up|kv_.*", engine!="1"}"#,
        ]);
        for (name, reason, wanted) in [
            ("waiting", "capacity", true),
            ("waiting", "deferred", false),
            ("waiting", "", true),
            ("success", "stop", true),
            ("up", "", true),
            ("kv_usage", "", true),
            ("running", "", false),
        ] {
            assert_eq!(keep.wants(&series(name, reason)), wanted, "{name} {reason}");
        }
    }

    #[test]
    fn without_queries_nothing_is_kept_and_the_size_of_a_page_takes_all_of_it() {
        assert!(!keep(&[]).wants(&series("up", "")));
        assert!(!keep(&["vector(1)"]).wants(&series("up", "")));
        for query in ["scrape_samples_scraped > 0", r#"{__name__=~"scrape_.*"}"#] {
            assert!(matches!(keep(&[query]), Keep::All), "{query}");
        }
    }
}
