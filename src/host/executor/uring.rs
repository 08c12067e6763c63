//! Executors on io_uring, by glommio: how to deal with the properties of glommio 0.9.0, except those of sockets
//! (`net/uring.rs`).
//!
//! - A cancelled task leaks about 105 bytes. So [`spawn`] detaches the task and returns no handle, so that it cannot be
//!   cancelled; races happen between futures in a task.
//! - A panic in a task would end its executor silently. So all tasks that are passed here catch their panics.
//! - More than 32,767 wakers of one task cause a panic. So never join futures of messages; use one completion per batch.
//! - An executor may fall asleep, without a timer, although tasks are ready: when its thread gets no CPU for [`LOOK`] at the
//!   wrong moment (`run_task_queues` takes "preempt" for "nothing to run"). So the heartbeat has further timers that wake it.
//! - Sockets and timers are checked only when no task is ready, or when a timer demands it: [`LOOK`].
//! - A wake-up from another thread can be late if the executor is just falling asleep; the heartbeat limits the delay.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    time::Duration,
};

use glommio::{CpuSet, ExecutorJoinHandle, GlommioError, LocalExecutorBuilder, Placement, timer::Timer};

use super::{
    super::probe::{IO_MEMORY, RING_DEPTH},
    HEARTBEAT, LOOK,
};
use stentor_core::mesh::CoreId;

/// Why an executor did not start, or how it failed.
pub(super) type Failure = GlommioError<()>;
/// A running executor.
pub(super) type Running = ExecutorJoinHandle<()>;

/// Times of the further timers after each heartbeat, in ms: the first soon after it, and enough of them that at least one
/// wakes the executor.
const GUARDS_MS: [u64; 12] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048];

/// Starts a thread that runs until the future that `main` makes on it has ended.
pub(super) fn start<M, F>(core: CoreId, cpu: Option<usize>, main: M) -> Result<Running, Failure>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output = ()> + 'static,
{
    // If /sys is not mounted, as in a bare chroot, glommio panics when it is asked to pin an executor.
    let cpu = cpu.filter(|_| CpuSet::online().is_ok());
    LocalExecutorBuilder::new(cpu.map_or(Placement::Unbound, Placement::Fixed))
        .name(&format!("core-{}", core.0))
        .io_memory(IO_MEMORY)
        .ring_depth(RING_DEPTH as usize)
        .spin_before_park(Duration::ZERO)
        .preempt_timer(LOOK)
        .spawn(main)
}

/// Runs `task` to its end; the first poll happens inside this call.
pub(super) fn spawn(task: impl Future<Output = ()> + 'static) {
    drop(glommio::spawn_local(task).detach());
}

/// Ends after `duration`, or about 0.1 ms later.
pub(super) async fn sleep(duration: Duration) {
    glommio::timer::sleep(duration).await;
}

/// Ends after [`HEARTBEAT`]. Further timers follow, until the heartbeat task runs: if the executor falls asleep although tasks
/// are ready (see the documentation of this module), the next of these timers wakes it.
pub(super) async fn beat() {
    let mut guards = GUARDS_MS.map(|ms| Timer::new(HEARTBEAT + Duration::from_millis(ms)));
    let mut beat = Timer::new(HEARTBEAT);
    let mut is_armed = false;
    poll_fn(|context| {
        if !std::mem::replace(&mut is_armed, true) {
            for guard in &mut guards {
                // The first poll starts the timer.
                let _ = Pin::new(guard).poll(context);
            }
        }
        Pin::new(&mut beat).poll(context).map(drop)
    })
    .await;
}
