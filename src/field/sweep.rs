//! Loops over site vectors: chunks of fixed size, worked on by any number of threads, sums in a fixed order.
//!
//! Results do not depend on the number of threads.

use super::threads::{in_parallel, inside};
use crate::error::Result;
use crate::lattice::Lattice;
use crate::number::{Real, Work};
use std::sync::{Mutex, PoisonError};

/// Site vectors per chunk; also the granularity of ordered sums. One costs some 50 ns, which short vectors feel.
const fn chunk<R: Real>() -> usize {
    if R::LANES > 1 && size_of::<R::Value>() < 64 { 64 } else { 32 }
}

// Waking the other threads costs about ten microseconds, and milliseconds where other processes hold the cores; loops that are not
// worth it stay on the calling thread.
const SCALAR_BYTES: usize = 16 << 10;
const LANE_BYTES: usize = 160 << 10;
const MANY_CHUNKS: usize = 16;

fn is_lots<R: Real>(bytes: usize, chunks: usize) -> bool {
    chunks >= MANY_CHUNKS || bytes >= if R::LANES == 1 { SCALAR_BYTES } else { LANE_BYTES }
}

/// Runs work made of many loops over these items, some for each site vector, on a thread of the pool, if the loops are for several
/// threads: the way in of every single one would cost as much as a loop at 8^4.
pub fn inside_for<R: Real, T: Send, Item>(
    items: &[Item],
    per_site: usize,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    let chunks = items.len().div_ceil(chunk::<R>() * per_site.max(1));
    if is_lots::<R>(size_of_val(items), chunks) { inside(work) } else { work() }
}

/// `n` zeros that nobody has written: large blocks come from the system, and the threads of a kernel touch them first.
pub fn zeros<T: bytemuck::Zeroable>(n: usize) -> Vec<T> {
    bytemuck::zeroed_vec(n)
}

/// A function of one site vector that is compiled for the instruction set of `R`; `at` is always inlined.
///
/// `Item` is what belongs to a site vector (one or several), to be rewritten.
pub trait SiteKernel<R: Real, Item>: Sync {
    /// Working memory, one per chunk.
    type Scratch;
    /// Makes working memory.
    fn scratch(&self) -> Self::Scratch;
    /// Rewrites the items of site vector `vector`; what it returns is summed over the lattice.
    fn at(&self, scratch: &mut Self::Scratch, vector: usize, items: &mut [Item]) -> R;
    /// Called where a chunk is done.
    #[inline(always)]
    fn done(&self) {}
}

struct Chunk<'a, R, Item, K> {
    kernel: &'a K,
    start: usize,
    per_site: usize,
    items: &'a mut [Item],
    real: std::marker::PhantomData<R>,
}

impl<R: Real, Item, K: SiteKernel<R, Item>> Work for Chunk<'_, R, Item, K> {
    type Output = R::Total;
    #[inline(always)]
    fn run(self) -> R::Total {
        let mut sum = R::zero();
        let mut scratch = self.kernel.scratch();
        for (n, items) in self.items.chunks_exact_mut(self.per_site).enumerate() {
            sum += self.kernel.at(&mut scratch, self.start + n, items);
        }
        self.kernel.done();
        sum.total()
    }
}

/// Runs the kernel over all site vectors, each with its `per_site` items; returns the sum over sites of what it returned.
pub fn for_each<R, Item, K>(kernel: &K, per_site: usize, items: &mut [Item]) -> R::Total
where
    R: Real,
    Item: Send,
    K: SiteKernel<R, Item>,
{
    let sums = by_chunks::<R, _, _>(per_site, items, &|start, items| {
        R::vectorize(Chunk { kernel, start, per_site, items, real: std::marker::PhantomData })
    });
    add_up(sums.into_iter())
}

/// A function of one item that needs no neighbours, no memory and no sum; `at` is always inlined.
///
/// A trait and not a closure: a closure is compiled without the instruction set of `R` (70 times slower for the link update).
pub trait ItemKernel<Item>: Sync {
    /// Rewrites item number `n`.
    fn at(&self, n: usize, item: &mut Item);
}

struct Each<'a, K>(&'a K);

impl<R: Real, Item, K: ItemKernel<Item>> SiteKernel<R, Item> for Each<'_, K> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, items: &mut [Item]) -> R {
        let first = vector * items.len();
        for (n, item) in items.iter_mut().enumerate() {
            self.0.at(first + n, item);
        }
        R::zero()
    }
}

/// Runs the kernel over all items, `per_site` of them for each site vector.
pub fn update<R: Real, Item: Send>(kernel: &impl ItemKernel<Item>, per_site: usize, items: &mut [Item]) {
    for_each::<R, _, _>(&Each(kernel), per_site, items);
}

/// A function of the items of one site vector in two arrays.
pub trait PairKernel<Item>: Sync {
    /// Rewrites the items of site vector `vector`.
    fn at(&self, vector: usize, first: &mut [Item], second: &mut [Item]);
}

struct PairChunk<'a, Item, K> {
    kernel: &'a K,
    start: usize,
    per_site: usize,
    items: [&'a mut [Item]; 2],
}

impl<Item, K: PairKernel<Item>> Work for PairChunk<'_, Item, K> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let [first, second] = self.items;
        let pairs = first.chunks_exact_mut(self.per_site).zip(second.chunks_exact_mut(self.per_site));
        for (n, (first, second)) in pairs.enumerate() {
            self.kernel.at(self.start + n, first, second);
        }
    }
}

/// Runs the kernel over all site vectors of two arrays of the same size.
pub fn update_both<R, Item, K>(kernel: &K, per_site: usize, items: [&mut [Item]; 2])
where
    R: Real,
    Item: Send,
    K: PairKernel<Item>,
{
    let size = size_of_val(items[0]) + size_of_val(items[1]);
    let [first, second] = items.map(|items| items.chunks_mut(chunk::<R>() * per_site));
    in_chunks::<R, _, _>(first.zip(second), size, &|start, (first, second)| {
        R::vectorize(PairChunk { kernel, start, per_site, items: [first, second] });
    });
}

/// What `work(first site vector, items)` returns for each chunk of site vectors, in order.
fn by_chunks<R, Item, T>(per_site: usize, items: &mut [Item], work: &(dyn Fn(usize, &mut [Item]) -> T + Sync)) -> Vec<T>
where
    R: Real,
    Item: Send,
    T: Send,
{
    let size = size_of_val(items);
    in_chunks::<R, _, _>(items.chunks_mut(chunk::<R>() * per_site), size, &|start, items| work(start, items))
}

/// The same for pieces of any kind, one for each chunk, of `size` bytes together.
fn in_chunks<R: Real, P: Send, T: Send>(
    pieces: impl Iterator<Item = P>,
    size: usize,
    work: &(dyn Fn(usize, &mut P) -> T + Sync),
) -> Vec<T> {
    let chunks: Vec<_> = pieces.map(|piece| Mutex::new((piece, None))).collect();
    let parallel = is_lots::<R>(size, chunks.len());
    in_parallel(parallel, chunks.len(), &|n| {
        let (piece, result) = &mut *chunks[n].lock().unwrap_or_else(PoisonError::into_inner);
        *result = Some(work(n * chunk::<R>(), piece));
    });
    chunks.into_iter().filter_map(|chunk| chunk.into_inner().unwrap_or_else(PoisonError::into_inner).1).collect()
}

/// A kernel that rewrites items and adds to several sums over the lattice, for example the gradient of many parameters.
pub trait SumKernel<R: Real, Item>: Sync {
    /// Working memory, one per chunk.
    type Scratch;
    /// Makes working memory.
    fn scratch(&self) -> Self::Scratch;
    /// Rewrites the items of site vector `vector` and adds to the sums.
    fn at(&self, scratch: &mut Self::Scratch, sums: &mut [R], vector: usize, items: &mut [Item]);
    /// Called where a chunk is done.
    #[inline(always)]
    fn done(&self) {}
}

struct SumChunk<'a, R, Item, K> {
    kernel: &'a K,
    start: usize,
    per_site: usize,
    items: &'a mut [Item],
    sums: Vec<R>,
}

impl<R: Real, Item, K: SumKernel<R, Item>> Work for SumChunk<'_, R, Item, K> {
    type Output = Vec<R::Total>;
    #[inline(always)]
    fn run(mut self) -> Vec<R::Total> {
        let mut scratch = self.kernel.scratch();
        for (n, items) in self.items.chunks_exact_mut(self.per_site).enumerate() {
            self.kernel.at(&mut scratch, &mut self.sums, self.start + n, items);
        }
        self.kernel.done();
        self.sums.into_iter().map(R::total).collect()
    }
}

/// Runs the kernel over all site vectors; returns its `sums` sums over sites.
pub fn for_each_summed<R, Item, K>(kernel: &K, per_site: usize, items: &mut [Item], sums: usize) -> Vec<R::Total>
where
    R: Real,
    Item: Send,
    K: SumKernel<R, Item>,
{
    let parts = by_chunks::<R, _, _>(per_site, items, &|start, items| {
        R::vectorize(SumChunk { kernel, start, per_site, items, sums: zeros(sums) })
    });
    let mut totals = vec![R::Total::zero(); sums];
    for part in parts {
        totals.iter_mut().zip(part).for_each(|(total, x)| *total += x);
    }
    totals
}

fn add_up<T: Real>(terms: impl Iterator<Item = T>) -> T {
    terms.fold(T::zero(), |sum, x| sum + x)
}

/// A kernel that only measures.
pub trait Measure<R: Real>: Sync {
    /// Working memory, one per chunk.
    type Scratch;
    /// Makes working memory.
    fn scratch(&self) -> Self::Scratch;
    /// The value on site vector `vector`.
    fn at(&self, scratch: &mut Self::Scratch, vector: usize) -> R;
}

struct Recorded<'a, M>(&'a M);

impl<R: Real, M: Measure<R>> SiteKernel<R, R> for Recorded<'_, M> {
    type Scratch = M::Scratch;
    #[inline(always)]
    fn scratch(&self) -> M::Scratch {
        self.0.scratch()
    }
    #[inline(always)]
    fn at(&self, scratch: &mut M::Scratch, vector: usize, items: &mut [R]) -> R {
        items[0] = self.0.at(scratch, vector);
        items[0]
    }
}

/// The value of a measurement on every site vector, with the ordered sum over sites.
pub fn measure<R: Real, M: Measure<R>>(kernel: &M, vectors: usize) -> (Vec<R>, R::Total) {
    let mut values = zeros(vectors);
    let sum = for_each::<R, R, _>(&Recorded(kernel), 1, &mut values);
    (values, sum)
}

/// Values of site vectors as values of sites, in C order.
pub fn by_site<R: Real>(lattice: &Lattice, values: &[R]) -> Vec<f64> {
    let mut sites = vec![0.0; lattice.volume()];
    for (vector, value) in values.iter().enumerate() {
        for lane in 0..R::LANES {
            sites[lattice.site(vector, lane) as usize] = value.lane(lane);
        }
    }
    sites
}
