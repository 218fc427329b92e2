//! `berth create`: makes a container without starting it.

use std::path::Path;

use berth_contract::{Class, ContainerName, Error, Result};
use berth_host::Engine;
use berth_host::engine::{CreateOptions, Created, RemoveOptions};
use berth_image::{PullOptions, PullPolicy};
use berth_sys::fault;

use super::progress::{PullProgress, Style};
use super::pull::pull_options;
use super::request::{CreateFlags, Prepared, REFUSED};
use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Create>(
    "create",
    Group::Run,
    "Make a container without starting it",
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
)
.examples("berth create --name web -p 8080:80 nginx\nberth create -it busybox sh")
.refusing(REFUSED)
.failing_by_class();

/// The arguments of `create`.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    #[command(flatten)]
    flags: CreateFlags,
}

impl Arguments for Create {
    fn run(self, context: &Context) -> Outcome {
        let prepared = self.flags.prepare(context)?;
        let engine = context.engine()?;
        let created = make(context, &engine, &prepared)?;
        context.screen.data(&format!("{}\n", created.id))?;
        Ok(0)
    }
}

/// Makes the container, pulling its image when needed, and writes its id where that was asked for.
///
/// # Errors
/// The engine's own; nothing is left behind then.
pub(crate) fn make(context: &Context, engine: &Engine, prepared: &Prepared) -> Result<Created> {
    if let Some(file) = prepared.cidfile.as_deref().filter(|file| file.exists()) {
        return Err(Error::new(
            Class::Conflict,
            format!("the file {} exists", file.display()),
        )
        .caused_by("it holds the id of another container")
        .hint(format!("remove it first: rm {}", file.display())));
    }
    if let Some(name) = prepared.name.as_ref().filter(|_| prepared.replace) {
        remove_namesake(engine, name)?;
    }
    for warning in &prepared.warnings {
        context.warn(warning);
    }
    let created = create(context, engine, prepared);
    let created = created?;
    for warning in &created.warnings {
        context.warn(warning);
    }
    if let Some(file) = &prepared.cidfile
        && let Err(error) = write_id(file, created.id.as_str())
    {
        engine.remove(
            &created.id,
            &RemoveOptions {
                force: true,
                volumes: true,
            },
        )?;
        return Err(error);
    }
    fault::point("host-create-told");
    Ok(created)
}

/// Logins and certificates are read only when a registry is asked: a local start pays nothing for
/// them, and does not fail because of them.
fn create(context: &Context, engine: &Engine, prepared: &Prepared) -> Result<Created> {
    let name = prepared.name.as_ref();
    // Whoever has signed an image is asked about it each time.
    if prepared.pull == PullPolicy::Missing && prepared.keys.is_empty() {
        let local = CreateOptions {
            platform: prepared.platform.clone(),
            prefer: prepared.prefer.or(engine.config().prefer),
            pull: PullPolicy::Never,
            ..CreateOptions::default()
        };
        match engine.create(&prepared.request, name, &local) {
            Err(error) if error.class() == Class::NotFound => {}
            created => return created,
        }
    }
    let progress = PullProgress::new(
        context.screen,
        if prepared.quiet {
            Style::None
        } else {
            Style::Auto
        },
    );
    let pull_options = PullOptions {
        keys: prepared.keys.clone(),
        ..pull_options(context)?
    };
    let options = CreateOptions {
        platform: prepared.platform.clone(),
        prefer: prepared.prefer.or(engine.config().prefer),
        pull: prepared.pull,
        pull_options: Some(&pull_options),
        progress: Some(&progress),
        stack: None,
    };
    let created = engine.create(&prepared.request, name, &options);
    progress.clear();
    created
}

fn remove_namesake(engine: &Engine, name: &ContainerName) -> Result<()> {
    match engine.find(name.as_str()) {
        // The beginning of another container's id is found as well.
        Ok(id) if engine.inspect(&id, false)?.name.trim_start_matches('/') == name.as_str() => {
            engine.remove(
                &id,
                &RemoveOptions {
                    force: true,
                    volumes: true,
                },
            )
        }
        Ok(_) => Ok(()),
        Err(error) if error.class() == Class::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Writes an id into a file that must not exist yet.
fn write_id(file: &Path, id: &str) -> Result<()> {
    let written = std::fs::File::create_new(file)
        .and_then(|mut opened| std::io::Write::write_all(&mut opened, id.as_bytes()));
    written.map_err(|error| {
        Error::new(
            Class::Invalid,
            format!("cannot write the container's id to {}", file.display()),
        )
        .caused_by(error)
    })
}
