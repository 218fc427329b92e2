//! `berth manifest …`: lists of images for several platforms, made here.

mod entry;
mod inspect;
mod push;

use berth_contract::{Class, Result};
use berth_image::{EntryChange, Platform, Reference};

use self::entry::Lookup;
use super::parse::annotations;
use super::shared::answer_each;
use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::family(
    "manifest",
    Group::Images,
    "Make lists of images for several platforms",
    VERBS,
);

const VERBS: &[Verb] = &[
    Verb::new::<Create>(
        "create",
        Group::Images,
        "Make a list, of images here and in registries",
        "[OPTIONS] LIST [IMAGE...]",
    )
    .examples(
        "berth manifest create app:1 app:1-amd64 app:1-wasm\n\
         berth manifest create app:1 registry.example.com/app:1-arm64",
    ),
    Verb::new::<Add>(
        "add",
        Group::Images,
        "Add images to a list",
        "[OPTIONS] LIST IMAGE [IMAGE...]",
    )
    .examples(
        "berth manifest add --arch arm64 app:1 app:1-arm\n\
         berth manifest add --all app:1 registry.example.com/base:1",
    ),
    Verb::new::<Annotate>(
        "annotate",
        Group::Images,
        "Change what an entry of a list is said to be for",
        "[OPTIONS] LIST IMAGE|DIGEST",
    )
    .examples("berth manifest annotate --os wasi --arch wasm app:1 app:1-wasm"),
    inspect::VERB,
    push::VERB,
    Verb::new::<Remove>(
        "remove",
        Group::Images,
        "Take entries out of a list",
        "LIST IMAGE|DIGEST [IMAGE|DIGEST...]",
    ),
    Verb::new::<Rm>("rm", Group::Images, "Remove lists", "LIST [LIST...]"),
    Verb::new::<Exists>(
        "exists",
        Group::Images,
        "Tell by the exit status whether a list is here",
        "LIST",
    ),
];

/// The flags of `manifest create`.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// The list's name
    #[arg(value_name = "LIST", required = true, hide = true)]
    list: String,
    /// The images
    #[arg(value_name = "IMAGE", hide = true)]
    images: Vec<String>,
    /// Add to a list that is there already
    #[arg(short, long)]
    amend: bool,
    #[command(flatten)]
    lookup: Lookup,
}

impl Arguments for Create {
    fn run(self, context: &Context) -> Outcome {
        let name = Reference::parse(&self.list)?;
        let engine = context.engine()?;
        let store = engine.writable_store()?;
        // Looked for first, so that a misspelt image makes no list.
        let images = self.images.iter();
        let entries = images.map(|image| {
            let named = (image.as_str(), self.images.as_slice());
            self.lookup.find(context, &engine, named, None)
        });
        let entries = entries.collect::<Result<Vec<_>>>()?;
        store.create_list(&name, self.amend)?;
        for entry in entries {
            entry.add(&store, &name, &EntryChange::default())?;
        }
        let text = format!("Created manifest list {name}\n");
        context.screen.data(&text)?;
        Ok(0)
    }
}

/// What an entry is for.
#[derive(Debug, clap::Args)]
pub(crate) struct Marks {
    /// The architecture, such as arm64 or wasm
    #[arg(long, value_name = "ARCH")]
    arch: Option<String>,
    /// The operating system, such as linux or wasi
    #[arg(long, value_name = "OS")]
    os: Option<String>,
    /// The variant of the architecture, such as v8
    #[arg(long, value_name = "VARIANT")]
    variant: Option<String>,
    /// The operating system's version
    #[arg(long, value_name = "VERSION")]
    os_version: Option<String>,
    /// A feature the operating system must have (can be repeated)
    #[arg(long, value_name = "FEATURE", value_delimiter = ',')]
    os_features: Vec<String>,
    /// Annotate the entry (can be repeated)
    #[arg(long, value_name = "KEY=VALUE")]
    annotation: Vec<String>,
}

impl Marks {
    fn change(self) -> Result<EntryChange> {
        // Spelled as everywhere else: x86_64 is amd64.
        let architecture = self.arch.map(|arch| arch.parse::<Platform>()).transpose()?;
        Ok(EntryChange {
            os: self.os,
            architecture: architecture.map(|platform| platform.architecture),
            variant: self.variant,
            os_version: self.os_version,
            os_features: self.os_features,
            annotations: annotations(self.annotation)?,
        })
    }
}

/// The flags of `manifest add`.
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// The list
    #[arg(value_name = "LIST", required = true, hide = true)]
    list: String,
    /// The images
    #[arg(value_name = "IMAGE", required = true, hide = true)]
    images: Vec<String>,
    #[command(flatten)]
    lookup: Lookup,
    #[command(flatten)]
    marks: Marks,
}

impl Arguments for Add {
    fn run(self, context: &Context) -> Outcome {
        let name = Reference::parse(&self.list)?;
        let change = self.marks.change()?;
        let engine = context.engine()?;
        let store = engine.writable_store()?;
        store.list_named(&name)?;
        for image in &self.images {
            let named = (image.as_str(), self.images.as_slice());
            let entry = self
                .lookup
                .find(context, &engine, named, change.platform())?;
            let lines = entry.add(&store, &name, &change)?.into_iter();
            let text: String = lines.map(|digest| format!("{digest}\n")).collect();
            context.screen.data(&text)?;
        }
        Ok(0)
    }
}

/// The flags of `manifest annotate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Annotate {
    /// The list
    #[arg(value_name = "LIST", required = true, hide = true)]
    list: String,
    /// The entry, by its image or its digest
    #[arg(value_name = "IMAGE|DIGEST", required = true, hide = true)]
    entry: String,
    #[command(flatten)]
    marks: Marks,
}

impl Arguments for Annotate {
    fn run(self, context: &Context) -> Outcome {
        let name = Reference::parse(&self.list)?;
        let change = self.marks.change()?;
        let store = context.engine()?.writable_store()?;
        store.annotate_list(&name, &self.entry, &change)?;
        Ok(0)
    }
}

/// The arguments of `manifest remove`.
#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// The list
    #[arg(value_name = "LIST", required = true, hide = true)]
    list: String,
    /// The entries, by image or digest
    #[arg(value_name = "IMAGE|DIGEST", required = true, hide = true)]
    entries: Vec<String>,
}

impl Arguments for Remove {
    fn run(self, context: &Context) -> Outcome {
        let name = Reference::parse(&self.list)?;
        let store = context.engine()?.writable_store()?;
        for entry in &self.entries {
            store.remove_from_list(&name, entry)?;
        }
        Ok(0)
    }
}

/// The arguments of `manifest rm`.
#[derive(Debug, clap::Args)]
pub(crate) struct Rm {
    /// The lists
    #[arg(value_name = "LIST", required = true, hide = true)]
    lists: Vec<String>,
}

impl Arguments for Rm {
    fn run(self, context: &Context) -> Outcome {
        let store = context.engine()?.writable_store()?;
        answer_each(context, &self.lists, |list| {
            store.remove_list(&Reference::parse(list)?)?;
            Ok(Some(format!("Untagged: {list}")))
        })
    }
}

/// The argument of `manifest exists`.
#[derive(Debug, clap::Args)]
pub(crate) struct Exists {
    /// The list
    #[arg(value_name = "LIST", required = true, hide = true)]
    list: String,
}

impl Arguments for Exists {
    fn run(self, context: &Context) -> Outcome {
        let name = Reference::parse(&self.list)?;
        match context.engine()?.store().list_named(&name) {
            Ok(_) => Ok(0),
            Err(error) if matches!(error.class(), Class::NotFound | Class::Invalid) => Ok(1),
            Err(error) => Err(error),
        }
    }
}
