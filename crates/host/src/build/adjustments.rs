//! What a build changes of every base image, and of the image it makes.

/// What an image has, whatever its Dockerfile says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjustments {
    /// Variables of every base's environment.
    pub environment: Vec<(String, String)>,
    /// Variables that the image does not have.
    pub unset_variables: Vec<String>,
    /// Labels that base images do not pass on.
    pub unset_labels: Vec<String>,
    /// Whether base images and stages pass labels on at all.
    pub inherits_labels: bool,
    /// Whether nothing tells how the image was made.
    pub omits_history: bool,
}
