//! Prompts that begin with a text that others of their group begin with too: system prompts, documents.

use super::lengths::tokens;
use super::request::{ContentId, Segment};
use crate::problem::Problem;
use crate::random::distribution::{Distribution, Sampler};
use crate::random::{NamedStream, Stream, Streams};

/// Groups of requests that share a prefix, as a user writes them.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PrefixSpec {
    /// How many groups there are.
    groups: u64,
    /// How often each group is asked; equally often without it.
    popularity: Option<Popularity>,
    /// Length of a group's prefix: drawn once a group.
    tokens: Distribution,
}

/// The popularity of groups.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(tag = "dist", rename_all = "snake_case", deny_unknown_fields)]
enum Popularity {
    /// The k-th group is asked with a probability proportional to k^-s.
    Zipf { s: f64 },
    /// All alike.
    Uniform {},
}

/// The prefix groups of a class, ready to be drawn from.
#[derive(Clone, Debug)]
pub(super) struct Prefix {
    popularity: Sampler,
    tokens: Sampler,
    lengths: NamedStream,
    contents: u64,
}

impl PrefixSpec {
    /// The groups of the class called `class`.
    pub(super) fn groups(&self, class: &str, streams: &Streams) -> Result<Prefix, Problem> {
        let s = match self.popularity {
            Some(Popularity::Zipf { s }) => s,
            Some(Popularity::Uniform {}) | None => 0.0,
        };
        let popularity =
            Distribution::zipf(s, self.groups).sampler().map_err(|problem| match &problem.place {
                crate::problem::Place::Key(key) if key == "n" => {
                    Problem::key("groups", format!("there are {} groups", self.groups))
                        .help("give 1 to 1,000,000 groups")
                }
                _ => problem.under("popularity"),
            })?;
        let tokens = self.tokens.sampler().map_err(|problem| problem.under("tokens"))?;
        if tokens.quantile(0.5) < 0.5 {
            return Err(Problem::key("tokens", "half of the prefixes would be empty")
                .help("a prefix has 1 token or more"));
        }
        let lengths = streams.named(&format!("prefix_tokens/{class}"));
        Ok(Prefix { popularity, tokens, lengths, contents: contents_key(streams, &format!("class/{class}")) })
    }
}

impl Prefix {
    /// The prefix of one request.
    pub(super) fn draw(&self, stream: &mut Stream) -> Segment {
        let group = self.popularity.sample(stream) as u64;
        let length = tokens(self.tokens.sample(&mut self.lengths.at(group)));
        Segment { content: ContentId(group ^ self.contents), tokens: length }
    }
}

/// Sets the contents of `owner` apart from those of others: ids that count from 0 are combined with it by exclusive or, so
/// ids of one owner never collide, and those of two owners only if their keys agree in all but the bits that they count in.
pub(super) fn contents_key(streams: &Streams, owner: &str) -> u64 {
    streams.stream(&format!("contents/{owner}")).bits()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn prefix(text: &str) -> Result<Prefix, Problem> {
        toml::from_str::<PrefixSpec>(text).expect(text).groups("chat", &Streams::new(1))
    }

    #[test]
    fn popularity_follows_zipf_and_each_group_has_one_length() {
        let text = "groups = 10\npopularity = { dist = 'zipf', s = 1.0 }\ntokens = { dist = 'uniform', min = 100, max = 900 }";
        let prefix = prefix(text).expect("the prefix is good");
        let stream = Streams::new(2).named("prefix");
        let mut seen: BTreeMap<ContentId, (u32, u32)> = BTreeMap::new();
        for i in 0..29_290 {
            let segment = prefix.draw(&mut stream.at(i));
            let entry = seen.entry(segment.content).or_insert((segment.tokens.get(), 0));
            assert_eq!(entry.0, segment.tokens.get(), "a group's prefix has one length");
            entry.1 += 1;
        }
        let mut counts: Vec<u32> = seen.values().map(|(_, count)| *count).collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        // The harmonic number of 10 is 2.929: 10,000 for the first, a k-th of it for the k-th.
        assert_eq!(counts.len(), 10);
        for (k, expected) in [(0, 10_000.0), (1, 5_000.0), (4, 2_000.0)] {
            assert!((f64::from(counts[k]) / expected - 1.0).abs() < 0.06, "{k}: {counts:?}");
        }
    }

    #[test]
    fn groups_that_cannot_be_are_refused() {
        let cases = [
            ("groups = 0\ntokens = { dist = 'constant', value = 5 }", "groups"),
            ("groups = 5\ntokens = { dist = 'constant', value = 0 }", "tokens"),
            ("groups = 5\ntokens = { dist = 'constant', value = nan }", "tokens.value"),
            (
                "groups = 5\ntokens = { dist = 'constant', value = 5 }\npopularity = { dist = 'zipf', s = -1.0 }",
                "popularity.s",
            ),
        ];
        for (text, key) in cases {
            assert_eq!(
                prefix(text).expect_err(text).place,
                crate::problem::Place::Key(key.to_owned()),
                "{text}"
            );
        }
    }
}
