//! Work for a few threads: what must be done inside namespaces is never done on the caller's thread, which stays where it
//! is, and creating or reading hundreds of namespaces takes less time on two processors.

use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread;

use raum_core::host::OpError;
use rustix::thread::sched_getaffinity;

use crate::errno;

/// Beyond this many the kernel's own locks (RTNL) leave nothing to win.
const THREADS: usize = 4;

/// Does something with each item, on threads of its own, and gives the results in order. A further thread is only made for
/// every `worth` items.
///
/// # Errors
/// No thread can be made; nothing has been done then.
pub(crate) fn spread<T: Send, R: Send>(
    items: Vec<T>,
    worth: usize,
    act: impl Fn(T) -> R + Sync,
) -> Result<Vec<R>, OpError> {
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let processors = sched_getaffinity(None).map_or(1, |set| usize::try_from(set.count()).unwrap_or(1));
    let threads = items.len().div_ceil(worth.max(1)).min(processors).clamp(1, THREADS);
    let mut results: Vec<Option<R>> = Vec::new();
    results.resize_with(items.len(), || None);
    let queue = Mutex::new(items.into_iter().zip(results.iter_mut()));
    thread::scope(|scope| {
        let work = || {
            loop {
                // a panic elsewhere leaves the queue as it is: sound
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((item, result)) = next else { return };
                *result = Some(act(item));
            }
        };
        let mut running = Vec::with_capacity(threads);
        for _ in 0..threads {
            match thread::Builder::new().name("raum-kernel".to_owned()).spawn_scoped(scope, work) {
                Ok(thread) => running.push(thread),
                Err(cause) if running.is_empty() => return Err(errno::at_io("a thread", &cause)),
                // fewer than hoped for
                Err(_) => break,
            }
        }
        for thread in running {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
        Ok(())
    })?;
    drop(queue);
    Ok(results.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..1000).collect();
        assert_eq!(spread(items.clone(), 1, |item| item * 2).unwrap(), items.iter().map(|i| i * 2).collect::<Vec<_>>());
        assert!(spread(Vec::<u8>::new(), 1, |item| item).unwrap().is_empty());
    }
}
