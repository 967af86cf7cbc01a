//! The threads that kernels run on: the only file that names rayon.
//!
//! A pool belongs to the process that started it: a forked child has the memory of its parent but none of its threads, so
//! it starts its own and leaves the dead pool and its lock alone. Rayon's global pool is never used.

use crate::error::{Error, Result};
use crate::interrupt;
use rayon::prelude::*;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

/// Largest number of threads.
pub const MAX_THREADS: usize = 1024;

/// Calls `work(n)` for all n below `count`; not generic, so that the thread pool's code is compiled once.
pub(super) fn in_parallel(parallel: bool, count: usize, work: &(dyn Fn(usize) + Sync)) {
    if !parallel || count < 2 {
        (0..count).for_each(work);
    } else if rayon::current_thread_index().is_some() {
        (0..count).into_par_iter().for_each(work);
    } else if let Some(pool) = pool() {
        pool.install(|| (0..count).into_par_iter().for_each(work));
    } else {
        (0..count).for_each(work);
    }
}

/// `work(n)` for all n below `count`, in order; for tasks that are worth a thread each.
pub fn map<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    map_tasks((0..count).collect(), work)
}

/// `work(task)` for all tasks, in order; a task may own a piece of a buffer to be written.
pub fn map_tasks<A: Send, T: Send>(tasks: Vec<A>, work: impl Fn(A) -> T + Sync) -> Vec<T> {
    let slots: Vec<_> = tasks.into_iter().map(|task| Mutex::new((Some(task), None))).collect();
    let stop = interrupt::Stop::of_this_thread();
    in_parallel(true, slots.len(), &|n| {
        let slot = &mut *slots[n].lock().unwrap_or_else(PoisonError::into_inner);
        let mut task = || slot.0.take().map(&work);
        slot.1 = match &stop {
            Some(stop) => stop.heard_in(task),
            None => task(),
        };
    });
    slots.into_iter().filter_map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner).1).collect()
}

/// `work(n, piece)` for the pieces of `size` numbers that `data` is cut into.
pub fn by_pieces<T: Send>(data: &mut [T], size: usize, work: impl Fn(usize, &mut [T]) + Sync) {
    map_tasks(data.chunks_mut(size).enumerate().collect(), |(n, piece)| work(n, piece));
}

/// Runs `work` on a thread of the pool, so that many small loops in it do not pay for the way in one by one.
///
/// The calling thread goes on listening: [`interrupt::poll`] inside `work` answers what it hears.
pub fn inside<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let (mut work, mut result) = (Some(work), None);
    listening(&mut || result = work.take().map(|work| work()))?;
    result.unwrap_or(Err(Error::Interrupted))
}

/// Not generic, so that channels and jobs are compiled once.
fn listening(work: &mut (dyn FnMut() + Send)) -> Result<()> {
    let Some(pool) = pool().filter(|_| rayon::current_thread_index().is_none()) else {
        work();
        return Ok(());
    };
    let stop = interrupt::Stop::default();
    let (done, finished) = channel();
    pool.in_place_scope(|scope| {
        let relayed = stop.clone();
        scope.spawn(move |_| {
            relayed.heard_in(work);
            let _ = done.send(());
        });
        let mut heard = Ok(());
        loop {
            match finished.recv_timeout(interrupt::INTERVAL) {
                Ok(()) => return heard,
                Err(RecvTimeoutError::Timeout) if heard.is_ok() => {
                    heard = interrupt::poll().inspect_err(|_| stop.set());
                }
                Err(RecvTimeoutError::Timeout) => {}
                // The work panicked: leaving the scope passes the panic on.
                Err(RecvTimeoutError::Disconnected) => return Err(Error::Interrupted),
            }
        }
    })
}

/// The threads of one process, and then of the child that was forked from it.
#[derive(Default)]
struct Generation {
    process: OnceLock<u32>,
    setting: RwLock<Option<Setting>>,
    child: OnceLock<Box<Generation>>,
}

static FIRST: Generation = Generation { process: OnceLock::new(), setting: RwLock::new(None), child: OnceLock::new() };

impl Generation {
    /// That of this process; locks of earlier ones, which a thread that is gone may hold, are not touched.
    fn current() -> &'static Self {
        let process = std::process::id();
        let mut generation = &FIRST;
        while *generation.process.get_or_init(|| process) != process {
            generation = generation.child.get_or_init(Box::default);
        }
        generation
    }
}

#[derive(Clone)]
struct Setting {
    threads: usize,
    pool: Option<Arc<rayon::ThreadPool>>,
}

fn build(threads: usize) -> Result<Setting> {
    let pool = match threads {
        1 => None,
        n => Some(rayon::ThreadPoolBuilder::new().num_threads(n).build()),
    };
    let pool = pool.transpose().map_err(|e| Error::value(format!("cannot start {threads} threads: {e}")))?;
    Ok(Setting { threads, pool: pool.map(Arc::new) })
}

fn setting() -> Setting {
    let place = &Generation::current().setting;
    if let Some(setting) = &*place.read().unwrap_or_else(PoisonError::into_inner) {
        return setting.clone();
    }
    let setting = build(inherited().unwrap_or_else(|| wanted().0)).unwrap_or(Setting { threads: 1, pool: None });
    place.write().unwrap_or_else(PoisonError::into_inner).get_or_insert(setting).clone()
}

/// What [`set_num_threads`] said last, also in the parent of this process.
static CHOSEN: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

fn inherited() -> Option<usize> {
    Some(CHOSEN.load(std::sync::atomic::Ordering::Relaxed)).filter(|&n| n > 0)
}

/// `RAYON_NUM_THREADS` or the number of cores, and what is wrong with the variable.
fn wanted() -> (usize, Option<String>) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    read_number(std::env::var("RAYON_NUM_THREADS").ok().as_deref(), cores)
}

fn read_number(text: Option<&str>, cores: usize) -> (usize, Option<String>) {
    let text = text.map_or("", str::trim);
    match text.parse() {
        Ok(0) => (cores, None),
        Ok(n) if n <= MAX_THREADS => (n, None),
        _ if text.is_empty() => (cores, None),
        _ => {
            let allowed = format!("allowed are 1 to {MAX_THREADS}, or 0 for all cores");
            (cores, Some(format!("RAYON_NUM_THREADS = {text:?} is ignored: {allowed}; {cores} threads are used")))
        }
    }
}

/// What is wrong with `RAYON_NUM_THREADS`, if anything: to be said once by whoever has a user.
pub fn complaint() -> Option<String> {
    wanted().1
}

fn pool() -> Option<Arc<rayon::ThreadPool>> {
    setting().pool
}

/// Number of threads that kernels use: `RAYON_NUM_THREADS`, or all cores.
pub fn num_threads() -> usize {
    setting().threads
}

/// Sets the number of threads (1 to 1024) of kernels that start from now on.
pub fn set_num_threads(threads: usize) -> Result<()> {
    if !(1..=MAX_THREADS).contains(&threads) {
        return Err(Error::value(format!("number of threads is {threads}; allowed are 1 to {MAX_THREADS}")));
    }
    let setting = build(threads)?;
    *Generation::current().setting.write().unwrap_or_else(PoisonError::into_inner) = Some(setting);
    CHOSEN.store(threads, std::sync::atomic::Ordering::Relaxed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_checked() {
        assert_eq!(read_number(None, 3), (3, None));
        assert_eq!(read_number(Some("0"), 3), (3, None));
        assert_eq!(read_number(Some(" 1024"), 3), (1024, None));
        for text in ["1025", "20000", "-1", "two", "99999999999999999999999"] {
            let (threads, complaint) = read_number(Some(text), 3);
            assert!(threads == 3 && complaint.is_some_and(|c| c.contains(text) && c.contains("1 to 1024")));
        }
    }

    #[test]
    fn tasks_keep_their_order_and_their_pieces() {
        assert_eq!(map(1000, |n| n * n), (0..1000).map(|n| n * n).collect::<Vec<_>>());
        let mut data = vec![0; 103];
        by_pieces(&mut data, 10, |n, piece| piece.iter_mut().enumerate().for_each(|(k, x)| *x = 10 * n + k));
        assert_eq!(data, (0..103).collect::<Vec<_>>());
    }

    /// The thread that works hears what the thread that waits is told.
    #[test]
    fn work_on_the_pool_hears_the_calling_thread() {
        let refuse = || Err(Error::value("stop"));
        let endless = || loop {
            interrupt::poll()?;
            std::thread::sleep(std::time::Duration::from_millis(1));
        };
        let result: Result<()> = interrupt::with_poll(refuse, || inside(endless));
        assert!(result.is_err_and(|e| e.to_string() == "stop"));
    }
}
