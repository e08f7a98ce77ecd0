//! The table of keys: name, type, default, sentence, example, range. Everything else is derived from it.
//!
//! To add a key: add its line here and read the field where it matters; parser, `config explain`, the reference
//! page and the checks follow. A key without a reader is a defect. At most 150 keys (see the tests).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use toml_edit::Value;

use crate::kinds::{
    CheckMode, HostPort, Kind, LogFormat, LogLevel, NameList, Network, OutboundMode, Size,
    Suppressing, TimeOfDay, UserService, Word,
};

/// One key of the file, as the table defines it.
pub(crate) struct Key {
    /// The dotted name.
    pub(crate) name: &'static str,
    /// The sentences about it, one line each.
    pub(crate) doc: &'static [&'static str],
    /// What a value must look like, for people.
    pub(crate) expected: &'static str,
    /// The default, as TOML.
    pub(crate) default: &'static str,
    /// An example, as TOML.
    pub(crate) example: &'static str,
    /// The numbers allowed.
    pub(crate) range: Option<(u64, u64)>,
    /// Whether a value is good for this key.
    pub(crate) check: fn(&Value) -> Result<Option<u64>, String>,
}

macro_rules! keys {
    ($(
        $(#[doc = $section_doc:literal])+
        $section:ident ($prefix:literal) $Section:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident : $kind:ty = $default:tt, example $example:tt
                $(, from $min:literal to $max:literal)? ;
            )+
        }
    )+) => {
        $(
            $(#[doc = $section_doc])+
            #[derive(Clone, Debug, PartialEq)]
            pub struct $Section {
                $( $(#[doc = $doc])+ pub $field: $kind, )+
            }
        )+

        /// Everything the machine must know at start.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Settings {
            $( $(#[doc = $section_doc])+ pub $section: $Section, )+
            /// The file they were read from; empty when they come from none.
            pub file: PathBuf,
        }

        /// The table, in the order of the reference page.
        pub(crate) const KEYS: &[Key] = &[$($(
            Key {
                name: concat!($prefix, stringify!($field)),
                doc: &[$($doc),+],
                expected: <$kind as Kind>::EXPECTED,
                default: stringify!($default),
                example: stringify!($example),
                range: keys!(@range $($min $max)?),
                check: |value| <$kind as Kind>::read(value).map(|read| read.number()),
            },
        )+)+];

        /// The sections: their place in the names, and their sentences.
        pub(crate) const SECTIONS: &[(&str, &[&str])] = &[$( ($prefix, &[$($section_doc),+]), )+];

        impl Settings {
            /// From values that have passed their keys' checks; a key without a value takes its default.
            pub(crate) fn from_values(values: &BTreeMap<&'static str, Value>) -> Self {
                Self {
                    $( $section: $Section {
                        $( $field: pick(values, concat!($prefix, stringify!($field)), stringify!($default)), )+
                    }, )+
                    file: PathBuf::new(),
                }
            }
        }
    };
    (@range) => { None };
    (@range $min:literal $max:literal) => { Some(($min, $max)) };
}

fn pick<T: Kind>(values: &BTreeMap<&'static str, Value>, name: &str, default: &str) -> T {
    if let Some(Ok(read)) = values.get(name).map(T::read) {
        return read;
    }
    let default: Value = default
        .parse()
        .expect("the table's defaults are TOML: a test reads them all");
    T::read(&default).expect("the table's defaults fit their keys: a test reads them all")
}

keys! {
    /// The machine itself.
    general("") General {
        /// The name of this server as other servers see it: in greetings, Received fields and its self-signed certificate.
        /// Empty takes the machine's own name.
        hostname: String = "", example "mx.example.org";
        /// The folder that holds the store, the control socket and the self-signed certificate. Relative paths count from the folder of this file.
        data_dir: PathBuf = "data", example "/var/lib/posthouse";
        /// The user to become after the ports are bound, when started as root. Empty stays as it is.
        user: String = "", example "posthouse";
        /// Worker threads; 0 is one for each core.
        workers: u64 = 0, example 4, from 0 to 1024;
    }
    /// Where the server listens: lists of "address:port". An empty list means that the service is off.
    listen("listen.") Listen {
        /// SMTP for strangers' servers (MX).
        smtp: Vec<SocketAddr> = [], example ["0.0.0.0:25", "[::]:25"];
        /// LMTP for trusted servers on this machine or network that hand mail over for delivery. There is no login: keep it on loopback.
        lmtp: Vec<SocketAddr> = [], example ["127.0.0.1:24"];
        /// Submission by users, with STARTTLS.
        submission: Vec<SocketAddr> = [], example ["0.0.0.0:587"];
        /// Submission by users, TLS from the first byte.
        submissions: Vec<SocketAddr> = [], example ["0.0.0.0:465"];
        /// On-demand mail relay (RFC 2645) for sites that fetch their mail: logins, then ATRN, which turns the connection round. Which accounts may have
        /// which relay domain's mail stands in the file that policy.rules names.
        atrn: Vec<SocketAddr> = [], example ["0.0.0.0:366"];
        /// IMAP, with STARTTLS.
        imap: Vec<SocketAddr> = [], example ["0.0.0.0:143"];
        /// IMAP, TLS from the first byte.
        imaps: Vec<SocketAddr> = [], example ["0.0.0.0:993"];
        /// POP3, with STLS.
        pop3: Vec<SocketAddr> = [], example ["0.0.0.0:110"];
        /// POP3, TLS from the first byte.
        pop3s: Vec<SocketAddr> = [], example ["0.0.0.0:995"];
        /// HTTP: a page that says what this is, /healthz, and /metrics for visitors from this machine alone.
        http: Vec<SocketAddr> = [], example ["127.0.0.1:8080"];
        /// The same as listen.http under TLS.
        https: Vec<SocketAddr> = [], example ["0.0.0.0:443"];
    }
    /// The HTTP API on listen.https and listen.http: docs/api.md.
    api("api.") Api {
        /// Accounts that may administer the system may do so over HTTP: over TLS, or from this machine.
        enabled: bool = false, example true;
    }
    /// Mail by JMAP (RFC 8620, RFC 8621) on listen.https and listen.http: docs/rfc/jmap.md.
    jmap("jmap.") Jmap {
        /// Users read their mail over HTTP with their passwords and tokens: over TLS, or from this machine. It reads and keeps mail; sending by it
        /// (EmailSubmission) is not there yet: docs/rfc/jmap.md.
        enabled: bool = false, example true;
        /// Where clients reach listen.https from outside. Empty takes hostname, without a port, or the name that a request from this machine was
        /// sent to. With it IMAP tells clients that their mail is there too (JMAPACCESS).
        url: String = "", example "https://mail.example.org";
    }
    /// Certificates. They are read again on SIGHUP and when the files change; sessions that run are not disturbed.
    tls("tls.") Tls {
        /// PEM file with the certificate and its chain. Empty makes a self-signed one in the data folder on first start.
        certificate: PathBuf = "", example "/etc/posthouse/cert.pem";
        /// PEM file with the private key of tls.certificate.
        key: PathBuf = "", example "/etc/posthouse/key.pem";
    }
    /// How names are looked up.
    resolver("resolver.") Resolver {
        /// Name servers to ask. Empty takes those of /etc/resolv.conf.
        servers: Vec<SocketAddr> = [], example ["127.0.0.53:53"];
        /// Signatures of DNSSEC are checked for mail to elsewhere, where the name servers hand them on: TLSA records count (DANE), and
        /// names whose signatures are not good get no mail.
        dnssec: bool = true, example false;
        /// A file of DNSKEY records to trust instead of the root's, for name servers of one's own. With it signatures are demanded.
        trust_anchors: PathBuf = "", example "/etc/posthouse/trust-anchors";
    }
    /// Mail for elsewhere.
    outbound("outbound.") Outbound {
        /// "direct" sends to each domain's own servers (or the smart host); "hold" lets mail for elsewhere wait in the queue until
        /// released; "demo" does the same with that reason. With a smart host set, "demo" sends to it.
        mode: OutboundMode = "direct", example "hold";
        /// A relay that takes all mail for elsewhere, as "host:port". Empty sends to each domain's own servers.
        smart_host: HostPort = "", example "relay.example.net:587";
        /// The login at the smart host. Empty does not log in.
        smart_host_user: String = "", example "me@example.net";
        /// A file whose first line is the password at the smart host.
        smart_host_password_file: PathBuf = "", example "/etc/posthouse/relay-password";
        /// The port of other organisations' servers.
        port: u64 = 25, example 25, from 1 to 65535;
        /// Private or loopback networks that mail may be sent to all the same. Everything else that is not public is refused as a destination.
        allow_networks: Vec<Network> = [], example ["10.0.0.0/8", "127.0.0.0/8"];
        /// The addresses to send from. Of several of a family each host meets always the same one. EHLO says the name of the address (its PTR, where that
        /// leads back to it, else hostname); an IPv6 address without such a name is not used. Empty leaves the choice to the system.
        source_addresses: Vec<IpAddr> = [], example ["192.0.2.25", "2001:db8::25"];
        /// What an address here sends on elsewhere leaves with a sender of that address's domain (SRS), so that it passes SPF; notifications
        /// to such a sender go on to the one before. Our own users' senders stay.
        srs: bool = true, example false;
        /// The senders of our users leave with a tag (BATV), so that notifications about mail that they never sent are told apart. Greylisting by
        /// whole addresses and some lists do not know such senders again.
        batv: bool = false, example true;
        /// Addresses that nothing is sent to (`posthouse suppress`): "operator" counts those that people have put there, "all" also what servers refuse
        /// for good and what complains, for those who send in bulk; "off" counts none.
        suppress: Suppressing = "operator", example "all";
        /// The MTA-STS policies of other domains are fetched and kept to.
        mta_sts: bool = true, example false;
        /// How TLS with other servers goes is counted by day and domain, for a week (`posthouse tls-report show`).
        count_tls: bool = true, example false;
        /// Connections to other servers at once.
        connections: u64 = 100, example 500, from 1 to 10000;
        /// Of these, connections to one site at most: to the servers that a domain shares with others. How many there are within it is learned from how the
        /// site answers. A [[site]] of the rules file says otherwise for its hosts.
        connections_per_site: u64 = 20, example 5, from 1 to 1000;
        /// Messages on one connection.
        messages_per_connection: u64 = 100, example 20, from 1 to 10000;
        /// Messages to one site in a minute. 0 is no limit.
        messages_per_minute_per_site: u64 = 0, example 600, from 0 to 1000000;
    }
    /// Nodes that share what other people's servers allow them. Each has its own store and queue; all of them together keep to
    /// outbound.connections_per_site, outbound.messages_per_minute_per_site and the [[site]]s of the rules file.
    cluster("cluster.") Cluster {
        /// The PostgreSQL database where the nodes meet, as "postgresql://user@host/database"; of several hosts with commas between, the one that can be
        /// written to. Each node needs a connection of its own there, without a pooler of transactions between. To another machine the connection is under TLS and the certificate is checked, unless "?sslmode=disable" stands at the end.
        /// Empty is no other node. While the database is away, each node goes on with an equal part.
        database: String = "", example "postgresql://posthouse@db.example.org/posthouse";
        /// A file whose first line is the password at the database. In cluster.database none may stand.
        password_file: PathBuf = "", example "/etc/posthouse/database-password";
        /// The name of this node; each needs its own. With a database it must be there.
        node: String = "", example "mx1";
    }
    /// Reports to other organisations about how mail between us went, for those whose DNS asks for them.
    reports("reports.") Reports {
        /// Whom to write to about reports: an address, or a page. It stands in each of them; empty sends none.
        contact: String = "", example "postmaster@example.org";
        /// Who reports. Empty is hostname.
        organisation: String = "", example "Example Ltd";
        /// Each night: how TLS with a domain's servers went the day before (RFC 8460; needs outbound.count_tls), by HTTPS. By mail none is sent yet:
        /// those have to be signed. `posthouse tls-report show` says what became of them.
        tls: bool = true, example false;
    }
    /// Who may send to anywhere without a login.
    relay("relay.") Relay {
        /// Networks whose mail for elsewhere is taken. Loopback is not among them unless named.
        networks: Vec<Network> = [], example ["192.0.2.0/28"];
    }
    /// What may come in and where it goes.
    policy("policy.") PolicyFile {
        /// The file with relay domains and rules; docs/policy.md describes it. It is read again on SIGHUP; one with mistakes changes nothing.
        /// Empty is no rules.
        rules: PathBuf = "", example "/etc/posthouse/rules.toml";
    }
    /// Machines in front of this one, whose word about who the client is counts: for limits, relaying, logs and Received.
    trust("trust.") Trust {
        /// Proxies (HAProxy, a load balancer) whose connections to the mail ports begin with a PROXY header, version 1 or 2. A connection
        /// from there without one is closed; from anywhere else a header is what it looks like, garbage.
        proxies: Vec<Network> = [], example ["192.0.2.10"];
        /// Mail proxies that may say XCLIENT on the MX port and over submission.
        xclient: Vec<Network> = [], example ["192.0.2.11", "127.0.0.1"];
    }
    /// What one peer or message may use.
    limits("limits.") Limits {
        /// The largest message taken, in bytes after dot-unstuffing.
        message_bytes: Size = "100 MiB", example "50 MiB", from 65536 to 1073741824;
        /// Recipients of one message on the MX port and over submission.
        recipients: u64 = 1000, example 200, from 100 to 100000;
        /// Messages that a user may submit in an hour. What is over one of the user_ limits is taken, but held until `posthouse queue release`, and the
        /// domain's postmaster is told: it may be a stolen account. 0 is no limit. Clients on this machine are exempt. What the user's filter scripts send on
        /// counts too; over a limit it is not sent, and the message stays where it is.
        user_messages_per_hour: u64 = 300, example 100, from 0 to 1000000;
        /// The same for a day.
        user_messages_per_day: u64 = 2000, example 500, from 0 to 1000000;
        /// Recipients of all messages that a user submits in an hour.
        user_recipients_per_hour: u64 = 2000, example 500, from 0 to 10000000;
        /// The same for a day.
        user_recipients_per_day: u64 = 10000, example 2000, from 0 to 10000000;
        /// Recipients elsewhere that the user has never written to before, in an hour.
        user_new_recipients_per_hour: u64 = 200, example 50, from 0 to 10000000;
        /// The same for a day.
        user_new_recipients_per_day: u64 = 500, example 100, from 0 to 10000000;
        /// Messages that all users of one domain may submit in an hour together. What is over is held as with the user_ limits. 0 is no limit.
        domain_messages_per_hour: u64 = 0, example 1000, from 0 to 10000000;
        /// The same for a day.
        domain_messages_per_day: u64 = 0, example 10000, from 0 to 10000000;
        /// Recipients of all messages of a domain's users, in an hour.
        domain_recipients_per_hour: u64 = 0, example 5000, from 0 to 100000000;
        /// The same for a day.
        domain_recipients_per_day: u64 = 0, example 50000, from 0 to 100000000;
        /// Sessions at once, for each protocol.
        connections: u64 = 20000, example 5000, from 10 to 1000000;
        /// Sessions at once from one address, for each protocol. Loopback is exempt.
        connections_per_address: u64 = 200, example 50, from 1 to 1000000;
    }
    /// What servers of strangers go through on the MX port before their mail is taken. Each finding is a mark (X-Posthouse-Marks in the
    /// header, points, the log); only what is set to "refuse", or too many points together, refuses mail, and never that for postmaster and
    /// abuse. Users, LMTP and relay.networks are not concerned.
    door("door.") Door {
        /// Networks that are not looked at either.
        exempt: Vec<Network> = ["127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"], example ["10.0.0.0/8", "198.51.100.0/24"];
        /// The points at which mail is refused. A mark counts 2 points, a listing what door.lists says. 0 never refuses for points.
        refuse_at: u64 = 10, example 6, from 0 to 1000;
        /// An address without a reverse name, or with one that does not lead back to it.
        iprev: CheckMode = "mark", example "refuse";
        /// A HELO that is neither a full host name nor an address in brackets.
        helo_syntax: CheckMode = "mark", example "refuse";
        /// A HELO with our own name or address.
        helo_own_name: CheckMode = "refuse", example "mark";
        /// A HELO with an address that is not the client's.
        helo_literal: CheckMode = "mark", example "refuse";
        /// A HELO name that is not the reverse name of the client's address and does not lead to it.
        helo_mismatch: CheckMode = "mark", example "off";
        /// Lists in the DNS (RFC 5782) that the address is looked up in: "zone", "zone*points", or "zone=codes*points" where only some codes count
        /// ("|" between several, "-" for a range). Without points a listing counts 10; points below zero are for lists of good senders. A list counts only
        /// while its test entries are as they must be.
        lists: Vec<NameList> = [], example ["zen.spamhaus.org", "bl.example.net=127.0.0.2-127.0.0.9|127.0.1.1*6", "list.dnswl.org*-5"];
        /// Notifications of strangers are taken for tagged senders only (outbound.batv): users get none about mail that they did not send, nor about
        /// what they sent from elsewhere.
        require_tags: bool = false, example true;
        /// Connections in a minute from one address (IPv6: a /64). 0 is no limit, here and below. When most places for sessions are taken, strangers
        /// get a quarter of each, and senders whose mail was good keep theirs.
        connections_per_minute: u64 = 120, example 30, from 0 to 1000000;
        /// The same from its network (/24, IPv6: /48).
        connections_per_minute_network: u64 = 600, example 120, from 0 to 1000000;
        /// Messages in an hour from one address.
        messages_per_hour: u64 = 2000, example 200, from 0 to 1000000;
        /// The same from its network.
        messages_per_hour_network: u64 = 10000, example 1000, from 0 to 1000000;
        /// How long an address is turned away that did within an hour what honest servers don't: recipients that don't exist, tries to relay, errors
        /// without end. Never one from which somebody logged in or good mail came. "0" bans nobody by itself; see `posthouse ban`.
        ban_for: Duration = "1h", example "1d", from 0 to 2592000;
        /// The longest that the answer to such a thing is delayed: a few are free, the next waits a second, each a longer time.
        tarpit: Duration = "20s", example "0", from 0 to 120;
        /// Put off a network's first try (450); who comes again in time is known for 36 days. Not who is known for good mail or by a list of
        /// good senders, and not a sender to whom the recipient has written.
        greylist: bool = false, example true;
        /// How long the first try is put off.
        greylist_delay: Duration = "5m", example "1m", from 1 to 3600;
        /// How long `posthouse trace` finds what was refused and what was accepted.
        trace_for: Duration = "14d", example "30d", from 3600 to 31536000;
        /// How long a stranger's server waits for its greeting; whoever talks meanwhile is turned away. Senders of good mail don't wait.
        greeting_delay: Duration = "0", example "3s", from 0 to 30;
    }
    /// Logins.
    auth("auth.") Auth {
        /// Take passwords over connections without TLS when they come from this very machine.
        plaintext_on_loopback: bool = false, example true;
        /// Store SCRAM verifiers beside the argon2id hash when a password is set.
        scram: bool = true, example false;
        /// Offer CRAM-MD5 (and APOP over POP3) for devices that know nothing better. They work only with application passwords made by
        /// `posthouse account app-password add --cram-md5`, which are stored so that this server can read them: encrypted, with a key in data_dir.
        /// Programs that prefer CRAM-MD5 and try nothing else after it fail with other passwords while this is on.
        cram_md5: bool = false, example true;
        /// Services that ask for a certificate of the client's; it logs in (SASL EXTERNAL) the account whose address it names (rfc822Name).
        /// Clients without one log in by password as before.
        certificate_services: Vec<UserService> = [], example ["submissions", "imaps"];
        /// PEM file with the authorities whose client certificates are good.
        certificate_authorities: PathBuf = "", example "/etc/posthouse/clients-ca.pem";
    }
    /// Logins with a token of an identity provider instead of a password (SASL OAUTHBEARER and XOAUTH2): JWT access tokens, signed with RS256, PS256,
    /// ES256 or EdDSA. Offered only while oauth.issuer is set, and where passwords are taken.
    oauth("oauth.") Oauth {
        /// The issuer: an https address, exactly as it stands in its tokens ("iss"). Its keys are fetched through ISSUER/.well-known/openid-configuration.
        /// While it is down, tokens go on for a day with the keys that are known. Empty is off.
        issuer: String = "", example "https://id.example.org/realms/mail";
        /// What a token must be for ("aud"): one of these. Needed with an issuer; a token for another service must not open a mailbox.
        audiences: Vec<Word> = [], example ["mail.example.org"];
        /// A file with the issuer's keys (a JWK Set) instead; it is read again when a token has a key that it did not have. Empty fetches them.
        jwks: PathBuf = "", example "/etc/posthouse/issuer-keys.json";
        /// The claim that says whose token it is: an address, or a name that is unique here.
        claim: String = "email", example "preferred_username";
        /// Take the claim "email" only where "email_verified" stands beside it: otherwise whoever may choose an address at the issuer may choose a mailbox.
        verified_only: bool = true, example false;
        /// The scopes that a token must have ("scope" or "scp"), with blanks between. Clients are told. Empty asks for none.
        scope: String = "", example "mail";
    }
    /// Mail that programs of this machine hand over by `posthouse sendmail`, or by the same program under the name sendmail.
    sendmail("sendmail.") Sendmail {
        /// The socket where they do, open to every user of this machine. Empty is off. Its folder must be there, and belong to the server's user.
        socket: PathBuf = "", example "/run/posthouse/sendmail.sock";
        /// What stands behind the @ of a user of this machine. Empty is the server's name without its first part (mail.example.org: example.org).
        /// Only domains of this server may be sent from.
        domain: String = "", example "example.org";
    }
    /// SMTP.
    smtp("smtp.") Smtp {
        /// Received fields after which a message is in a loop.
        received_max: u64 = 50, example 100, from 20 to 200;
        /// A session in which the client says nothing for this long is ended.
        idle_timeout: Duration = "5m", example "3m", from 10 to 3600;
    }
    /// IMAP.
    imap("imap.") Imap {
        /// A session in which the client says nothing for this long is ended. RFC 9051 asks for 30 minutes at least.
        idle_timeout: Duration = "30m", example "45m", from 1800 to 86400;
        /// Sessions of one user at once.
        sessions_per_user: u64 = 100, example 20, from 1 to 100000;
        /// The most messages that one command works on (RFC 9738, MESSAGELIMIT), 1000 at least: FETCH, STORE, MOVE, SEARCH and UID EXPUNGE do the newest
        /// so many and say so, COPY and APPEND of more are refused. Mail programs that do not know of it see less than there is. 0 is no limit.
        message_limit: u64 = 0, example 100000, from 0 to 1000000000;
        /// The same for COPY and APPEND alone (SAVELIMIT). 0 is no limit.
        save_limit: u64 = 0, example 10000, from 0 to 1000000000;
        /// A session may end its login and begin another (RFC 8437, UNAUTHENTICATE). Turn it off behind a proxy that looks at logins and passes on
        /// whatever comes behind them.
        unauthenticate: bool = true, example false;
    }
    /// POP3.
    pop3("pop3.") Pop3 {
        /// A session in which the client says nothing for this long is ended. RFC 1939 asks for 10 minutes at least.
        idle_timeout: Duration = "10m", example "20m", from 600 to 86400;
        /// RETR marks a message as seen.
        retrieve_marks_seen: bool = true, example false;
        /// Mail that was retrieved (RETR) goes so many days later, with the next session that ends by QUIT; mail programs are told (EXPIRE).
        /// It can be brought back as any deleted mail. 0 is never.
        expire_days: u64 = 0, example 30, from 0 to 36500;
        /// A session in which the client said nothing for this long loses the maildrop to the next login; it is told so, and removes nothing.
        take_over_after: Duration = "1m", example "5m", from 10 to 86400;
    }
    /// Local delivery.
    delivery("delivery.") Delivery {
        /// What parts a user's name from a sub-address (user+tag@). Empty turns sub-addresses off.
        subaddress_separator: String = "+", example "-";
    }
    /// Mail that waits.
    queue("queue.") Queue {
        /// How long mail is tried before it goes back to its sender.
        lifetime: Duration = "5d", example "3d", from 60 to 2592000;
        /// How long a notification is tried before it is given up.
        notification_lifetime: Duration = "2d", example "1d", from 60 to 2592000;
        /// The wait before the second attempt; later waits grow from it.
        retry_first: Duration = "5m", example "1m", from 1 to 86400;
        /// The longest wait between two attempts.
        retry_max: Duration = "4h", example "1h", from 1 to 604800;
        /// Messages that may wait; with more, mail for elsewhere is answered 452 until there are fewer. Mail for people here is not concerned. 0 sets no
        /// limit: memory does not grow with the queue, and the disk's reserve is kept free in any case.
        messages_max: u64 = 0, example 1000000, from 0 to 1000000000000;
    }
    /// What the server tells about itself.
    log("log.") Log {
        /// "text" for people, "json" for machines.
        format: LogFormat = "text", example "json";
        /// The least important events that are told: "error", "warn", "info", "debug" or "trace".
        level: LogLevel = "info", example "debug";
    }
    /// Backups by the server itself. `posthouse backup` makes one now.
    backup("backup.") Backup {
        /// Where they go: a folder ("/…") or "s3://bucket/prefix". Empty makes none by itself.
        to: String = "", example "/var/backups/posthouse";
        /// How long after the beginning of one the next begins. What was missed while the server was off is made up for soon after its start.
        every: Duration = "1d", example "6h", from 300 to 2592000;
        /// When they begin instead: once a day, at this time in UTC. Empty goes by backup.every.
        at: TimeOfDay = "", example "03:30";
        /// How many runs stay; older ones and what only they need are removed after each run. The last good one always stays.
        keep: u64 = 30, example 14, from 1 to 10000;
        /// A file whose first line is the passphrase that encrypts them. Without it they are not encrypted. Who loses the passphrase loses the backups.
        passphrase_file: PathBuf = "", example "/etc/posthouse/backup-passphrase";
        /// The address of the service that s3:// means. Empty is what the environment says (AWS_ENDPOINT_URL), or AWS.
        s3_endpoint: String = "", example "https://s3.example.net";
        /// The region of the bucket. Empty is what the environment says (AWS_REGION).
        s3_region: String = "", example "eu-central-1";
        /// A file of two lines: the access key's id and its secret. Empty takes what the environment says (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY).
        s3_credentials_file: PathBuf = "", example "/etc/posthouse/s3-key";
    }
    /// Memory.
    memory("memory.") Memory {
        /// What caches and buffers may take together, at least 128 MiB. 0 is a quarter of the machine's memory (or of what its control
        /// group allows), from 128 MiB to 4 GiB. Half of it is for the views of accounts and for building their search indexes, a quarter for
        /// the index, a quarter for messages on their way in and out. Not counted are the program itself (some 30 MB), what each session
        /// takes (3 to 15 kB while it waits, 45 more with COMPRESS, up to 500 kB while it sends or receives), the accounts in use (50 bytes for
        /// each message), and what the allocator keeps of memory that was given back: some 100 MB on a busy server, half of that with
        /// MIMALLOC_PURGE_DELAY=0 in its environment.
        total: Size = 0, example "2 GiB", from 0 to 1099511627776;
    }
    /// The embedded store.
    store("store.") Store {
        /// The size of a journal segment.
        segment_bytes: Size = "64 MiB", example "256 MiB", from 4194304 to 4294967296;
        /// How long deleted mail can be brought back, and an account be set back. A domain may have its own time: `posthouse domain retention`.
        retention: Duration = "30d", example "90d", from 0 to 315360000;
        /// Whether the space of what was deleted is given back, in the background.
        collect: bool = true, example false;
        /// How long a message body stays after the last email that used it is gone: whoever is reading it goes on.
        collect_grace: Duration = "1h", example "10m", from 1 to 2592000;
    }
}
