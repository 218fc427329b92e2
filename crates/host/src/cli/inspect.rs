//! `berth inspect`: everything about containers, images, volumes and networks, in Docker's shape.

use berth_contract::{Class, Error, Result};
use berth_host::Engine;
use serde_json::Value;

use super::document::{Format, as_value};
use super::{Arguments, Context, Group, Outcome, Verb};

pub(crate) const VERB: Verb = Verb::new::<Inspect>(
    "inspect",
    Group::Run,
    "Print everything about containers, images, volumes or networks",
    "[OPTIONS] NAME|ID [NAME|ID...]",
)
.examples(
    "berth inspect web\n\
     berth inspect -f '{{.State.Status}} {{.State.ExitCode}}' web\n\
     berth inspect -f '{{json .NetworkSettings.Ports}}' web",
);

pub(crate) const CONTAINER: Verb = Verb::new::<InspectContainer>(
    "inspect",
    Group::Run,
    "Print everything about containers",
    "[OPTIONS] CONTAINER [CONTAINER...]",
);

pub(crate) const IMAGE: Verb = Verb::new::<InspectImage>(
    "inspect",
    Group::Images,
    "Print everything about images",
    "[OPTIONS] IMAGE [IMAGE...]",
);

/// The flags of `inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// The objects, by name or id
    #[arg(value_name = "NAME|ID", required = true, hide = true)]
    names: Vec<String>,
    #[command(flatten)]
    format: Format,
    /// Measure how much containers occupy
    #[arg(short, long)]
    size: bool,
    /// Look only for this kind of object: container, image, volume or network
    #[arg(long = "type", value_name = "KIND")]
    kind: Option<String>,
}

impl Arguments for Inspect {
    fn run(self, context: &Context) -> Outcome {
        type Look = fn(&Engine, &str, bool) -> Result<Value>;
        let look: Look = match self.kind.as_deref() {
            Some("container") => container,
            Some("image") => |engine, name, _| image(engine, name, None),
            Some("volume") => |engine, name, _| as_value(&engine.volume(name)?),
            Some("network") => |engine, name, _| as_value(&engine.network(name)?),
            None | Some("") => anything,
            // Docker reads it only after the flags, and so it ends with 1.
            Some(kind) => {
                let message = format!("cannot inspect objects of the type {kind}");
                return Err(Error::new(Class::Invalid, message)
                    .hint("use container, image, volume or network"));
            }
        };
        let engine = context.engine()?;
        self.format
            .inspect(context, &self.names, |name| look(&engine, name, self.size))
    }
}

/// The flags of `container inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct InspectContainer {
    /// The containers, by name or id
    #[arg(value_name = "CONTAINER", required = true, hide = true)]
    names: Vec<String>,
    #[command(flatten)]
    format: Format,
    /// Measure how much they occupy
    #[arg(short, long)]
    size: bool,
}

impl Arguments for InspectContainer {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        self.format.inspect(context, &self.names, |name| {
            container(&engine, name, self.size)
        })
    }
}

/// The flags of `image inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct InspectImage {
    /// The images, by name or id
    #[arg(value_name = "IMAGE", required = true, hide = true)]
    names: Vec<String>,
    #[command(flatten)]
    format: Format,
    /// Look at the image for this platform
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
}

impl Arguments for InspectImage {
    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let platform = self.platform.as_deref();
        self.format
            .inspect(context, &self.names, |name| image(&engine, name, platform))
    }
}

fn container(engine: &Engine, name: &str, size: bool) -> Result<Value> {
    let id = engine.find(name)?;
    as_value(&engine.inspect(&id, size)?)
}

fn image(engine: &Engine, name: &str, platform: Option<&str>) -> Result<Value> {
    as_value(&engine.image(name, platform)?)
}

/// The first of containers, images, networks and volumes that has the name, as in Docker.
fn anything(engine: &Engine, name: &str, size: bool) -> Result<Value> {
    let searches: [&dyn Fn() -> Result<Value>; 4] = [
        &|| container(engine, name, size),
        &|| image(engine, name, None),
        &|| as_value(&engine.network(name)?),
        &|| as_value(&engine.volume(name)?),
    ];
    for search in searches {
        match search() {
            Err(error) if matches!(error.class(), Class::NotFound | Class::Invalid) => {}
            found_or_failed => return found_or_failed,
        }
    }
    Err(
        Error::new(Class::NotFound, format!("no such object: {name}"))
            .hint("berth ps -a lists the containers, berth images the images"),
    )
}
