//! What a server's reply says about how much mail it wants from us, and how fast.
//!
//! Codes alone are vague here: the same `421 4.7.0` means "one connection too many"
//! at one provider and "we do not like your address" at another. So the words come
//! first, from a table of what the field says, and where none is known the codes
//! decide. What is classed wrongly costs a little speed, never a message.
//!
//! Not here: what becomes of the recipient (`outcome`), what is done about it (`learning`).

use envelope::{EnhancedStatus, Reply};

/// What a reply says about our way of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Fewer connections at once, please.
    TooManyConnections,
    /// Fewer messages in a time, please.
    TooFast,
    /// It does not like who sends: our address, our network, complaints.
    Reputation,
    /// It has trouble of its own, or does not say what it minds.
    NotNow,
    /// It wants to see us come back.
    Greylisted,
    /// Enough on this connection; another one may go on.
    SessionFull,
    /// Fewer recipients in a transaction (`452 4.5.3`): says nothing about pace.
    TooManyRecipients,
    /// Nothing about our way of sending.
    Other,
}

impl Signal {
    /// What a reply says; a positive one says nothing.
    #[must_use]
    pub fn of(reply: &Reply) -> Self {
        if !reply.is_temporary() && !reply.is_permanent() {
            return Self::Other;
        }
        if let Some(signal) = Self::of_numbers(reply) {
            return signal;
        }
        let text = reply.text().to_lowercase();
        let said = |hint: &&Hint| hint.words.iter().all(|words| text.contains(words));
        if let Some(hint) = HINTS.iter().find(said)
            && (reply.is_temporary() || hint.signal.may_be_final())
        {
            return hint.signal;
        }
        Self::of_codes(reply.code, reply.enhanced)
    }

    /// Exchange Online numbers its refusals of addresses, whatever it says with them:
    /// 4.7.500 to 4.7.699 pass; 5.7.511 and 5.7.606 to 5.7.649 stay until somebody asks.
    fn of_numbers(reply: &Reply) -> Option<Self> {
        let status = reply.enhanced?;
        match (status.class, status.subject, status.detail) {
            (4, 7, 500..=699) | (5, 7, 511 | 606..=649) => Some(Self::Reputation),
            _ => None,
        }
    }

    fn of_codes(code: u16, status: Option<EnhancedStatus>) -> Self {
        let status = status.map(|status| (status.class, status.subject, status.detail));
        match (code, status) {
            // RFC 5321 §4.5.3.1.10; some say 552.
            (452 | 552, Some((_, 5, 3))) => Self::TooManyRecipients,
            // RFC 3463 §3.5: mail system congestion.
            (400..=499, Some((4, 4, 5))) => Self::TooFast,
            (421, _) => Self::NotNow,
            _ => Self::Other,
        }
    }

    /// A refusal for good may mean the address; a pace passes.
    fn may_be_final(self) -> bool {
        matches!(
            self,
            Self::Reputation | Self::TooManyRecipients | Self::TooFast
        )
    }

    /// Its name for people and programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TooManyConnections => "too many connections",
            Self::TooFast => "too fast",
            Self::Reputation => "reputation",
            Self::NotNow => "not now",
            Self::Greylisted => "greylisted",
            Self::SessionFull => "enough for one connection",
            Self::TooManyRecipients => "too many recipients",
            Self::Other => "other",
        }
    }
}

/// Words that are all in a reply, in lower case, and what they mean.
struct Hint {
    words: &'static [&'static str],
    signal: Signal,
}

const fn hint(signal: Signal, words: &'static [&'static str]) -> Hint {
    Hint { words, signal }
}

/// What the field says; the first line that fits counts, so providers stand before
/// what anybody may say.
const HINTS: &[Hint] = &[
    // Gmail
    hint(Signal::Reputation, &["unusual rate of unsolicited mail"]),
    hint(Signal::Reputation, &["rate limited", "authenticat"]),
    hint(Signal::Reputation, &["likely unsolicited mail"]),
    hint(Signal::Reputation, &["very low reputation"]),
    // A mailbox of theirs, not our pace.
    hint(
        Signal::Other,
        &["the user you are trying to contact is receiving mail"],
    ),
    // Outlook.com, Exchange Online, Exchange
    hint(
        Signal::TooManyConnections,
        &["maximum number of concurrent", "connections"],
    ),
    hint(
        Signal::TooManyConnections,
        &["concurrent connections limit exceeded"],
    ),
    hint(Signal::TooManyConnections, &["rp-003"]),
    hint(
        Signal::TooFast,
        &["message submission rate for this client has exceeded"],
    ),
    hint(Signal::Reputation, &["due to ip reputation"]),
    hint(Signal::Reputation, &["rp-001"]),
    hint(Signal::TooFast, &["rp-002"]),
    hint(Signal::Reputation, &["on our block list"]),
    hint(Signal::Reputation, &["banned sending ip"]),
    // Yahoo, AOL
    hint(Signal::Reputation, &["[tss0"]),
    hint(Signal::Reputation, &["[ts0"]),
    hint(Signal::Greylisted, &["[gl01]"]),
    hint(Signal::SessionFull, &["max message per connection reached"]),
    // NetEase (163, 126, yeah): codes with their own page of explanations
    hint(Signal::TooManyConnections, &["hl:icc"]),
    hint(Signal::TooFast, &["hl:ifc"]),
    hint(Signal::SessionFull, &["hl:mep"]),
    hint(Signal::Reputation, &["hl:rep"]),
    hint(Signal::TooFast, &["mi:sfq"]),
    hint(Signal::TooFast, &["rp:qrc"]),
    hint(Signal::SessionFull, &["mi:dmc"]),
    hint(Signal::SessionFull, &["rp:drc"]),
    // QQ, Tencent
    hint(Signal::TooFast, &["connection frequency limited"]),
    hint(Signal::TooFast, &["ip frequency limited"]),
    hint(Signal::TooFast, &["domain frequency limited"]),
    hint(Signal::TooFast, &["sender frequency limited"]),
    hint(Signal::Reputation, &["suspected bounce attacks"]),
    // Aliyun
    hint(Signal::Reputation, &["reject by behaviour spam"]),
    // iCloud
    hint(Signal::Reputation, &["[cs01]"]),
    hint(Signal::Reputation, &["[hm07]"]),
    hint(Signal::Reputation, &["[hm08]"]),
    // Orange
    hint(Signal::TooManyConnections, &["trop de connexions"]),
    hint(Signal::TooManyConnections, &["ofr004_104"]),
    hint(Signal::Reputation, &["ofr_506"]),
    // Comcast
    hint(Signal::TooManyConnections, &["rl000001"]),
    hint(Signal::TooFast, &["rl000002"]),
    hint(Signal::TooFast, &["rl000003"]),
    // Postfix
    hint(Signal::TooFast, &["error: too much mail from"]),
    hint(Signal::TooFast, &["error: too many recipients from"]),
    hint(Signal::TooFast, &["error: too many new tls sessions from"]),
    // Mimecast
    hint(Signal::Reputation, &["ip temporarily blacklisted"]),
    // What others write into their replies.
    hint(Signal::SessionFull, &["too many messages", "connection"]),
    hint(Signal::SessionFull, &["too many messages", "session"]),
    hint(Signal::TooManyConnections, &["too many", "connection"]),
    hint(Signal::TooManyConnections, &["too many", "sessions"]),
    hint(Signal::TooManyConnections, &["connection limit"]),
    hint(
        Signal::TooManyConnections,
        &["number of connections", "exceed"],
    ),
    hint(Signal::TooManyRecipients, &["too many recipients"]),
    hint(Signal::TooFast, &["rate limit"]),
    hint(Signal::TooFast, &["rate-limit"]),
    hint(Signal::TooFast, &["rate exceeded"]),
    hint(Signal::TooFast, &["throttl"]),
    hint(Signal::TooFast, &["too many messages"]),
    hint(Signal::TooFast, &["too many emails"]),
    hint(Signal::TooFast, &["too much mail"]),
    hint(Signal::TooFast, &["slow down"]),
    hint(Signal::TooFast, &["too fast"]),
    hint(Signal::TooFast, &["too quickly"]),
    hint(Signal::Greylisted, &["greylist"]),
    hint(Signal::Greylisted, &["graylist"]),
    hint(Signal::Greylisted, &["grey list"]),
    hint(Signal::Reputation, &["reputation"]),
    hint(Signal::Reputation, &["spamhaus"]),
    hint(Signal::Reputation, &["blacklist"]),
    hint(Signal::Reputation, &["blocklist"]),
    hint(Signal::Reputation, &["block list"]),
    hint(Signal::Reputation, &[" rbl"]),
    hint(Signal::NotNow, &["server busy"]),
    hint(Signal::NotNow, &["too busy"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(line: &str) -> Signal {
        let (code, rest) = line.split_at(3);
        let rest = rest.trim_start();
        let (status, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let numbers: Option<Vec<u16>> = status.split('.').map(|n| n.parse().ok()).collect();
        let code = code.parse().expect("a code");
        Signal::of(&match numbers.as_deref() {
            Some(&[class, subject, detail]) => {
                let class = u8::try_from(class).expect("one digit");
                Reply::enhanced(code, (class, subject, detail), text)
            }
            _ => Reply::new(code, None, rest),
        })
    }

    /// Replies as their servers write them.
    const SAID: &[(Signal, &str)] = &[
        (
            Signal::Reputation,
            "421 4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from your IP Netblock",
        ),
        (
            Signal::Reputation,
            "421 4.7.0 [192.0.2.1 15] Our system has detected an unusual rate of unsolicited mail originating from your IP address.",
        ),
        (
            Signal::Reputation,
            "421 4.7.26 This mail has been rate limited because it is unauthenticated.",
        ),
        (
            Signal::Reputation,
            "421 4.7.27 Your email has been rate limited because SPF authentication didn't pass",
        ),
        (
            Signal::Reputation,
            "550 5.7.1 Our system has detected that this message is likely unsolicited mail.",
        ),
        (
            Signal::Reputation,
            "550 5.7.1 this message is likely suspicious due to the very low reputation of the sending IP address.",
        ),
        (
            Signal::Other,
            "450 4.2.1 The user you are trying to contact is receiving mail too quickly.",
        ),
        (
            Signal::TooManyConnections,
            "421 4.4.5 Too many connections to this host.",
        ),
        (
            Signal::NotNow,
            "421 4.3.0 Temporary System Problem. Try again later.",
        ),
        (
            Signal::TooManyConnections,
            "421 4.3.2 The maximum number of concurrent server connections has exceeded a limit, closing transmission channel",
        ),
        (
            Signal::TooManyConnections,
            "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending",
        ),
        (
            Signal::TooFast,
            "421 4.4.2 Message submission rate for this client has exceeded the configured limit",
        ),
        (Signal::NotNow, "421 4.3.2 Service not active"),
        (
            Signal::Reputation,
            "451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (S77714)",
        ),
        (
            Signal::Reputation,
            "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation.",
        ),
        (
            Signal::Reputation,
            "421 RP-001 (SNT004) Unfortunately, some messages from 192.0.2.1 weren't sent. Please try again.",
        ),
        (
            Signal::TooFast,
            "421 RP-002 (SNT004) Unfortunately, some messages from 192.0.2.1 weren't sent.",
        ),
        (
            Signal::TooManyConnections,
            "421 RP-003 (SNT004) Unfortunately, some messages from 192.0.2.1 weren't sent.",
        ),
        (
            Signal::Reputation,
            "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. part of their network is on our block list (S3150).",
        ),
        (
            Signal::Reputation,
            "550 5.7.606 Access denied, banned sending IP [192.0.2.1]",
        ),
        (Signal::Reputation, "550 5.7.511 Access denied"),
        (
            Signal::Reputation,
            "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints - 4.16.55.1",
        ),
        (
            Signal::Reputation,
            "421 4.7.1 [TS03] All messages from 192.0.2.1 will be permanently deferred; Retrying will NOT succeed.",
        ),
        (
            Signal::Greylisted,
            "421 4.7.0 [GL01] Message from (192.0.2.1) temporarily deferred - 4.16.50",
        ),
        (
            Signal::SessionFull,
            "421 Max message per connection reached, closing transmission channel",
        ),
        (
            Signal::TooManyConnections,
            "421 HL:ICC 该IP同时并发连接数过大，超过了网易的限制，被临时禁止连接。",
        ),
        (
            Signal::TooFast,
            "421 HL:IFC 该IP短期内发送了大量信件，超过了网易的限制，被临时禁止连接。",
        ),
        (Signal::SessionFull, "421 HL:MEP 该IP单次连接上发送信件过多"),
        (
            Signal::Reputation,
            "421 HL:REP 该IP发送行为异常，存在接收者大量不存在情况，被临时禁止连接。",
        ),
        (
            Signal::TooFast,
            "451 MI:SFQ 发信人在15分钟内的发信数量超过限制，被临时禁止发信。",
        ),
        (
            Signal::TooFast,
            "450 RP:QRC 发信人短期内累计的收件人数量超过限制",
        ),
        (
            Signal::SessionFull,
            "450 MI:DMC 当前连接发送的邮件数量超出限制。",
        ),
        (
            Signal::SessionFull,
            "450 RP:DRC 当前连接发送的收件人数量超过限制。",
        ),
        (
            Signal::TooFast,
            "550 Connection frequency limited. http://service.mail.qq.com/cgi-bin/help",
        ),
        (Signal::TooFast, "550 Ip frequency limited"),
        (Signal::TooFast, "421 Domain frequency limited"),
        (Signal::TooFast, "550 Sender frequency limited"),
        (Signal::Reputation, "550 Suspected bounce attacks"),
        (
            Signal::Reputation,
            "554 Reject by behaviour spam at Rcpt State(Connection IP address:192.0.2.1)ANTISPAM_BAT[01201311R166S]",
        ),
        (
            Signal::Reputation,
            "550 5.7.1 [CS01] Message rejected due to local policy.",
        ),
        (
            Signal::Reputation,
            "554 5.7.1 [HM07] Message rejected due to local policy.",
        ),
        (
            Signal::Reputation,
            "554 5.7.1 [HM08] Message rejected due to local policy.",
        ),
        (
            Signal::TooManyConnections,
            "421 mwinf5c15 ME Trop de connexions, veuillez verifier votre configuration.",
        ),
        (
            Signal::TooManyConnections,
            "421 Service refused, please try later. OFR004_104 [104]",
        ),
        (Signal::Reputation, "550 5.2.0 Mail rejete. OFR_506 [506]"),
        (
            Signal::TooManyConnections,
            "421 4.2.1 resimta Try again later - RL000001",
        ),
        (
            Signal::TooFast,
            "421 4.2.1 resimta Try again later - RL000002",
        ),
        (
            Signal::TooFast,
            "452 4.2.1 resimta Try again later - RL000003",
        ),
        (
            Signal::TooManyConnections,
            "421 4.7.0 mx.example Error: too many connections from 192.0.2.1",
        ),
        (
            Signal::TooFast,
            "450 4.7.1 <ann@example.org>: Sender address rejected: Error: too much mail from 192.0.2.1",
        ),
        (
            Signal::TooFast,
            "450 4.7.1 Error: too many recipients from 192.0.2.1",
        ),
        (
            Signal::TooFast,
            "454 4.7.0 Error: too many new TLS sessions from 192.0.2.1",
        ),
        (
            Signal::TooManyConnections,
            "421 Too many concurrent SMTP connections from this IP address; please try again later.",
        ),
        (
            Signal::TooManyConnections,
            "421 4.3.2 Too many open connections.",
        ),
        (Signal::TooFast, "421 4.3.2 Connection rate limit exceeded."),
        (
            Signal::Reputation,
            "451 IP temporarily blacklisted - https://community.mimecast.com/",
        ),
        (Signal::TooManyConnections, "421 Too many sessions opened"),
        (Signal::TooManyConnections, "421 Connection limit reached"),
        (
            Signal::TooManyConnections,
            "421 Maximum number of connections exceeded",
        ),
        (
            Signal::SessionFull,
            "451 4.7.0 Too many messages for this connection",
        ),
        (
            Signal::SessionFull,
            "452 4.7.0 Too many messages in this session",
        ),
        (Signal::TooManyRecipients, "452 4.5.3 Too many recipients"),
        (
            Signal::TooManyRecipients,
            "452 4.5.3 Your message has more than we take",
        ),
        (Signal::TooManyRecipients, "552 5.5.3 enough"),
        (Signal::TooFast, "451 4.7.1 Sorry, you are sending too fast"),
        (Signal::TooFast, "450 4.7.1 throttled, try later"),
        (Signal::TooFast, "421 4.7.0 rate-limited"),
        (Signal::TooFast, "450 rate exceeded"),
        (Signal::TooFast, "451 too many messages, try later"),
        (Signal::TooFast, "421 too many emails"),
        (Signal::TooFast, "452 too much mail"),
        (Signal::TooFast, "421 please slow down"),
        (Signal::TooFast, "450 you knock too quickly"),
        (
            Signal::NotNow,
            "421 4.7.0 Try again later, closing connection.",
        ),
        (Signal::TooFast, "451 4.4.5 system congested"),
        (
            Signal::Greylisted,
            "450 4.2.0 <x@example.org>: Recipient address rejected: Greylisted, see http://postgrey.example",
        ),
        (Signal::Greylisted, "451 4.7.1 Graylisted, please come back"),
        (Signal::Greylisted, "451 4.7.1 You are on the grey list"),
        (
            Signal::Reputation,
            "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
        ),
        (Signal::Reputation, "554 5.7.1 blocked using an RBL"),
        (Signal::Reputation, "550 5.7.1 you are on our blacklist"),
        (Signal::Reputation, "550 5.7.1 you are on a blocklist"),
        (
            Signal::Reputation,
            "550 5.7.1 found in a block list of somebody",
        ),
        (Signal::Reputation, "451 4.7.1 poor reputation"),
        (Signal::NotNow, "451 4.3.2 server busy"),
        (Signal::NotNow, "421 4.3.2 too busy"),
        (Signal::NotNow, "421 closing"),
        (Signal::Other, "450 4.2.0 come back"),
        (Signal::Other, "451 4.7.1 later"),
        (Signal::Other, "452 4.2.2 mailbox full"),
        (Signal::Other, "550 5.1.1 no such user"),
        (
            Signal::Other,
            "550 5.7.1 too many connections of an unknown kind",
        ),
        (Signal::Other, "250 2.0.0 taken, too fast"),
    ];

    #[test]
    fn replies_of_the_field_are_understood() {
        for (expected, line) in SAID {
            assert_eq!(signal(line), *expected, "{line}");
        }
    }

    #[test]
    fn every_line_of_the_table_has_a_reply_that_needs_it() {
        for (place, hint) in HINTS.iter().enumerate() {
            let decides = |(_, line): &&(Signal, &str)| {
                let text = line.to_lowercase();
                let fits = |hint: &Hint| hint.words.iter().all(|words| text.contains(words));
                HINTS.iter().position(fits) == Some(place)
            };
            assert!(SAID.iter().any(|said| decides(&said)), "{:?}", hint.words);
        }
    }
}
