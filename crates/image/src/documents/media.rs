//! Media types: OCI's, Docker's, and those wasm tools have used.

/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI image config.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// OCI layer, not compressed.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// OCI layer, gzip.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// OCI layer, zstd.
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// Docker's manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's image config.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker's layer, not compressed.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// Docker's layer, gzip.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// Config of a wasm artifact (CNCF TAG-Runtime).
pub const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// Config of a wasm artifact as wasm-to-oci and krustlet wrote it.
pub const WASM_CONFIG_OLD: &str = "application/vnd.wasm.config.v1+json";
/// A wasm module or component, raw.
pub const WASM_LAYER: &str = "application/wasm";

/// Layers that are a raw module, by the tools that made them: CNCF, runwasi, wasm-to-oci, old wasmCloud.
const MODULES: [&str; 4] = [
    WASM_LAYER,
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
];

/// What an `Accept` header offers a registry.
#[must_use]
pub fn accepted() -> String {
    [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].join(", ")
}

/// OCI's type of a layer that has Docker's.
#[must_use]
pub fn as_oci(layer: &str) -> Option<&'static str> {
    match layer {
        DOCKER_LAYER => Some(OCI_LAYER),
        DOCKER_LAYER_GZIP => Some(OCI_LAYER_GZIP),
        "application/vnd.docker.image.rootfs.diff.tar.zstd" => Some(OCI_LAYER_ZSTD),
        _ => None,
    }
}

/// Docker's type of a layer that has OCI's; it has none for zstd.
#[must_use]
pub fn as_docker(layer: &str) -> Option<&'static str> {
    match layer {
        OCI_LAYER => Some(DOCKER_LAYER),
        OCI_LAYER_GZIP => Some(DOCKER_LAYER_GZIP),
        _ => None,
    }
}

/// Whether it is an index or a manifest list.
#[must_use]
pub fn is_index(media_type: &str) -> bool {
    matches!(media_type, OCI_INDEX | DOCKER_LIST)
}

/// Whether it is a manifest.
#[must_use]
pub fn is_manifest(media_type: &str) -> bool {
    matches!(media_type, OCI_MANIFEST | DOCKER_MANIFEST)
}

/// Whether a layer of this type is a raw wasm module.
#[must_use]
pub fn is_module(media_type: &str) -> bool {
    MODULES.contains(&media_type)
}

/// Whether a config of this type is an image's.
#[must_use]
pub fn is_image_config(media_type: &str) -> bool {
    matches!(media_type, OCI_CONFIG | DOCKER_CONFIG | "")
}

/// Whether a config of this type belongs to a wasm artifact.
#[must_use]
pub fn is_wasm_config(media_type: &str) -> bool {
    matches!(media_type, WASM_CONFIG | WASM_CONFIG_OLD)
}

/// Whether a layer of this type is a tar archive; how it is compressed is read from its first bytes.
#[must_use]
pub fn is_archive(media_type: &str) -> bool {
    let layer = media_type.starts_with("application/vnd.oci.image.layer.")
        || media_type.starts_with("application/vnd.docker.image.rootfs.");
    layer && media_type.contains("tar")
}

/// Whether a registry may lack a layer: its manifest says where else it is (image-spec `layer.md`).
#[must_use]
pub fn may_be_elsewhere(media_type: &str) -> bool {
    is_foreign(media_type) || media_type.contains(".nondistributable.")
}

/// Whether a layer is meant to be fetched from elsewhere (Windows base layers; CVE-2020-15157).
#[must_use]
pub fn is_foreign(media_type: &str) -> bool {
    media_type.contains(".foreign.")
}
