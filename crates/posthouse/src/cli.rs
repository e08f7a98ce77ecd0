//! The command line as types. What each command does is in `commands`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Posthouse: a complete mail system in one program.
#[derive(Debug, Parser)]
#[command(name = "posthouse", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// The configuration file [default: ./posthouse.toml, then /etc/posthouse/posthouse.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Answer in JSON, for machines
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a configuration and a data folder with a first domain and its administrator
    Init(Init),
    /// Run the server until SIGTERM
    Serve,
    /// Run a throw-away system on loopback with a few accounts
    Demo(Demo),
    /// Domains
    #[command(subcommand)]
    Domain(Domain),
    /// Accounts
    #[command(subcommand)]
    Account(Account),
    /// Aliases: addresses that lead to others
    #[command(subcommand)]
    Alias(Alias),
    /// Find what was accepted and what became of it, or refused and why: by the id that the reply quoted, a client's address, a sender, a recipient, a word of the reply
    Trace {
        /// What to look for
        query: String,
    },
    /// The lists in the DNS that strangers are looked up in, and whether they count
    Lists,
    /// Addresses and networks that are turned away
    #[command(subcommand)]
    Ban(Ban),
    /// Addresses elsewhere that nothing is sent to
    #[command(subcommand)]
    Suppress(Suppress),
    /// Filter scripts of accounts (Sieve)
    #[command(subcommand)]
    Sieve(Sieve),
    /// How TLS with other servers went, by day and domain
    #[command(subcommand)]
    TlsReport(TlsReport),
    /// Servers on the web that hear what became of mail ([[webhook]] of the rules file)
    #[command(subcommand)]
    Webhook(Webhook),
    /// Mail that waits
    #[command(subcommand)]
    Queue(Queue),
    /// Say what would become of a message, and why: rules, aliases, ways; nothing is sent
    Route(Route),
    /// The configuration file
    #[command(subcommand)]
    Config(Config),
    /// Bring back deleted mail, list what can be, or set an account back to a moment
    Undelete(Undelete),
    /// Check the store; exit status 0 when it is sound, 1 when there are findings
    Fsck(Fsck),
    /// Back everything up while the server runs; or list and check backups
    Backup(Backup),
    /// Restore everything into an empty data folder, or mail into a living account
    Restore(Restore),
    /// Hand a message over, as scripts do; the program does the same when it is called sendmail
    #[command(disable_help_flag = true)]
    Sendmail {
        /// -t -i -f SENDER -F NAME -bs, and recipients
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Say which version this is
    Version,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The folder to make; it gets posthouse.toml and the data folder
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// The first domain
    #[arg(long)]
    pub(crate) domain: String,
    /// The administrator's address
    #[arg(long)]
    pub(crate) admin: String,
    #[command(flatten)]
    pub(crate) password: PasswordFrom,
    /// Listen on 127.0.0.1 only, on the usual ports plus this number
    #[arg(long, value_name = "B")]
    pub(crate) port_base: Option<u16>,
    /// The server's own name [default: mail.DOMAIN]
    #[arg(long)]
    pub(crate) hostname: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The folder to keep the demo in; opened as it is when it holds one [default: a new one, removed at the end]
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Listen on the usual ports plus this number
    #[arg(long, value_name = "B", default_value_t = 2000)]
    pub(crate) port_base: u16,
    /// Say nothing but the ready line
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// Where a password comes from; asked for when neither is given.
#[derive(Debug, Args)]
pub(crate) struct PasswordFrom {
    /// Read the password from the first line of this file
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Read the password from the first line of standard input
    #[arg(long, conflicts_with = "password_file")]
    pub(crate) password_stdin: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Domain {
    /// Add a domain
    Add {
        /// Its name
        domain: String,
        /// Who answers for postmaster@ and abuse@ of it
        #[arg(long, value_name = "ADDRESS")]
        administrator: Option<String>,
        /// Who gets what is addressed to nobody
        #[arg(long, value_name = "ADDRESS")]
        catch_all: Option<String>,
    },
    /// List the domains
    List,
    /// Show one domain
    Show {
        /// Its name
        domain: String,
    },
    /// Set for how long deleted mail can be brought back
    Retention {
        /// Its name
        domain: String,
        /// Days; 0 lets deleted mail go with the next daily round
        #[arg(long, value_name = "N", required_unless_present = "default")]
        days: Option<u32>,
        /// As store.retention of the configuration says
        #[arg(long, conflicts_with = "days")]
        default: bool,
    },
    /// Show or set how much a domain's accounts may hold together
    Quota {
        /// Its name
        domain: String,
        /// Bytes; 0 is no limit
        #[arg(long, value_name = "N")]
        bytes: Option<u64>,
        /// Messages; 0 is no limit
        #[arg(long, value_name = "N")]
        messages: Option<u64>,
        /// Without limits from now on
        #[arg(long, conflicts_with_all = ["bytes", "messages"])]
        none: bool,
    },
    /// Remove a domain
    Remove {
        /// Its name
        domain: String,
        /// Remove its accounts and their mail with it
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Account {
    /// Add accounts; several get the same password
    Add {
        /// Their addresses
        #[arg(required = true, value_name = "ADDRESS")]
        addresses: Vec<String>,
        #[command(flatten)]
        password: PasswordFrom,
        #[command(flatten)]
        hash: OptionalHash,
        /// May administer the system
        #[arg(long)]
        admin: bool,
    },
    /// List the accounts
    List {
        /// Only those of this domain
        #[arg(long)]
        domain: Option<String>,
    },
    /// Show one account
    Show {
        /// Its address
        address: String,
    },
    /// Set an account's password
    Passwd {
        /// Its address
        address: String,
        #[command(flatten)]
        password: PasswordFrom,
    },
    /// Let a password go on that another system has the hash of; the next login replaces the hash
    ///
    /// bcrypt, SHA-crypt ($5$, $6$), MD5-crypt, {SSHA}, {SSHA256}, {SSHA512} and PBKDF2, as LDAP, Dovecot, passlib and Django write them.
    /// Until every account has logged in once, SCRAM is not offered.
    ImportHash {
        /// The account's address
        address: String,
        #[command(flatten)]
        hash: HashFrom,
    },
    /// Change what an account may do and what is done for it
    Change {
        /// Its address
        address: String,
        /// File what it submits in its Sent mailbox, for programs that do not do so themselves
        #[arg(long, value_name = "ON|OFF", value_parser = on_or_off)]
        save_sent: Option<bool>,
        /// It is several people's: whom it gives rights to its mailboxes finds them below Shared/, not Other Users/
        #[arg(long, value_name = "ON|OFF", value_parser = on_or_off)]
        shared: Option<bool>,
        /// It may administer the system
        #[arg(long, value_name = "ON|OFF", value_parser = on_or_off)]
        admin: Option<bool>,
        /// It neither logs in nor receives; its mail stays
        #[arg(long, value_name = "ON|OFF", value_parser = on_or_off)]
        disabled: Option<bool>,
    },
    /// Passwords for single devices or programs
    #[command(subcommand)]
    AppPassword(AppPassword),
    /// In whose names an account may send besides its own addresses and aliases
    #[command(subcommand)]
    SendAs(SendAs),
    /// Remove an account and its mail
    Remove {
        /// Its address
        address: String,
    },
    /// Let what was deleted go for good now, whatever the retention; only a backup can bring it back then
    Purge {
        /// Its address
        address: String,
        /// Only what was deleted before then: 2h, 3d, or 2026-01-15T10:15:00Z [default: now]
        #[arg(long, value_name = "TIME")]
        before: Option<String>,
    },
    /// Show or set how much an account may hold
    Quota {
        /// Its address
        address: String,
        /// Bytes; 0 is no limit
        #[arg(long, value_name = "N")]
        bytes: Option<u64>,
        /// Messages; 0 is no limit
        #[arg(long, value_name = "N")]
        messages: Option<u64>,
        /// Without limits from now on
        #[arg(long, conflicts_with_all = ["bytes", "messages"])]
        none: bool,
    },
}

/// Where a hash of another system comes from.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct HashFrom {
    /// A file whose first line is the hash
    #[arg(long, value_name = "FILE")]
    pub(crate) hash_file: Option<PathBuf>,
    /// The first line of standard input is the hash
    #[arg(long)]
    pub(crate) hash_stdin: bool,
}

/// A hash of another system instead of a password.
#[derive(Debug, Args)]
pub(crate) struct OptionalHash {
    /// A file whose first line is the password's hash at another system, instead of a password: see `account import-hash`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["password_file", "password_stdin"])]
    pub(crate) hash_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AppPassword {
    /// Make one; it is shown once
    Add {
        /// The account's address
        address: String,
        /// What it is called, such as "phone"
        label: String,
        /// What it is good for: imap, pop3, smtp, api (administering over HTTP, docs/api.md); the first three unless said
        #[arg(long = "for", value_name = "SERVICES", value_delimiter = ',')]
        services: Vec<String>,
        /// Until when: 90d, 2w, or 2027-01-15T10:15:00Z; for ever unless said
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
        /// For a device that knows only CRAM-MD5 or APOP: stored so that the server can read it; needs auth.cram_md5
        #[arg(long)]
        cram_md5: bool,
    },
    /// List an account's
    List {
        /// The account's address
        address: String,
    },
    /// Remove one
    Remove {
        /// The account's address
        address: String,
        /// What it is called
        label: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SendAs {
    /// Let it send as another address of a domain here, or as anybody of the domain
    Add {
        /// The account's address
        #[arg(value_name = "ACCOUNT")]
        address: String,
        /// The address, with its sub-addresses; or *@DOMAIN, quoted for the shell, for anybody of it
        #[arg(value_name = "ADDRESS|*@DOMAIN")]
        send_as: String,
    },
    /// List what an account was granted
    List {
        /// The account's address
        #[arg(value_name = "ACCOUNT")]
        address: String,
    },
    /// Take it back
    Remove {
        /// The account's address
        #[arg(value_name = "ACCOUNT")]
        address: String,
        /// As `list` shows it
        #[arg(value_name = "ADDRESS|*@DOMAIN")]
        send_as: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Alias {
    /// Add an alias, or more targets to one
    Add {
        /// The alias's address
        address: String,
        /// Where it leads
        #[arg(required = true)]
        targets: Vec<String>,
    },
    /// List the aliases
    List {
        /// Only those of this domain
        #[arg(long)]
        domain: Option<String>,
    },
    /// Remove an alias
    Remove {
        /// Its address
        address: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Ban {
    /// Turn a network away on every port; addresses from which somebody logged in lately are left out
    Add {
        /// An address, or a network such as 192.0.2.0/24
        network: String,
        /// Until when: 2h, 30d, or 2027-01-15T10:15:00Z
        #[arg(long = "for", value_name = "TIME", default_value = "1d")]
        until: String,
        /// Why; banned servers are told
        #[arg(long, default_value = "banned by the operator")]
        reason: String,
    },
    /// List who is turned away: by an operator, by the door itself, or from logging in
    List,
    /// Let them in again
    Lift {
        /// As `list` shows it; of an address, the ban that it is under
        network: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sieve {
    /// Store a script, if it compiles; in place of the one of that name
    Put {
        /// Whose it is
        address: String,
        /// Its name
        name: String,
        /// The file with its text, or - for standard input
        file: PathBuf,
    },
    /// Print a script
    Get {
        /// Whose it is
        address: String,
        /// Its name
        name: String,
    },
    /// List the scripts of an account
    List {
        /// Whose they are
        address: String,
    },
    /// Remove a script
    Remove {
        /// Whose it is
        address: String,
        /// Its name
        name: String,
    },
    /// Say whether a script compiles; with a message, which line would do what with it
    Check(SieveTrial),
}

#[derive(Debug, clap::Args)]
pub(crate) struct SieveTrial {
    /// The file with its text, or - for standard input
    pub(crate) file: PathBuf,
    /// A file with a message to try it on; nothing is done with it
    #[arg(long, value_name = "FILE")]
    pub(crate) message: Option<PathBuf>,
    /// The envelope's sender where it is delivered
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "",
        conflicts_with = "cause"
    )]
    pub(crate) from: String,
    /// The envelope's recipient where it is delivered
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "",
        conflicts_with = "cause"
    )]
    pub(crate) to: String,
    /// Behind an IMAP command instead: append, copy or flag
    #[arg(long, value_name = "CAUSE")]
    pub(crate) cause: Option<SieveCause>,
    /// The mailbox that the command was about
    #[arg(long, value_name = "NAME", default_value = "INBOX", requires = "cause")]
    pub(crate) mailbox: String,
    /// A flag that the message has; may be given again
    #[arg(long = "flag", value_name = "FLAG", requires = "cause")]
    pub(crate) flags: Vec<String>,
    /// A flag that the command changed; may be given again
    #[arg(long = "changed", value_name = "FLAG", requires = "cause")]
    pub(crate) changed: Vec<String>,
    /// Whose command it was
    #[arg(long, value_name = "ADDRESS", default_value = "", requires = "cause")]
    pub(crate) user: String,
}

/// RFC 6785 §4.3
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum SieveCause {
    Append,
    Copy,
    Flag,
}

impl SieveCause {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Append => "APPEND",
            Self::Copy => "COPY",
            Self::Flag => "FLAG",
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Suppress {
    /// Send nothing to an address; who writes to it is refused at once, with the reason
    Add {
        /// The address
        address: String,
        /// Until when: 90d, 2w, or 2027-01-15T10:15:00Z; without, until it is lifted
        #[arg(long = "for", value_name = "TIME")]
        until: Option<String>,
        /// Why; senders are told
        #[arg(long, default_value = "suppressed by the operator")]
        reason: String,
    },
    /// List them in their order, a thousand at once
    List {
        /// Go on behind this address
        #[arg(long, value_name = "ADDRESS")]
        after: Option<String>,
    },
    /// Show one of them
    Show {
        /// The address
        address: String,
    },
    /// Send to it again
    Lift {
        /// The address
        address: String,
    },
    /// Put there whoever a complaint names: a feedback report (ARF, RFC 5965) as a message. A rule may hand such mail to this command
    Report {
        /// A file with the message, or - for standard input
        #[arg(default_value = "-")]
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Webhook {
    /// List them: what waits, what they took, and what went wrong last
    List,
    /// Post a test event to one now
    Test {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TlsReport {
    /// Show the last week, the oldest day first, and what became of the reports
    Show {
        /// Only this domain
        #[arg(long)]
        domain: Option<String>,
    },
    /// Send the reports on a day now, whatever was sent before; of today it is what was counted so far
    Send {
        /// The day (UTC), such as 2026-01-15
        #[arg(long, value_name = "DATE")]
        day: String,
        /// Only to this domain
        #[arg(long)]
        domain: Option<String>,
    },
    /// Read a report that somebody sends about servers here
    Read {
        /// The report (JSON, or .json.gz), or the message that brought it; - is standard input
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Queue {
    /// List what waits
    List(QueueList),
    /// Show messages with their recipients, attempts and reasons
    Show(Which),
    /// Try now
    Retry(QueueAct),
    /// Do not try until released
    Hold(QueueAct),
    /// Try again what was held
    Release(QueueAct),
    /// Remove without telling the sender
    Remove(QueueAct),
    /// Send another way: all that a message has for the domains in question
    Reroute {
        #[command(flatten)]
        act: QueueAct,
        /// mx, smart-host, transports of the rules file with commas between them, or usual
        #[arg(long, value_name = "WAY")]
        via: String,
    },
    /// Say what waits, domain by domain, and how the sites are
    Stats,
    /// Attempt nothing more for a domain, or for any; what is paused keeps waiting, also after a restart
    Pause(Pausing),
    /// Let it go on
    Resume(Pausing),
    /// List what is paused
    Paused,
    /// Empty this machine into another: all mail for elsewhere leaves by one transport, and nothing new is taken by SMTP, LMTP and submission, also after a restart.
    /// Shows how much is left and ends when nothing is; without a transport it says how far it is
    Drain {
        /// A transport of the rules file, several with commas between them, or smart-host
        transport: Option<String>,
        /// Each message goes its own way again, and new ones are taken
        #[arg(long, conflicts_with = "transport")]
        off: bool,
        /// Do not wait until nothing is left
        #[arg(long)]
        no_wait: bool,
    },
    /// Show what is said to a destination and by it, while it is said; Ctrl-C ends it
    Transcript {
        /// A domain, a host, an address, a transport of the rules file, or smart-host
        of: String,
        /// End after so many seconds
        #[arg(long = "for", value_name = "SECONDS")]
        seconds: Option<u64>,
    },
}

/// A listing of the queue.
#[derive(Debug, Args)]
pub(crate) struct QueueList {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Show at most so many [default: 1000]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Go on where the listing before ended
    #[arg(long, value_name = "PAGE")]
    pub(crate) page: Option<String>,
    /// Only say how many there are
    #[arg(long)]
    pub(crate) count: bool,
}

/// Something that is done with messages of the queue.
#[derive(Debug, Args)]
pub(crate) struct QueueAct {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Only say how many it would be
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// What is paused or resumed.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Pausing {
    /// What goes to this domain
    #[arg(long)]
    pub(crate) domain: Option<String>,
    /// Everything
    #[arg(long)]
    pub(crate) all: bool,
}

/// Which messages of the queue; filters are met all together.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Their ids
    #[arg(value_name = "ID", conflicts_with_all = ["all", "domain", "sender", "recipient", "older", "younger", "reason", "state"])]
    pub(crate) ids: Vec<String>,
    /// All of them
    #[arg(long)]
    pub(crate) all: bool,
    /// Those with a recipient in this domain; only these recipients are meant
    #[arg(long)]
    pub(crate) domain: Option<String>,
    /// Those from this sender; <> for notifications
    #[arg(long)]
    pub(crate) sender: Option<String>,
    /// Those with this recipient; only this one is meant
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) recipient: Option<String>,
    /// Those that came longer ago than this, such as 2h or 3d
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(crate) older: Option<u64>,
    /// Those that came since
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(crate) younger: Option<u64>,
    /// Recipients whose last reason has this in it, in any case
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Recipients in this state: todo, leased, deferred, held, done, failed or removed
    #[arg(long)]
    pub(crate) state: Option<String>,
}

/// Seconds of a text such as `90s`, `15m`, `2h` or `3d`.
fn age(text: &str) -> Result<u64, String> {
    let mistake = || format!("{text:?} is no age; say 90s, 15m, 2h or 3d");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let each: u64 = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(mistake()),
    };
    let number: u64 = digits.parse().map_err(|_| mistake())?;
    number.checked_mul(each).ok_or_else(mistake)
}

#[derive(Debug, Args)]
pub(crate) struct Route {
    /// The sender; <> for none
    pub(crate) sender: String,
    /// The recipient
    pub(crate) recipient: String,
    /// The client's address [default: a stranger's]
    #[arg(long, value_name = "IP")]
    pub(crate) from_ip: Option<std::net::IpAddr>,
    /// What the client calls itself
    #[arg(long, value_name = "NAME")]
    pub(crate) helo: Option<String>,
    /// The account that has logged in
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) user: Option<String>,
    /// Bytes of the message
    #[arg(long, value_name = "N")]
    pub(crate) size: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Show the value in force
    Get {
        /// The key, such as listen.smtp
        key: String,
    },
    /// Change values in the file; comments are kept
    Set {
        /// A key and its value (TOML, or plain text, or a comma-separated list); keys that need each other together
        #[arg(required = true, num_args = 2.., value_names = ["KEY", "VALUE"], allow_negative_numbers = true)]
        changes: Vec<String>,
    },
    /// Tell all mistakes in the file
    Check,
    /// Say what a key means
    Explain {
        /// The key
        key: String,
    },
    /// Print the reference page of all keys, in Markdown
    Reference,
}

#[derive(Debug, Args)]
pub(crate) struct Undelete {
    /// Whose mail
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) account: String,
    /// Only these messages, by the ids that --list tells [default: all that --mailbox and --since leave]
    #[arg(value_name = "ID", conflicts_with_all = ["list", "at"])]
    pub(crate) ids: Vec<u64>,
    /// Only what was deleted from this mailbox, or with it
    #[arg(long, value_name = "NAME", conflicts_with = "at")]
    pub(crate) mailbox: Option<String>,
    /// Only what was deleted since then: 2h, 3d, or 2026-01-15T10:15:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "at")]
    pub(crate) since: Option<String>,
    /// List what can be brought back, and change nothing
    #[arg(long, conflicts_with = "at")]
    pub(crate) list: bool,
    /// Set the whole account back to what it held then; mail that came since stays
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// With --at: put mail that came since into the trash
    #[arg(long, requires = "at")]
    pub(crate) exact: bool,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Fsck {
    /// Only this account
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) account: Option<String>,
    /// Mend what can be mended, set aside what can't in DATA/aside, then check again; the server may run
    #[arg(long)]
    pub(crate) repair: bool,
    /// With --repair: make the indexes of texts anew, whether anything is wrong with them or not
    #[arg(long, requires = "repair")]
    pub(crate) index: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Backup {
    #[command(subcommand)]
    pub(crate) command: Option<BackupCommand>,
    #[command(flatten)]
    pub(crate) run: BackupRun,
}

#[derive(Debug, Args)]
pub(crate) struct BackupRun {
    /// A folder or s3://bucket/prefix [default: backup.to of the configuration]
    #[arg(long, value_name = "PLACE")]
    pub(crate) to: Option<String>,
    /// Encrypt with the passphrase in the first line of this file
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Write everything anew, whatever is there
    #[arg(long)]
    pub(crate) full: bool,
    /// Afterwards remove all but the last N runs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keep: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Read everything and tell what is damaged; exit status 1 when something is
    Verify(BackupFrom),
    /// List the runs
    List(BackupFrom),
}

#[derive(Debug, Args)]
pub(crate) struct BackupFrom {
    /// The folder or s3://bucket/prefix
    #[arg(value_name = "FROM")]
    pub(crate) from: String,
    /// The passphrase is in the first line of this file
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The folder or s3://bucket/prefix
    #[arg(long, value_name = "PLACE")]
    pub(crate) from: String,
    /// The passphrase is in the first line of this file
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Only this account: what is missing of it comes back, under new UIDs
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) account: Option<String>,
    /// Only this mailbox of the account
    #[arg(long, value_name = "NAME", requires = "account")]
    pub(crate) mailbox: Option<String>,
    /// Put everything below this mailbox, such as Restored
    #[arg(long, value_name = "NAME", requires = "account")]
    pub(crate) below: Option<String>,
    /// The last run that began at or before this moment (UTC) [default: the last]
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// Restore the rest when something of the backup is damaged
    #[arg(long, conflicts_with = "account")]
    pub(crate) skip_damaged: bool,
    /// Let mail that waited to be sent go at once; without this it is held, because some of it may have been sent since the backup
    #[arg(long, conflicts_with = "account")]
    pub(crate) send_queue: bool,
    /// Only the configuration, certificates and keys, into this folder; what is there is not overwritten
    #[arg(long, value_name = "DIR", conflicts_with_all = ["account", "skip_damaged", "send_queue"])]
    pub(crate) files_to: Option<PathBuf>,
    /// Only say what would be restored
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl Restore {
    /// What is read, and how.
    pub(crate) fn source(&self) -> BackupFrom {
        BackupFrom {
            from: self.from.clone(),
            passphrase_file: self.passphrase_file.clone(),
        }
    }
}

fn on_or_off(text: &str) -> Result<bool, &'static str> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("say on or off"),
    }
}
