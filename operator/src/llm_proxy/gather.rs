//! Gathers what building needs beside the proxy itself: keys, access table, certificate authority.

use jiff::{SignedDuration, Timestamp};
use vibectl_config::mount::ISSUERS_FILE;
use vibectl_pki::CertificateFacts;

use crate::{
    access::{
        self, identity,
        table::{Held, Table},
    },
    acme,
    api::LlmProxy,
    cert_manager::Progress,
    context::{
        Context,
        cache::{Availability, NoAccess},
    },
    error::Error,
    fleet::{book::Grants, pods},
    keys,
    llm_proxy::{
        authority::{Authority, AuthorityError, Trouble, Wanted, authority, self_signed},
        build::{Inputs, Ordered},
        issuers,
        ordered::ordered,
        report::migration,
        sight,
        validate::{TlsMode, ValidatedProxy},
    },
    names::CLUSTER_ISSUER,
};

/// What was gathered.
pub struct Gathered {
    /// For building.
    pub inputs: Inputs,
    /// What the access table and the public keys together grant.
    pub grants: Grants,
    /// ProxyTokens that have a row.
    pub tokens: usize,
    /// Subjects of a former server, with their ProxyTokens, that have no row.
    pub without_row: Vec<String>,
    /// How much of the access table is held back.
    pub held: Option<Held>,
    /// With `tls.certManager` and `tls.acme`: how the order is doing.
    pub order: Option<Order>,
    /// When time alone makes something of this due.
    pub due: Timestamp,
}

/// How an order with cert-manager or with an ACME server is doing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Order {
    /// It cannot be placed.
    NoApi(NoAccess),
    /// It is being placed.
    Placing,
    /// What cert-manager says of it.
    Placed(Progress),
    /// With `tls.acme`: what the engine has written down.
    Acme(acme::state::Progress),
}

/// How soon it is looked again whether cert-manager is there: no watch tells that.
const LOOK_FOR_API: SignedDuration = SignedDuration::from_secs(15);

/// Gathers everything; keys are made, or moved on in their life, where that is due.
pub async fn gather(
    context: &Context,
    proxy: &LlmProxy,
    validated: &ValidatedProxy,
) -> Result<Gathered, Error> {
    let table = access::of(context, proxy)?;
    let issuers = issuers(context, proxy, validated, &table)?;
    let keys = keys::for_proxy(context, proxy, &table.lives).await?;
    let authority = kept_authority(context, proxy, validated)?;
    let signing_due = keys.signing.next_step.and_then(|second| Timestamp::from_second(second).ok());
    let authority_due = authority.as_ref().and_then(|authority| authority.due);
    let acme = ordered(context, validated);
    let order =
        acme.as_ref().map(|state| Order::Acme(state.progress.clone())).or_else(|| order(context, validated));
    let look = || context.now().checked_add(LOOK_FOR_API).ok();
    let order_due = match order {
        Some(Order::NoApi(_) | Order::Placing) => look(),
        Some(Order::Placed(_) | Order::Acme(_)) | None => None,
    };
    let migration_due =
        validated.migration.as_ref().and_then(|migration| migration::due(migration, context.now()));
    let due = [signing_due, authority_due, order_due, migration_due];
    let due = due.into_iter().flatten().fold(keys.fleet.renew_at, Timestamp::min);
    Ok(Gathered {
        grants: table.grants(keys.signing.published()),
        tokens: table.rows.len(),
        without_row: without_row(validated, &table),
        held: table.held,
        order,
        due,
        inputs: Inputs {
            server_image: context.settings.server_image.clone(),
            operator_namespace: context.settings.operator_namespace.clone(),
            jwks: keys.signing.jwks,
            issuers,
            access_shards: table.shards,
            fleet_identity: keys.fleet.data,
            revision_key: keys.fleet.revision_key,
            authority,
            acme: acme.map(|acme::state::State { pair, answers, progress: _ }| Ordered { pair, answers }),
        },
    })
}

/// Subjects of the migration that no row has.
fn without_row(validated: &ValidatedProxy, table: &Table) -> Vec<String> {
    let subjects = validated.migration.iter().flat_map(|migration| &migration.subjects);
    let has_row = |subject: &str| {
        let wanted = identity::of_former_subject(subject);
        table.rows.values().any(|row| row.identities.contains(&wanted))
    };
    let missing = subjects.filter(|(subject, _)| !has_row(subject));
    missing.map(|(subject, token)| format!("{subject} ({token})")).collect()
}

/// The file of other issuers. What is known of the cluster's own is kept until there is something newer.
fn issuers(
    context: &Context,
    proxy: &LlmProxy,
    validated: &ValidatedProxy,
    table: &Table,
) -> Result<Option<String>, Error> {
    let named = issuers::named(table.rows.values().map(AsRef::as_ref));
    let former = || {
        let map = context.stores.config_maps.get(&validated.namespace, &validated.names.jwks())?;
        issuers::former_cluster_issuer(map.data.as_ref()?.get(ISSUERS_FILE)?)
    };
    let cluster = if named.contains(CLUSTER_ISSUER) {
        let known = context.cluster_issuer.known();
        known.map(|known| known.for_proxy(&validated.namespace, &validated.name)).or_else(former)
    } else {
        None
    };
    Ok(issuers::file(proxy, &named, cluster)?)
}

/// From the Secret that the caches show. Where they lag behind, the write that follows fails and nothing is lost.
fn kept_authority(
    context: &Context,
    proxy: &LlmProxy,
    validated: &ValidatedProxy,
) -> Result<Option<Authority>, AuthorityError> {
    let stored = |name: &str| context.stores.secrets.get(&validated.namespace, name);
    let pods = context.fleet.view(&validated.uid, &pods::of(&context.stores, proxy));
    let users = |facts: &CertificateFacts| sight::users(&pods, facts);
    let wanted = |terms| Wanted {
        name: &validated.name,
        names: &validated.certificate_names,
        terms,
        distrusted: validated.distrusted.as_deref(),
        users: &users,
        now: context.now(),
    };
    match &validated.tls {
        TlsMode::PrivateCa(terms, supplied) => {
            let supplied = supplied.as_ref().map(|supplied| {
                supplied
                    .as_deref()
                    .map_err(|missing| Trouble { reason: missing.reason, message: missing.message.clone() })
            });
            authority(stored(&validated.names.ca_key()).as_deref(), supplied, &wanted(*terms)).map(Some)
        }
        TlsMode::SelfSigned(terms, policy) => {
            self_signed(stored(&validated.names.self_signed()).as_deref(), *policy, &wanted(*terms)).map(Some)
        }
        TlsMode::Plaintext | TlsMode::Secret(_) | TlsMode::CertManager(..) | TlsMode::Acme(..) => Ok(None),
    }
}

/// From the cache alone.
fn order(context: &Context, proxy: &ValidatedProxy) -> Option<Order> {
    if !matches!(proxy.tls, TlsMode::CertManager(..)) {
        return None;
    }
    let certificates = &context.stores.certificates;
    Some(match certificates.availability(&proxy.namespace) {
        Availability::No(why) => Order::NoApi(why),
        Availability::NotYet => Order::Placing,
        Availability::Complete => certificates
            .get(&proxy.namespace, &proxy.names.serving())
            .map_or(Order::Placing, |certificate| Order::Placed(certificate.progress())),
    })
}
