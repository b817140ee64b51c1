//! The file that a person starts from.

/// A config file in which everything is at its default, with comments that show what could be said.
pub const TEMPLATE: &str = include_str!("template.yaml");

#[cfg(test)]
mod tests {
    use super::TEMPLATE;
    use crate::Config;

    /// The template with every example in use.
    fn with_examples() -> String {
        let used = |line: &'static str| match line.strip_prefix('#') {
            Some(example) if !example.is_empty() && !is_prose(example) => example,
            _ => line,
        };
        TEMPLATE.lines().map(used).collect::<Vec<_>>().join("\n")
    }

    /// Prose has one space before it; an example has none, or is indented by two or more.
    fn is_prose(example: &str) -> bool {
        example.starts_with(' ') && !example.starts_with("  ")
    }

    #[test]
    fn the_template_changes_nothing() {
        let parsed = Config::parse(TEMPLATE, "template.yaml").unwrap();

        assert_eq!(parsed.config, Config::default());
        assert_eq!(parsed.notices, []);
    }

    #[test]
    fn every_example_of_the_template_can_be_used() {
        let parsed = Config::parse(&with_examples(), "template.yaml").unwrap();

        assert_eq!(parsed.config.models.len(), 1);
        assert_eq!(parsed.config.providers.len(), 2);
        assert_eq!(parsed.config.server.limits.per_token.len(), 1);
        assert_eq!(parsed.notices, []);
    }
}
