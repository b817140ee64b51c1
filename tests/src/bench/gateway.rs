//! The gateways that are compared, each in front of the same upstream, and how each is started.
//!
//! Governed means the same of all that can: a credential is checked for each call, limits on requests and tokens count, usage is
//! booked and a line is logged. Ours checks a signature where others compare a string.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::chat::Chat;
use super::process::{Launch, free_address};
use super::upstream::Upstream;
use crate::{cache, command, python};

const CRABLLM: &str = "0.0.25";
/// The newest whose proxy can be installed from the index.
const LITELLM: &str = "1.105.7";

/// What callers of governed gateways show, where it is a string.
const KEY: &str = "sk-bench-0123456789abcdef";

/// A gateway, and how its chat completions are called.
pub struct Gateway {
    /// Name for the table.
    pub name: &'static str,
    /// How it is started.
    pub launch: Launch,
    /// How it is called.
    pub chat: Chat,
    /// How it is called over gRPC in plaintext, if it can be.
    pub grpc: Option<Grpc>,
}

/// A gRPC port.
pub struct Grpc {
    /// Host and port.
    pub address: String,
    /// What callers show.
    pub token: Option<String>,
}

/// A folder for config files, and what all gateways stand before.
pub struct Bench<'b> {
    /// Ours.
    pub server: &'b Path,
    /// The upstream.
    pub upstream: &'b Upstream,
    /// Where config files are written.
    pub folder: &'b Path,
}

impl Bench<'_> {
    /// All of them, in the order of the table.
    ///
    /// # Errors
    /// When one cannot be installed.
    pub fn gateways(&self) -> Result<Vec<Gateway>> {
        let crabllm = crabllm()?;
        Ok(vec![
            self.nginx()?,
            self.ours("vibectl-server, plain", false, false)?,
            self.ours("vibectl-server, governed", true, false)?,
            self.ours("vibectl-server, governed, TLS", true, true)?,
            self.crabllm(&crabllm, "crabllm, plain", false)?,
            self.crabllm(&crabllm, "crabllm, governed", true)?,
            self.litellm()?,
        ])
    }

    /// Ours alone, governed, under this name.
    ///
    /// # Errors
    /// When its keys or its config cannot be made.
    pub fn governed(&self, name: &'static str) -> Result<Gateway> {
        self.ours(name, true, false)
    }

    /// The floor: a proxy that knows nothing of what it carries.
    fn nginx(&self) -> Result<Gateway> {
        let address = free_address()?;
        let text = format!(
            "daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;\n\
             events {{ worker_connections 4096; }}\n\
             http {{\n  access_log off;\n  client_body_temp_path {folder};\n  proxy_temp_path {folder};\n  \
             fastcgi_temp_path {folder};\n  uwsgi_temp_path {folder};\n  scgi_temp_path {folder};\n  \
             upstream bench {{ server {upstream}; keepalive 1024; }}\n  \
             server {{\n    listen {address};\n    keepalive_requests 1000000;\n    location / {{\n      \
             proxy_pass http://bench; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_buffering off;\n    }}\n  }}\n}}\n",
            folder = self.folder.display(),
            upstream = self.upstream.address(),
        );
        let config = self.write("nginx.conf", &text)?;
        let arguments = vec!["-c".into(), config.display().to_string()];
        let launch = Launch {
            name: "nginx".into(),
            program: "nginx".into(),
            arguments,
            environment: Vec::new(),
            address,
        };
        Ok(Gateway {
            name: "nginx (the floor)",
            launch,
            chat: Chat::new(&format!("http://{address}"), None, None)?,
            grpc: None,
        })
    }

    fn ours(&self, name: &'static str, governed: bool, tls: bool) -> Result<Gateway> {
        let address = free_address()?;
        let folder = self.folder.join(name.replace([' ', ','], "-"));
        std::fs::create_dir_all(&folder)?;
        let config = folder.join("config.yaml");
        std::fs::write(&config, self.ours_config(governed, tls, &folder))?;
        let told = config.display().to_string();
        let mut token = None;
        if governed {
            self.run_ours(&folder, &["token", "rotate-key", "--config", &told])?;
            token = Some(self.run_ours(&folder, &["generate-token", "bench", "--config", &told])?);
        }
        let ca = if tls {
            let ca_dir = folder.join("ca").display().to_string();
            self.run_ours(&folder, &["ca", "init", "--ca-dir", &ca_dir])?;
            Some(std::fs::read_to_string(folder.join("ca/ca-bundle.crt"))?)
        } else {
            None
        };
        let ca_dir = folder.join("ca").display().to_string();
        let mode = match (tls, governed) {
            (true, _) => {
                vec!["serve-ca".into(), "--ca-dir".into(), ca_dir, "--hostname".into(), "localhost".into()]
            }
            (false, true) => vec!["serve-insecure".into(), "--require-auth".into()],
            (false, false) => vec!["serve-insecure".into()],
        };
        let more = ["--config", &told, "--host", "127.0.0.1", "--port"].map(str::to_owned);
        let arguments = mode.into_iter().chain(more).chain([address.port().to_string()]).collect();
        let level = if governed { "info" } else { "warning" };
        let environment =
            vec![("VIBECTL_LOG_LEVEL".into(), level.into()), ("HOME".into(), folder.display().to_string())];
        let launch =
            Launch { name: name.into(), program: self.server.into(), arguments, environment, address };
        let base =
            if tls { format!("https://localhost:{}", address.port()) } else { format!("http://{address}") };
        let token = token.map(|token| token.trim().to_owned());
        let chat = Chat::new(&base, token.as_deref(), ca.as_deref())?;
        let grpc = (!tls).then(|| Grpc { address: address.to_string(), token });
        Ok(Gateway { name, launch, chat, grpc })
    }

    fn ours_config(&self, governed: bool, tls: bool, folder: &Path) -> String {
        let model =
            |name: &str| format!("- {{name: {name}, routes: [{{provider: bench, model: {name}}}]}}\n");
        let mut text = format!(
            "providers:\n- {{name: bench, openai: {{base_url: '{}/v1'}}}}\nmodels:\n{}{}{}",
            self.upstream.url(),
            model("bench"),
            model("paced"),
            model("slow")
        );
        if governed {
            let keys = folder.join("keys").display().to_string();
            let _ = writeln!(text, "jwt: {{enabled: true, algorithm: ES256, signing_keys_dir: '{keys}'}}");
            text.push_str(
                "server: {limits: {global: {max_requests_per_minute: 100000000, max_concurrent_requests: 100000, max_tokens_per_minute: 4000000000}}}\n",
            );
        }
        if tls {
            text.push_str("tls: {enabled: true}\n");
        }
        text
    }

    fn run_ours(&self, folder: &Path, arguments: &[&str]) -> Result<String> {
        command::run(Command::new(self.server).args(arguments).current_dir(folder).env("HOME", folder))
    }

    fn crabllm(&self, program: &Path, name: &'static str, governed: bool) -> Result<Gateway> {
        let address = free_address()?;
        let mut text = format!(
            "listen = \"{address}\"\n[providers.bench]\nkind = \"openai\"\napi_key = \"none\"\nbase_url = \"{}/v1\"\nmodels = [\"bench\", \"paced\", \"slow\"]\n",
            self.upstream.url()
        );
        if governed {
            let _ = writeln!(
                text,
                "[[keys]]\nname = \"bench\"\nkey = \"{KEY}\"\nmodels = [\"*\"]\n[extensions]\n\
                 rate_limit = {{ requests_per_minute = 100000000, tokens_per_minute = 4000000000 }}\nusage = {{}}\nlogging = {{}}"
            );
        }
        let file = if governed { "crabllm-governed.toml" } else { "crabllm.toml" };
        let config = self.write(file, &text)?;
        let arguments = vec!["serve".into(), "--config".into(), config.display().to_string()];
        let level = if governed { "info" } else { "warn" };
        let environment = vec![("RUST_LOG".into(), level.into())];
        let launch = Launch { name: name.into(), program: program.into(), arguments, environment, address };
        let token = governed.then_some(KEY);
        Ok(Gateway { name, launch, chat: Chat::new(&format!("http://{address}"), token, None)?, grpc: None })
    }

    fn litellm(&self) -> Result<Gateway> {
        let program = litellm()?;
        let address = free_address()?;
        let model = |name: &str| {
            format!(
                "- model_name: {name}\n  litellm_params: {{model: openai/{name}, api_base: '{}/v1', api_key: none}}\n",
                self.upstream.url()
            )
        };
        let text = format!("model_list:\n{}{}{}", model("bench"), model("paced"), model("slow"));
        let config = self.write("litellm.yaml", &text)?;
        let arguments =
            ["--config", &config.display().to_string(), "--host", "127.0.0.1", "--port"].map(str::to_owned);
        let arguments = arguments.into_iter().chain([address.port().to_string()]).collect();
        // It does not start without one.
        let environment =
            vec![("LITELLM_LOG".into(), "ERROR".into()), ("LITELLM_MASTER_KEY".into(), KEY.into())];
        let launch = Launch { name: "litellm".into(), program, arguments, environment, address };
        Ok(Gateway {
            name: "LiteLLM, one key",
            launch,
            chat: Chat::new(&format!("http://{address}"), Some(KEY), None)?,
            grpc: None,
        })
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
        Ok(path)
    }
}

/// The program, compiled once and kept in the cache; with rustls, so that no OpenSSL is needed.
fn crabllm() -> Result<PathBuf> {
    let folder = cache::folder()?.join("tools").join(format!("crabllm-{CRABLLM}"));
    let program = folder.join("bin/crabllm");
    let _lock = cache::lock(&folder.with_extension("lock"))?;
    if !program.is_file() {
        let mut install = Command::new("cargo");
        install.args([
            "install",
            "--locked",
            "--no-default-features",
            "--features",
            "hyper,sonic,http2,rustls",
        ]);
        install.arg("--root").arg(&folder).arg(format!("crabllm@{CRABLLM}"));
        command::run(&mut install)?;
    }
    Ok(program)
}

fn litellm() -> Result<PathBuf> {
    let package = format!("litellm[proxy]=={LITELLM}");
    Ok(python::environment(&format!("venv-litellm-{LITELLM}"), &[&package])?.join("litellm"))
}

/// Installs what has to be compiled or fetched.
///
/// # Errors
/// When an index cannot be reached.
pub fn install() -> Result<()> {
    crabllm()?;
    litellm()?;
    Ok(())
}
