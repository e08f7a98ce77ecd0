//! LANGUAGE (RFC 5255 §3): in which language replies are.

use crate::commands::namespace;
use crate::reply::Reply;
use crate::session::Session;
use imap_proto::response::{self, Code};
use lang::Lang;

pub(crate) async fn run(session: &mut Session, ranges: &[String]) -> Reply {
    if ranges.is_empty() {
        let tags = Lang::ALL.map(Lang::tag).join(" ");
        response::untagged(
            &mut session.out,
            format_args!("LANGUAGE ({tags} i-default)"),
        );
        return Reply::ok("that is what there is");
    }
    let meant = ranges
        .iter()
        .find_map(|range| match range.to_ascii_lowercase().as_str() {
            "default" | "i-default" | "*" => Some((Lang::En, "i-default")),
            range => Lang::from_tag(range).map(|lang| (lang, lang.tag())),
        });
    let Some((lang, tag)) = meant else {
        return Reply::no(Code::CANNOT, "that language is not spoken here");
    };
    session.language = lang;
    response::untagged(&mut session.out, format_args!("LANGUAGE ({tag})"));
    // RFC 5255 §3.3: names of namespaces are translated with it.
    if session.login.is_some()
        && let Err(reply) = namespace::write(session).await
    {
        return reply;
    }
    Reply::ok("replies are in it from now on")
}
