//! Nodes over a record → text. Knows scopes, fields and control flow; functions are next door.

use serde_json::Value;

use super::function::Function;
use super::item::Item;
use super::parse::{Node, Operand, Pipeline, Term};
use super::print::display;
use super::{Record, TemplateError};

/// What the body of a block asks of the loop around it.
enum Flow {
    Next,
    Break,
    Continue,
}

/// One execution of a template.
#[derive(Debug)]
pub(super) struct Evaluation<'a> {
    text: &'a str,
    record: &'a Record,
    /// Functions pass their input through, because the record holds column titles.
    header: bool,
    variables: Vec<(String, Item<'a>)>,
    output: String,
}

impl<'a> Evaluation<'a> {
    pub(super) fn new(text: &'a str, record: &'a Record, header: bool) -> Self {
        let root = Item::borrowed(&record.fields);
        let variables = vec![(String::new(), root)];
        Self {
            text,
            record,
            header,
            variables,
            output: String::new(),
        }
    }

    pub(super) fn run(mut self, nodes: &'a [Node]) -> Result<String, TemplateError> {
        let dot = Item::borrowed(&self.record.fields);
        self.nodes(nodes, &dot)?;
        Ok(self.output)
    }

    fn nodes(&mut self, nodes: &'a [Node], dot: &Item<'a>) -> Result<Flow, TemplateError> {
        let scope = self.variables.len();
        let mut flow = Flow::Next;
        for node in nodes {
            flow = self.node(node, dot)?;
            if !matches!(flow, Flow::Next) {
                break;
            }
        }
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn node(&mut self, node: &'a Node, dot: &Item<'a>) -> Result<Flow, TemplateError> {
        match node {
            Node::Text(text) => self.output.push_str(text),
            Node::Action(pipeline) => {
                let item = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    self.output.push_str(&display(&item));
                }
            }
            Node::Branch {
                moves_dot,
                arms,
                otherwise,
            } => {
                let scope = self.variables.len();
                let mut flow = None;
                for (pipeline, body) in arms {
                    let item = self.pipeline(pipeline, dot)?;
                    if item.is_true() {
                        let dot = if *moves_dot { &item } else { dot };
                        flow = Some(self.nodes(body, dot)?);
                        break;
                    }
                }
                let flow = match flow {
                    Some(flow) => flow,
                    None => self.nodes(otherwise, dot)?,
                };
                self.variables.truncate(scope);
                return Ok(flow);
            }
            Node::Range {
                pipeline,
                body,
                otherwise,
            } => {
                return self.range(pipeline, body, otherwise, dot);
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn range(
        &mut self,
        pipeline: &'a Pipeline,
        body: &'a [Node],
        otherwise: &'a [Node],
        dot: &Item<'a>,
    ) -> Result<Flow, TemplateError> {
        let scope = self.variables.len();
        let over = self.commands(pipeline, dot)?;
        let entries = self.entries(pipeline, &over)?;
        if entries.is_empty() {
            return self.nodes(otherwise, dot);
        }
        for (key, item) in entries {
            match pipeline.variables.as_slice() {
                [value] => self.bind(value, item.clone(), pipeline.assigns),
                [index, value] => {
                    self.bind(index, Item::owned(key), pipeline.assigns);
                    self.bind(value, item.clone(), pipeline.assigns);
                }
                _ => {}
            }
            let flow = self.nodes(body, &item)?;
            self.variables.truncate(scope);
            if matches!(flow, Flow::Break) {
                break;
            }
        }
        Ok(Flow::Next)
    }

    /// What `range` walks: list elements, map entries by sorted key, or the numbers below an integer.
    fn entries(
        &self,
        pipeline: &Pipeline,
        over: &Item<'a>,
    ) -> Result<Vec<(Value, Item<'a>)>, TemplateError> {
        let list = match over.value.as_ref() {
            Value::Null => Vec::new(),
            Value::Array(list) => list
                .iter()
                .enumerate()
                .map(|(index, value)| (Value::from(index), Item::owned(value.clone())))
                .collect(),
            Value::Object(map) => {
                let mut entries: Vec<_> = map
                    .iter()
                    .map(|(key, value)| (key.as_str(), Item::owned(value.clone())))
                    .collect();
                entries.sort_by_key(|(key, _)| *key);
                entries
                    .into_iter()
                    .map(|(key, item)| (Value::from(key), item))
                    .collect()
            }
            Value::Number(number) if number.as_u64().is_some_and(|count| count <= 100_000) => {
                let count = number.as_u64().unwrap_or(0);
                (0..count)
                    .map(|index| (Value::from(index), Item::owned(index)))
                    .collect()
            }
            other => {
                let written = display(&Item::owned(other.clone()));
                let at = pipeline.commands.first().and_then(|words| words.first());
                return Err(self.fail(at, &format!("range can't iterate over {written}")));
            }
        };
        Ok(list)
    }

    fn bind(&mut self, name: &str, item: Item<'a>, assigns: bool) {
        if assigns {
            let known = self
                .variables
                .iter_mut()
                .rev()
                .find(|(known, _)| known == name);
            if let Some((_, value)) = known {
                *value = item;
                return;
            }
        }
        self.variables.push((name.to_owned(), item));
    }

    fn pipeline(
        &mut self,
        pipeline: &'a Pipeline,
        dot: &Item<'a>,
    ) -> Result<Item<'a>, TemplateError> {
        let item = self.commands(pipeline, dot)?;
        for name in &pipeline.variables {
            self.bind(name, item.clone(), pipeline.assigns);
        }
        Ok(item)
    }

    fn commands(
        &mut self,
        pipeline: &'a Pipeline,
        dot: &Item<'a>,
    ) -> Result<Item<'a>, TemplateError> {
        let mut piped = None;
        for command in &pipeline.commands {
            piped = Some(self.command(command, dot, piped)?);
        }
        Ok(piped.unwrap_or_else(Item::absent))
    }

    fn command(
        &mut self,
        words: &'a [Operand],
        dot: &Item<'a>,
        piped: Option<Item<'a>>,
    ) -> Result<Item<'a>, TemplateError> {
        let Some((first, rest)) = words.split_first() else {
            return Ok(Item::absent());
        };
        if let Term::Function(function) = &first.term {
            let item = self.call(*function, first, rest, (dot, piped))?;
            return self.fields(item, &first.fields, first);
        }
        if rest.is_empty() && piped.is_none() {
            return self.operand(first, dot);
        }
        let is_label = matches!(first.term, Term::Dot) && first.fields == ["Label"];
        if is_label && let Some(labels) = &self.record.labels {
            let mut arguments = Vec::new();
            for word in rest {
                arguments.push(self.operand(word, dot)?);
            }
            arguments.extend(piped);
            let [key] = arguments.as_slice() else {
                let message = format!(
                    "wrong number of args for Label: want 1 got {}",
                    arguments.len()
                );
                return Err(self.fail(Some(first), &message));
            };
            let key = display(key);
            if self.header {
                return Ok(Item::owned(label_title(&key)));
            }
            return Ok(Item::owned(labels.get(&key).cloned().unwrap_or_default()));
        }
        let written = self.written(first);
        let message = match first.fields.last() {
            Some(name) => format!("{name} has arguments but cannot be invoked as function"),
            None => format!("can't give argument to non-function {written}"),
        };
        Err(self.fail(Some(first), &message))
    }

    fn call(
        &mut self,
        function: Function,
        first: &'a Operand,
        rest: &'a [Operand],
        (dot, piped): (&Item<'a>, Option<Item<'a>>),
    ) -> Result<Item<'a>, TemplateError> {
        // `and` and `or` stop at the first argument that decides.
        let stops_at = match function {
            Function::And => Some(false),
            Function::Or => Some(true),
            _ => None,
        };
        let mut arguments = Vec::with_capacity(rest.len() + 1);
        for word in rest {
            let item = self.operand(word, dot)?;
            if stops_at == Some(item.is_true()) {
                return Ok(item);
            }
            arguments.push(item);
        }
        arguments.extend(piped);
        function
            .check_arity(arguments.len())
            .map_err(|message| self.fail(Some(first), &message))?;
        if self.header && function.passes_titles() {
            let value = arguments.into_iter().next();
            return Ok(value.unwrap_or_else(Item::absent));
        }
        function.apply(arguments).map_err(|message| {
            let message = format!("error calling {}: {message}", function.name());
            self.fail(Some(first), &message)
        })
    }

    fn operand(&mut self, word: &'a Operand, dot: &Item<'a>) -> Result<Item<'a>, TemplateError> {
        let base = match &word.term {
            Term::Dot => dot.clone(),
            Term::Nil => Item::owned(Value::Null),
            Term::Bool(value) => Item::owned(*value),
            Term::Number(number) => Item::owned(Value::Number(number.clone())),
            Term::Text(text) => Item::owned(text.as_str()),
            Term::Variable(name) => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                known.map_or_else(Item::absent, |(_, item)| item.clone())
            }
            Term::Function(function) => self.call(*function, word, &[], (dot, None))?,
            Term::Group(pipeline) => {
                let scope = self.variables.len();
                let item = self.pipeline(pipeline, dot)?;
                self.variables.truncate(scope);
                item
            }
        };
        self.fields(base, &word.fields, word)
    }

    fn fields(
        &self,
        mut item: Item<'a>,
        names: &'a [String],
        word: &Operand,
    ) -> Result<Item<'a>, TemplateError> {
        for name in names {
            item = item
                .field(name)
                .map_err(|message| self.fail(Some(word), &message))?;
        }
        Ok(item)
    }

    fn written(&self, word: &Operand) -> &'a str {
        self.text.get(word.at..word.end).unwrap_or_default().trim()
    }

    fn fail(&self, word: Option<&Operand>, message: &str) -> TemplateError {
        let (at, written) = word.map_or((0, ""), |word| (word.at, self.written(word)));
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1);
        TemplateError(format!(
            "template: :{line}:{column}: executing \"\" at <{written}>: {message}"
        ))
    }
}

/// Docker's title of a label's column: the part behind the last dot, with spaces.
fn label_title(key: &str) -> String {
    key.rsplit('.')
        .next()
        .unwrap_or_default()
        .replace(['-', '_'], " ")
}
