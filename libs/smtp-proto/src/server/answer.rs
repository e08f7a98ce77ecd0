//! The words of a session's own replies.

use core::fmt::Write;

use envelope::{EnhancedStatus, Reply};
use sasl::{Failure, Offer};

use super::event::{Hello, HelloVerb};
use super::{Config, Role};
use crate::limits::LIMIT_OFFERED_MAX;

/// Replies that are the same every time.
pub(super) mod fixed {
    use super::{EnhancedStatus, Reply};

    fn reply(code: u16, (class, subject, detail): (u8, u16, u16), text: &str) -> Reply {
        Reply::new(
            code,
            Some(EnhancedStatus::new(class, subject, detail)),
            text,
        )
    }

    pub(in super::super) fn ok() -> Reply {
        reply(250, (2, 0, 0), "OK")
    }
    pub(in super::super) fn sender_ok() -> Reply {
        reply(250, (2, 1, 0), "sender OK")
    }
    pub(in super::super) fn recipient_ok() -> Reply {
        reply(250, (2, 1, 5), "recipient OK")
    }
    pub(in super::super) fn go_ahead() -> Reply {
        Reply::new(354, None, "start mail input; end with <CRLF>.<CRLF>")
    }
    pub(in super::super) fn logged_in() -> Reply {
        reply(235, (2, 7, 0), "authentication succeeded")
    }
    pub(in super::super) fn bye() -> Reply {
        reply(221, (2, 0, 0), "bye")
    }
    pub(in super::super) fn start_tls() -> Reply {
        reply(220, (2, 0, 0), "ready to start TLS")
    }
    pub(in super::super) fn help() -> Reply {
        reply(214, (2, 0, 0), "see RFC 5321")
    }
    pub(in super::super) fn unknown() -> Reply {
        reply(500, (5, 5, 1), "command not known")
    }
    pub(in super::super) fn not_implemented() -> Reply {
        reply(502, (5, 5, 1), "command not implemented")
    }
    pub(in super::super) fn malformed_line() -> Reply {
        reply(
            500,
            (5, 5, 2),
            "a command is ASCII text in one line that ends in CRLF",
        )
    }
    pub(in super::super) fn line_too_long() -> Reply {
        reply(500, (5, 5, 2), "line too long")
    }
    pub(in super::super) fn no_argument() -> Reply {
        reply(501, (5, 5, 4), "this command takes no argument")
    }
    pub(in super::super) fn argument_needed() -> Reply {
        reply(501, (5, 5, 4), "this command needs an argument")
    }
    pub(in super::super) fn hello_name() -> Reply {
        reply(
            501,
            (5, 5, 4),
            "say your name: printable ASCII of up to 255 octets",
        )
    }
    pub(in super::super) fn hello_first() -> Reply {
        reply(503, (5, 5, 1), "say hello first")
    }
    pub(in super::super) fn mail_first() -> Reply {
        reply(503, (5, 5, 1), "MAIL first")
    }
    pub(in super::super) fn nested_mail() -> Reply {
        reply(503, (5, 5, 1), "a transaction is already going on")
    }
    pub(in super::super) fn within_chunks() -> Reply {
        reply(503, (5, 5, 1), "BDAT has begun; go on with BDAT, or RSET")
    }
    pub(in super::super) fn no_recipient() -> Reply {
        reply(503, (5, 5, 1), "RCPT first")
    }
    pub(in super::super) fn no_valid_recipient() -> Reply {
        reply(554, (5, 5, 1), "no valid recipients")
    }
    pub(in super::super) fn too_many_recipients() -> Reply {
        // RFC 5321 §4.5.3.1.10
        reply(
            452,
            (4, 5, 3),
            "too many recipients, send them in another transaction",
        )
    }
    pub(in super::super) fn binary_needs_chunks() -> Reply {
        // RFC 3030 §3
        reply(503, (5, 5, 1), "a BINARYMIME message comes by BDAT")
    }
    pub(in super::super) fn each_follows() -> Reply {
        // draft-hall-prdr §3
        Reply::new(353, None, "an answer for each recipient follows")
    }
    pub(in super::super) fn bad_chunk() -> Reply {
        reply(501, (5, 5, 4), "syntax: BDAT size [LAST]")
    }
    pub(in super::super) fn bad_url() -> Reply {
        reply(501, (5, 5, 4), "syntax: BURL url [LAST]")
    }
    pub(in super::super) fn too_big() -> Reply {
        reply(552, (5, 3, 4), "the message is too big")
    }
    pub(in super::super) fn auth_not_now() -> Reply {
        reply(503, (5, 5, 1), "AUTH is not allowed now")
    }
    pub(in super::super) fn tls_first() -> Reply {
        // RFC 3207 §4
        reply(530, (5, 7, 0), "STARTTLS first")
    }
    pub(in super::super) fn auth_needs_tls() -> Reply {
        reply(538, (5, 7, 11), "AUTH needs encryption: STARTTLS first")
    }
    pub(in super::super) fn auth_first() -> Reply {
        reply(530, (5, 7, 0), "authentication required")
    }
    pub(in super::super) fn unknown_mechanism() -> Reply {
        reply(504, (5, 5, 4), "mechanism not known here")
    }
    pub(in super::super) fn tls_not_now() -> Reply {
        reply(
            503,
            (5, 5, 1),
            "TLS is already there, or a transaction is going on",
        )
    }
    pub(in super::super) fn too_many_errors() -> Reply {
        reply(421, (4, 7, 0), "too many errors, closing")
    }
}

/// RFC 4954 §4, §6.
pub(super) fn auth_failure(failure: Failure) -> Reply {
    match failure {
        Failure::Cancelled => Reply::enhanced(501, (5, 7, 0), "authentication cancelled"),
        Failure::TooLong => Reply::enhanced(500, (5, 5, 6), "line too long"),
        Failure::Binding | Failure::Downgraded | Failure::Refused => {
            Reply::enhanced(535, (5, 7, 8), &failure.to_string())
        }
        _ => Reply::enhanced(501, (5, 5, 2), &failure.to_string()),
    }
}

pub(super) fn greeting(config: &Config) -> Reply {
    let protocol = match config.role {
        Role::Lmtp => "LMTP",
        Role::Mx | Role::Submission => "ESMTP",
    };
    Reply::new(220, None, &format!("{} {protocol}", config.host_name))
}

/// A connection as the answer to a hello depends on it.
pub(super) struct State<'a> {
    /// It is encrypted.
    pub(super) tls: bool,
    /// The time, in seconds since 1970.
    pub(super) now: i64,
    pub(super) auth: &'a Offer,
}

/// The answer to a hello. RFC 2034 §4: no enhanced codes here.
pub(super) fn hello(config: &Config, hello: &Hello, state: &State<'_>) -> Reply {
    let mut text = config.host_name.clone();
    if hello.verb != HelloVerb::Helo {
        text.push_str("\nPIPELINING");
        // Writing to a String cannot fail.
        let _ = write!(text, "\nSIZE {}", config.size_max);
        text.push_str("\n8BITMIME\nSMTPUTF8\nENHANCEDSTATUSCODES\nCHUNKING");
        // RFC 9422 §4.2
        let rcpt_max = config.recipients_max.min(LIMIT_OFFERED_MAX);
        let _ = write!(text, "\nLIMITS RCPTMAX={rcpt_max}");
        if config.binary_mime {
            text.push_str("\nBINARYMIME");
        }
        if config.dsn {
            text.push_str("\nDSN");
        }
        if config.prdr {
            text.push_str("\nPRDR");
        }
        config.wishes.write(state.now, &mut text);
        if config.starttls && !state.tls {
            text.push_str("\nSTARTTLS");
        }
        // RFC 8689 §4.1: not in the clear.
        if config.require_tls && state.tls {
            text.push_str("\nREQUIRETLS");
        }
        if !state.auth.is_empty() {
            let _ = write!(text, "\nAUTH {}", state.auth.names(""));
        }
    }
    Reply::new(250, None, &text)
}
