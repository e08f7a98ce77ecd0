//! One command, one file. Here: which command is permitted in which state, and
//! the commands that are a line long.

mod acl;
pub(crate) mod append;
mod close;
mod comparator;
mod compress;
mod copy;
mod create;
mod delete;
mod enable;
mod expunge;
pub(crate) mod fetch;
mod filters;
mod idle;
mod jmap_access;
mod language;
mod list;
mod login;
mod metadata;
mod multisearch;
mod namespace;
mod notify;
mod qresync;
mod quota;
mod rename;
pub(crate) mod search;
pub(crate) mod select;
pub(crate) mod sort;
mod starttls;
pub(crate) mod status;
mod store;
mod subscribe;
mod thread;
mod uid_batches;
mod url;

use crate::capability::capabilities;
use crate::context;
use crate::reply::{Ended, Executed, Reply, SyncMode};
use crate::session::Session;
use imap_proto::response::{self, Code, Status};
use imap_proto::{Command, SearchKey, SequenceSet, Tag};

/// Runs a command that was understood.
pub(crate) async fn execute(session: &mut Session, tag: &Tag, command: Command) -> Executed {
    if let Some(refusal) = check_state(session, &command) {
        return Ok(refusal);
    }
    // RFC 9586 §3
    if session.enabled.uid_only && names_numbers(&command) {
        return Ok(uid_required());
    }
    // The end of a right in another's mailbox counts from the next command on.
    if let Err(reply) = session.look_again().await {
        let text = format!("the selected mailbox cannot be used: {}", reply.text);
        session.bye(&text).await?;
    }
    let mut command = command;
    if let Some(refusal) = filters::resolve(session, &mut command).await {
        return Ok(refusal);
    }
    let may_tell = may_tell(&command);
    let mut reply = match command {
        // It lasts for hours, so it does without the room of the others.
        Command::Idle => idle::run(session).await?,
        command => Box::pin(dispatch(session, tag, command)).await?,
    };
    reply.sync = reply.sync.min(may_tell);
    Ok(reply)
}

/// RFC 9051 §7.5.1: no EXPUNGE "while responding to a FETCH, STORE, or SEARCH
/// command" by number, however it ends: the numbers of the next would be others. RFC 7162
/// §3.2.10.2: nor for a UID SEARCH that names numbers.
fn may_tell(command: &Command) -> SyncMode {
    let by_number = match command {
        Command::Fetch(fetch) => !fetch.uid,
        Command::Store(store) => !store.uid,
        Command::Search(search) => !search.uid || in_key(&search.key),
        Command::Sort(sort) => !sort.uid || in_key(&sort.key),
        Command::Thread(thread) => !thread.uid || in_key(&thread.key),
        Command::MultiSearch(search) => in_key(&search.key),
        _ => false,
    };
    if by_number {
        SyncMode::WithoutExpunge
    } else {
        SyncMode::Everything
    }
}

/// What a session without sequence numbers is answered when it uses one.
pub(crate) fn uid_required() -> Reply {
    Reply::bad("messages have UIDs only").with_code(Code::UID_REQUIRED)
}

/// The search names sequence numbers.
fn in_key(key: &SearchKey) -> bool {
    key.any(&mut |key| matches!(key, SearchKey::Sequence(set) if *set != SequenceSet::Saved))
}

/// The command takes, or is answered in, sequence numbers.
fn names_numbers(command: &Command) -> bool {
    match command {
        Command::Fetch(fetch) => !fetch.uid,
        Command::Store(store) => !store.uid,
        Command::Copy { uid, .. } | Command::Move { uid, .. } => !uid,
        Command::Search(search) => !search.uid || in_key(&search.key),
        Command::Sort(sort) => !sort.uid || in_key(&sort.key),
        Command::Thread(thread) => !thread.uid || in_key(&thread.key),
        Command::MultiSearch(search) => in_key(&search.key),
        Command::Select(select) | Command::Examine(select) => {
            let remembered = select.qresync.as_ref();
            remembered.is_some_and(|remembered| remembered.matches.is_some())
        }
        _ => false,
    }
}

async fn dispatch(session: &mut Session, tag: &Tag, command: Command) -> Executed {
    match command {
        Command::Capability => {
            let names = capabilities(session);
            response::untagged(&mut session.out, format_args!("CAPABILITY {names}"));
            Ok(Reply::ok("that is what there is"))
        }
        Command::Noop | Command::Check => Ok(Reply::ok("done")),
        Command::Logout => logout(session, tag).await,
        Command::Id(fields) => Ok(id(session, &fields)),
        Command::StartTls => starttls::run(session, tag).await,
        Command::Login { user, password } => login::login(session, user, password).await,
        Command::Authenticate { mechanism, initial } => {
            login::authenticate(session, &mechanism, initial.as_deref()).await
        }
        Command::GetMetadata(get) => metadata::get(session, &get).await,
        Command::SetMetadata { mailbox, values } => {
            metadata::set(session, mailbox.as_ref(), values).await
        }
        Command::UidBatches { size, range } => Ok(uid_batches::run(session, tag, size, range)),
        Command::Language(ranges) => Ok(language::run(session, &ranges).await),
        Command::Comparator(orders) => Ok(comparator::run(session, &orders)),
        Command::Notify(set) => notify::run(session, set).await,
        Command::CancelUpdate(tags) => Ok(context::cancel(session, &tags)),
        Command::SetAcl {
            mailbox,
            identifier,
            change,
            rights,
        } => acl::set(session, (&mailbox, &identifier), change, &rights).await,
        Command::DeleteAcl {
            mailbox,
            identifier,
        } => acl::delete(session, &mailbox, &identifier).await,
        Command::GetAcl(mailbox) => acl::get(session, &mailbox).await,
        Command::ListRights {
            mailbox,
            identifier,
        } => acl::list_rights(session, &mailbox, &identifier).await,
        Command::MyRights(mailbox) => acl::my_rights(session, &mailbox).await,
        Command::GenUrlAuth(rumps) => url::generate(session, &rumps).await,
        Command::UrlFetch(urls) => url::fetch(session, &urls).await,
        Command::ResetKey {
            mailbox,
            mechanisms,
        } => url::reset(session, mailbox.as_ref(), &mechanisms).await,
        Command::Enable(names) => Ok(enable::run(session, &names)),
        Command::Select(select) => select::run(session, &select, select::Access::ReadWrite).await,
        Command::Examine(select) => select::run(session, &select, select::Access::ReadOnly).await,
        Command::Create {
            mailbox,
            special_use,
        } => create::run(session, &mailbox, &special_use).await,
        Command::Delete(mailbox) => delete::run(session, &mailbox).await,
        Command::Rename { from, to } => rename::run(session, &from, &to).await,
        Command::Subscribe(mailbox) => subscribe::subscribe(session, &mailbox).await,
        Command::Unsubscribe(mailbox) => subscribe::unsubscribe(session, &mailbox).await,
        Command::List(list) => list::list(session, &list).await,
        Command::Lsub(pattern) => list::lsub(session, &pattern).await,
        Command::GetJmapAccess => jmap_access::run(session),
        Command::Namespace => namespace::run(session).await,
        Command::SetQuota { root, limits } => quota::set(session, &root, &limits).await,
        Command::GetQuota(root) => quota::of_root(session, &root).await,
        Command::GetQuotaRoot(mailbox) => quota::of_mailbox(session, &mailbox).await,
        Command::Status { mailbox, items } => status::run(session, &mailbox, &items).await,
        // `execute` runs it before it comes here.
        Command::Idle => idle::run(session).await,
        Command::Unauthenticate => login::unauthenticate(session, tag).await,
        Command::Compress(algorithm) => compress::run(session, tag, &algorithm).await,
        Command::MultiSearch(search) => multisearch::run(session, tag, search).await,
        Command::Close => close::close(session).await,
        Command::Unselect => Ok(close::unselect(session)),
        Command::Expunge(set) => expunge::run(session, set.as_ref()).await,
        Command::Search(search) => search::run(session, tag, search).await,
        Command::Sort(sort) => sort::run(session, tag, sort).await,
        Command::Thread(thread) => thread::run(session, tag, thread).await,
        Command::Fetch(fetch) => fetch::run(session, fetch).await,
        Command::Store(store) => store::run(session, store).await,
        Command::Copy { uid, set, mailbox } => copy::copy(session, uid, &set, &mailbox).await,
        Command::Move { uid, set, mailbox } => copy::move_(session, uid, &set, &mailbox).await,
    }
}

/// The states of RFC 9051 §3, told by what is there.
fn check_state(session: &Session, command: &Command) -> Option<Reply> {
    match command {
        Command::Capability
        | Command::Noop
        | Command::Logout
        | Command::Id(_)
        | Command::Language(_) => None,
        Command::StartTls | Command::Login { .. } | Command::Authenticate { .. } => session
            .login
            .is_some()
            .then(|| Reply::bad("you are logged in already")),
        _ if session.login.is_none() => Some(Reply::bad("log in first")),
        Command::Check
        | Command::Close
        | Command::Unselect
        | Command::Expunge(_)
        | Command::Search(_)
        | Command::Sort(_)
        | Command::Thread(_)
        | Command::Fetch(_)
        | Command::Store(_)
        | Command::CancelUpdate(_)
        | Command::UidBatches { .. }
        | Command::Copy { .. }
        | Command::Move { .. } => session
            .selected
            .is_none()
            .then(|| Reply::bad("select a mailbox first")),
        _ => None,
    }
}

/// RFC 9051 §6.1.3: BYE before the tagged response.
async fn logout(session: &mut Session, tag: &Tag) -> Executed {
    let text = |text| lang::imap::reply(text, session.language);
    let (bye, done) = (text("goodbye"), text("logged out"));
    response::untagged_status(&mut session.out, Status::Bye, None, &bye);
    response::tagged(&mut session.out, Some(tag), Status::Ok, None, &done);
    session.flush().await?;
    Err(Ended)
}

/// RFC 2971. The version is not told: it helps attackers more than anyone.
fn id(session: &mut Session, fields: &[(String, Option<String>)]) -> Reply {
    tracing::debug!(session = session.id, client = ?fields, "imap: client names itself");
    response::untagged(
        &mut session.out,
        format_args!("ID (\"name\" \"Posthouse\")"),
    );
    Reply::ok("nice to meet you").with_sync(SyncMode::Everything)
}
