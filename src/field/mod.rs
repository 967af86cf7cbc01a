//! Loops over site vectors and the threads they run on.

mod sweep;
mod threads;
mod vector;

pub use sweep::{
    ItemKernel, Measure, PairKernel, SiteKernel, SumKernel, by_site, for_each, for_each_summed, inside_for, measure,
    update, update_both, zeros,
};
pub use threads::{by_pieces, complaint, inside, map, map_tasks, num_threads, set_num_threads};
pub use vector::{Pool, Space, Vector};
