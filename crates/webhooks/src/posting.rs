//! Posting what waits.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use https::{Answer, Posted, SigningKey, signed_fields};
use queue::ToldPage;
use runtime::Task;
use settings::rules::{Subscriber, Webhook};

use crate::body;
use crate::limits::{ANSWER_BYTES_MAX, PAGE, PAUSE, PAUSE_MAX, ROUND, WORDS_CHARS_MAX};
use crate::{Trouble, Webhooks};

/// Why something was not taken.
struct Refused {
    why: String,
    wait: Option<Duration>,
}

impl Webhooks {
    /// Posts what waits, to all hooks at once, until the server drains. What is being posted then
    /// is posted again after the next start, if it was not taken.
    pub async fn run(&self) {
        let inner = &self.inner;
        let shutdown = inner.runtime.shutdown();
        let mut running: Vec<Task<()>> = Vec::new();
        while !shutdown.is_draining() {
            running.retain(|task| !task.is_finished());
            let wait = self.start_due(&mut running);
            tokio::select! {
                () = inner.queue.told_news() => inner.news.notify_waiters(),
                () = inner.changed.notified() => {}
                () = inner.runtime.sleep(wait) => {}
                () = shutdown.draining() => {}
            }
        }
    }

    /// Starts those that have something to hear and are free; how long until another one may be.
    fn start_due(&self, running: &mut Vec<Task<()>>) -> Duration {
        let inner = &self.inner;
        let now = inner.runtime.monotonic();
        let mut wait = ROUND;
        for known in inner.queue.subscribed() {
            let mut hooks = inner.hooks.lock();
            let Some(hook) = hooks.get_mut(&known.name) else {
                continue;
            };
            if hook.rule.hook.is_none() || hook.is_busy || known.waiting == 0 {
                continue;
            }
            if let Some(until) = hook.rests_until.filter(|until| *until > now) {
                wait = wait.min(until.since(now));
                continue;
            }
            hook.is_busy = true;
            let (this, name) = (self.clone(), known.name);
            running.push(inner.runtime.spawn("a webhook", async move {
                this.tell_all(&name).await;
            }));
        }
        wait
    }

    /// Until nothing waits for it, or it does not take something.
    async fn tell_all(&self, name: &str) {
        let inner = &self.inner;
        let shutdown = inner.runtime.shutdown();
        let mut went_well = true;
        while went_well && !shutdown.is_draining() {
            let known = inner.hooks.lock().get(name).cloned();
            let Some(hook) = known else {
                return;
            };
            let page = match inner.queue.told_to(name, hook.page).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::error!(name, %error, "what a webhook is to hear cannot be read");
                    self.rest(name, "the store cannot be read", None);
                    break;
                }
            };
            if page.is_empty() {
                break;
            }
            // It may ask for what it hears by now.
            let Some(to) = &hook.rule.hook else {
                break;
            };
            went_well = self.tell(&hook.rule, to, page).await;
        }
        if let Some(hook) = inner.hooks.lock().get_mut(name) {
            hook.is_busy = false;
        }
        inner.changed.notify_one();
    }

    /// True if it was taken, and is removed.
    async fn tell(&self, rule: &Subscriber, to: &Webhook, page: ToldPage) -> bool {
        let name = &rule.name;
        let count = page.told.len();
        if let (Some(first), Some(last)) = (page.told.first(), page.told.last()) {
            let id = format!("{name}-{:x}-{:x}-{count}", first.number, last.number);
            let body = body::outcomes(name, &page.told);
            if let Err(refused) = self.post(to, &id, body).await {
                if let Some(hook) = self.inner.hooks.lock().get_mut(name) {
                    hook.page = count;
                }
                self.rest(name, &refused.why, refused.wait);
                return false;
            }
        }
        if let Err(error) = self.inner.queue.heard(name, page).await {
            tracing::error!(name, %error, "a webhook hears of some outcomes once more");
            self.rest(name, "the store does not take that it was told", None);
            return false;
        }
        if let Some(hook) = self.inner.hooks.lock().get_mut(name) {
            if hook.failures > 0 {
                tracing::info!(name, "a webhook takes what it is told again");
            }
            hook.failures = 0;
            hook.rests_until = None;
            hook.page = PAGE;
            hook.told += count as u64;
        }
        true
    }

    fn rest(&self, name: &str, why: &str, asked: Option<Duration>) {
        let runtime = &self.inner.runtime;
        let (now, at_ms) = (runtime.monotonic(), runtime.now().unix_ms);
        if let Some(hook) = self.inner.hooks.lock().get_mut(name) {
            let pause = PAUSE * (1 << hook.failures.min(16));
            let pause = pause.min(PAUSE_MAX).max(asked.unwrap_or_default());
            hook.failures = hook.failures.saturating_add(1);
            hook.rests_until = Some(now.after(pause));
            hook.trouble = Some(Trouble {
                at_ms,
                why: why.to_owned(),
            });
            if hook.failures == 1 {
                tracing::warn!(name, why, "a webhook does not take what it is told");
            }
        }
    }

    /// Posts a test to a hook, whatever waits for it: what it answered, or why it did not take
    /// it; none if there is no such hook.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn test(&self, name: &str) -> Option<Result<String, String>> {
        let hook = self.inner.hooks.lock().get(name).cloned()?;
        let Some(to) = &hook.rule.hook else {
            let why = "it is a subscription: it asks for what it hears";
            return Some(Err(why.to_owned()));
        };
        let runtime = &self.inner.runtime;
        let id = format!("test-{:016x}", runtime.random_u64());
        let body = body::test(name, &id, runtime.now().unix_ms);
        let answered = self.post(to, &id, body).await;
        Some(
            answered
                .map(|answer| said(&answer))
                .map_err(|refused| refused.why),
        )
    }

    async fn post(&self, to: &Webhook, id: &str, body: String) -> Result<Answer, Refused> {
        let seconds = self.inner.runtime.now().unix_seconds();
        let refused = |why: String| Refused { why, wait: None };
        let signature = match to.secret.expose() {
            "" => None,
            secret => {
                let key = SigningKey::parse(secret);
                let key = key.ok_or_else(|| refused("its secret is none".into()))?;
                let mut signing = key.sign(id, seconds);
                signing.update(body.as_bytes());
                Some(signing.finish())
            }
        };
        let fields = signed_fields(id, seconds, signature);
        let posted = Posted {
            url: &to.url,
            media_type: "application/json",
            fields: &fields,
            answer_bytes_max: ANSWER_BYTES_MAX,
            timeout: to.timeout,
        };
        let body = Bytes::from(body);
        let answered = Arc::clone(&self.inner.poster);
        let answered = answered.post(&posted, &body).await;
        let answer = answered.map_err(|failure| refused(failure.to_string()))?;
        if answer.is_success() {
            return Ok(answer);
        }
        Err(Refused {
            why: said(&answer),
            wait: answer.retry_after,
        })
    }
}

fn said(answer: &Answer) -> String {
    let words = answer.words(WORDS_CHARS_MAX);
    let said = format!("it answers {} {words}", answer.status);
    said.trim_end().to_owned()
}
