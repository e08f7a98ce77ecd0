//! LOGIN and AUTHENTICATE (RFC 9051 §6.2.2, §6.2.3; SASL-IR: RFC 4959).

use crate::capability::capabilities;
use crate::limits::FAILED_LOGINS_MAX;
use crate::reply::{Ended, Executed, Reply, SyncMode};
use crate::session::{Login, Session};
use bytes::Buf as _;
use directory::{AuthFailure, Caller, Identity, Service, Verdict};
use imap_proto::response::{self, Code, Status};
use imap_proto::{Event, Tag};
use sasl::{Credentials, Exchange, Failure, Question, Secret, Step};

pub(crate) async fn login(session: &mut Session, user: String, password: Vec<u8>) -> Executed {
    if !session.may_log_in() {
        return Ok(privacy_required());
    }
    let Ok(password) = String::from_utf8(password) else {
        return failed(session, &AuthFailure::Invalid).await;
    };
    let question = Question::Password(Credentials {
        authorization: None,
        login: user,
        password: Secret::new(password),
    });
    match session
        .ports
        .logins
        .answer(&question, caller(session))
        .await
    {
        Ok(Verdict::Granted(identity, _)) => finish(session, identity).await,
        Ok(Verdict::GoOn(_) | Verdict::Refused(..)) => failed(session, &AuthFailure::Invalid).await,
        Err(failure) => failed(session, &failure).await,
    }
}

pub(crate) async fn authenticate(
    session: &mut Session,
    mechanism: &str,
    initial: Option<&[u8]>,
) -> Executed {
    if !session.may_log_in() {
        return Ok(privacy_required());
    }
    let offer = session.offer();
    let Some(mechanism) = offer.find(mechanism.as_bytes()) else {
        return Ok(Reply::no(Code::CANNOT, "that mechanism is not offered"));
    };
    let (mut exchange, mut step) = Exchange::start(mechanism, initial, &offer);
    let mut granted = None;
    let mut refused = None;
    loop {
        match step {
            Step::Challenge(challenge) => {
                response::continuation(&mut session.out, &challenge);
                step = match read_line(session).await? {
                    Some(line) => exchange.handle_line(&line),
                    None => return Ok(Reply::bad("the response is too long")),
                };
            }
            Step::Ask(question) => {
                step = match session
                    .ports
                    .logins
                    .answer(&question, caller(session))
                    .await
                {
                    Ok(Verdict::GoOn(answer)) => exchange.answer(answer),
                    Ok(Verdict::Granted(identity, answer)) => {
                        granted = Some(identity);
                        exchange.answer(answer)
                    }
                    Ok(Verdict::Refused(failure, answer)) => {
                        note_failed(session, &failure);
                        refused = Some(failure);
                        exchange.answer(answer)
                    }
                    Err(failure) => return failed(session, &failure).await,
                };
            }
            Step::Done => match granted.take() {
                Some(identity) => return finish(session, identity).await,
                None => return failed(session, &AuthFailure::Invalid).await,
            },
            Step::Failed(Failure::Refused) if let Some(failure) = &refused => {
                return answer_failed(session, failure).await;
            }
            Step::Failed(failure @ (Failure::Binding | Failure::Downgraded | Failure::Refused)) => {
                return Ok(Reply::no(Code::AUTHENTICATION_FAILED, failure.to_string()));
            }
            // RFC 9051 §6.2.2: a cancelled or malformed exchange is BAD.
            Step::Failed(failure) => return Ok(Reply::bad(failure.to_string())),
        }
    }
}

/// The client's next line; none when it was refused.
async fn read_line(session: &mut Session) -> Result<Option<Vec<u8>>, Ended> {
    session.framer.expect_line();
    session.flush().await?;
    loop {
        let step = session.framer.poll(&session.input);
        let consumed = step.consumed;
        let line = match step.event {
            Some(Event::Line(line)) => Ok(Some(Some(line))),
            Some(Event::Fatal(text)) => Err(text),
            Some(_) => Ok(Some(None)),
            None => Ok(None),
        };
        session.input.advance(consumed);
        match line {
            Ok(Some(line)) => return Ok(line),
            Ok(None) => session.wait_for_input().await?,
            Err(text) => session.bye(text).await?,
        }
    }
}

fn caller(session: &Session) -> Caller {
    Caller {
        service: Service::Imap,
        peer: session.conn.peer_addr().ip(),
    }
}

fn privacy_required() -> Reply {
    // RFC 5530 §3
    Reply::no(
        Code::PRIVACY_REQUIRED,
        "passwords are taken under TLS only: use STARTTLS or the TLS port",
    )
}

async fn finish(session: &mut Session, identity: Identity) -> Executed {
    session.ports.metrics.login("imap", true);
    let slot = match session.ports.sessions.enter_user(identity.account) {
        Ok(slot) => slot,
        Err(max) => {
            let text = format!("you have {max} sessions already, the most allowed");
            return Ok(Reply::no(Code::LIMIT, text));
        }
    };
    let account = match session.ports.mailstore.account(identity.account).await {
        Ok(account) => account,
        Err(error) => return Ok(crate::reply::store_failed(&error)),
    };
    let app_password = identity.app_password.as_deref();
    tracing::info!(session = session.id, peer = %session.conn.peer_addr(), user = %identity.address, account = %identity.account, app_password, tls = session.conn.is_tls(), "imap: login");
    session.login = Some(Login::new(account, &identity, slot));
    session.framer.set_authenticated();
    let code = Code::Capability(capabilities(session));
    Ok(Reply::ok("welcome")
        .with_code(code)
        .with_sync(SyncMode::Nothing))
}

async fn failed(session: &mut Session, failure: &AuthFailure) -> Executed {
    note_failed(session, failure);
    answer_failed(session, failure).await
}

fn note_failed(session: &mut Session, failure: &AuthFailure) {
    session.ports.metrics.login("imap", false);
    tracing::info!(session = session.id, peer = %session.conn.peer_addr(), %failure, "imap: login refused");
    // Our own trouble is not counted against the client.
    if !matches!(failure, AuthFailure::Temporary(_) | AuthFailure::Busy) {
        session.failed_logins += 1;
    }
}

async fn answer_failed(session: &mut Session, failure: &AuthFailure) -> Executed {
    let code = match failure {
        AuthFailure::Invalid | AuthFailure::Token { .. } => Code::AUTHENTICATION_FAILED,
        AuthFailure::Disabled => Code::Plain("CONTACTADMIN"),
        AuthFailure::Banned { .. } | AuthFailure::Busy | AuthFailure::Temporary(_) => {
            Code::UNAVAILABLE
        }
    };
    if session.failed_logins >= FAILED_LOGINS_MAX {
        response::untagged_status(
            &mut session.out,
            Status::Bye,
            Some(&code),
            "too many failed logins",
        );
        session.flush().await?;
        return Err(Ended);
    }
    let text = match failure {
        // What is wrong with it the exchange has told.
        AuthFailure::Token { .. } => Failure::Refused.to_string(),
        other => other.to_string(),
    };
    Ok(Reply::no(code, text))
}

/// RFC 8437 §3: the connection is as it was before the login, but for TLS.
pub(crate) async fn unauthenticate(session: &mut Session, tag: &Tag) -> Executed {
    // RFC 8437 §8: "MUST provide a way to disable it".
    if !session.config.unauthenticate {
        return Ok(Reply::bad("unknown command"));
    }
    // What a client that compresses says next is not compressed; it cannot be told from the
    // rest of what is.
    session.conn.drain(&mut session.input)?;
    if session.conn.is_compressed() && !session.input.is_empty() {
        session.bye("wait for the answer to UNAUTHENTICATE").await?;
        return Err(Ended);
    }
    session.forget_login();
    let (text, code) = ("nobody is logged in", capabilities(session));
    let code = Code::Capability(code);
    if !session.conn.is_compressed() {
        return Ok(Reply::ok(text).with_code(code).with_sync(SyncMode::Nothing));
    }
    // RFC 8437 §4.1: the answer is the last that is compressed.
    response::tagged(&mut session.out, Some(tag), Status::Ok, Some(&code), text);
    session.flush().await?;
    session.input = session.conn.uncompress();
    Ok(Reply::already_sent())
}
