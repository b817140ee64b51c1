//! Bad objects are refused at admission or answered by a condition, and nothing else suffers.

use anyhow::{Result, ensure};
use reqwest::StatusCode;
use vibectl_operator::api::llm_proxy::LlmProxy;
use vibectl_tests::cluster;
use vibectl_tests::world::World;

use crate::objects::{caller_of_service, model_server, token};

const HEAD: &str = "apiVersion: vibectl.dev/v1alpha1\nkind: LlmProxy\nmetadata: {name: bad}\nspec:\n";

#[tokio::test]
async fn bad_objects_are_refused_with_the_name_of_the_field() -> Result<()> {
    let world = World::new("refused").await?;
    let models = "  models: [{name: m, routes: [{provider: p, model: m}]}]\n";
    let cases = [
        (
            format!("{HEAD}  providers: [{{name: p, echo: {{}}}}, {{name: p, echo: {{}}}}]\n{models}"),
            "spec.providers",
        ),
        (format!("{HEAD}  tls: {{plaintext: {{}}, privateCa: {{}}}}\n"), "tls needs exactly one"),
        (format!("{HEAD}  providers: [{{name: p, openai: {{baseUrl: nonsense}}}}]\n{models}"), "baseUrl"),
        (format!("{HEAD}  replica: 2\n"), "replica"),
        (format!("{HEAD}  defaultModel: none\n"), "defaultModel"),
        (token("bad", "team").replace("proxyRef", "ttl: 0s, proxyRef"), "ttl"),
    ];

    for (manifest, named) in cases {
        let Err(error) = world.apply(&manifest) else { anyhow::bail!("accepted:\n{manifest}") };
        let text = format!("{error:#}");
        ensure!(text.contains(named), "{named} is not named in: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_user_cannot_name_a_secret_that_this_user_may_not_read() -> Result<()> {
    let world = World::new("deputy").await?;
    world.kubectl(&["create", "secret", "generic", "key", "--from-literal=api-key=k"])?;
    world.kubectl(&["create", "serviceaccount", "author"])?;
    let verbs = "--verb=get,list,create,update,patch";
    world.kubectl(&["create", "role", "author", verbs, "--resource=llmproxies.vibectl.dev"])?;
    let subject = format!("--serviceaccount={}:author", world.namespace);
    world.kubectl(&["create", "rolebinding", "author", "--role=author", &subject])?;
    let user = format!("--as=system:serviceaccount:{}:author", world.namespace);
    let create = |manifest: &str| {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), manifest)?;
        world.kubectl(&["create", "-f", &file.path().display().to_string(), &user])
    };
    let provider = format!(
        "{HEAD}  providers: [{{name: p, openai: {{baseUrl: 'http://models:8000/v1', apiKey: {{name: key, key: api-key}}}}}}]\n  \
         models: [{{name: m, routes: [{{provider: p, model: m}}]}}]\n"
    );
    let migration = format!(
        "{HEAD}  access: {{migration: {{secret: {{name: key, key: api-key}}, subjects: [{{subject: a, token: a}}], \
         until: '2100-01-01T00:00:00Z'}}}}\n"
    )
    .replace("name: bad", "name: migrating");

    let acme = |name: &str, named: &str| {
        format!(
            "{HEAD}  hosts: [a.example]\n  tls: {{acme: {{email: a@b.example, termsOfServiceAgreed: true, \
             directoryUrl: 'https://198.18.255.1:1/dir', {named}}}}}\n"
        )
        .replace("name: bad", &format!("name: {name}"))
    };
    let account = acme("bound", "externalAccount: {keyId: kid, key: {name: key, key: api-key}}");
    let directory_ca = acme("trusting", "caBundle: {name: key, key: api-key}");

    for (manifest, field) in [
        (&provider, ".apiKey"),
        (&migration, "access.migration.secret"),
        (&account, "spec.tls"),
        (&directory_ca, "spec.tls"),
    ] {
        let Err(error) = create(manifest) else { anyhow::bail!("accepted: {manifest}") };
        let text = format!("{error:#}");
        ensure!(text.contains(&format!("{field}: ")) && text.contains(": key"), "{text}");
    }
    world.kubectl(&[
        "create",
        "role",
        "reader",
        "--verb=get",
        "--resource=secrets",
        "--resource-name=key",
    ])?;
    world.kubectl(&["create", "rolebinding", "reader", "--role=reader", &subject])?;
    // The API server learns of a new role a moment after it was made.
    let started = std::time::Instant::now();
    while let Err(error) = create(&provider) {
        ensure!(started.elapsed() < vibectl_tests::world::PATIENCE, "{error:#}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    create(&migration)?;
    create(&account)?;
    create(&directory_ca)?;
    Ok(())
}

#[tokio::test]
async fn a_missing_secret_turns_one_provider_off_and_heals_by_itself() -> Result<()> {
    let world = World::new("missing").await?;
    world.apply(&model_server(&cluster::box_image()?))?;
    let url = format!("http://models.{}.svc:8000/v1", world.namespace);
    world.apply(&format!(
        "apiVersion: vibectl.dev/v1alpha1\nkind: LlmProxy\nmetadata: {{name: team}}\nspec:\n  providers:\n  \
         - {{name: keyed, openai: {{baseUrl: '{url}', apiKey: {{name: absent, key: api-key}}}}}}\n  \
         - {{name: echo, echo: {{}}}}\n  models:\n  \
         - {{name: keyed, routes: [{{provider: keyed, model: m}}]}}\n  \
         - {{name: echo, routes: [{{provider: echo, model: echo}}]}}\n"
    ))?;
    world.apply(&token("alice", "team"))?;

    let unresolved = |proxy: &LlmProxy| {
        let conditions = proxy.status.as_ref().map(|status| &status.conditions);
        conditions.is_some_and(|all| {
            all.iter().any(|condition| {
                condition.type_ == "ResolvedRefs"
                    && condition.status == "False"
                    && condition.message.contains("absent")
                    && condition.message.contains("api-key")
            })
        })
    };
    world.until("team", unresolved).await?;
    let credential = world.token_ready("alice").await?;
    let caller = caller_of_service(&world, "team", &credential).await?;
    world.pods_serving("team").await?;
    ensure!(caller.chat("echo", "hello").await?.status == StatusCode::OK, "the other provider must work");
    let off = caller.chat("keyed", "hello").await?;
    ensure!(off.status.is_server_error(), "{off:?}");

    world.kubectl(&["create", "secret", "generic", "absent", "--from-literal=api-key=found"])?;

    world.proxy_ready("team").await?;
    let started = std::time::Instant::now();
    while caller.chat("keyed", "hello").await?.status != StatusCode::OK {
        ensure!(started.elapsed() < vibectl_tests::world::PATIENCE, "not healed");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test]
async fn what_only_the_operator_finds_wrong_is_told_and_others_reconcile_on() -> Result<()> {
    let world = World::new("wrong").await?;
    let issuer = r#"{name: x, issuer: "https://x", audiences: [a], jwks: '{"keys":[]}'}"#;
    world.apply(&format!("{HEAD}  access: {{issuers: [{issuer}]}}\n"))?;
    let told = |proxy: &LlmProxy| {
        let conditions = proxy.status.as_ref().map(|status| &status.conditions);
        conditions.is_some_and(|all| all.iter().any(|condition| condition.reason == "InvalidSpec"))
    };

    world.until("bad", told).await?;

    world.apply(&crate::objects::echo_proxy("good", 1, "{plaintext: {}}"))?;
    world.proxy_ready("good").await?;
    Ok(())
}
