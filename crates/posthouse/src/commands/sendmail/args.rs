//! The classic command line: single letters, some with a value behind them or in the next word, some together (`-ti`).
//!
//! What only steers another program's queue or error mail is taken and does nothing.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{Failure, Status};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// `-bm`: a message on standard input.
    Message,
    /// `-bs`: SMTP on standard input.
    Smtp,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Args {
    pub(super) mode: Mode,
    /// `-t`: recipients are in the header too.
    pub(super) from_header: bool,
    /// `-i`, `-oi`: a lone dot is text.
    pub(super) ignore_dots: bool,
    /// `-f`, `-r`: the envelope's sender; empty is null.
    pub(super) sender: Option<String>,
    /// `-F`: the name for a From that is missing.
    pub(super) name: Option<String>,
    /// `-N`, `-R`, `-V`: NOTIFY, RET, ENVID.
    pub(super) notify: Option<String>,
    pub(super) ret: Option<String>,
    pub(super) envid: Option<String>,
    /// `-C`: the configuration file.
    pub(super) config: Option<PathBuf>,
    pub(super) recipients: Vec<String>,
}

pub(super) fn parse(words: &[OsString]) -> Result<Args, Failure> {
    let mut args = Args {
        mode: Mode::Message,
        from_header: false,
        ignore_dots: false,
        sender: None,
        name: None,
        notify: None,
        ret: None,
        envid: None,
        config: None,
        recipients: Vec::new(),
    };
    let mut words = words.iter();
    let mut only_recipients = false;
    while let Some(word) = words.next() {
        let word = word
            .to_str()
            .ok_or_else(|| usage("an argument is not UTF-8"))?;
        let letters = match word.strip_prefix('-') {
            Some(letters) if !only_recipients && !letters.is_empty() => letters,
            _ => {
                args.recipients.push(word.to_owned());
                continue;
            }
        };
        if letters == "-" {
            only_recipients = true;
            continue;
        }
        let mut rest = letters;
        while let Some(letter) = rest.chars().next() {
            rest = &rest[letter.len_utf8()..];
            if "fFrRNVCBhopXLOd".contains(letter) {
                // Behind the letter, or the next word; -o, -d and -h never take that.
                let value = match rest {
                    "" if "oph".contains(letter) => String::new(),
                    "" => match words.next().and_then(|word| word.to_str()) {
                        Some(next) => next.to_owned(),
                        None => return Err(usage(&format!("-{letter} needs a value"))),
                    },
                    value => value.to_owned(),
                };
                args.take_value(letter, value);
                break;
            }
            if letter == 'b' {
                args.take_mode(rest)?;
                break;
            }
            args.take_flag(letter)?;
        }
    }
    let alone = args.mode == Mode::Smtp || args.from_header;
    if args.recipients.is_empty() && !alone {
        return Err(usage(
            "name recipients, or say -t to take them from the header",
        ));
    }
    Ok(args)
}

impl Args {
    fn take_value(&mut self, letter: char, value: String) {
        match letter {
            'f' | 'r' => self.sender = Some(value),
            'F' => self.name = Some(value),
            'N' => self.notify = Some(value),
            'R' => self.ret = Some(value),
            'V' => self.envid = Some(value),
            'C' => self.config = Some(value.into()),
            'o' => self.ignore_dots |= value == "i",
            _ => {}
        }
    }

    fn take_mode(&mut self, mode: &str) -> Result<(), Failure> {
        self.mode = match mode {
            "" | "m" => Mode::Message,
            "s" => Mode::Smtp,
            "p" => return Err(usage("-bp is not done here: see `posthouse queue list`")),
            other => return Err(usage(&format!("-b{other} is not done here"))),
        };
        Ok(())
    }

    fn take_flag(&mut self, letter: char) -> Result<(), Failure> {
        match letter {
            't' => self.from_header = true,
            'i' => self.ignore_dots = true,
            'v' | 'U' | 'G' | 'm' | 'n' | 'e' | 's' => {}
            other => return Err(usage(&format!("-{other} is not known here"))),
        }
        Ok(())
    }
}

fn usage(text: &str) -> Failure {
    let text =
        format!("{text}; usage: sendmail [-t] [-i] [-f SENDER] [-F NAME] [-bs] [--] RECIPIENT…");
    Failure::new(Status::Usage, text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn parsed(line: &str) -> Args {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        parse(&words).unwrap()
    }

    #[test]
    fn what_cron_php_git_and_mutt_say() {
        let cron = parsed("-FCronDaemon -i -odi -oem -oi -t -f root");
        assert!(cron.from_header && cron.ignore_dots);
        assert_eq!(
            (cron.name.as_deref(), cron.sender.as_deref()),
            (Some("CronDaemon"), Some("root"))
        );
        let php = parsed("-t -i -fwww@demo.test");
        assert_eq!(php.sender.as_deref(), Some("www@demo.test"));
        let git = parsed("-i a@b.test c@d.test");
        assert_eq!(git.recipients, ["a@b.test", "c@d.test"]);
        let mutt = parsed("-oem -oi -f me@demo.test -N failure,delay -R hdrs -- -odd@b.test");
        assert_eq!(mutt.recipients, ["-odd@b.test"]);
        assert_eq!(mutt.notify.as_deref(), Some("failure,delay"));
        assert!(parsed("-ti").from_header && parsed("-ti").ignore_dots);
        assert_eq!(parsed("-bs").mode, Mode::Smtp);
        assert_eq!(parsed("-f <> x@y.test").sender.as_deref(), Some("<>"));
    }

    #[test]
    fn what_is_not_known_is_a_usage_error() {
        for line in ["", "-z x@y.test", "-bp", "-bd", "x@y.test -f", "-qf x"] {
            let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            assert_eq!(parse(&words).unwrap_err().status, Status::Usage, "{line}");
        }
    }
}
