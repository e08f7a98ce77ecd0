//! What a POP3 session says when its client asked for another language (RFC 6856 §3).
//!
//! Replies are written in English where they are made, with `+OK` or `-ERR` and a code in front, which stay as they
//! are; this is the other half. A line that is not here stays in English: those that programs read, and what says
//! what is wrong with a command.

use crate::{Lang, counterpart};
use std::borrow::Cow;

/// A line in a language; as it is where there is no other.
#[must_use]
pub fn line(line: &str, lang: Lang) -> Cow<'_, str> {
    if lang == Lang::En {
        return Cow::Borrowed(line);
    }
    match spoken(line)
        .and_then(|text| Some((line.strip_suffix(text)?, counterpart(ZH_HANS, text)?)))
    {
        Some((front, chinese)) => Cow::Owned(format!("{front}{chinese}")),
        None => Cow::Borrowed(line),
    }
}

/// What of a line is for people.
fn spoken(line: &str) -> Option<&str> {
    let text = line
        .strip_prefix("+OK ")
        .or_else(|| line.strip_prefix("-ERR "))?;
    // RFC 2449 §8
    let coded = text
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "));
    Some(coded.map_or(text, |(_, text)| text))
}

const ZH_HANS: &[(&str, &str)] = &[
    (
        "maildrop has {} messages ({} octets)",
        "信箱中有 {} 封邮件（{} 字节）",
    ),
    ("{} messages ({} octets)", "{} 封邮件（{} 字节）"),
    ("{} octets", "{} 字节"),
    ("top of message follows", "以下是邮件的开头"),
    ("message {} deleted", "第 {} 封邮件已删除"),
    ("no such message", "没有这封邮件"),
    ("bye", "再见"),
    (
        "some deleted messages not removed",
        "有些要删除的邮件未能删除",
    ),
    ("unknown command", "未知的命令"),
    ("wrong arguments", "参数有误"),
    ("line too long", "命令行太长"),
    ("log in first", "请先登录"),
    ("you are logged in already", "您已经登录"),
    ("say USER first", "请先发送 USER"),
    ("send PASS", "请发送 PASS"),
    (
        "a login needs TLS: say STLS first",
        "登录需要 TLS：请先发送 STLS",
    ),
    ("TLS is not available", "不提供 TLS"),
    ("TLS is on already", "已经使用 TLS"),
    ("begin TLS", "请开始 TLS"),
    ("names and headers may be UTF-8", "名称和信头可以使用 UTF-8"),
    (
        "another POP3 session has the maildrop",
        "另一个 POP3 会话正在使用信箱",
    ),
    (
        "the mailbox cannot be opened at the moment",
        "目前无法打开信箱",
    ),
    ("the account has no inbox", "账号没有收件箱"),
    ("the message cannot be read", "邮件无法读取"),
    ("that language is not spoken here", "不支持这种语言"),
    ("login or password is wrong", "用户名或密码错误"),
    ("the account is disabled", "账号已停用"),
    (
        "too many logins at the moment, try again",
        "目前登录过多，请稍后再试",
    ),
    (
        "login is not possible at the moment, try again",
        "目前无法登录，请稍后再试",
    ),
    ("authentication failed", "身份验证失败"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_text_stands_once_and_what_programs_read_stays() {
        let mut once = BTreeSet::new();
        for (english, chinese) in ZH_HANS {
            assert!(once.insert(english), "{english}");
            assert!(!chinese.is_empty() && !chinese.chars().any(char::is_control));
            assert_eq!(english.matches("{}").count(), chinese.matches("{}").count());
        }
        let told = |text| line(text, Lang::ZhHans);
        assert_eq!(told("+OK 120 octets"), "+OK 120 字节");
        assert_eq!(
            told("-ERR [IN-USE] another POP3 session has the maildrop"),
            "-ERR [IN-USE] 另一个 POP3 会话正在使用信箱"
        );
        for program in ["+OK 2 320", "+OK", "bye", "UIDL", "+ ", "+OK 1 octets of"] {
            assert_eq!(told(program), program);
        }
        assert_eq!(line("+OK bye", Lang::En), "+OK bye");
    }
}
