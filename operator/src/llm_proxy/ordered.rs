//! With `tls.acme`: what is wanted of the ACME server, and what was got from it so far.

use super::validate::{AcmeOrder, TlsMode, ValidatedProxy};
use crate::{
    acme::{orders::Wanted, state},
    context::Context,
    names::acme_secret,
};

/// What the engine has written down, from the cache. Tells the worker what is wanted, too.
pub fn ordered(context: &Context, proxy: &ValidatedProxy) -> Option<state::State> {
    let TlsMode::Acme(order, _) = &proxy.tls else {
        context.acme.unwanted(&proxy.uid);
        return None;
    };
    let AcmeOrder { directory_url, email, challenge, access } = order;
    match access {
        Ok(access) if proxy.replicas > 0 => context.acme.want(Wanted {
            uid: proxy.uid.clone(),
            namespace: proxy.namespace.clone(),
            name: proxy.name.clone(),
            directory_url: directory_url.clone(),
            email: email.clone(),
            challenge: *challenge,
            names: proxy.certificate_names.clone(),
            access: access.clone(),
        }),
        // Something is missing, or no pod is there that could answer a challenge.
        _ => context.acme.unwanted(&proxy.uid),
    }
    let secret = acme_secret(&proxy.uid, directory_url);
    let secret = context.stores.own_secrets.get(&context.settings.operator_namespace, &secret);
    let mut state = secret.map(|secret| state::read(&secret)).unwrap_or_default();
    if let Some(trouble) = context.acme.trouble(&proxy.uid) {
        state.progress = state::Progress::stuck(trouble);
    }
    Some(state)
}
