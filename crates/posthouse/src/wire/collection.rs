//! The background task that gives space back: what nobody uses any more goes, and the journal shrinks.
//!
//! It takes small steps, rests some times as long as each took, and gives way while writers fill the disk. What it
//! does not do: decide what is dead. That is `blobs::collect`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use blobs::Blobs;
use blobs::collect::{Collector, Progress, Report};
use engine::{ShardId, SharedEngine};
use observe::Metrics;
use runtime::{Runtime, Task};
use settings::Settings;

use crate::limits::{
    COLLECT_GIVE_WAY, COLLECT_GIVE_WAY_MAX, COLLECT_INTERVAL, COLLECT_REST, COLLECT_REST_MAX,
};
use crate::store::Store;

/// Starts the task, if the settings want it; it ends with the drain.
pub(super) fn start(
    settings: &Settings,
    runtime: &Runtime,
    store: &Arc<Store>,
    metrics: &Metrics,
) -> Option<Task<()>> {
    if !settings.store.collect {
        return None;
    }
    let grace = settings.store.collect_grace;
    let engine: SharedEngine = store.engine.clone();
    let collection = Collection::new(runtime, engine, &store.blobs, grace);
    collection.watch(metrics);
    Some(runtime.spawn("collection", collection.run()))
}

/// The collectors of all shards.
struct Collection {
    runtime: Runtime,
    engine: SharedEngine,
    collectors: Vec<Collector>,
    reports: Arc<Mutex<Vec<Report>>>,
    interval: Duration,
}

impl Collection {
    fn new(runtime: &Runtime, engine: SharedEngine, blobs: &Blobs, grace: Duration) -> Self {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let collectors: Vec<_> = (0..engine.shards())
            .map(|shard| Collector::new(blobs.clone(), ShardId(shard), grace_ms))
            .collect();
        Self {
            runtime: runtime.clone(),
            engine,
            reports: Arc::new(Mutex::new(vec![Report::default(); collectors.len()])),
            collectors,
            interval: COLLECT_INTERVAL.min(grace),
        }
    }

    fn watch(&self, metrics: &Metrics) {
        let sum = |read: fn(&Report) -> u64| {
            let reports = Arc::clone(&self.reports);
            move || {
                let reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
                reports.iter().map(read).sum()
            }
        };
        metrics.watch_gauge(
            "store_dead_bytes",
            "Dead bytes in sealed segments, when they were last counted",
            sum(|report| report.dead_bytes),
        );
        metrics.watch_counter(
            "store_bodies_deleted",
            "Message bodies deleted because nobody used them",
            sum(|report| report.deleted),
        );
        metrics.watch_counter(
            "store_collected_bytes",
            "Bytes of segments that were freed",
            sum(|report| report.freed_bytes),
        );
        metrics.watch_counter(
            "store_moved_bytes",
            "Bytes of live bodies that collection moved",
            sum(|report| report.moved_bytes),
        );
    }

    async fn run(mut self) {
        let shutdown = self.runtime.shutdown();
        while !shutdown.is_draining() {
            self.round().await;
            self.wait(self.interval).await;
        }
    }

    /// Collects every shard until there is nothing more to do, or the drain.
    async fn round(&mut self) {
        for at in 0..self.collectors.len() {
            let before = self.collectors[at].report();
            while let Some(pause) = self.step(at).await {
                self.wait(pause).await;
                self.give_way().await;
                if self.runtime.shutdown().is_draining() {
                    return;
                }
            }
            let report = self.collectors[at].report();
            if report.freed > before.freed {
                tracing::info!(
                    shard = at,
                    freed_bytes = report.freed_bytes - before.freed_bytes,
                    moved_bytes = report.moved_bytes - before.moved_bytes,
                    deleted = report.deleted - before.deleted,
                    "space was given back"
                );
            }
        }
    }

    /// Takes a step; how long to wait before the next, `None` when nothing is left to do.
    async fn step(&mut self, at: usize) -> Option<Duration> {
        let mut collector = self.collectors.remove(at);
        let now_ms = self.runtime.now().unix_ms;
        let begun = self.runtime.monotonic();
        let work = move || {
            let result = collector.step(now_ms);
            (collector, result)
        };
        let (collector, result) = self.runtime.blocking(work).await;
        let took = self.runtime.monotonic().since(begun);
        let report = collector.report();
        self.collectors.insert(at, collector);
        if let Some(known) = self
            .reports
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_mut(at)
        {
            *known = report;
        }
        match result {
            Ok(Progress::More) => Some((took * COLLECT_REST).min(COLLECT_REST_MAX)),
            Ok(Progress::Waiting) => Some(COLLECT_GIVE_WAY),
            Ok(Progress::Rest) => None,
            Err(error) => {
                tracing::warn!(%error, "space is not collected for now");
                None
            }
        }
    }

    /// Waits while writers fill the disk, but not for ever.
    async fn give_way(&self) {
        for _ in 0..COLLECT_GIVE_WAY_MAX {
            if !self.engine.is_busy() || self.runtime.shutdown().is_draining() {
                return;
            }
            self.wait(COLLECT_GIVE_WAY).await;
        }
    }

    /// Waits, or until the drain.
    async fn wait(&self, time: Duration) {
        let shutdown = self.runtime.shutdown();
        let _ = self.runtime.timeout(time, shutdown.draining()).await;
    }
}

#[cfg(test)]
mod tests {
    use blobs::Owner;
    use engine::{Batch, MemoryEngine};

    use super::*;

    fn submit(engine: &SharedEngine, batch: Batch) {
        engine.submit(batch).expect("submit").done_blocking();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn rounds_give_the_space_of_every_shard_back() {
        let engine: SharedEngine = Arc::new(MemoryEngine::new(3));
        let blobs = Blobs::new(engine.clone());
        let metrics = Metrics::new();
        let mut collection =
            Collection::new(&Runtime::new(), engine.clone(), &blobs, Duration::ZERO);
        collection.watch(&metrics);
        for n in 0..90 {
            let shard = ShardId(u16::try_from(n % 3).expect("small"));
            let mut writer = blobs.writer(shard);
            writer
                .push(format!("message {n}").as_bytes())
                .expect("push");
            let mut blob = writer.finish().expect("finish");
            let mut batch = Batch::new();
            blobs.stage(&mut batch, &mut blob).expect("stage");
            blobs.link(&mut batch, shard, blob.id, Owner::Queue(n));
            submit(&engine, batch);
            let mut batch = Batch::new();
            blobs.unlink(&mut batch, shard, blob.id, Owner::Queue(n));
            submit(&engine, batch);
        }
        for _ in 0..3 {
            collection.round().await;
        }
        for shard in 0..3 {
            assert_eq!(engine.sealed_segments(ShardId(shard)), []);
        }
        let text = metrics.encode();
        assert!(
            text.contains("posthouse_store_bodies_deleted_total 90"),
            "{text}"
        );
    }
}
