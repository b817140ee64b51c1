//! One more chance for an answer that is not valid for the caller's schema: the model is shown it and told what is wrong.
//!
//! Once, of the provider that gave it, and for whole answers alone: what was streamed cannot be taken back. Both answers are paid, so
//! both are in usage and cost.

use std::sync::Arc;

use super::{
    Begun,
    attempt::{Chosen, attempt},
};
use crate::{
    error::CallError,
    provider::{Completion, Message, ModelRequest, Reply, Role},
    router::Target,
    structured::Unsatisfied,
};

/// What is wrong with the answer, if the request wants one by a schema.
pub(super) fn problem(prompt: &ModelRequest, completion: &Completion) -> Option<Unsatisfied> {
    match &completion.reply {
        Reply::Said(said) => prompt.schema.as_ref()?.check(&said.text).err(),
        Reply::Raw(..) => None,
    }
}

/// A valid answer in place of one that is not; the error of the first where there is none to be had.
pub(super) async fn repaired(
    begun: &mut Begun,
    target: &Arc<Target>,
    prompt: &mut ModelRequest,
    completion: Completion,
    problem: Unsatisfied,
) -> Result<Completion, CallError> {
    let (Reply::Said(said), true) = (completion.reply, begun.route.repairs && problem.can_be_mended()) else {
        return Err(problem.into());
    };
    let advice = format!("{problem}. Answer again, with nothing but JSON that satisfies the schema.");
    let length = said.text.chars().count() + advice.chars().count();
    prompt.messages.push(Message::text(Role::Assistant, said.text));
    prompt.messages.push(Message::text(Role::User, advice));
    let Begun { settlement, deadline, .. } = begun;
    let Ok(chosen) = Chosen::of(target) else { return Err(problem.into()) };
    settlement.begin_another(length);
    let ask = |target: Arc<Target>| {
        let prompt = &*prompt;
        async move { target.provider.complete(&target.model, prompt).await }
    };
    let second = attempt(chosen, settlement, *deadline, &ask).await;
    let second = match second {
        Ok(Ok(answered)) => answered.answer,
        Err(CallError::DeadlineExceeded) => return Err(CallError::DeadlineExceeded),
        // That the first answer is not valid is what the caller can do something about.
        Ok(Err(_)) | Err(_) => {
            settlement.repaired(false);
            return Err(problem.into());
        }
    };
    settlement.answered_with(&second)?;
    let verdict = self::problem(prompt, &second);
    settlement.repaired(verdict.is_none());
    verdict.map_or(Ok(second), |problem| Err(problem.into()))
}
