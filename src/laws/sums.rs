//! Sums over the lattice: in the order of chunks, whatever the number of threads, with the last partial chunk.

use crate::field::{Measure, SumKernel, for_each_summed, measure, num_threads, set_num_threads};

/// Numbers of very different size: another order of additions has other bits.
fn number(n: usize) -> f64 {
    (n as f64 + 0.3).sin() * 10f64.powi((n % 23) as i32 - 11)
}

struct Numbers;

impl Measure<f64> for Numbers {
    type Scratch = ();
    fn scratch(&self) {}
    fn at(&self, (): &mut (), vector: usize) -> f64 {
        number(vector)
    }
}

impl SumKernel<f64, f64> for Numbers {
    type Scratch = ();
    fn scratch(&self) {}
    fn at(&self, (): &mut (), sums: &mut [f64], vector: usize, items: &mut [f64]) {
        items[0] = number(vector);
        sums[0] += items[0];
        sums[1] += 1.0;
    }
}

/// Chunks of 32, each summed from its start, then added up in their order.
fn by_hand(count: usize) -> f64 {
    let numbers: Vec<f64> = (0..count).map(number).collect();
    numbers.chunks(32).map(|chunk| chunk.iter().sum::<f64>()).fold(0.0, |sum, x| sum + x)
}

#[test]
fn sums_have_one_order_on_any_number_of_threads() {
    let before = num_threads();
    for count in [1, 31, 32, 33, 42, 500, 4096, 4113] {
        let forward = by_hand(count);
        for threads in [1, 2, 3] {
            set_num_threads(threads).unwrap();
            assert_eq!(measure(&Numbers, count).1.to_bits(), forward.to_bits(), "{count} on {threads} threads");
            let sums = for_each_summed(&Numbers, 1, &mut vec![0.0; count], 2);
            assert_eq!(sums, [forward, count as f64], "{count} on {threads} threads");
        }
    }
    set_num_threads(before).unwrap();
}
