//! Executors on io_uring, by glommio: everything that glommio 0.9.0 demands beside sockets (`net/uring.rs`).
//!
//! - A cancelled task leaks about 105 bytes: [`spawn`] detaches, gives no handle, and so nothing can cancel it; races
//!   happen between futures inside one task.
//! - A panic inside a task would end its executor silently: tasks come here guarded.
//! - More than 32,767 wakers of one task panic: never join over messages; one completion per batch.
//! - It falls asleep with tasks that are ready, without a timer, when its thread got no CPU for [`LOOK`] at the wrong moment
//!   (`run_task_queues` takes "preempt" for "nothing to run"): the heartbeat has timers behind it that wake it again.
//! - Sockets and timers are looked at only when no task is ready, or when a timer says so: [`LOOK`].
//! - A wake-up from another thread can be late when it meets the executor falling asleep: the heartbeat bounds that.

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

/// Why one did not start or did not end well.
pub(super) type Failure = GlommioError<()>;
/// One that runs.
pub(super) type Running = ExecutorJoinHandle<()>;

/// Timers behind each heartbeat, ms after it: the first soon, and so many that never all of them pass unseen.
const GUARDS_MS: [u64; 12] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048];

/// Starts a thread that turns for as long as the future that `main` makes there.
pub(super) fn start<M, F>(core: CoreId, cpu: Option<usize>, main: M) -> Result<Running, Failure>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output = ()> + 'static,
{
    // Where /sys is not mounted, as in a bare chroot, glommio cannot pin an executor, and panics over it.
    let cpu = cpu.filter(|_| CpuSet::online().is_ok());
    LocalExecutorBuilder::new(cpu.map_or(Placement::Unbound, Placement::Fixed))
        .name(&format!("core-{}", core.0))
        .io_memory(IO_MEMORY)
        .ring_depth(RING_DEPTH as usize)
        .spin_before_park(Duration::ZERO)
        .preempt_timer(LOOK)
        .spawn(main)
}

/// Runs `task`, polled once here, to its end.
pub(super) fn spawn(task: impl Future<Output = ()> + 'static) {
    drop(glommio::spawn_local(task).detach());
}

/// Ends after `duration` or about 0.1 ms later.
pub(super) async fn sleep(duration: Duration) {
    glommio::timer::sleep(duration).await;
}

/// Ends after [`HEARTBEAT`]. While it has ended and its task has not run yet, further timers stand behind it: an executor that
/// falls asleep with tasks that are ready (see the head of this file) is woken by the next of them.
pub(super) async fn beat() {
    let mut guards = GUARDS_MS.map(|ms| Timer::new(HEARTBEAT + Duration::from_millis(ms)));
    let mut beat = Timer::new(HEARTBEAT);
    let mut is_armed = false;
    poll_fn(|context| {
        if !std::mem::replace(&mut is_armed, true) {
            for guard in &mut guards {
                // Armed by being asked.
                let _ = Pin::new(guard).poll(context);
            }
        }
        Pin::new(&mut beat).poll(context).map(drop)
    })
    .await;
}
