//! `COPY` and `ADD` as steps of a stage.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use berth_contract::{Class, Digest, Error, Result};
use berth_image::{Layer, Merged, urls_without_secrets};
use berth_sys::error::Explain as _;
use berth_sys::file::Links;

use super::cache::Key;
use super::copy::{
    FileDigests, Item, Look, Manner, Origin, Place, Read, Target, describe, items, look,
    mode_change, put,
};
use super::dockerfile::Heredoc;
use super::dockerfile::expand::expand_raw;
use super::dockerfile::instruction::Copy;
use super::ignore::{Patterns, clean};
use super::layers::Made;
use super::report::Step;
use super::stage_builder::StageBuilder;
use super::state::State;

impl StageBuilder<'_, '_> {
    /// Carries one out.
    pub(super) fn copy(&mut self, copy: &Copy, step: Step<'_>) -> Result<()> {
        let stages = &self.graph.stages;
        let from = copy.from.as_deref();
        let from = from.filter(|name| self.build.request.named_context(name).is_none());
        let Some(index) = from.and_then(|name| stages.find(name, self.stage.index)) else {
            return self.copy_files(copy, step);
        };
        let source = self.build.stage_so_far(self.graph, index)?;
        let key = self.key_by_name(copy, &source, &self.state.layers)?;
        let told = self.all_expanded(&copy.sources)?;
        let created_by = self.history(copy, &told, &self.expanded(&copy.destination)?)?;
        if self.took(&key, true, &created_by, step) {
            return self.comes_of(index, &source);
        }
        let below = self.state.layers.len();
        self.copy_files(copy, step)?;
        // Its files were needed, for which it may have been built again.
        let source = self.build.stage_so_far(self.graph, index)?;
        self.also(self.key_by_name(copy, &source, &self.state.layers[..below])?);
        Ok(())
    }

    /// What a copy out of another stage depends on, told by what that stage is made of, none of which has to be here.
    fn key_by_name(&self, copy: &Copy, source: &State, below: &[Layer]) -> Result<Digest> {
        let mut key = Key::new("copy by name");
        let chown = self.flag(copy.chown.as_deref())?;
        let is_number = |id: &str| id.parse::<u32>().is_ok();
        // Whom a name means is told by files of this very stage.
        let is_named = chown
            .as_ref()
            .is_some_and(|text| !text.split(':').all(is_number));
        key.layers(if copy.link && !is_named { &[] } else { below });
        key.layers(&source.layers);
        key.text(&chown.unwrap_or_default());
        key.text(&self.flag(copy.chmod.as_deref())?.unwrap_or_default());
        key.text(&self.expanded(&copy.destination)?);
        for texts in [&copy.exclude, &copy.sources] {
            key.document(&self.all_expanded(texts)?);
        }
        key.text(&self.state.config.working_dir);
        key.text(&format!("{} {}", copy.link, copy.parents));
        self.layer_time(&mut key);
        Ok(self.finished(key))
    }

    /// What a flag says; one whose variables hold nothing is as good as none.
    fn flag(&self, text: Option<&str>) -> Result<Option<String>> {
        let text = text.map(|text| self.expanded(text)).transpose()?;
        Ok(text.filter(|text| !text.is_empty()))
    }

    fn all_expanded(&self, texts: &[String]) -> Result<Vec<String>> {
        texts.iter().map(|text| self.expanded(text)).collect()
    }

    fn copy_files(&mut self, copy: &Copy, step: Step<'_>) -> Result<()> {
        let unknown = FileDigests::none();
        let (layers, is_context) = match &copy.from {
            None => (vec![self.build.request.context.clone()], true),
            Some(name) => (self.source(name)?, false),
        };
        let tree = Merged::open(&layers)?;
        let origin = Origin {
            tree: &tree,
            ignored: self.build.ignored(copy.from.as_deref()),
            digests: if is_context {
                &self.build.digests
            } else {
                &unknown
            },
            guard: &self.build.guard,
        };
        // With --link nothing below is looked at, and the layer fits upon any other.
        let below: &[Layer] = if copy.link { &[] } else { &self.state.layers };
        let link = copy.link;
        let lower = |this: &Self| {
            Merged::open(&match link {
                true => vec![this.build.assembly.directory()?],
                false => this.lowers()?,
            })
        };
        let manner = self.manner(copy)?;
        let destination = self.expanded(&copy.destination)?;
        let target = Target::parse(&destination, &self.state.config.working_dir);
        let (found, told) = self.items(copy, &origin, &manner, step)?;
        let has_name = !target.is_directory && !copy.parents;
        if has_name && !has_room(&found) && !is_directory(&lower(self)?, &target)? {
            return Err(Error::new(
                Class::Invalid,
                format!("cannot {} to {destination}", copy.verb()),
            )
            .caused_by(
                "with more than one source the destination must be a directory, or end with a / to become one",
            ));
        }
        let mut key = Key::new(if copy.link { "copy linked" } else { "copy" });
        key.layers(below);
        key.text(&target.path.to_string_lossy());
        key.number(u64::from(target.is_directory));
        key.text(copy.chmod.as_deref().unwrap_or_default());
        key.text(&format!(
            "{:?} {:?} {:?} {}",
            manner.owner, manner.asked_owner, manner.mode, manner.parents
        ));
        let seen = describe(&mut key, &found, &origin, &manner)
            .explain(|| "cannot read what is copied".into())?;
        let created_by = self.history(copy, &told, &destination)?;
        let now = self.layer_time(&mut key);
        self.layer(Made { created_by, key }, step, |this| {
            let directory = this.new_layer()?;
            let scratch = || this.build.assembly.directory();
            let lower = lower(this)?;
            let place = Place {
                lower: &lower,
                layer: &directory,
                now,
                scratch: &scratch,
            };
            put(&found, &target, &origin, &manner, &place)
                .explain(|| format!("cannot copy to {destination}"))?;
            let read = this.read(copy, seen, &origin, &manner);
            let layer = this
                .build
                .assembly
                .layer(&directory, &this.state.layers, this.latest())
                .map_err(|error| {
                    error.context(format!(
                        "cannot make the layer{}",
                        if link { " (linked)" } else { "" }
                    ))
                })?;
            Ok((layer, read))
        })
    }

    /// Whether the sources are as they were when the key was made.
    fn read(&self, copy: &Copy, seen: Look, origin: &Origin<'_>, manner: &Manner) -> Read {
        if !self.is_live(copy.from.as_deref()) {
            return Read::AsKeyed;
        }
        let again = || -> Result<Look> {
            let mut found = Vec::new();
            for source in &copy.sources {
                let source = self.expanded(source)?;
                if !super::remote::is_remote(&source) {
                    found.extend(local(copy, &source, origin, manner)?);
                }
            }
            look(&found, origin, manner).explain(|| "cannot look at what was copied".into())
        };
        // What cannot be found any more has changed.
        again().map_or(Read::Changed, |again| Read::between(seen, again))
    }

    fn manner(&self, copy: &Copy) -> Result<Manner> {
        let invalid = |reason: String| Error::new(Class::Invalid, reason);
        let mut excluded = Vec::new();
        for pattern in &copy.exclude {
            excluded.push(self.expanded(pattern)?);
        }
        // Also with --link: which numbers the names are is part of what is copied then.
        let asked_owner = match self.flag(copy.chown.as_deref())? {
            Some(text) => {
                let stage = || Merged::open(&self.lowers()?);
                Some(owner(&text, &stage)?)
            }
            None => None,
        };
        let from = copy.from.as_deref();
        // What comes from outside belongs to root.
        let is_outside = from.is_none_or(|from| self.is_directory(from));
        let owner = asked_owner.or(is_outside.then_some((0, 0)));
        let mode = match self.flag(copy.chmod.as_deref())? {
            Some(text) => Some(mode_change(&text).map_err(invalid)?),
            None => None,
        };
        Ok(Manner {
            owner,
            asked_owner,
            mode,
            time: None,
            parents: copy.parents,
            excluded: Patterns::new(&excluded).map_err(invalid)?,
            is_mount: false,
        })
    }

    /// What is copied, and how the history tells it.
    fn items(
        &self,
        copy: &Copy,
        origin: &Origin<'_>,
        manner: &Manner,
        step: Step<'_>,
    ) -> Result<(Vec<Item>, Vec<String>)> {
        let mut found = Vec::new();
        let mut told = Vec::new();
        if copy.checksum.is_some() && copy.sources.len() + copy.heredocs.len() > 1 {
            let reason = "a checksum can't be specified for multiple sources";
            return Err(Error::new(Class::Invalid, reason));
        }
        for source in &copy.sources {
            let source = self.expanded(source)?;
            let is_remote = super::remote::is_remote(&source);
            if is_remote && !copy.add {
                let shown = urls_without_secrets(&source);
                return Err(Error::new(Class::Invalid, format!("cannot copy {shown}"))
                    .caused_by("a source of COPY can't be a URL")
                    .hint("use ADD"));
            }
            if is_remote {
                found.push(self.fetch(copy, &source, step)?);
                told.push(urls_without_secrets(&source));
                continue;
            }
            if copy.checksum.is_some() {
                return Err(
                    Error::new(Class::Invalid, "checksum requires a remote source")
                        .caused_by(format!("{source} is a file of the build context")),
                );
            }
            found.extend(local(copy, &source, origin, manner)?);
            told.push(source);
        }
        for document in &copy.heredocs {
            found.push(self.text(document)?);
            told.push(format!("<<{}", document.name));
        }
        Ok((found, told))
    }

    /// How the history tells it.
    fn history(&self, copy: &Copy, told: &[String], destination: &str) -> Result<String> {
        let mut text = copy.verb().to_owned();
        if copy.parents {
            text.push_str(" --parents");
        }
        for (name, value) in [("chown", &copy.chown), ("chmod", &copy.chmod)] {
            if let Some(value) = self.flag(value.as_deref())? {
                text.push_str(&format!(" --{name}={value}"));
            }
        }
        for source in told {
            text.push(' ');
            text.push_str(source);
        }
        text.push_str(&format!(" {destination} # buildkit"));
        Ok(text)
    }

    fn text(&self, document: &Heredoc) -> Result<Item> {
        let mut content = document.text();
        if document.expands {
            content = expand_raw(&content, &self.state.scope)
                .map_err(|reason| Error::new(Class::Invalid, reason))?
                .text;
        }
        Ok(Item::Text {
            name: OsString::from(&document.name),
            content: content.into_bytes(),
        })
    }

    fn fetch(&self, copy: &Copy, source: &str, step: Step<'_>) -> Result<Item> {
        let checksum = match &copy.checksum {
            Some(text) => Some(self.expanded(text)?),
            None => None,
        };
        let into: PathBuf = self.build.assembly.directory()?;
        step.note(&format!("fetching {}", urls_without_secrets(source)));
        super::remote::fetch(
            source,
            &super::remote::Wish {
                checksum: checksum.as_deref(),
                keep_git_directory: copy.keep_git_dir,
                unpack: copy.unpack == Some(true),
                into: &into,
                options: &self.build.request.pull_options,
            },
        )
    }
}

/// What a source names that is no URL.
fn local(copy: &Copy, source: &str, origin: &Origin<'_>, manner: &Manner) -> Result<Vec<Item>> {
    let unpacks = copy.add && copy.unpack != Some(false);
    let found = items(origin, source, manner, unpacks);
    let found = found.explain(|| format!("cannot look for {source}"))?;
    found.ok_or_else(|| missing(origin.tree, source, copy.from.as_deref()))
}

/// Whether all of it can be at one name: one thing can, and so can what follows a directory, whose content makes the
/// name one. `BuildKit` has it so for directories, and leaves of several files the last.
fn has_room(items: &[Item]) -> bool {
    items.len() < 2 || items.first().is_some_and(Item::is_directory)
}

fn is_directory(lower: &Merged, target: &Target) -> Result<bool> {
    let place = lower.place(&target.path, Links::InRoot);
    let place = place.explain(|| format!("cannot look for {}", target.path.display()))?;
    Ok(place.entry.is_some_and(|entry| entry.is_directory()))
}

fn missing(tree: &Merged, source: &str, from: Option<&str>) -> Error {
    let place = from.unwrap_or("the build context");
    let error = Error::new(Class::NotFound, format!("{source:?} not found"));
    if let Some((link, target)) = dead_link(tree, source) {
        let (link, target) = (link.display(), target.display());
        return error.caused_by(format!(
            "{link} is a link to {target}, which is not in {place}"
        ));
    }
    let error = error.caused_by(format!("it is not in {place}"));
    match from {
        Some(_) => error,
        None => error
            .hint("look whether .dockerignore leaves it out; paths begin at the context's root"),
    }
}

/// The first link on the way of a source that leads nowhere, and where it says it leads.
fn dead_link(tree: &Merged, source: &str) -> Option<(PathBuf, PathBuf)> {
    let path = clean(&format!("/{source}"));
    let path = Path::new(path.trim_start_matches('/'));
    let mut above: Vec<&Path> = path.ancestors().collect();
    above.reverse();
    above.into_iter().find_map(|part| {
        if tree.place(part, Links::InRoot).ok()?.entry.is_some() {
            return None;
        }
        let link = tree.place(part, Links::Refused).ok()?.entry?;
        Some((part.to_owned(), PathBuf::from(link.read_link().ok()?)))
    })
}

/// `user[:group]`; a number without a group is the group's too, and who is not named is root.
fn owner(text: &str, lower: &dyn Fn() -> Result<Merged>) -> Result<(u32, u32)> {
    let number = |text: &str| text.parse::<u32>().ok().filter(|id| *id <= 0x7fff_ffff);
    if let Some(id) = number(text) {
        return Ok((id, id));
    }
    if let Some((user, group)) = text.split_once(':')
        && let (Some(user), Some(group)) = (number(user), number(group))
    {
        return Ok((user, group));
    }
    // As of two variables without values, which would be root otherwise.
    if text == ":" {
        return Err(Error::new(Class::Invalid, "cannot use the owner \":\"")
            .caused_by("it names neither a user nor a group"));
    }
    if let Some(user) = text.strip_suffix(':') {
        return Ok((owner(user, lower)?.0, 0));
    }
    crate::engine::Engine::owner(&lower()?, text)
}
