//! The end in good order: HTTP first, then links and shards, then checkpoints. Every core does each step and waits
//! for the others before the next.

use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::http::Server;
use stentor_core::{
    mesh::{Full, Sender},
    node::NodeEvent,
};

use super::core::{Core, ToCore};
use crate::host::executor;

/// Time limit for requests that are under way when the end begins.
const DOORS: Duration = Duration::from_secs(2);
/// Time between two looks, only while ending.
const LOOK: Duration = Duration::from_millis(10);

/// How many cores have finished each step.
#[derive(Clone, Debug)]
pub struct Steps {
    cores: usize,
    through: Arc<[AtomicUsize; 4]>,
}

impl Steps {
    /// No core has finished a step.
    pub fn new(cores: usize) -> Self {
        Self { cores, through: Arc::default() }
    }

    async fn together(&self, step: usize) {
        self.through[step].fetch_add(1, Ordering::AcqRel);
        while self.through[step].load(Ordering::Acquire) < self.cores {
            executor::sleep(LOOK).await;
        }
    }
}

/// Ends one core. Attempts that the carrier has not answered `drain_ns` after the beginning are in doubt; everything else is
/// settled or back in its queue.
pub async fn end(core: Rc<Core>, server: Rc<Server>, own: Sender<ToCore>, steps: Steps, drain_ns: u64) {
    let give_up = executor::now().mono.after_ns(drain_ns);
    let cut = server.drain(DOORS).await;
    if cut > 0 {
        tracing::warn!(cut, "requests cut off at the end");
    }
    steps.together(0).await;
    tell(&own, NodeEvent::Drain).await;
    let mut stopped = false;
    while !core.is_drained() {
        if !stopped && executor::now().mono >= give_up {
            tracing::warn!("carriers have not answered every attempt; the rest is in doubt");
            tell(&own, NodeEvent::Stop).await;
            stopped = true;
        }
        executor::sleep(LOOK).await;
    }
    steps.together(1).await;
    tell(&own, NodeEvent::Seal).await;
    while !core.is_sealed() {
        executor::sleep(LOOK).await;
    }
    steps.together(2).await;
    tell(&own, NodeEvent::End).await;
}

async fn tell(to: &Sender<ToCore>, what: NodeEvent) {
    let mut what = ToCore::Node(what);
    while let Err(Full(back)) = to.try_push(what) {
        what = back;
        executor::sleep(LOOK).await;
    }
}
