//! How a command reaches the store: through the running server, or, when there is none, by opening it.

use std::path::Path;
use std::sync::Arc;

use admin::control::{CallError, Commands as _, Request, call};
use anyhow::Context as _;
use runtime::Runtime;
use serde_json::Value;
use settings::Settings;

use crate::acts::Acts;
use crate::limits::{COMMAND_WORKERS, STARTING_PATIENCE, STARTING_PAUSE, STOP_TIMEOUT};
use crate::place;
use crate::store::{FolderInUse, Store};

/// Carries out one act on the system that the configuration names.
pub(crate) fn ask(config: Option<&Path>, request: Request) -> anyhow::Result<Value> {
    let mut answers = ask_all(config, vec![request])?;
    answers.pop().context("an act gave no answer")
}

/// Carries out acts one after the other; the first that fails ends it.
pub(crate) fn ask_all(config: Option<&Path>, requests: Vec<Request>) -> anyhow::Result<Vec<Value>> {
    let settings = place::load(config)?;
    let executor =
        runtime::process::build(Some(COMMAND_WORKERS)).context("cannot start threads")?;
    let runtime = executor.runtime();
    let answers = executor.block_on(Box::pin(ask_settings(&settings, &runtime, requests)));
    executor.stop(STOP_TIMEOUT);
    answers
}

async fn ask_settings(
    settings: &Settings,
    runtime: &Runtime,
    requests: Vec<Request>,
) -> anyhow::Result<Vec<Value>> {
    let mut answers = Vec::with_capacity(requests.len());
    let mut opened: Option<Arc<Store>> = None;
    let mut result = Ok(());
    for request in requests {
        match ask_one(settings, runtime, &mut opened, request).await {
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
) -> anyhow::Result<Value> {
    if opened.is_none() {
        let patience = runtime.monotonic().after(STARTING_PATIENCE);
        loop {
            match call(&settings.general.data_dir, &request).await {
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
    Ok(Acts::new(store.clone()).run(request).await?)
}
