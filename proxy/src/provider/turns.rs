//! A conversation for dialects that have a place of their own for the system prompt and in which two sides take turns.

use super::{Message, Part, ProviderError, Role, ToolCall};

/// What one side says before the other one says something.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Turn<'a> {
    /// By the model; else by the caller.
    pub(super) of_model: bool,
    /// Nothing that is empty. Results come first, in the order of the calls that they answer: dialects want them right after
    /// the calls, and some tell them apart by their order alone.
    pub(super) parts: Vec<&'a Part>,
}

/// The system prompt, which has to come before everything else and to be text, and the messages after it.
pub(super) fn system(messages: &[Message]) -> Result<(Option<String>, &[Message]), ProviderError> {
    let leading = messages.iter().take_while(|message| message.role == Role::System).count();
    let (system, rest) = messages.split_at(leading);
    if rest.iter().any(|message| message.role == Role::System) {
        return Err(ProviderError::inexpressible("system messages after others"));
    }
    if system.iter().any(|message| message.beyond_text().is_some()) {
        return Err(ProviderError::inexpressible("system messages that are not text"));
    }
    let system: Vec<_> = system.iter().map(Message::words).collect();
    Ok(((!system.is_empty()).then(|| system.join("\n\n")), rest))
}

/// The messages as turns: those of one side that follow each other are one.
pub(super) fn turns(messages: &[Message]) -> Vec<Turn<'_>> {
    let mut turns: Vec<Turn<'_>> = Vec::new();
    for message in messages {
        let of_model = message.role == Role::Assistant;
        let parts: Vec<_> = message.content.iter().filter(|part| !is_empty(part)).collect();
        match turns.last_mut() {
            _ if parts.is_empty() => {}
            Some(turn) if turn.of_model == of_model => turn.parts.extend(parts),
            _ => turns.push(Turn { of_model, parts }),
        }
    }
    for index in 0..turns.len() {
        let (before, rest) = turns.split_at_mut(index);
        if let Some(turn) = rest.first_mut() {
            turn.parts.sort_by_key(|part| place(part, before.last()));
        }
    }
    turns
}

fn is_empty(part: &Part) -> bool {
    matches!(part, Part::Text(text) if text.is_empty())
}

/// Results before all else, those of calls that nobody made last among them.
fn place(part: &Part, before: Option<&Turn<'_>>) -> usize {
    let Part::Result(result) = part else { return usize::MAX };
    let is_call = |part: &&Part| matches!(part, Part::Call(ToolCall { id, .. }) if *id == result.call_id);
    before.and_then(|turn| turn.parts.iter().position(is_call)).unwrap_or(usize::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::ToolResult;

    fn said(role: Role, content: Vec<Part>) -> Message {
        Message { role, content }
    }

    fn call(id: &str) -> Part {
        Part::Call(ToolCall { id: id.into(), name: "f".into(), arguments: String::new() })
    }

    fn result(id: &str) -> Part {
        Part::Result(ToolResult { call_id: id.into(), text: id.into(), is_error: false })
    }

    #[test]
    fn messages_of_one_side_are_one_turn_and_results_stand_in_the_order_of_their_calls() {
        let text = |text: &str| Part::Text(text.into());
        let messages = [
            said(Role::User, vec![text("a")]),
            said(Role::Assistant, vec![text("")]),
            said(Role::User, vec![text(""), text("b")]),
            said(Role::Assistant, vec![text(""), call("1"), call("2")]),
            said(Role::User, vec![text("c"), result("2")]),
            said(Role::User, vec![result("x"), result("1")]),
            said(Role::Assistant, vec![text("")]),
        ];

        let turns = turns(&messages);

        let expected = [
            (false, vec![text("a"), text("b")]),
            (true, vec![call("1"), call("2")]),
            (false, vec![result("1"), result("2"), result("x"), text("c")]),
        ];
        let found: Vec<_> = turns
            .into_iter()
            .map(|turn| (turn.of_model, turn.parts.into_iter().cloned().collect::<Vec<_>>()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_system_prompt_is_text_and_comes_first() {
        let system = |text: &str| Message::text(Role::System, text);
        let user = Message::text(Role::User, "hi");
        let both = [system("a"), system("b"), user.clone()];

        assert_eq!(super::system(&both), Ok((Some("a\n\nb".to_owned()), &both[2..])));
        assert_eq!(super::system(&both[2..]), Ok((None, &both[2..])));
        assert!(super::system(&[user, system("late")]).is_err());
        assert!(super::system(&[said(Role::System, vec![call("1")])]).is_err());
    }
}
