//! Structured answers of models that can be made to use one tool: its arguments are the answer.

/// Name of the tool.
pub(super) const NAME: &str = "answer";

/// What the model is told about it.
pub(super) const DESCRIPTION: &str = "Give your whole answer as the arguments of this tool.";
