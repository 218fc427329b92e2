//! Tokens → nodes. Knows the grammar of actions and which functions exist; evaluates nothing.

use serde_json::Number;

use super::TemplateError;
use super::function::Function;
use super::lex::{Kind, Token, error_at, lex};

/// How deep blocks and parentheses may nest; deeper ones would exhaust the stack.
const MAXIMUM_DEPTH: usize = 64;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Text(String),
    Action(Pipeline),
    /// `if` or `with`: the arms in order, then `else`.
    Branch {
        moves_dot: bool,
        arms: Vec<(Pipeline, Vec<Self>)>,
        otherwise: Vec<Self>,
    },
    Range {
        pipeline: Pipeline,
        body: Vec<Self>,
        otherwise: Vec<Self>,
    },
    Break,
    Continue,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pipeline {
    pub(super) variables: Vec<String>,
    /// `=` in place of `:=`.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Vec<Operand>>,
}

/// One word of a command, with its place for error messages.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Operand {
    pub(super) term: Term,
    /// Fields attached to it: `.A.B`, `$x.A`, `(…).A`.
    pub(super) fields: Vec<String>,
    pub(super) at: usize,
    pub(super) end: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Term {
    Dot,
    Nil,
    Bool(bool),
    Number(Number),
    Text(String),
    Variable(String),
    Function(Function),
    Group(Box<Pipeline>),
}

pub(super) fn parse(text: &str) -> Result<Vec<Node>, TemplateError> {
    let tokens = lex(text)?;
    let mut parser = Parser {
        text,
        tokens,
        next: 0,
        depth: 0,
        ranges: 0,
        scopes: vec![Vec::new()],
    };
    match parser.block()? {
        (nodes, Stop::Text) => Ok(nodes),
        (_, Stop::Block) => Err(parser.error("unexpected {{end}}")),
        (_, Stop::Else) => Err(parser.error("unexpected {{else}}")),
    }
}

enum Stop {
    Text,
    Block,
    /// `{{else`, with the parser standing behind the word.
    Else,
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
    ranges: usize,
    /// Which variables are visible, innermost scope last.
    scopes: Vec<Vec<String>>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.next).map(|token| &token.kind)
    }

    fn position(&self) -> usize {
        self.tokens
            .get(self.next)
            .map_or(self.text.len(), |token| token.at)
    }

    fn take(&mut self) -> Option<Kind> {
        let kind = self.peek().cloned();
        self.next += 1;
        kind
    }

    fn error(&self, message: &str) -> TemplateError {
        error_at(self.text, self.position(), message)
    }

    fn close(&mut self, place: &str) -> Result<(), TemplateError> {
        if self.peek() == Some(&Kind::Close) {
            self.next += 1;
            return Ok(());
        }
        Err(self.error(&format!("unexpected {} in {place}", self.describe())))
    }

    fn describe(&self) -> String {
        match self.tokens.get(self.next) {
            None => "end of text".to_owned(),
            Some(token) => {
                let end = self
                    .tokens
                    .get(self.next + 1)
                    .map_or(self.text.len(), |next| next.at);
                let written = self.text.get(token.at..end).unwrap_or_default().trim();
                format!("<{written}>")
            }
        }
    }

    fn enter(&mut self) -> Result<(), TemplateError> {
        self.depth += 1;
        if self.depth > MAXIMUM_DEPTH {
            return Err(self.error("the template nests too deeply"));
        }
        Ok(())
    }

    /// Reads nodes up to the end of the block they stand in.
    fn block(&mut self) -> Result<(Vec<Node>, Stop), TemplateError> {
        self.enter()?;
        self.scopes.push(Vec::new());
        let mut nodes = Vec::new();
        let end = loop {
            match self.take() {
                None => break Stop::Text,
                Some(Kind::Text(text)) => nodes.push(Node::Text(text)),
                Some(_) => {
                    // A token outside an action can only be `Open`.
                    if let Some(end) = self.action(&mut nodes)? {
                        break end;
                    }
                }
            }
        };
        self.scopes.pop();
        self.depth -= 1;
        Ok((nodes, end))
    }

    fn action(&mut self, nodes: &mut Vec<Node>) -> Result<Option<Stop>, TemplateError> {
        let word = match self.peek() {
            Some(Kind::Word(word)) => word.clone(),
            Some(Kind::Close) => return Err(self.error("missing value for command")),
            _ => String::new(),
        };
        match word.as_str() {
            "end" => {
                self.next += 1;
                self.close("end")?;
                return Ok(Some(Stop::Block));
            }
            "else" => {
                self.next += 1;
                return Ok(Some(Stop::Else));
            }
            "if" | "with" => {
                self.next += 1;
                let node = self.branch(&word)?;
                nodes.push(node);
            }
            "range" => {
                self.next += 1;
                let node = self.range()?;
                nodes.push(node);
            }
            "break" | "continue" => {
                if self.ranges == 0 {
                    return Err(self.error(&format!("{{{{{word}}}}} outside {{{{range}}}}")));
                }
                self.next += 1;
                self.close(&word)?;
                nodes.push(if word == "break" {
                    Node::Break
                } else {
                    Node::Continue
                });
            }
            "define" | "template" | "block" => {
                return Err(self.error(&format!("{{{{{word}}}}} is not supported")));
            }
            _ => {
                let pipeline = self.pipeline("command")?;
                self.close("command")?;
                nodes.push(Node::Action(pipeline));
            }
        }
        Ok(None)
    }

    fn branch(&mut self, word: &str) -> Result<Node, TemplateError> {
        let mut arms = Vec::new();
        let mut otherwise = Vec::new();
        self.scopes.push(Vec::new());
        loop {
            let pipeline = self.pipeline(word)?;
            self.close(word)?;
            let (body, end) = self.block()?;
            arms.push((pipeline, body));
            match end {
                Stop::Text => return Err(self.error("unexpected EOF")),
                Stop::Block => break,
                Stop::Else => {}
            }
            if self.peek() == Some(&Kind::Word(word.to_owned())) {
                self.next += 1;
                continue;
            }
            self.close("else")?;
            otherwise = self.last_block()?;
            break;
        }
        self.scopes.pop();
        Ok(Node::Branch {
            moves_dot: word == "with",
            arms,
            otherwise,
        })
    }

    fn range(&mut self) -> Result<Node, TemplateError> {
        self.scopes.push(Vec::new());
        let pipeline = self.pipeline("range")?;
        self.close("range")?;
        self.ranges += 1;
        let (body, end) = self.block()?;
        self.ranges -= 1;
        let otherwise = match end {
            Stop::Text => return Err(self.error("unexpected EOF")),
            Stop::Block => Vec::new(),
            Stop::Else => {
                self.close("else")?;
                self.last_block()?
            }
        };
        self.scopes.pop();
        Ok(Node::Range {
            pipeline,
            body,
            otherwise,
        })
    }

    fn last_block(&mut self) -> Result<Vec<Node>, TemplateError> {
        match self.block()? {
            (nodes, Stop::Block) => Ok(nodes),
            (_, Stop::Else) => Err(self.error("expected end; found {{else}}")),
            (_, Stop::Text) => Err(self.error("unexpected EOF")),
        }
    }

    fn pipeline(&mut self, place: &str) -> Result<Pipeline, TemplateError> {
        self.enter()?;
        let (variables, assigns) = self.declaration(place)?;
        let mut commands = Vec::new();
        loop {
            let mut operands: Vec<Operand> = Vec::new();
            loop {
                match self.peek() {
                    None => return Err(self.error("unclosed action")),
                    Some(Kind::Pipe | Kind::Close | Kind::RightParenthesis) => break,
                    Some(_) => operands.push(self.operand(place)?),
                }
            }
            if operands.is_empty() {
                return Err(self.error(&format!("missing value for {place}")));
            }
            commands.push(operands);
            if self.peek() != Some(&Kind::Pipe) {
                break;
            }
            self.next += 1;
        }
        if !assigns && let Some(scope) = self.scopes.last_mut() {
            scope.extend(variables.iter().cloned());
        }
        self.depth -= 1;
        Ok(Pipeline {
            variables,
            assigns,
            commands,
        })
    }

    /// `$x :=`, `$x =`, and for `range` also `$i, $x :=`.
    fn declaration(&mut self, place: &str) -> Result<(Vec<String>, bool), TemplateError> {
        let name_at = |index: usize| match self.tokens.get(index).map(|token| &token.kind) {
            Some(Kind::Variable(name)) => Some(name.clone()),
            _ => None,
        };
        let kind_at = |index: usize| self.tokens.get(index).map(|token| &token.kind);
        let Some(first) = name_at(self.next) else {
            return Ok((Vec::new(), false));
        };
        let mut names = vec![first];
        let mut end = self.next + 1;
        if place == "range"
            && kind_at(end) == Some(&Kind::Comma)
            && let Some(second) = name_at(end + 1)
        {
            names.push(second);
            end += 2;
        }
        let assigns = match kind_at(end) {
            Some(Kind::Declare) => false,
            Some(Kind::Assign) => true,
            _ => return Ok((Vec::new(), false)),
        };
        if assigns {
            for name in &names {
                self.known(name)?;
            }
        }
        self.next = end + 1;
        Ok((names, assigns))
    }

    fn known(&self, name: &str) -> Result<(), TemplateError> {
        let visible = |scope: &Vec<String>| scope.iter().any(|known| known == name);
        if name.is_empty() || self.scopes.iter().any(visible) {
            return Ok(());
        }
        Err(self.error(&format!("undefined variable \"${name}\"")))
    }

    fn operand(&mut self, place: &str) -> Result<Operand, TemplateError> {
        let at = self.position();
        let unexpected = format!("unexpected {} in {place}", self.describe());
        let mut fields = Vec::new();
        let term = match self.peek().cloned() {
            Some(Kind::Dot) => Term::Dot,
            Some(Kind::Field { name, .. }) => {
                fields.push(name);
                Term::Dot
            }
            Some(Kind::Variable(name)) => {
                self.known(&name)?;
                Term::Variable(name)
            }
            Some(Kind::Number(number)) => Term::Number(number),
            Some(Kind::Quoted(text)) => Term::Text(text),
            Some(Kind::Word(word)) => match word.as_str() {
                "true" | "false" => Term::Bool(word == "true"),
                "nil" => Term::Nil,
                name => match Function::named(name) {
                    Some(function) => Term::Function(function),
                    None => {
                        return Err(self.error(&format!("function {name:?} not defined")));
                    }
                },
            },
            Some(Kind::LeftParenthesis) => {
                self.next += 1;
                let inner = self.pipeline("parenthesized pipeline")?;
                if self.peek() != Some(&Kind::RightParenthesis) {
                    return Err(self.error("unclosed left paren"));
                }
                Term::Group(Box::new(inner))
            }
            _ => return Err(self.error(&unexpected)),
        };
        self.next += 1;
        while let Some(Kind::Field {
            name,
            attached: true,
        }) = self.peek()
        {
            if matches!(
                term,
                Term::Number(_) | Term::Text(_) | Term::Bool(_) | Term::Nil
            ) {
                return Err(self.error(&format!("unexpected . after term <{name}>")));
            }
            fields.push(name.clone());
            self.next += 1;
        }
        Ok(Operand {
            term,
            fields,
            at,
            end: self.position(),
        })
    }
}
