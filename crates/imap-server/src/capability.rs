//! What is offered when. A name stands here only when a test of its MUSTs exists
//! (PRACTICE §6); `docs/rfc/imap.md` names the tests.

use crate::session::Session;

// RFC 5255 §3.1: LANGUAGE in the greeting too.
const ALWAYS: &str = "IMAP4rev1 IMAP4rev2 SASL-IR ID ENABLE LANGUAGE";
const BEFORE_LOGIN: &str = "LITERAL-";
const AFTER_LOGIN: &str = "LITERAL+ IDLE NAMESPACE CHILDREN UIDPLUS UNSELECT MOVE SPECIAL-USE \
                           CREATE-SPECIAL-USE LIST-EXTENDED LIST-STATUS STATUS=SIZE CONDSTORE QRESYNC ESEARCH \
                           SEARCHRES MULTISEARCH UTF8=ACCEPT UIDONLY INPROGRESS WITHIN PARTIAL METADATA \
                           LIST-METADATA SORT SORT=DISPLAY ESORT THREAD=ORDEREDSUBJECT THREAD=REFERENCES \
                           THREAD=REFS I18NLEVEL=2 URLAUTH URLAUTH=BINARY URL-PARTIAL CATENATE MULTIAPPEND \
                           REPLACE BINARY OBJECTID PREVIEW SAVEDATE FILTERS UIDBATCHES NOTIFY \
                           CONTEXT=SEARCH CONTEXT=SORT SEARCH=FUZZY ACL RIGHTS=kxte LIST-MYRIGHTS QUOTA \
                           QUOTA=RES-STORAGE QUOTA=RES-MESSAGE";

/// The capabilities of this session in its present state, in one line.
pub(crate) fn capabilities(session: &Session) -> String {
    if let Some(login) = &session.login {
        let limit = session.config.append_bytes_max;
        let compress = match session.conn.is_compressed() {
            true => "",
            false => " COMPRESS=DEFLATE",
        };
        // RFC 9208 §3.1.5: for those whose SETQUOTA is more than known.
        let quota_set = if login.admin { " QUOTASET" } else { "" };
        let unauthenticate = match session.config.unauthenticate {
            true => " UNAUTHENTICATE",
            false => "",
        };
        // RFC 9698 §3: only where it is true, and only after the login.
        let jmap = match session.config.jmap_session {
            Some(_) => " JMAPACCESS",
            None => "",
        };
        let mut names = format!(
            "{ALWAYS} {AFTER_LOGIN}{unauthenticate}{compress}{quota_set}{jmap} APPENDLIMIT={limit}"
        );
        if let Some(url) = session.ports.events.sieve_url() {
            names.push_str(" IMAPSIEVE=");
            names.push_str(url);
        }
        if let Some(limit) = session.config.message_limit {
            names.push(' ');
            names.push_str(&limit.capability());
        }
        return names;
    }
    let mut names = format!("{ALWAYS} {BEFORE_LOGIN}");
    if session.may_start_tls() {
        names.push_str(" STARTTLS");
    }
    // RFC 9051 §6.2.3: LOGINDISABLED where LOGIN is refused.
    if session.may_log_in() {
        names.push(' ');
        names.push_str(&session.offer().names("AUTH="));
    } else {
        names.push_str(" LOGINDISABLED");
    }
    names
}
