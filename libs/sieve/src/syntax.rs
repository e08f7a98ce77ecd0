//! Tokens to commands, tests and arguments (RFC 5228 §8.2), whatever their names are.
//!
//! The parser goes on behind what is wrong, so that a writer sees all of it at once.
//!
//! Invariant: what it gives nests no deeper than [`BLOCKS_NESTED_MAX`] blocks and [`TESTS_NESTED_MAX`] tests.

use crate::complaint::{Complaints, Position};
use crate::lexer::{Lexer, Token};
use crate::limits::{ARGUMENTS_MAX, BLOCKS_NESTED_MAX, STRINGS_MAX, TESTS_NESTED_MAX};

/// A command or a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub at: Position,
    pub name: String,
    pub args: Vec<Arg>,
    pub tests: Vec<Node>,
    pub tests_at: Option<Position>,
    /// Do the tests stand in brackets?
    pub bracketed: bool,
    pub block: Option<Vec<Node>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arg {
    pub at: Position,
    pub value: ArgValue,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ArgValue {
    Tag(String),
    Number(u64),
    Text(String),
    Texts(Vec<(Position, String)>),
}

/// A syntax error was complained of; what it belongs to is gone.
struct Broken;

struct Parser<'a, 'c> {
    lexer: Lexer<'a>,
    token: Token,
    at: Position,
    blocks: usize,
    complaints: &'c mut Complaints,
}

/// All commands of a script.
pub(crate) fn parse(text: &str, complaints: &mut Complaints) -> Vec<Node> {
    let mut lexer = Lexer::new(text);
    let (token, at) = lexer.next(complaints);
    let mut parser = Parser {
        lexer,
        token,
        at,
        blocks: 0,
        complaints,
    };
    let mut nodes = Vec::new();
    loop {
        nodes.extend(parser.commands());
        if parser.token == Token::End || parser.complaints.is_full() {
            return nodes;
        }
        // Only a closing brace ends a list of commands.
        let at = parser.at;
        parser.complaints.push(at, "\"}\" closes no block");
        parser.next();
    }
}

impl Parser<'_, '_> {
    fn next(&mut self) {
        (self.token, self.at) = self.lexer.next(self.complaints);
    }

    fn complain(&mut self, what: impl Into<String>) -> Broken {
        self.complaints.push(self.at, what);
        Broken
    }

    fn expected(&mut self, what: &str) -> Broken {
        let found = self.token.named();
        self.complain(format!("expected {what}, found {found}"))
    }

    /// Commands up to `}` or the end.
    fn commands(&mut self) -> Vec<Node> {
        let mut nodes = Vec::new();
        while !matches!(self.token, Token::BlockClose | Token::End) && !self.complaints.is_full() {
            match self.command() {
                Ok(node) => nodes.push(node),
                Err(Broken) => self.recover(),
            }
        }
        nodes
    }

    /// Goes on behind the command that is broken: its `;` or its block, but not out of the block it stands in.
    fn recover(&mut self) {
        let mut depth = 0_usize;
        loop {
            match self.token {
                Token::End => return,
                Token::Semicolon if depth == 0 => {
                    self.next();
                    return;
                }
                Token::BlockOpen => depth += 1,
                Token::BlockClose if depth == 0 => return,
                Token::BlockClose => {
                    depth -= 1;
                    if depth == 0 {
                        self.next();
                        return;
                    }
                }
                _ => {}
            }
            self.next();
        }
    }

    fn command(&mut self) -> Result<Node, Broken> {
        let mut node = self.head("a command")?;
        self.arguments(&mut node, 0)?;
        match self.token {
            Token::Semicolon => {
                self.next();
                Ok(node)
            }
            Token::BlockOpen => {
                if self.blocks >= BLOCKS_NESTED_MAX {
                    return Err(self.complain(format!(
                        "more than {BLOCKS_NESTED_MAX} blocks in each other"
                    )));
                }
                self.next();
                self.blocks += 1;
                node.block = Some(self.commands());
                self.blocks -= 1;
                if self.token != Token::BlockClose {
                    if !self.complaints.is_full() {
                        self.expected("\"}\"");
                    }
                    return Ok(node);
                }
                self.next();
                Ok(node)
            }
            // The writer forgot a semicolon: what follows is looked at as well.
            Token::Identifier(_) | Token::BlockClose | Token::End => {
                self.expected("\";\" or \"{\"");
                Ok(node)
            }
            _ => Err(self.expected("\";\" or \"{\"")),
        }
    }

    fn head(&mut self, what: &str) -> Result<Node, Broken> {
        let Token::Identifier(name) = &mut self.token else {
            return Err(self.expected(what));
        };
        let name = core::mem::take(name);
        let at = self.at;
        self.next();
        Ok(Node {
            at,
            name,
            args: Vec::new(),
            tests: Vec::new(),
            tests_at: None,
            bracketed: false,
            block: None,
        })
    }

    /// `*argument [ test / test-list ]`
    fn arguments(&mut self, node: &mut Node, depth: usize) -> Result<(), Broken> {
        loop {
            let at = self.at;
            let value = match &mut self.token {
                Token::Tag(name) => ArgValue::Tag(core::mem::take(name)),
                Token::Number(number) => ArgValue::Number(*number),
                Token::Text(text) => ArgValue::Text(core::mem::take(text)),
                Token::ListOpen => {
                    let texts = self.texts()?;
                    self.argument(node, at, ArgValue::Texts(texts))?;
                    continue;
                }
                _ => break,
            };
            self.argument(node, at, value)?;
            self.next();
        }
        node.tests_at = Some(self.at);
        match self.token {
            Token::Identifier(_) if !self.begins_a_line(node) => {
                node.tests.push(self.test(depth)?);
            }
            Token::Open => {
                node.bracketed = true;
                self.next();
                loop {
                    node.tests.push(self.test(depth)?);
                    match self.token {
                        Token::Comma => self.next(),
                        Token::Close => break,
                        _ => return Err(self.expected("\",\" or \")\"")),
                    }
                }
                self.next();
            }
            _ => node.tests_at = None,
        }
        Ok(())
    }

    /// Is the name ahead the next command, with a semicolon forgotten? Only these have a test without brackets.
    fn begins_a_line(&self, node: &Node) -> bool {
        let has_test = matches!(node.name.as_str(), "if" | "elsif" | "not");
        !has_test && self.at.line > node.at.line
    }

    fn argument(&mut self, node: &mut Node, at: Position, value: ArgValue) -> Result<(), Broken> {
        if node.args.len() >= ARGUMENTS_MAX {
            let what = format!("more than {ARGUMENTS_MAX} arguments of \"{}\"", node.name);
            return Err(self.complain(what));
        }
        node.args.push(Arg { at, value });
        Ok(())
    }

    fn test(&mut self, depth: usize) -> Result<Node, Broken> {
        if depth >= TESTS_NESTED_MAX {
            return Err(self.complain(format!("more than {TESTS_NESTED_MAX} tests in each other")));
        }
        let mut node = self.head("a test")?;
        self.arguments(&mut node, depth + 1)?;
        Ok(node)
    }

    fn texts(&mut self) -> Result<Vec<(Position, String)>, Broken> {
        let mut texts = Vec::new();
        loop {
            self.next();
            let Token::Text(text) = &mut self.token else {
                return Err(self.expected("a string"));
            };
            let text = core::mem::take(text);
            texts.push((self.at, text));
            if texts.len() > STRINGS_MAX {
                return Err(self.complain(format!("more than {STRINGS_MAX} strings in a list")));
            }
            self.next();
            match self.token {
                Token::Comma => {}
                Token::ListClose => break,
                _ => return Err(self.expected("\",\" or \"]\"")),
            }
        }
        self.next();
        Ok(texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> (Vec<Node>, Vec<String>) {
        let mut complaints = Complaints::default();
        let nodes = parse(text, &mut complaints);
        let said = complaints.list().iter().map(ToString::to_string);
        (nodes, said.collect())
    }

    #[test]
    fn commands_have_arguments_tests_and_blocks() {
        let (nodes, said) = parsed("if anyof (true, not size :over 1K) { keep; } stop;");
        assert!(said.is_empty(), "{said:?}");
        assert_eq!(nodes.len(), 2);
        let anyof = &nodes[0].tests[0];
        assert_eq!(
            (anyof.name.as_str(), anyof.bracketed, anyof.tests.len()),
            ("anyof", true, 2)
        );
        let size = &anyof.tests[1].tests[0];
        assert_eq!(size.args[1].value, ArgValue::Number(1024));
        assert_eq!(nodes[0].block.as_ref().map(Vec::len), Some(1));
        assert_eq!(nodes[1].at.column, 46);
    }

    #[test]
    fn each_error_is_told_once_and_what_follows_is_read() {
        let (nodes, said) =
            parsed("fileinto \"a\"\nkeep;\nif true ] { stop; }\nkeep [\"a\" \"b\"];\nstop;}\nkeep");
        let names: Vec<_> = nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["fileinto", "keep", "stop", "keep"]);
        assert_eq!(
            said,
            [
                "line 2, column 1: expected \";\" or \"{\", found \"keep\"",
                "line 3, column 9: expected \";\" or \"{\", found \"]\"",
                "line 4, column 11: expected \",\" or \"]\", found a string",
                "line 5, column 6: \"}\" closes no block",
                "line 6, column 5: expected \";\" or \"{\", found the end of the script",
            ]
        );
    }

    #[test]
    fn nothing_nests_deeper_than_the_limits() {
        let deep = |n: usize| format!("{}stop;{}", "if true {".repeat(n), "}".repeat(n));
        assert!(parsed(&deep(BLOCKS_NESTED_MAX)).1.is_empty());
        assert_eq!(parsed(&deep(BLOCKS_NESTED_MAX + 1)).1.len(), 1);
        let nots = |n: usize| format!("if {} true {{}}", "not ".repeat(n));
        assert!(parsed(&nots(TESTS_NESTED_MAX - 1)).1.is_empty());
        assert_eq!(parsed(&nots(100_000)).1.len(), 1);
        let many = format!("keep {};", "1 ".repeat(100_000));
        assert_eq!(parsed(&many).1.len(), 1);
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_complained_of(
            text in "(if |true |not |keep |stop|\"a\"|:t |\\[|\\]|\\(|\\)|\\{|\\}|;|,|1 |\n){0,40}") {
            let (nodes, said) = parsed(&text);
            prop_assert!(!nodes.is_empty() || !said.is_empty() || text.trim().is_empty());
        }
    }
}
