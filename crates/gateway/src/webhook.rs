//! A server on the web that a message is posted to.
//!
//! One POST for each recipient, so that nobody learns who else got it. The body is the message as a
//! Maildir would have it, but with its CRLF lines: Return-Path and Delivered-To are its first two
//! fields, so that the envelope is signed with it. docs/policy.md is the contract.
//!
//! The message is read twice where it is signed: the signature stands in front of it.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use deliver::{Message, Outcome};
use envelope::Recipient;
use https::{Answer, BoxFuture, Content, Posted, SigningKey, signed_fields};
use settings::rules::Webhook;
use sha2::{Digest as _, Sha256};

use crate::limits::{ANSWER_BYTES_MAX, WORDS_BYTES_MAX};
use crate::{Handing, Refused};

/// What is posted for one recipient.
struct Copy<'a> {
    head: Bytes,
    message: &'a dyn Message,
}

impl Content for Copy<'_> {
    fn size(&self) -> u64 {
        self.head.len() as u64 + self.message.size()
    }

    fn read(&self, offset: u64) -> BoxFuture<'_, io::Result<Bytes>> {
        match offset.checked_sub(self.head.len() as u64) {
            Some(offset) => self.message.read(offset),
            None => self.head.read(offset),
        }
    }
}

impl Handing<'_> {
    /// What became of it, and how long the server wants to be left alone.
    pub(crate) async fn webhook(
        &self,
        hook: &Webhook,
        recipient: &Recipient,
    ) -> (Result<String, Refused>, Option<Duration>) {
        // Never closed.
        let _turn = self.webhooks.acquire().await;
        match self.post(hook, recipient).await {
            Ok(answer) => {
                let wait = answer.retry_after;
                let said = verdict(&answer);
                (said, wait.filter(|_| !answer.is_success()))
            }
            Err(refused) => (Err(refused), None),
        }
    }

    async fn post(&self, hook: &Webhook, recipient: &Recipient) -> Result<Answer, Refused> {
        let Some(https) = self.https else {
            return Err(Refused::temporary(
                (4, 3, 5),
                "no web server is posted to here",
            ));
        };
        let copy = Copy {
            head: self.head(recipient).into(),
            message: self.message,
        };
        let id = self.name(recipient);
        let seconds = self.runtime.now().unix_seconds();
        let signature = match hook.secret.expose() {
            "" => None,
            secret => Some(sign(secret, &id, seconds, &copy).await?),
        };
        let mut fields = signed_fields(&id, seconds, signature);
        fields.push(("idempotency-key", format!("\"{id}\"")));
        let sender = self.envelope.reverse_path.to_string();
        let sender = sender.trim_matches(['<', '>']);
        fields.push(("posthouse-sender", visible(sender)));
        fields.push((
            "posthouse-recipient",
            visible(&recipient.address.to_string()),
        ));
        let posted = Posted {
            url: &hook.url,
            media_type: "message/rfc822",
            fields: &fields,
            answer_bytes_max: ANSWER_BYTES_MAX,
            timeout: hook.timeout,
        };
        let answered = https.post(&posted, &copy).await;
        answered.map_err(|failure| {
            // RFC 3463 §3.5: 4.4.1, no answer from host.
            Refused::temporary((4, 4, 1), &format!("{}: {failure}", host_of(&hook.url)))
        })
    }

    /// The same for each attempt with the message for this recipient, and for nothing else.
    fn name(&self, recipient: &Recipient) -> String {
        let mut hash = Sha256::new();
        hash.update(recipient.address.to_key());
        let of_recipient: String = hash.finalize()[..8]
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let message = self.message.queue_id().unwrap_or_default();
        format!("{message}-{of_recipient}")
    }
}

async fn sign(secret: &str, id: &str, seconds: u64, copy: &Copy<'_>) -> Result<String, Refused> {
    let Some(key) = SigningKey::parse(secret) else {
        return Err(Refused::temporary((4, 3, 5), "its secret is none"));
    };
    let mut signing = key.sign(id, seconds);
    let mut offset = 0;
    while offset < copy.size() {
        let part = copy.read(offset).await?;
        if part.is_empty() {
            let why = "the message is shorter than it says";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why).into());
        }
        offset += part.len() as u64;
        signing.update(&part);
    }
    Ok(signing.finish())
}

/// Senders read it in the end: what stands behind the host may be a secret.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default()
}

/// Visible ASCII as it is, the rest as RFC 3986 §2.1 has it.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' => out.push_str("%25"),
            0x21..=0x7e => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// 2xx has taken it; what speaks of this message never will. All else may later: 401 and 404
/// are what a deployment gone wrong answers, and that must not cost mail.
fn verdict(answer: &Answer) -> Result<String, Refused> {
    let words = answer.words(WORDS_BYTES_MAX);
    let words = match words.as_str() {
        "" => String::new(),
        words => format!(": {words}"),
    };
    if answer.is_success() {
        return Ok(format!("the server took it{words}"));
    }
    let text = format!("it answers {}{words}", answer.status);
    // RFC 3463
    let status = match answer.status {
        // RFC 9110 §15.5.9; RFC 8470 §5.2; RFC 6585 §4
        408 | 425 | 429 => return Err(Refused::temporary((4, 3, 2), &text)),
        413 => (5, 3, 4),
        415 => (5, 6, 1),
        // RFC 9110 §15.5.1, §15.5.11, §15.5.21
        400 | 410 | 422 => (5, 3, 0),
        _ => return Err(Refused::temporary((4, 3, 0), &text)),
    };
    Err(Refused::permanent(status, &text))
}

/// How long a gateway is left alone, as it asked; in memory only.
#[derive(Debug, Default)]
pub(crate) struct Resting(
    parking_lot::Mutex<std::collections::HashMap<String, runtime::Monotonic>>,
);

impl Resting {
    /// From now on for so long.
    pub(crate) fn rest(&self, name: &str, until: runtime::Monotonic) {
        self.0.lock().insert(name.to_owned(), until);
    }

    /// How long still.
    pub(crate) fn left(&self, name: &str, now: runtime::Monotonic) -> Option<Duration> {
        let mut resting = self.0.lock();
        let until = *resting.get(name)?;
        if until <= now {
            resting.remove(name);
            return None;
        }
        Some(until.since(now))
    }
}

/// What a recipient hears of a gateway that rests.
pub(crate) fn resting(left: Duration) -> Outcome {
    let why = format!(
        "it asked to be left alone for {} seconds more",
        left.as_secs().max(1)
    );
    Outcome::temporary((4, 3, 2), &why)
}
