//! How a command reaches the store: through the running server, or, when there is none, by opening it.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use admin::control::{CallError, Commands as _, Request, call};
use anyhow::Context as _;
use runtime::Runtime;
use serde_json::Value;
use settings::Settings;

use crate::acts::Acts;
use crate::limits::{
    COMMAND_WORKERS, PROGRESS_PAUSE, STARTING_PATIENCE, STARTING_PAUSE, STOP_TIMEOUT,
};
use crate::place;
use crate::store::{FolderInUse, Store};

/// Carries out one act on the system that the configuration names.
pub(crate) fn ask(config: Option<&Path>, request: Request) -> anyhow::Result<Value> {
    let mut answers = ask_all(config, vec![request])?;
    answers.pop().context("an act gave no answer")
}

/// Carries out an act that may take long; meanwhile `tell` is given each new answer of the act `progress`.
pub(crate) fn ask_watched(
    config: Option<&Path>,
    request: Request,
    progress: &str,
    tell: impl Fn(&Value),
) -> anyhow::Result<Value> {
    let watch = Watch {
        request: Request {
            command: progress.to_owned(),
            args: Value::Null,
        },
        tell: &tell,
    };
    let mut answers = ask_with(config, vec![request], Some(&watch))?;
    answers.pop().context("an act gave no answer")
}

/// Carries out acts one after the other; the first that fails ends it.
pub(crate) fn ask_all(config: Option<&Path>, requests: Vec<Request>) -> anyhow::Result<Vec<Value>> {
    ask_with(config, requests, None)
}

/// Asks the running server again and again, with a pause between: `next` gets each
/// answer, the first time none, and gives the next question, until there is none.
pub(crate) fn ask_repeatedly(
    config: Option<&Path>,
    pause: Duration,
    mut next: impl FnMut(Option<Value>) -> anyhow::Result<Option<Request>>,
) -> anyhow::Result<()> {
    let settings = place::load(config)?;
    let executor =
        runtime::process::build(Some(COMMAND_WORKERS)).context("cannot start threads")?;
    let runtime = executor.runtime();
    let asked = executor.block_on(async {
        let mut question = next(None)?;
        while let Some(request) = question {
            let answer = call(&settings.general.data_dir, &request).await?;
            runtime.sleep(pause).await;
            question = next(Some(answer))?;
        }
        Ok(())
    });
    executor.stop(STOP_TIMEOUT);
    asked
}

/// Who wants to know how far an act is.
struct Watch<'a> {
    request: Request,
    tell: &'a dyn Fn(&Value),
}

fn ask_with(
    config: Option<&Path>,
    requests: Vec<Request>,
    watch: Option<&Watch<'_>>,
) -> anyhow::Result<Vec<Value>> {
    let settings = place::load(config)?;
    let executor =
        runtime::process::build(Some(COMMAND_WORKERS)).context("cannot start threads")?;
    let runtime = executor.runtime();
    let answers = executor.block_on(Box::pin(ask_settings(&settings, &runtime, requests, watch)));
    executor.stop(STOP_TIMEOUT);
    answers
}

async fn ask_settings(
    settings: &Settings,
    runtime: &Runtime,
    requests: Vec<Request>,
    watch: Option<&Watch<'_>>,
) -> anyhow::Result<Vec<Value>> {
    let mut answers = Vec::with_capacity(requests.len());
    let mut opened: Option<Arc<Store>> = None;
    let mut result = Ok(());
    for request in requests {
        match ask_one(settings, runtime, &mut opened, request, watch).await {
            Ok(answer) => answers.push(answer),
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    if let Some(store) = opened {
        store.close().await;
    }
    result.map(|()| answers)
}

async fn ask_one(
    settings: &Settings,
    runtime: &Runtime,
    opened: &mut Option<Arc<Store>>,
    request: Request,
    watch: Option<&Watch<'_>>,
) -> anyhow::Result<Value> {
    let data_dir = &settings.general.data_dir;
    if opened.is_none() {
        let patience = runtime.monotonic().after(STARTING_PATIENCE);
        loop {
            let look = async |request: &Request| call(data_dir, request).await.ok();
            match watched(runtime, call(data_dir, &request), watch, look).await {
                Ok(answer) => return Ok(answer),
                Err(CallError::NotRunning) => {}
                Err(CallError::Failed(error)) => return Err(error.into()),
                Err(error) => return Err(error.into()),
            }
            match Store::open(settings, runtime).await {
                Ok(store) => {
                    *opened = Some(Arc::new(store));
                    break;
                }
                // A server that is just starting, or ending: it will answer, or be gone.
                Err(error) if error.is::<FolderInUse>() && runtime.monotonic() < patience => {
                    runtime.sleep(STARTING_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
    let store = opened.as_ref().context("the store is open")?;
    let acts = Acts::new(store.clone());
    let look = async |request: &Request| acts.run(request.clone()).await.ok();
    Ok(watched(runtime, acts.run(request), watch, look).await?)
}

/// Waits for an act; now and then looks how far it is.
async fn watched<T>(
    runtime: &Runtime,
    act: impl Future<Output = T>,
    watch: Option<&Watch<'_>>,
    look: impl AsyncFn(&Request) -> Option<Value>,
) -> T {
    let Some(watch) = watch else {
        return act.await;
    };
    let looking = async {
        let mut last = Value::Null;
        loop {
            runtime.sleep(PROGRESS_PAUSE).await;
            if let Some(step) = look(&watch.request).await
                && step != last
            {
                (watch.tell)(&step);
                last = step;
            }
        }
    };
    tokio::select! {
        done = act => done,
        () = looking => std::future::pending().await,
    }
}
