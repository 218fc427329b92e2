//! One stage: its base, then its instructions one after the other.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use berth_contract::{Class, Digest, Error, Report, Result};
use berth_image::{Layer, Merged, Platform, urls_without_logins, urls_without_secrets};
use berth_sys::error::Explain as _;
use berth_sys::file::Time;

use super::builder::{Build, lock};
use super::cache::Key;
use super::configure::{Given, Values, apply};
use super::copy::Read;
use super::dockerfile::expand::{expand, expand_shown};
use super::dockerfile::instruction::{Command, Copy};
use super::dockerfile::{Base, Instruction, Lines, MountKind, Stage, parse_one};
use super::graph::{Graph, Wish};
use super::layers::Made;
use super::report::Step;
use super::request::NamedContext;
use super::shell::Remains;
use super::state::State;

/// Builds one stage.
pub(super) struct StageBuilder<'b, 'a> {
    pub(super) build: &'b Build<'a>,
    pub(super) graph: &'b Graph<'b>,
    pub(super) stage: &'b Stage,
    pub(super) state: State,
    /// Whether its files are needed, and not only what they are called.
    pub(super) whole: bool,
    /// Whether it ended because of files that are not here.
    pub(super) lacks_files: Cell<bool>,
    /// Where what it has comes from, as its state tells it in the end.
    pub(super) origins: RefCell<BTreeMap<usize, Vec<Digest>>>,
    /// How many steps it has, and which is at hand.
    count: usize,
    position: usize,
    /// The step at hand, which tells how what it needs goes on.
    step: Option<Step<'a>>,
    /// Where the instruction at hand stands.
    pub(super) lines: Lines,
    /// What is kept of the command that failed.
    pub(super) remains: RefCell<Option<Remains>>,
}

impl<'b, 'a> StageBuilder<'b, 'a> {
    pub(super) fn new(build: &'b Build<'a>, graph: &'b Graph<'b>, (index, whole): Wish) -> Self {
        let stage = &graph.stages.stages[index];
        Self {
            whole: whole || graph.whole.contains(&index),
            lacks_files: Cell::default(),
            origins: RefCell::default(),
            build,
            graph,
            stage,
            state: State::scratch(graph.platform.clone()),
            // What begins with nothing, or with another stage, has no step for it, as in BuildKit.
            count: usize::from(matches!(stage.base, Base::Image(_)))
                + stage
                    .instructions
                    .iter()
                    .filter(|one| is_step(&one.instruction))
                    .count(),
            position: 1,
            step: None,
            lines: stage.lines,
            remains: RefCell::default(),
        }
    }

    /// Builds it.
    pub(super) fn build(&mut self) -> Result<State> {
        self.base()?;
        let is_stage = matches!(self.stage.base, Base::Stage(_));
        let adjustments = &self.build.request.adjustments;
        self.state.adjust_base(adjustments, is_stage);
        for text in std::mem::take(&mut self.state.triggers) {
            let instruction = parse_one(&text).map_err(|reason| {
                Error::new(
                    Class::Invalid,
                    format!("cannot use the trigger {text:?} of the base image"),
                )
                .caused_by(reason)
            })?;
            self.count += usize::from(is_step(&instruction));
            self.instruction(&instruction, &format!("ONBUILD {text}"))?;
        }
        let stage = self.stage;
        for one in &stage.instructions {
            if self.build.cancel.is_over() {
                return Err(super::run::cancelled());
            }
            self.lines = one.lines;
            self.instruction(&one.instruction, &self.shown(one.lines))?;
        }
        let mut state = self.state.clone();
        state.origins = self.origins.take();
        Ok(state)
    }

    /// The platform that the stage is for.
    fn platform(&self) -> Result<Platform> {
        match &self.stage.platform {
            Some(text) => text.parse(),
            None => Ok(self.graph.platform.clone()),
        }
    }

    fn base(&mut self) -> Result<()> {
        let platform = self.platform()?;
        match &self.stage.base {
            Base::Scratch => self.state = State::scratch(platform),
            Base::Stage(index) => {
                let base = match self.whole {
                    true => self.build.whole_stage(self.graph, *index)?,
                    false => self.build.stage(self.graph, *index)?,
                };
                self.comes_of(*index, &base)?;
                self.state = base.derived();
            }
            Base::Image(name) => {
                let _job = self.build.jobs.begin(self.build.cancel);
                let step = self.begin(&format!("FROM {name}"));
                if self.build.request.named_context(name) == Some(&NamedContext::Scratch) {
                    self.state = State::scratch(platform);
                    return step.end(Ok(()));
                }
                if self.is_directory(name) {
                    self.state = State::scratch(platform);
                    // Its files are the first layer, as if they had been copied.
                    let whole = Copy {
                        from: Some(name.clone()),
                        sources: vec![".".to_owned()],
                        destination: "/".to_owned(),
                        ..Copy::default()
                    };
                    let copied = step.end(self.copy(&whole, step));
                    return copied.map_err(|error| self.explain(error));
                }
                let image = step.end(self.base_image(name, &platform));
                self.state = image.map_err(|error| self.explain(error))?;
            }
        }
        Ok(())
    }

    /// Whether a name is that of a context which is a directory.
    pub(super) fn is_directory(&self, name: &str) -> bool {
        matches!(
            self.build.request.named_context(name),
            Some(NamedContext::Directory(_) | NamedContext::Remote(_))
        )
    }

    /// Whether somebody may write to what a name stands for meanwhile: the context, or another directory of the host.
    pub(super) fn is_live(&self, from: Option<&str>) -> bool {
        from.is_none_or(|from| {
            let context = self.build.request.named_context(from);
            matches!(context, Some(NamedContext::Directory(_)))
        })
    }

    fn base_image(&self, name: &str, platform: &Platform) -> Result<State> {
        let image = self.build.image(name, platform, self.step.as_ref())?;
        let mut state = State::of_image(&image);
        if state.platform.is_wasm() != platform.is_wasm() {
            return Err(Error::new(
                Class::Invalid,
                format!("{name} is for {}, not {platform}", state.platform),
            ));
        }
        state.platform.variant = state.platform.variant.or_else(|| platform.variant.clone());
        Ok(state)
    }

    fn begin(&mut self, shown: &str) -> Step<'a> {
        let stage = match (&self.stage.name, self.graph.stages.stages.len()) {
            (Some(name), 2..) => format!("{name} "),
            (None, 2..) => format!("stage-{} ", self.stage.index),
            _ => String::new(),
        };
        let request = self.build.request;
        let platform = if request.platforms.len() > 1 || request.is_list {
            format!("{} ", self.graph.platform)
        } else {
            String::new()
        };
        let width = self.count.to_string().len();
        let name = format!(
            "[{platform}{stage}{:width$}/{}] {shown}",
            self.position, self.count
        );
        self.position += 1;
        let step = self.build.steps.begin(&name);
        self.step = Some(step);
        step
    }

    /// An instruction as its lines say it, in one line.
    fn shown(&self, lines: Lines) -> String {
        let escape = self.build.file.directives.escape;
        let all = self.build.file.text.lines();
        let mut shown = String::new();
        for line in all.skip(lines.first - 1).take(lines.last + 1 - lines.first) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if !shown.is_empty() {
                shown.push(' ');
            }
            match line.strip_suffix(escape) {
                Some(part) => shown.push_str(part.trim_end()),
                None => {
                    shown.push_str(line);
                    break;
                }
            }
        }
        shown
    }

    /// What is shown of a step, with what its variables hold, but for those that are secrets of its command.
    fn with_values(&self, instruction: &Instruction, shown: &str) -> String {
        let escape = self.build.file.directives.escape;
        let mut scope = self.state.scope.clone();
        if let Instruction::Run(run) = instruction {
            for mount in &run.mounts {
                let text = self.expanded(&mount.text).unwrap_or_default();
                if let Ok(MountKind::Secret {
                    variable: Some(name),
                    ..
                }) = MountKind::parse(&text)
                {
                    scope.remove(&name);
                }
            }
            let command = match &run.command {
                Command::Shell(line) => line.as_str(),
                Command::Exec(_) => "",
            };
            if let [document] = &run.heredocs[..]
                && !document.opening_as_written(command).is_empty()
            {
                let first = document.summary();
                return format!("{} ({first})", expand_shown(shown, escape, &scope));
            }
        }
        expand_shown(shown, escape, &scope)
    }

    fn instruction(&mut self, instruction: &Instruction, shown: &str) -> Result<()> {
        if !is_step(instruction) {
            return self
                .configure(instruction)
                .map_err(|error| self.explain(error));
        }
        // What waits for other stages is not at work yet.
        for index in self.graph.stages.needed_by(instruction, self.stage.index) {
            self.build.stage(self.graph, index)?;
        }
        let _job = self.build.jobs.begin(self.build.cancel);
        let shown = self.with_values(instruction, shown);
        let step = self.begin(&match instruction {
            Instruction::Copy(copy) if copy.add => urls_without_secrets(&shown),
            _ => urls_without_logins(&shown),
        });
        let result = match instruction {
            Instruction::Run(run) => self.run(run, step),
            Instruction::Copy(copy) => self.copy(copy, step),
            Instruction::Workdir(path) => self.workdir(path, step),
            _ => Ok(()),
        };
        let begins_anew = if self.lacks_files.get() {
            Some("its stage is needed whole, of which no cache has all files")
        } else if self.graph.is_torn() {
            Some(
                "a stage had to be built again after files of it were taken: what they are in begins anew",
            )
        } else {
            None
        };
        if result.is_err()
            && let Some(reason) = begins_anew
        {
            step.note(reason);
            step.end(Ok(()))?;
            return result;
        }
        step.end(result).map_err(|error| self.explain(error))
    }

    /// A failure with the place where it happened.
    fn explain(&self, error: Error) -> Error {
        if self.build.cancel.is_over() {
            return super::run::cancelled();
        }
        let file = self.build.file;
        let shown = super::dockerfile::excerpt(&file.name, &file.text, self.lines);
        let mut report = Report::from(&error);
        let message = format!("cannot build {}:{}", file.name, self.lines.first);
        report
            .causes
            .insert(0, std::mem::replace(&mut report.message, message));
        // The last cause may have several lines.
        if let Some(last) = report.causes.last_mut() {
            last.push('\n');
            last.push_str(&shown);
        }
        Error::from(report)
    }

    fn configure(&mut self, instruction: &Instruction) -> Result<()> {
        let build = self.build;
        let graph = self.graph;
        // Also what a base image has for whoever is made from it.
        if let Instruction::Arg(declared) = instruction {
            let names = declared.iter().map(|argument| argument.name.clone());
            lock(&build.declared).extend(names);
        }
        let arguments = |name: &str| Values {
            given: build.request.arguments.get(name).cloned(),
            global: graph
                .stages
                .globals
                .get(name)
                .or_else(|| graph.predefined.get(name))
                .cloned(),
        };
        let given = Given {
            escape: build.file.directives.escape,
            arguments: &arguments,
            created: build.epoch.map(|_| build.now.as_str()),
        };
        apply(instruction, &mut self.state, given)
            .map(drop)
            .map_err(|reason| Error::new(Class::Invalid, reason))
    }

    pub(super) fn expanded(&self, text: &str) -> Result<String> {
        expand(text, self.build.file.directives.escape, &self.state.scope)
            .map(|expanded| expanded.text)
            .map_err(|reason| Error::new(Class::Invalid, reason))
    }

    /// The time of files that have none of their own.
    pub(super) fn file_time(&self) -> Time {
        let seconds = self.build.epoch.unwrap_or_else(|| {
            i64::try_from(berth_sys::clock::realtime() / 1_000_000_000).unwrap_or(0)
        });
        Time {
            seconds,
            nanoseconds: 0,
        }
    }

    /// The same for the layer of a step, which depends on it when it was asked for.
    pub(super) fn layer_time(&self, key: &mut Key) -> Time {
        if let Some(given) = self.build.epoch {
            key.text("time");
            key.bytes(&given.to_le_bytes());
        }
        self.file_time()
    }

    /// What later times become.
    pub(super) fn latest(&self) -> Option<i64> {
        let build = self.build;
        build.epoch.filter(|_| build.request.rewrite_timestamp)
    }

    fn workdir(&mut self, path: &str, step: Step<'_>) -> Result<()> {
        let path = self.expanded(path)?;
        let path = super::ignore::clean(&if path.starts_with('/') {
            path
        } else {
            format!("/{}/{path}", self.state.config.working_dir)
        });
        self.state.config.working_dir.clone_from(&path);
        let created_by = format!("WORKDIR {path}");
        if path == "/" {
            self.state.record(created_by, None);
            return Ok(());
        }
        let lower = |this: &Self| Merged::open(&this.lowers()?);
        let owner = match self.state.config.user.as_str() {
            "" => (0, 0),
            user => crate::engine::Engine::owner(&lower(self)?, user)?,
        };
        let mut key = Key::new("workdir");
        key.layers(&self.state.layers);
        key.text(&format!("{owner:?} {path}"));
        let now = self.layer_time(&mut key);
        self.layer(Made { created_by, key }, step, |this| {
            let directory = this.new_layer()?;
            let place = (directory.as_path(), Path::new(&path));
            super::copy::make_directory(&lower(this)?, place, owner, now, &this.build.guard)
                .explain(|| format!("cannot make {path}"))?;
            let layer = this
                .build
                .assembly
                .layer(&directory, &this.state.layers, this.latest())?;
            Ok((layer, Read::AsKeyed))
        })
    }

    fn nothing(&self) -> Result<Vec<PathBuf>> {
        Ok(vec![self.build.assembly.directory()?])
    }

    /// What another stage, image or named context holds: its layers, topmost first.
    pub(super) fn source(&self, name: &str) -> Result<Vec<PathBuf>> {
        if let Some(directory) = self.build.directory(name)? {
            return Ok(vec![directory]);
        }
        let stages = &self.graph.stages;
        match self.build.request.named_context(name) {
            Some(NamedContext::Scratch) => return self.nothing(),
            Some(_) => {}
            None if name == "scratch" => return self.nothing(),
            None => {
                if let Some(index) = stages.find(name, self.stage.index) {
                    let state = self.build.needed(self.graph, index)?;
                    self.comes_of(index, &state)?;
                    return extracted(self.build, &state.layers);
                }
                if stages.find(name, stages.stages.len()).is_some() {
                    let message = format!("cannot use files of the stage {name:?}");
                    return Err(Error::new(Class::Invalid, message)
                        .caused_by("it needs to be defined before the current stage"));
                }
                if name.parse::<usize>().is_ok() {
                    let message = format!("invalid stage index {name}");
                    return Err(Error::new(Class::Invalid, message));
                }
            }
        }
        let image = self
            .build
            .image(name, &self.graph.platform, self.step.as_ref())?;
        Ok(image.layers())
    }
}

pub(super) fn extracted(build: &Build<'_>, layers: &[Layer]) -> Result<Vec<PathBuf>> {
    build
        .store
        .extracted(layers)
        .ok_or_else(super::layers::missing)
}

/// Whether an instruction is a step of its own in what is shown.
fn is_step(instruction: &Instruction) -> bool {
    matches!(
        instruction,
        Instruction::Run(_) | Instruction::Copy(_) | Instruction::Workdir(_)
    )
}
