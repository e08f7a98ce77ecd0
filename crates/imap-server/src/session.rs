//! One client's session: reading, waiting, writing, and the order of a command's
//! answer. What a command does is in `commands`.
//!
//! Memory: between commands a session holds no buffers; commands run in boxed
//! futures, so that the waiting task is small.

use crate::capability::capabilities;
use crate::commands;
use crate::config::{Config, TlsMode};
use crate::limits;
use crate::notify::{self, Notify};
use crate::reply::{Ended, Reply, SyncMode};
use crate::search::Comparator;
use crate::selected::{OwnStore, Selected};
use crate::sessions::Slot;
use crate::wire::Wire;
use crate::{Ports, context, fetch};
use bytes::{Buf as _, BytesMut};
use directory::Identity;
use imap_proto::response::{self, Code, Status};
use imap_proto::{
    AppendHead, ErrorKind, Event, Framer, LiteralHead, NameForm, ParseError, Tag, parse_command,
};
use lang::Lang;
use mailbox_model::{Mailbox, Uid, UidSet, View};
use mailstore::Account;
use observe::SessionGauge;
use runtime::Monotonic;
use runtime::net::Conn;
use std::sync::Arc;
use std::time::Duration;

/// What ENABLE and CONDSTORE-enabling commands switched on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Enabled {
    pub(crate) condstore: bool,
    pub(crate) rev2: bool,
    /// Always with `condstore`.
    pub(crate) qresync: bool,
    /// Messages have UIDs only (RFC 9586).
    pub(crate) uid_only: bool,
    /// UTF-8 in names and addresses (RFC 9755).
    pub(crate) utf8: bool,
    /// What texts are compared by.
    pub(crate) comparator: Comparator,
}

impl Enabled {
    /// The client takes UTF-8 in quotes.
    pub(crate) fn takes_utf8(self) -> bool {
        self.rev2 || self.utf8
    }
}

/// Who logged in.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) account: Arc<Account>,
    /// The domain of its primary address, in lower case.
    pub(crate) domain: Arc<str>,
    /// Its primary address.
    pub(crate) address: Arc<str>,
    /// It may administer the system, as of the login.
    pub(crate) admin: bool,
    _slot: Slot,
}

impl Login {
    pub(crate) fn new(account: Arc<Account>, identity: &Identity, slot: Slot) -> Self {
        Self {
            account,
            domain: identity.address.domain().as_str().to_lowercase().into(),
            address: identity.address.to_string().into(),
            // A device's password is for mail alone.
            admin: identity.admin && identity.app_password.is_none(),
            _slot: slot,
        }
    }
}

/// A session.
pub(crate) struct Session {
    pub(crate) conn: Wire,
    pub(crate) input: BytesMut,
    pub(crate) out: Vec<u8>,
    pub(crate) framer: Framer,
    pub(crate) ports: Arc<Ports>,
    pub(crate) config: Arc<Config>,
    /// The number that the log knows the session by.
    pub(crate) id: u64,
    pub(crate) login: Option<Login>,
    pub(crate) selected: Option<Box<Selected>>,
    /// What NOTIFY asked for.
    pub(crate) notify: Option<Box<Notify>>,
    pub(crate) enabled: Enabled,
    /// Replies are in it.
    pub(crate) language: Lang,
    pub(crate) failed_logins: u8,
    bad_commands: u8,
    begun: Monotonic,
    _gauge: SessionGauge,
    _slot: Slot,
}

/// An event that owns what it carries.
enum Work {
    Command(Vec<u8>),
    Continue,
    Append(Result<AppendHead, ParseError>, Option<LiteralHead>),
    Bad(Option<Tag>, &'static str),
    Fatal(&'static str),
    Foreign,
}

impl Session {
    pub(crate) fn new(conn: Conn, ports: Arc<Ports>, config: Arc<Config>, slot: Slot) -> Self {
        Self {
            conn: Wire::new(conn),
            input: BytesMut::new(),
            out: Vec::new(),
            framer: Framer::new(),
            id: ports.runtime.random_u64(),
            login: None,
            selected: None,
            notify: None,
            enabled: Enabled::default(),
            language: Lang::En,
            failed_logins: 0,
            bad_commands: 0,
            begun: ports.runtime.monotonic(),
            _gauge: ports.metrics.session("imap"),
            _slot: slot,
            ports,
            config,
        }
    }

    /// Greets and serves until the end.
    pub(crate) async fn run(&mut self) -> Result<(), Ended> {
        self.greet();
        loop {
            while let Some(work) = self.next_work() {
                Box::pin(self.handle(work)).await?;
                if self.ports.runtime.shutdown().is_draining() {
                    return Box::pin(self.bye("the server is going down")).await;
                }
            }
            Box::pin(self.flush()).await?;
            if self.notify.is_some() && self.framer.is_between_commands() {
                Box::pin(notify::wait(self)).await?;
            } else {
                self.wait_for_input().await?;
            }
        }
    }

    fn greet(&mut self) {
        let greeting = format!("{} Posthouse is ready", self.config.host_name);
        let code = Code::Capability(capabilities(self));
        response::untagged_status(&mut self.out, Status::Ok, Some(&code), &greeting);
    }

    fn next_work(&mut self) -> Option<Work> {
        let step = self.framer.poll(&self.input);
        let consumed = step.consumed;
        let work = match step.event {
            Some(Event::Command(bytes) | Event::Line(bytes)) => Some(Work::Command(bytes)),
            Some(Event::Continue) => Some(Work::Continue),
            Some(Event::Append { head, literal }) => Some(Work::Append(head, literal)),
            Some(Event::Bad { tag, text }) => Some(Work::Bad(tag, text)),
            Some(Event::Fatal(text)) => Some(Work::Fatal(text)),
            Some(Event::Foreign) => Some(Work::Foreign),
            // A message's octets are taken by APPEND itself.
            Some(Event::AppendData(_) | Event::AppendNext { .. } | Event::AppendEnd(_)) | None => {
                None
            }
        };
        self.input.advance(consumed);
        work
    }

    async fn handle(&mut self, work: Work) -> Result<(), Ended> {
        match work {
            Work::Command(bytes) => self.handle_command(&bytes).await,
            Work::Continue => {
                response::continuation(&mut self.out, "OK");
                self.flush().await
            }
            Work::Append(head, literal) => {
                Box::pin(commands::append::handle(self, head, literal)).await
            }
            Work::Bad(tag, text) => self.refuse(tag.as_ref(), Reply::bad(text)).await,
            Work::Fatal(text) => self.bye(text).await,
            // THREATS 4: not a word to a browser or a TLS client.
            Work::Foreign => Err(Ended),
        }
    }

    async fn handle_command(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        match parse_command(bytes, self.name_form()) {
            Ok((tag, command)) => {
                self.bad_commands = 0;
                let reply = commands::execute(self, &tag, command).await?;
                self.finish(&tag, reply).await
            }
            Err(error) => self.refuse_command(&error).await,
        }
    }

    /// Answers a command that was not understood.
    pub(crate) async fn refuse_command(&mut self, error: &ParseError) -> Result<(), Ended> {
        let reply = match error.kind {
            ErrorKind::Syntax(text) => Reply::bad(text),
            ErrorKind::UnknownCommand => Reply::bad("unknown command"),
            ErrorKind::Mailbox(error) => Reply::no(Code::CANNOT, error.to_string()),
            // RFC 5466 §3.1
            ErrorKind::BadCharset { filters: true, .. } => {
                Reply::bad(error.kind.to_string()).with_code(Code::BadCharset)
            }
            ErrorKind::BadCharset { saves, .. } => {
                self.forget_saved(saves);
                Reply::no(Code::BadCharset, error.kind.to_string())
            }
            ErrorKind::UseAttr => Reply::no(Code::USE_ATTR, error.kind.to_string()),
        };
        self.refuse(error.tag.as_ref(), reply).await
    }

    /// RFC 5182 §2.1: a SEARCH with SAVE that is answered NO empties `$`.
    fn forget_saved(&mut self, saves: bool) {
        if let Some(selected) = self.selected.as_mut().filter(|_| saves) {
            selected.saved = UidSet::new();
        }
    }

    /// Answers what was no command; ten of them in a row end the session.
    async fn refuse(&mut self, tag: Option<&Tag>, reply: Reply) -> Result<(), Ended> {
        response::tagged(
            &mut self.out,
            tag,
            reply.status,
            reply.code.as_ref(),
            &lang::imap::reply(&reply.text, self.language),
        );
        if reply.status == Status::Bad {
            self.bad_commands += 1;
            if self.bad_commands >= limits::BAD_COMMANDS_MAX {
                return self.bye("too many commands that make no sense").await;
            }
        }
        Ok(())
    }

    /// Tells what changed as far as the command permits, then its end.
    pub(crate) async fn finish(&mut self, tag: &Tag, reply: Reply) -> Result<(), Ended> {
        self.sync(reply.sync, OwnStore::None).await?;
        if reply.sent {
            return Ok(());
        }
        response::tagged(
            &mut self.out,
            Some(tag),
            reply.status,
            reply.code.as_ref(),
            &lang::imap::reply(&reply.text, self.language),
        );
        // Answers to pipelined commands go out together.
        if self.out.len() >= limits::OUTPUT_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    /// Tells the differences between what the client knows and what is.
    pub(crate) async fn sync(&mut self, mode: SyncMode, own: OwnStore<'_>) -> Result<(), Ended> {
        if mode == SyncMode::Nothing || self.selected.is_none() {
            return Ok(());
        }
        self.tell_reset();
        let Some(view) = self.selected_view() else {
            return Ok(());
        };
        let Some(mailbox) = self.selected_mailbox(&view) else {
            // RFC 2180 §3.3: another session deleted the mailbox.
            return self.bye("the selected mailbox was deleted").await;
        };
        self.read_own_seen(&mailbox).await?;
        let Some(selected) = &mut self.selected else {
            return Ok(());
        };
        let all = mode == SyncMode::Everything;
        let differences = selected.sync(&mailbox, all, own);
        context::forget_expunged(self, &differences);
        let vanished = self.enabled.qresync || self.enabled.uid_only;
        tell_expunged(&mut self.out, &differences.expunged, vanished);
        if let Some(count) = differences.exists {
            response::untagged(&mut self.out, format_args!("{count} EXISTS"));
            if !self.enabled.rev2 {
                response::untagged(&mut self.out, format_args!("0 RECENT"));
            }
        }
        let shows_flags = differences.exists.is_some() || !differences.changed.is_empty();
        if let Some(selected) = &mut self.selected
            && selected.keywords_told < view.keywords().len()
            && shows_flags
        {
            selected.keywords_told = view.keywords().len();
            commands::select::write_flags(&mut self.out, &view);
        }
        for &rank in &differences.changed {
            if let Some(selected) = &self.selected {
                fetch::write_flags_update(&mut self.out, selected, rank, &view, self.enabled);
            }
            if self.out.len() >= limits::OUTPUT_BYTES {
                self.flush().await?;
            }
        }
        if !differences.arrived.is_empty() {
            notify::show_arrived(self, differences.arrived.clone()).await?;
        }
        context::update(self, &differences).await
    }

    /// In another's mailbox that changed: what the user has read of it.
    async fn read_own_seen(&mut self, newest: &Mailbox) -> Result<(), Ended> {
        let Some(selected) = &mut self.selected else {
            return Ok(());
        };
        if selected.is_current(newest) {
            return Ok(());
        }
        let Some(readership) = &mut selected.readership else {
            return Ok(());
        };
        match selected
            .account
            .seen_by(selected.id, readership.reader)
            .await
        {
            Ok(seen) => {
                readership.seen = seen;
                Ok(())
            }
            Err(error) => {
                tracing::error!(session = self.id, %error, "imap: what has been read cannot be told");
                self.bye("the selected mailbox cannot be read").await
            }
        }
    }

    /// Nobody is logged in any more; what was switched on is off, and the time
    /// for a login begins anew.
    pub(crate) fn forget_login(&mut self) {
        self.selected = None;
        self.notify = None;
        self.login = None;
        self.enabled = Enabled::default();
        self.language = Lang::En;
        self.framer.set_unauthenticated();
        let form = self.name_form();
        self.framer.set_form(form);
        self.begun = self.ports.runtime.monotonic();
    }

    /// The account's newest state.
    pub(crate) fn view(&self) -> Option<Arc<View>> {
        self.login.as_ref().map(|login| login.account.view())
    }

    /// The newest state of the account whose mailbox is selected.
    pub(crate) fn selected_view(&self) -> Option<Arc<View>> {
        self.selected
            .as_ref()
            .map(|selected| selected.account.view())
    }

    /// The selected mailbox, if it is one of this account's.
    pub(crate) fn selected_of(&self, account: &Account) -> Option<&Selected> {
        let selected = self.selected.as_deref();
        selected.filter(|selected| selected.account.id() == account.id())
    }

    /// The selected mailbox in its account's view; none when it was deleted.
    pub(crate) fn selected_mailbox(&self, view: &View) -> Option<Arc<Mailbox>> {
        let selected = self.selected.as_ref()?;
        let mailbox = view.mailbox(selected.id)?;
        (mailbox.uid_validity() == selected.uid_validity).then(|| Arc::clone(mailbox))
    }

    pub(crate) fn name_form(&self) -> NameForm {
        if self.enabled.takes_utf8() {
            NameForm::Utf8
        } else {
            NameForm::ModifiedUtf7
        }
    }

    /// Passwords may be sent.
    pub(crate) fn may_log_in(&self) -> bool {
        self.conn.is_tls() || self.config.plaintext_login
    }

    /// The mechanisms of this connection, where passwords may be sent.
    pub(crate) fn offer(&self) -> sasl::Offer {
        self.ports
            .logins
            .offer(self.conn.bindings(), self.conn.client_names())
    }

    pub(crate) fn may_start_tls(&self) -> bool {
        let is_plain = !self.conn.is_tls() && !self.conn.is_compressed();
        is_plain && matches!(self.config.tls, TlsMode::StartTls(_))
    }

    /// Sends what was gathered and gives the memory back.
    pub(crate) async fn flush(&mut self) -> Result<(), Ended> {
        if self.out.is_empty() && !self.conn.is_pending() {
            return Ok(());
        }
        let out = std::mem::take(&mut self.out);
        self.conn.write_all(&out).await?;
        self.conn.flush().await?;
        Ok(())
    }

    /// Says goodbye; the session is over.
    pub(crate) async fn bye(&mut self, text: &str) -> Result<(), Ended> {
        let text = lang::imap::reply(text, self.language);
        response::untagged_status(&mut self.out, Status::Bye, None, &text);
        self.flush().await?;
        Err(Ended)
    }

    /// How long the client may be silent now.
    pub(crate) fn patience(&self) -> Duration {
        if self.login.is_none() {
            let now = self.ports.runtime.monotonic();
            let left = self.begun.after(limits::BEFORE_LOGIN).since(now);
            limits::IDLE_BEFORE_LOGIN.min(left)
        } else if self.framer.is_between_commands() {
            self.config.idle_timeout
        } else {
            limits::STALL
        }
    }

    /// Waits for more of the client's bytes.
    pub(crate) async fn wait_for_input(&mut self) -> Result<(), Ended> {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        self.conn.rest();
        let patience = self.patience();
        let shutdown = self.ports.runtime.shutdown();
        let runtime = &self.ports.runtime;
        let read = tokio::select! {
            read = self.conn.read(&mut self.input) => Some(read),
            () = runtime.sleep(patience) => None,
            () = shutdown.draining() => {
                return Box::pin(self.bye("the server is going down")).await;
            }
        };
        match read {
            Some(Ok(count)) if count > 0 => Ok(()),
            Some(_) => Err(Ended),
            // RFC 9051 §7.1.5: the autologout says so.
            None => Box::pin(self.bye("you were silent for too long")).await,
        }
    }
}

/// RFC 7162 §3.2.10, RFC 9586 §3: with QRESYNC or UIDONLY on, VANISHED is told instead of EXPUNGE.
fn tell_expunged(out: &mut Vec<u8>, gone: &[(u32, Uid)], vanished: bool) {
    if !vanished {
        for (number, _) in gone {
            response::untagged(out, format_args!("{number} EXPUNGE"));
        }
    } else if !gone.is_empty() {
        let uids = gone.iter().rev().map(|(_, uid)| uid.0);
        response::vanished(out, &imap_proto::sequence::ranges_of(uids), false);
    }
}
