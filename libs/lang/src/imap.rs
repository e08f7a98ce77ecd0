//! What an IMAP session says when its client asked for another language (RFC 5255 §3).
//!
//! Replies are written in English where they are made; this is the other half. A text that is
//! not here stays in English: those with names in them, and what says what is
//! wrong with a command, which only programmers see.

use crate::{Lang, counterpart};
use std::borrow::Cow;

/// A reply in a language; as it is where there is no other.
#[must_use]
pub fn reply(text: &str, lang: Lang) -> Cow<'_, str> {
    if lang == Lang::En {
        return Cow::Borrowed(text);
    }
    match counterpart(ZH_HANS, text) {
        Some(chinese) => Cow::Owned(chinese),
        None => Cow::Borrowed(text),
    }
}

/// The namespace of other users' mailboxes, for display.
#[must_use]
pub fn other_users(lang: Lang) -> &'static str {
    match lang {
        Lang::En => "Other Users",
        Lang::ZhHans => "其他用户",
    }
}

/// The namespace of shared accounts' mailboxes, for display.
#[must_use]
pub fn shared(lang: Lang) -> &'static str {
    match lang {
        Lang::En => "Shared",
        Lang::ZhHans => "共享",
    }
}

const ZH_HANS: &[(&str, &str)] = &[
    ("log in first", "请先登录"),
    ("select a mailbox first", "请先选择邮箱"),
    (
        "that is not possible at the moment",
        "目前无法完成，请稍后再试",
    ),
    ("there is no message of that number", "没有这个序号的邮件"),
    ("there is no message of that UID", "没有这个 UID 的邮件"),
    ("that is what there is", "以上是全部内容"),
    ("that is all", "完毕"),
    ("that is the quota", "这是配额"),
    ("there is no such quota root", "没有这个配额根"),
    ("administrators set quotas", "只有管理员可以设置配额"),
    ("there is no quota of that resource", "没有这种资源的配额"),
    ("no quota can be that large", "配额不能这么大"),
    ("there is no such mailbox", "没有这个邮箱"),
    (
        "there is no such mailbox; create it first",
        "没有这个邮箱，请先创建",
    ),
    (
        "you do not have the right to do that",
        "您没有这项操作的权限",
    ),
    ("you are logged in already", "您已经登录"),
    ("welcome", "欢迎"),
    ("nobody is logged in", "已退出登录"),
    ("logged out", "已退出"),
    ("subscribed", "已订阅"),
    ("unsubscribed", "已取消订阅"),
    ("it was not subscribed", "原本没有订阅"),
    ("selected", "已选择"),
    ("unselected", "已取消选择"),
    ("closed", "已关闭"),
    ("unknown command", "未知的命令"),
    ("done", "完成"),
    ("noted", "已记录"),
    ("so it is", "已设置"),
    ("created", "已创建"),
    ("deleted", "已删除"),
    ("renamed", "已重命名"),
    ("copied", "已复制"),
    ("there was nothing to copy", "没有可复制的邮件"),
    ("moved", "已移动"),
    ("stored", "已保存"),
    ("expunged", "已清除"),
    ("fetched", "已取回"),
    ("some messages are gone already", "有些邮件已经不在了"),
    (
        "some messages cannot be read; the others were sent",
        "有些邮件无法读取，其余的已发送",
    ),
    ("searched", "已搜索"),
    (
        "searched; some messages cannot be read",
        "已搜索，有些邮件无法读取",
    ),
    ("appended", "已添加"),
    ("replaced", "已替换"),
    (
        "the message that was to be replaced is gone",
        "要替换的邮件已经不在了",
    ),
    ("an empty message is not kept", "不保存空邮件"),
    ("idled", "等待结束"),
    ("the mailbox was opened by EXAMINE", "邮箱以只读方式打开"),
    ("the server has no room at the moment", "服务器目前没有空间"),
    ("the account is gone", "账号已不存在"),
    ("the account is busy, try again", "账号正忙，请重试"),
    ("the name is too long or too deep", "名称太长或层级太深"),
    ("a name is too long or too deep", "名称太长或层级太深"),
    ("the owner has all rights, always", "所有者始终拥有全部权限"),
    ("there is nobody of that name", "没有这个用户"),
    ("too many rights are given already", "授予的权限已经太多"),
    (
        "a special use is its owner's to give",
        "特殊用途只能由所有者设定",
    ),
    (
        "a mailbox stays with its owner; copy its messages instead",
        "邮箱不能换所有者，请改为复制邮件",
    ),
    (
        "names of that kind are for what others share",
        "这类名称用于他人共享的邮箱",
    ),
    (
        "what is shared of the server is not yours to set",
        "服务器的共享内容不由您设置",
    ),
    ("those are too many annotations", "注释太多"),
    (
        "that is too many mailboxes for one search",
        "一次搜索的邮箱太多",
    ),
    (
        "that is too much for one change; append the messages one by one",
        "一次的内容太多，请逐封添加",
    ),
    (
        "that is too much for one change; copy fewer messages at once",
        "一次的内容太多，请分批复制",
    ),
    ("a part is in an unknown encoding", "有一部分的编码未知"),
    ("this special use is not supported", "不支持这种特殊用途"),
    (
        "a mailbox has at most one special use",
        "一个邮箱最多有一种特殊用途",
    ),
    ("the server is going down", "服务器即将停止"),
    ("you were silent for too long", "长时间没有操作"),
    ("the selected mailbox was deleted", "所选邮箱已被删除"),
    ("goodbye", "再见"),
    ("Still here", "仍在连接"),
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
    ("a message has at most {} bytes", "一封邮件最多 {} 字节"),
    ("a value has at most {} octets", "一个值最多 {} 字节"),
    ("a batch has at least {} messages", "一批至少 {} 封邮件"),
    (
        "a command takes {} messages at most",
        "一条命令最多处理 {} 封邮件",
    ),
    (
        "you have {} sessions already, the most allowed",
        "您已有 {} 个会话，达到上限",
    ),
    (
        "there are {} sessions from your address already, the most allowed",
        "来自您的地址的会话已有 {} 个，达到上限",
    ),
    (
        "message {} (UID {}) cannot be read; the operator is told",
        "第 {} 封邮件（UID {}）无法读取，已通知管理员",
    ),
    ("too many commands that make no sense", "无法理解的命令太多"),
    ("that language is not spoken here", "不支持这种语言"),
    ("replies are in it from now on", "今后以这种语言回复"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_text_stands_once_and_is_one_line() {
        let mut once = BTreeSet::new();
        for (english, chinese) in ZH_HANS {
            assert_eq!(english.matches("{}").count(), chinese.matches("{}").count());
            assert!(once.insert(english), "{english}");
            assert!(!chinese.is_empty() && !chinese.chars().any(char::is_control));
        }
        assert_eq!(reply("created", Lang::ZhHans), "已创建");
        assert_eq!(reply("created", Lang::En), "created");
        assert_eq!(reply("7 of 9", Lang::ZhHans), "7 of 9");
        let told = |text| reply(text, Lang::ZhHans);
        assert_eq!(
            told("a message has at most 12 bytes"),
            "一封邮件最多 12 字节"
        );
        assert_eq!(
            told("message 3 (UID 77) cannot be read; the operator is told"),
            "第 3 封邮件（UID 77）无法读取，已通知管理员"
        );
        for other in [
            "a message has at most  bytes",
            "a message has at most 1x bytes",
            "a message has at most 1 bytes.",
        ] {
            assert_eq!(told(other), other);
        }
    }
}
