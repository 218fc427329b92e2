//! The stages of a Dockerfile and what each one needs of the others.
//!
//! ```text
//!  ARG …            global: visible in FROM only
//!  FROM a AS x ─┐
//!  FROM x ◄─────┘   base: an earlier stage, else a named context, else an image
//!  COPY --from=x    needs: an earlier stage by name or number, else a named context, else an image
//! ```

use std::collections::{BTreeMap, BTreeSet};

use berth_image::{Platform, Reference};

use super::expand::{Expanded, Variables, expand};
use super::instruction::{Argument, From, Instruction, Located};
use super::mount::Mount;
use super::position::Lines;
use super::{Dockerfile, Misread};

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its number.
    pub index: usize,
    /// Its name in lower case.
    pub name: Option<String>,
    /// What it is made from.
    pub base: Base,
    /// The base as it is written, variables expanded.
    pub base_name: String,
    /// The platform it is for, if `FROM` says one.
    pub platform: Option<String>,
    /// Its `FROM`.
    pub from: From,
    /// The word `FROM` as it is written.
    pub keyword: String,
    /// Where its `FROM` stands.
    pub lines: Lines,
    /// The comment above it.
    pub comments: Vec<String>,
    /// What follows.
    pub instructions: Vec<Located>,
    /// Whether a named context stands for it, and nothing follows because of that.
    pub is_replaced: bool,
}

/// What a stage is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// An earlier stage.
    Stage(usize),
    /// An image, or a named context that replaces it.
    Image(String),
}

/// All stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stages {
    /// In order.
    pub stages: Vec<Stage>,
    /// The values of the global arguments that are set.
    pub globals: BTreeMap<String, String>,
    /// The names of the global arguments.
    pub declared: BTreeSet<String>,
    /// The named contexts; files are taken from them and not from a stage of the name.
    contexts: BTreeSet<String>,
}

/// The global arguments while they are read.
struct Globals<'a> {
    values: BTreeMap<String, String>,
    platform: &'a BTreeMap<String, String>,
}

impl Variables for Globals<'_> {
    fn value(&self, name: &str) -> Option<String> {
        self.values
            .get(name)
            .or_else(|| self.platform.get(name))
            .cloned()
    }
}

impl Globals<'_> {
    /// What is probably meant by a name that is not set: ` (did you mean …?)`.
    fn suggestion(&self, text: &str, escape: char) -> String {
        let missing = expand(text, escape, self).map(|expanded| expanded.missing);
        let known = || {
            let platform = self.platform.keys();
            self.values.keys().chain(platform).map(String::as_str)
        };
        let near = missing.unwrap_or_default();
        let near = near.iter().find_map(|name| super::nearest(name, known()));
        near.map_or_else(String::new, |near| format!(" (did you mean {near}?)"))
    }
}

impl Stages {
    /// Divides a Dockerfile into stages.
    ///
    /// `given` are the build's arguments and `platform` the predefined ones, which need no `ARG` in
    /// `FROM`.
    ///
    /// # Errors
    /// There is no `FROM`, something but `ARG` stands before it, or a base is empty.
    pub fn of(
        file: &Dockerfile,
        given: &BTreeMap<String, String>,
        platform: &BTreeMap<String, String>,
    ) -> Result<Self, Misread> {
        match Self::so_far(file, given, platform) {
            (stages, None) => Ok(stages),
            (_, Some(misread)) => Err(misread),
        }
    }

    /// Divides a Dockerfile into stages up to the first mistake, which is told beside the stages before it.
    #[must_use]
    pub fn so_far(
        file: &Dockerfile,
        given: &BTreeMap<String, String>,
        platform: &BTreeMap<String, String>,
    ) -> (Self, Option<Misread>) {
        let mut globals = Globals {
            values: BTreeMap::new(),
            platform,
        };
        let mut stages = Self {
            stages: Vec::new(),
            globals: BTreeMap::new(),
            declared: BTreeSet::new(),
            contexts: BTreeSet::new(),
        };
        let misread = stages.fill(file, given, &mut globals).err();
        stages.globals = globals.values;
        (stages, misread)
    }

    fn fill(
        &mut self,
        file: &Dockerfile,
        given: &BTreeMap<String, String>,
        globals: &mut Globals<'_>,
    ) -> Result<(), Misread> {
        let escape = file.directives.escape;
        for one in &file.instructions {
            let misread = |reason: String| Misread::new(reason, one.lines);
            match (&one.instruction, self.stages.last_mut()) {
                (Instruction::From(from), _) => {
                    let known = (escape, &*globals);
                    let stage = stage(from, one, &self.stages, known).map_err(misread)?;
                    self.stages.push(stage);
                }
                (_, Some(stage)) => stage.instructions.push(one.clone()),
                (Instruction::Arg(arguments), None) => {
                    for argument in arguments {
                        self.declared.insert(argument.name.clone());
                        let value = global(argument, given, escape, globals).map_err(misread)?;
                        if let Some(value) = value {
                            globals.values.insert(argument.name.clone(), value);
                        }
                    }
                }
                (_, None) => {
                    return Err(misread(format!(
                        "no build stage in current context: {} stands before the first FROM",
                        one.instruction.name()
                    )));
                }
            }
        }
        if self.stages.is_empty() {
            let reason = "the file contains no stages to build: it has no FROM";
            return Err(Misread::new(reason, Lines::one(1)));
        }
        for one in self.stages.iter().flat_map(|stage| &stage.instructions) {
            for name in sources(&one.instruction) {
                if name
                    .parse::<usize>()
                    .is_ok_and(|index| index >= self.stages.len())
                {
                    let reason = format!("invalid stage index {name}");
                    return Err(Misread::new(reason, one.lines));
                }
            }
        }
        Ok(())
    }

    /// Puts named contexts in the place of what is called like them: a stage of the name is overwritten, and whoever
    /// begins with that name begins with the context.
    #[must_use]
    pub fn with_contexts<'n>(mut self, names: impl IntoIterator<Item = &'n String>) -> Self {
        self.contexts = names.into_iter().map(|name| context_name(name)).collect();
        let is_context =
            |name: &str| !is_reserved(name) && self.contexts.contains(&context_name(name));
        for stage in &mut self.stages {
            let own = stage.name.as_ref().filter(|name| is_context(name));
            if let Some(name) = own {
                stage.base = Base::Image(name.clone());
                stage.base_name.clone_from(name);
                stage.instructions.clear();
                stage.is_replaced = true;
            } else if matches!(stage.base, Base::Stage(_)) && is_context(&stage.base_name) {
                stage.base = Base::Image(stage.base_name.clone());
            }
        }
        self
    }

    /// Whether a named context stands for a name that files are taken from.
    #[must_use]
    pub fn is_context(&self, name: &str) -> bool {
        self.contexts.contains(&context_name(name))
    }

    /// A stage by name or number, before the stage `before`.
    #[must_use]
    pub fn find(&self, text: &str, before: usize) -> Option<usize> {
        find(&self.stages[..before.min(self.stages.len())], text)
    }

    /// The stage that is built: the last one, or the one that is asked for.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn target(&self, wanted: Option<&str>) -> Result<usize, String> {
        let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else {
            return Ok(self.stages.len() - 1);
        };
        self.find(wanted, self.stages.len()).ok_or_else(|| {
            let names = self.stages.iter().filter_map(|stage| stage.name.as_deref());
            match super::nearest(wanted, names) {
                Some(near) => {
                    format!("target stage {wanted:?} could not be found (did you mean {near}?)")
                }
                None => format!("target stage {wanted:?} could not be found"),
            }
        })
    }

    /// What a stage needs of earlier ones as far as its text tells, its base first: the instructions that a base
    /// keeps for it, and mounts that are variables, may need more.
    #[must_use]
    pub fn needs(&self, index: usize) -> Vec<usize> {
        let Some(stage) = self.stages.get(index) else {
            return Vec::new();
        };
        let mut needs = Vec::new();
        if let Base::Stage(base) = stage.base {
            needs.push(base);
        }
        for one in &stage.instructions {
            needs.extend(self.needed_by(&one.instruction, index));
        }
        needs.dedup();
        needs
    }

    /// The stages before the stage `before` that an instruction takes files from.
    pub fn needed_by(
        &self,
        instruction: &Instruction,
        before: usize,
    ) -> impl Iterator<Item = usize> {
        let names = sources(instruction).into_iter();
        names
            .filter(|name| !self.is_context(name))
            .filter_map(move |name| self.find(&name, before))
    }

    /// The stages a target needs, itself last, in an order in which each comes after what it needs.
    #[must_use]
    pub fn order(&self, target: usize) -> Vec<usize> {
        let mut needed = BTreeSet::from([target]);
        // Stages only ever need earlier ones.
        for index in (0..=target).rev() {
            if needed.contains(&index) {
                needed.extend(self.needs(index));
            }
        }
        needed.into_iter().collect()
    }
}

/// The name of a context as it is looked up: `docker.io/library/busybox:latest` is `busybox`.
#[must_use]
pub fn context_name(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let familiar = Reference::parse(&lower).map(|reference| reference.familiar());
    let familiar = familiar.unwrap_or(lower);
    familiar
        .strip_suffix(":latest")
        .map(str::to_owned)
        .unwrap_or(familiar)
}

/// Names that no context takes.
fn is_reserved(name: &str) -> bool {
    name.eq_ignore_ascii_case("scratch") || name.eq_ignore_ascii_case("context")
}

/// The names of stages, images and contexts that an instruction takes files from.
fn sources(instruction: &Instruction) -> Vec<String> {
    match instruction {
        Instruction::Copy(copy) => copy.from.iter().cloned().collect(),
        Instruction::Run(run) => run.mounts.iter().filter_map(Mount::from).collect(),
        _ => Vec::new(),
    }
}

fn find(stages: &[Stage], text: &str) -> Option<usize> {
    let lower = text.to_ascii_lowercase();
    // The last of a name hides earlier ones.
    let named = stages
        .iter()
        .rposition(|stage| stage.name.as_deref() == Some(&lower));
    named.or_else(|| text.parse().ok().filter(|index| *index < stages.len()))
}

fn stage(
    from: &From,
    one: &Located,
    stages: &[Stage],
    (escape, globals): (char, &Globals<'_>),
) -> Result<Stage, String> {
    let expanded = |text: &str| expand(text, escape, globals).map(|Expanded { text, .. }| text);
    let base_name = expanded(&from.base)?;
    if base_name.is_empty() {
        return Err(format!("base name ({}) should not be blank", from.base));
    }
    let platform = match &from.platform {
        Some(platform) => {
            let text = expanded(platform)?;
            if text.is_empty() {
                let near = globals.suggestion(platform, escape);
                return Err(format!(
                    "empty platform value from expression {platform}{near}"
                ));
            }
            if let Err(error) = text.parse::<Platform>() {
                let near = globals.suggestion(platform, escape);
                return Err(format!(
                    "failed to parse platform {platform}: {error}{near}"
                ));
            }
            Some(text)
        }
        None => None,
    };
    let named = stages
        .iter()
        .rposition(|stage| stage.name.as_deref() == Some(&base_name.to_ascii_lowercase()));
    let base = match named {
        Some(index) => Base::Stage(index),
        None if base_name == "scratch" => Base::Scratch,
        None => Base::Image(base_name.clone()),
    };
    Ok(Stage {
        index: stages.len(),
        name: from
            .alias
            .as_ref()
            .map(|(name, _)| name.to_ascii_lowercase()),
        base,
        base_name,
        platform,
        from: from.clone(),
        keyword: one.keyword.clone(),
        lines: one.lines,
        comments: one.comments.clone(),
        instructions: Vec::new(),
        is_replaced: false,
    })
}

fn global(
    argument: &Argument,
    given: &BTreeMap<String, String>,
    escape: char,
    globals: &Globals<'_>,
) -> Result<Option<String>, String> {
    if let Some(value) = given.get(&argument.name) {
        return Ok(Some(value.clone()));
    }
    match &argument.default {
        Some(default) => Ok(Some(expand(default, escape, globals)?.text)),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(text: &str, given: &[(&str, &str)]) -> Result<Stages, String> {
        let file = Dockerfile::read("Dockerfile", text).map_err(|misread| misread.reason)?;
        let map = |pairs: &[(&str, &str)]| {
            let owned = pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            owned.collect()
        };
        let platform = map(&[("TARGETARCH", "amd64"), ("BUILDPLATFORM", "linux/amd64")]);
        Stages::of(&file, &map(given), &platform).map_err(|misread| misread.reason)
    }

    #[test]
    fn bases_are_stages_images_or_nothing() {
        let text = "ARG V=1\nARG W=$V-x\nFROM --platform=$BUILDPLATFORM a:$W AS One\nFROM ONE AS two\nFROM scratch\nFROM x-$TARGETARCH\n";
        let found = stages(text, &[("V", "2")]).unwrap();
        let bases: Vec<&Base> = found.stages.iter().map(|stage| &stage.base).collect();
        assert_eq!(bases[0], &Base::Image("a:2-x".to_owned()));
        assert_eq!(bases[1], &Base::Stage(0));
        assert_eq!(bases[2], &Base::Scratch);
        assert_eq!(bases[3], &Base::Image("x-amd64".to_owned()));
        assert_eq!(found.stages[0].platform.as_deref(), Some("linux/amd64"));
    }

    #[test]
    fn only_what_a_target_needs_is_built() {
        let text = "FROM a AS a\nFROM b AS b\nFROM c AS c\nRUN --mount=from=a,target=/a x\nFROM d AS d\nCOPY --from=c / /\nFROM e\nCOPY --from=1 / /\nCOPY --from=busybox / /";
        let found = stages(text, &[]).unwrap();
        assert_eq!(found.order(found.target(None).unwrap()), [1, 4]);
        assert_eq!(found.order(found.target(Some("D")).unwrap()), [0, 2, 3]);
        assert_eq!(found.order(found.target(Some("0")).unwrap()), [0]);
        assert!(
            found
                .target(Some("nope"))
                .unwrap_err()
                .contains("could not be found")
        );
        // A stage does not see later ones, nor itself.
        let forward = stages(
            "FROM a AS a\nCOPY --from=b / /\nCOPY --from=a / /\nFROM b AS b\n",
            &[],
        )
        .unwrap();
        assert!(forward.needs(0).is_empty());
    }

    #[test]
    fn contexts_stand_for_stages_of_their_name() {
        let text = "FROM a AS One\nRUN x\nFROM b AS two\nFROM one AS child\nFROM scratch\nCOPY --from=ONE / /\nCOPY --from=two / /\nCOPY --from=0 / /\n";
        let found = stages(text, &[]).unwrap();
        assert_eq!((found.needs(2), found.needs(3)), (vec![0], vec![0, 1, 0]));
        let found = found.with_contexts(&["oNE".to_owned()]);
        assert_eq!(found.stages[0].base, Base::Image("one".to_owned()));
        assert!(found.stages[0].instructions.is_empty());
        assert_eq!(found.stages[2].base, Base::Image("one".to_owned()));
        assert_eq!((found.needs(2), found.needs(3)), (vec![], vec![1, 0]));
        assert_eq!(found.target(Some("one")), Ok(0));
    }

    #[test]
    fn a_file_begins_with_its_bases() {
        for (text, reason) in [
            (
                "RUN x",
                "no build stage in current context: RUN stands before the first FROM",
            ),
            (
                "ARG a",
                "the file contains no stages to build: it has no FROM",
            ),
            ("FROM $x", "base name ($x) should not be blank"),
            (
                "FROM --platform=$x a",
                "empty platform value from expression $x",
            ),
            (
                "FROM --platform=$BULIDPLATFORM a",
                "empty platform value from expression $BULIDPLATFORM (did you mean BUILDPLATFORM?)",
            ),
            ("FROM a\nCOPY --from=1 b c", "invalid stage index 1"),
        ] {
            assert_eq!(stages(text, &[]).unwrap_err(), reason, "{text}");
        }
    }
}
