//! A load generator that treats every server alike, so that ours and its peers
//! are measured by the same tool in the same run.
//!
//! | subcommand | what it drives |
//! |---|---|
//! | `deliver` | SMTP, LMTP or submission: connections that send one message after another |
//! | `relay` | the same, counted when the messages arrive at a sink of ours |
//! | `append`, `fetch`, `search`, `repeat`, `login` | IMAP |
//! | `retrieve` | POP3 |
//! | `bare` | nothing: it *is* a server that writes our journal and does nothing else |
//! | `refuse` | SMTP sessions that guess recipients |
//! | `handshakes` | nothing: it *is* a server that shakes hands by TLS and says one line |
//! | `idle` | many sessions in which nothing happens, and what they cost in memory |
//! | `notice` | how soon one of many idle sessions is told of a message |
//!
//! Every run prints one JSON object: messages per second, p50 and p99 in ms,
//! and for the process trees named by `--pid` CPU seconds per 1,000 messages,
//! bytes written to disk per byte delivered, and resident memory.
//!
//! Not here: starting servers (tests/bench does), or judging the numbers.

#![forbid(unsafe_code)]
// A tool that measures needs the real clock, and prints its result.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::print_stderr)]

mod bare;
mod idle;
mod imap;
mod line;
mod login;
mod meter;
mod notice;
mod pop3;
mod sink;
mod smtp;
mod tls;

use clap::{Args, Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    work: Work,
}

/// What all kinds of work share.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// The server, as `ip:port`.
    #[arg(long, global = true, default_value = "127.0.0.1:2025")]
    addr: String,
    /// How many connections work at once.
    #[arg(long, global = true, default_value_t = 16)]
    connections: usize,
    /// How many messages (or commands) in all.
    #[arg(long, global = true, default_value_t = 10_000)]
    messages: u64,
    /// Processes whose trees are the server.
    #[arg(long = "pid", global = true)]
    pids: Vec<u32>,
    /// Who logs in, or `userN@domain` with `{n}` for a number below `--users`.
    #[arg(long, global = true, default_value = "alice@demo.test")]
    user: String,
    /// How many users `{n}` stands for.
    #[arg(long, global = true, default_value_t = 1)]
    users: usize,
    /// The password of them all.
    #[arg(long, global = true, default_value = "demo")]
    password: String,
    /// Octets of each message's body.
    #[arg(long, global = true, default_value_t = 10_000)]
    size: usize,
    /// So many messages make a conversation: each answers the one before.
    #[arg(long, global = true, default_value_t = 1)]
    conversation: u64,
}

impl Common {
    fn user(&self, n: u64) -> String {
        self.user
            .replace("{n}", &(n % self.users.max(1) as u64).to_string())
    }
}

#[derive(Debug, Subcommand)]
enum Work {
    /// Sends messages by SMTP, LMTP or submission.
    Deliver(smtp::Deliver),
    /// Sends messages for elsewhere and waits until a sink got them all.
    Relay(smtp::Relay),
    /// Appends messages by IMAP.
    Append,
    /// Fetches every message of INBOX.
    Fetch(imap::Fetch),
    /// Searches INBOX again and again.
    Search(imap::Search),
    /// Runs IMAP commands again and again and times them.
    Repeat(imap::Repeat),
    /// Serves SMTP into a journal of ours, and nothing more, until it is ended.
    Bare(bare::Bare),
    /// Holds sessions in which nothing happens and tells their memory.
    Idle(idle::Idle),
    /// Connects, logs in by IMAP and says farewell, again and again.
    Login(login::Login),
    /// Shakes hands by TLS, says one line, and nothing more, until it is ended.
    Handshakes(login::Handshakes),
    /// Waits in IDLE and counts the time until it is told of each message.
    Notice(notice::Notice),
    /// Retrieves every message by POP3.
    Retrieve(pop3::Retrieve),
    /// Guesses recipients that are not there.
    Refuse(smtp::Refuse),
}

impl Work {
    /// One connection at a time is driven by one thread: two would hand each answer over to one
    /// another, and that would be measured with it.
    fn is_single(&self) -> bool {
        matches!(
            self,
            Self::Fetch(_) | Self::Search(_) | Self::Repeat(_) | Self::Retrieve(_)
        )
    }
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let mut runtime = match cli.work.is_single() {
        true => tokio::runtime::Builder::new_current_thread(),
        false => tokio::runtime::Builder::new_multi_thread(),
    };
    runtime.enable_all().build()?.block_on(run(cli))
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let report = match cli.work {
        Work::Deliver(work) => smtp::deliver(cli.common, work).await?,
        Work::Relay(work) => smtp::relay(cli.common, work).await?,
        Work::Append => imap::append(cli.common).await?,
        Work::Fetch(work) => imap::fetch(cli.common, work).await?,
        Work::Search(work) => imap::search(cli.common, work).await?,
        Work::Repeat(work) => imap::repeat(cli.common, work).await?,
        Work::Bare(work) => return bare::serve(cli.common, work).await,
        Work::Idle(work) => idle::idle(cli.common, work).await?,
        Work::Login(work) => login::login(cli.common, work).await?,
        Work::Handshakes(work) => return login::serve(cli.common, work).await,
        Work::Notice(work) => notice::notice(cli.common, work).await?,
        Work::Retrieve(work) => pop3::retrieve(cli.common, work).await?,
        Work::Refuse(work) => smtp::refuse(cli.common, work).await?,
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
