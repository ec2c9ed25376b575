//! Owns [`Arrivals`]: a Poisson process over positions that can be read at any number, forwards and backwards, without being kept.
//!
//! The positions are cut into cells of `MEAN` expected messages. How many fall into a cell, and where, is drawn from the seed and the
//! cell's number alone: Poisson many, each anywhere in it. So any cell can be made again, and only one is in memory.

/// Expected messages of a cell: few enough to make one quickly, and `exp(-MEAN)` is still a normal number.
const MEAN: u32 = 64;
/// Bits of a random position within a cell.
const FRACTION_BITS: u32 = 53;

/// One cell of the process, and how many messages come before it.
#[derive(Debug, Clone)]
pub(super) struct Arrivals {
    seed: u64,
    /// Positions of a cell.
    cell_positions: u128,
    cell: u64,
    before: u64,
    /// Where the cell's messages are, from its beginning, in order.
    offsets: Vec<u128>,
}

impl Arrivals {
    /// A process with `unit` positions to a message in the mean.
    pub(super) fn new(seed: u64, unit: u128) -> Self {
        let cell_positions = unit * u128::from(MEAN);
        let mut arrivals = Self { seed, cell_positions, cell: 0, before: 0, offsets: Vec::new() };
        arrivals.draw();
        arrivals
    }

    /// Where message `number` is.
    pub(super) fn position(&mut self, number: u64) -> u128 {
        while number < self.before {
            self.back();
        }
        while number - self.before >= self.offsets.len() as u64 {
            self.forward();
        }
        u128::from(self.cell) * self.cell_positions + self.offsets[(number - self.before) as usize]
    }

    /// How many messages lie before `position`.
    pub(super) fn count(&mut self, position: u128) -> u64 {
        let (cell, offset) = ((position / self.cell_positions) as u64, position % self.cell_positions);
        while cell < self.cell {
            self.back();
        }
        while cell > self.cell {
            self.forward();
        }
        self.before + self.offsets.partition_point(|at| *at < offset) as u64
    }

    fn forward(&mut self) {
        self.before += self.offsets.len() as u64;
        self.cell += 1;
        self.draw();
    }

    fn back(&mut self) {
        self.cell -= 1;
        self.draw();
        self.before -= self.offsets.len() as u64;
    }

    fn draw(&mut self) {
        let mut random = fastrand::Rng::with_seed(mix(self.seed, self.cell));
        let (mut product, bound) = (1.0, (-f64::from(MEAN)).exp());
        self.offsets.clear();
        loop {
            product *= random.f64();
            if product <= bound {
                break;
            }
            let fraction = random.u64(..1 << FRACTION_BITS);
            self.offsets.push((self.cell_positions * u128::from(fraction)) >> FRACTION_BITS);
        }
        self.offsets.sort_unstable();
    }
}

/// A seed for each cell: neighbours must not resemble each other, which a sum would let through (splitmix64).
fn mix(seed: u64, cell: u64) -> u64 {
    let mut mixed = seed ^ cell.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: u128 = 1_000_000;

    #[test]
    fn any_message_is_found_again_from_both_sides() {
        let mut arrivals = Arrivals::new(7, UNIT);
        let there: Vec<u128> = (0..5_000).map(|number| arrivals.position(number)).collect();
        assert!(there.is_sorted());
        for number in [4_999, 0, 2_500, 63, 64, 65, 4_998] {
            assert_eq!(arrivals.position(number), there[number as usize]);
        }
        let distinct = |number: usize| there[number] != there[number + 1];
        for number in (0..4_990).filter(|number| distinct(*number)) {
            assert_eq!(arrivals.count(there[number] + 1), number as u64 + 1);
        }
        assert_ne!(there, (0..5_000).map(|number| Arrivals::new(8, UNIT).position(number)).collect::<Vec<_>>());
    }

    /// The gaps of a Poisson process are exponential: mean and deviation are both one unit, and a share of exp(-1) exceeds it.
    #[test]
    fn gaps_are_exponential_and_neighbours_are_independent() {
        let mut arrivals = Arrivals::new(1, UNIT);
        let positions: Vec<f64> = (0..100_000).map(|number| arrivals.position(number) as f64 / UNIT as f64).collect();
        let gaps: Vec<f64> = positions.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let count = gaps.len() as f64;
        let mean = gaps.iter().sum::<f64>() / count;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count;
        let beyond = gaps.iter().filter(|gap| **gap > 1.0).count() as f64 / count;
        let together = gaps.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum::<f64>() / count;
        assert!((mean - 1.0).abs() < 0.02, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.04, "variance {variance}");
        assert!((beyond - (-1.0_f64).exp()).abs() < 0.005, "beyond the mean {beyond}");
        assert!(together.abs() < 0.01, "covariance {together}");
    }
}
