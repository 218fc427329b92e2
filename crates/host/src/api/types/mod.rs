//! The documents of the Docker Engine API (1.4x) that berth reads and writes, field names included.
//!
//! Every field has a default, so that a record written by an older berth, or a request that leaves
//! most of them out, still parses.

mod container;
mod health;
mod host;
mod image;
mod inspect;
mod network;
mod null;
mod system;
mod volume;

pub use container::{ContainerConfig, CreateRequest, Empty};
pub use health::HealthConfig;
pub use host::{
    BindOptions, DeviceMapping, DeviceRequest, HostConfig, IdMappings, ImageOptions, LogConfig,
    Mount, MountKind, PortBinding, RestartPolicy, ThrottleDevice, TmpfsOptions, Ulimit,
    VolumeOptions, WeightDevice,
};
pub use image::{DeletedImage, HistoryEntry, ImageConfig, ImageInspect, ImageSummary, RootFs};
pub use inspect::{
    ContainerInspect, ContainerState, ContainerSummary, ContainerTop, GraphDriver, MountPoint,
    NetworkSettings, Port, PruneReport, SummaryHostConfig, SummaryNetworks,
};
pub use network::{
    ConfigReference, EndpointSettings, Ipam, IpamConfig, IpamRange, NetworkInspect, NetworkMember,
    NetworkingConfig,
};
pub use system::{
    ClientInfo, Commit, ComponentVersion, FirewallBackend, Plugins, RuntimeInfo, Swarm, SystemInfo,
    Version,
};
pub use volume::VolumeInspect;
