//! One seed, named streams of random numbers.
//!
//! Each consumer draws from a stream of its own name (`"arrivals/chat"`, `"startup"`), so that adding a consumer never
//! shifts another's draws, and two policies that are compared under one seed see the same requests (common random
//! numbers). Within a name, [`NamedStream::at`] keys a stream by the entity's ordinal: what one request draws does not
//! depend on how many numbers the one before it used.

pub mod distribution;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

/// The streams of one run, all derived from its seed.
#[derive(Clone, Copy, Debug)]
pub struct Streams {
    seed: u64,
}

/// All the streams that share one name: one for each ordinal.
#[derive(Clone, Debug)]
pub struct NamedStream {
    key: [u8; 32],
}

/// A stream of random numbers: the same on every machine.
#[derive(Clone, Debug)]
pub struct Stream {
    rng: ChaCha8Rng,
}

impl Streams {
    /// The streams of `seed`.
    pub fn new(seed: u64) -> Self {
        Streams { seed }
    }

    /// The streams called `name`. Names are separated by `/` from general to particular.
    pub fn named(&self, name: &str) -> NamedStream {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_le_bytes());
        hash.update(name.as_bytes());
        NamedStream { key: hash.finalize().into() }
    }

    /// The one stream called `name`, for a consumer that draws in an order of its own.
    pub fn stream(&self, name: &str) -> Stream {
        self.named(name).at(0)
    }
}

impl NamedStream {
    /// The stream of the entity with this creation ordinal.
    pub fn at(&self, ordinal: u64) -> Stream {
        let mut rng = ChaCha8Rng::from_seed(self.key);
        rng.set_stream(ordinal);
        Stream { rng }
    }
}

impl Stream {
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Uniform in [0, 1): a multiple of 2^-53.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in (0, 1): never 0, for logarithms.
    pub fn open_unit(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in 0..bound without bias; `bound` must not be zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Lemire's method: the high half of a 128-bit product, redrawn in the short biased tail.
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.bits()) * u128::from(bound);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fixes_the_draws_and_an_ordinal_is_a_stream_of_its_own() {
        let streams = Streams::new(1);
        let (mut a, mut b) = (streams.stream("arrivals/chat"), streams.stream("arrivals/chat"));
        assert_eq!(a.bits(), b.bits());
        let named = streams.named("lengths");
        assert_ne!(named.at(0).bits(), named.at(1).bits());
        assert_ne!(
            Streams::new(2).stream("arrivals/chat").bits(),
            Streams::new(1).stream("arrivals/chat").bits()
        );
    }

    #[test]
    fn units_stay_inside_their_interval() {
        let mut s = Streams::new(7).stream("u");
        for _ in 0..10_000 {
            let (u, v, k) = (s.unit(), s.open_unit(), s.below(3));
            assert!((0.0..1.0).contains(&u) && v > 0.0 && v < 1.0 && k < 3);
        }
    }
}
