//! Programs that tests need and that are built from source, once: they are kept in the cache folder under their version.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    cache,
    command::{command, find, run},
    fingerprint,
    progress::say,
};

/// The Kubernetes version of the cluster; `tests/cluster/go.mod` pins the same.
pub const KUBERNETES_VERSION: &str = "v1.35.4";

/// The version of cert-manager; `tests/cert-manager/go.mod` pins the same.
const CERT_MANAGER_VERSION: &str = "v1.11.5";

/// How often a long build says that it is still at it.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// A Go program in a module of this repository.
pub struct GoProgram<'a> {
    /// The name of the file that is built.
    pub name: &'a str,
    /// Shown to the user and part of the name in the cache.
    pub version: &'a str,
    /// The folder of its Go module.
    pub module: &'a Path,
    /// What `go build` is asked for.
    pub package: &'a str,
    /// The files and folders of the module whose change asks for a new build.
    pub sources: &'a [&'a str],
    /// `-X` values for the linker.
    pub definitions: &'a [&'a str],
    /// Other names by which the program is started.
    pub links: &'a [&'a str],
}

/// The folder with `etcd`, `coredns`, `kubectl`, `kubelet` and the `kube-*` programs.
pub fn kubernetes() -> Result<PathBuf> {
    let program = GoProgram {
        name: "kubernetes",
        version: KUBERNETES_VERSION,
        module: &module(),
        package: ".",
        sources: &["main.go", "go.mod", "go.sum"],
        // Clients take decisions by the version; without these it would be v0.0.0.
        definitions: &[
            "k8s.io/component-base/version.gitVersion=v1.35.4",
            "k8s.io/component-base/version.gitMajor=1",
            "k8s.io/component-base/version.gitMinor=35",
            "k8s.io/component-base/version.gitTreeState=clean",
        ],
        links: &[
            "etcd",
            "coredns",
            "kubectl",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kube-proxy",
            "kubelet",
        ],
    };
    Ok(program.build()?.parent().map(Path::to_owned).unwrap_or_default())
}

/// The `kubectl` of the cluster's version.
pub fn kubectl() -> Result<PathBuf> {
    Ok(kubernetes()?.join("kubectl"))
}

/// The `helm` program.
pub fn helm() -> Result<PathBuf> {
    let program = GoProgram {
        name: "helm",
        version: "v3.19.5",
        module: &module(),
        package: "helm.sh/helm/v3/cmd/helm",
        sources: &["go.mod", "go.sum"],
        // `helm template` without a cluster judges a chart's kubeVersion by the last two.
        definitions: &[
            "helm.sh/helm/v3/internal/version.version=v3.19.5",
            "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor=1",
            "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=35",
            "helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1",
            "helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=35",
        ],
        links: &[],
    };
    program.build()
}

/// The program of the test image: pause, HTTP server, HTTP client, resolver.
pub fn test_box() -> Result<PathBuf> {
    let program = GoProgram {
        name: "box",
        version: "1",
        module: &module(),
        package: "./box",
        sources: &["box"],
        definitions: &[],
        links: &[],
    };
    program.build()
}

/// cert-manager's controller.
pub fn cert_manager() -> Result<PathBuf> {
    let program = GoProgram {
        name: "cert-manager",
        version: CERT_MANAGER_VERSION,
        module: &cert_manager_module(),
        package: ".",
        sources: &["main.go", "go.mod", "go.sum"],
        definitions: &[],
        links: &[],
    };
    program.build()
}

/// The folder with cert-manager's definitions, as its module has them.
pub fn cert_manager_definitions() -> Result<PathBuf> {
    let mut download = command("go");
    download.current_dir(cert_manager_module()).env("GOWORK", "off");
    let told = run(download.args(["mod", "download", "-json", "github.com/cert-manager/cert-manager"]))?;
    let module: serde_json::Value = serde_json::from_str(&told).context("go told of no module")?;
    let folder = module["Dir"].as_str().context("go told of no folder")?;
    Ok(Path::new(folder).join("deploy/crds"))
}

/// The `pebble` program: an ACME server for tests.
pub fn pebble() -> Result<PathBuf> {
    of_pebble("pebble")
}

/// The `pebble-challtestsrv` program: a DNS server that says that every name is here.
pub fn pebble_dns() -> Result<PathBuf> {
    of_pebble("pebble-challtestsrv")
}

fn of_pebble(name: &str) -> Result<PathBuf> {
    let program = GoProgram {
        name,
        version: "v2.10.3",
        module: &Path::new(env!("CARGO_MANIFEST_DIR")).join("pebble"),
        package: &format!("github.com/letsencrypt/pebble/v2/cmd/{name}"),
        sources: &["go.mod", "go.sum"],
        definitions: &[],
        links: &[],
    };
    program.build()
}

/// The `h2spec` program: frames that an HTTP/2 server has to take, and those that it has to refuse.
pub fn h2spec() -> Result<PathBuf> {
    let program = GoProgram {
        name: "h2spec",
        version: "v2.2.1",
        module: &Path::new(env!("CARGO_MANIFEST_DIR")).join("h2spec"),
        package: "github.com/summerwind/h2spec/cmd/h2spec",
        sources: &["go.mod", "go.sum"],
        definitions: &[],
        links: &[],
    };
    program.build()
}

impl GoProgram<'_> {
    /// The path of the program; built first when this version is not in the cache.
    pub fn build(&self) -> Result<PathBuf> {
        let hash = fingerprint::of(self.module, self.sources)?;
        let tools = cache::folder()?.join("tools");
        let folder = tools.join(format!("{}-{}-{hash}", self.name, self.version));
        let program = folder.join(self.name);
        if program.is_file() {
            return Ok(program);
        }
        let _lock = cache::lock(&tools.join(format!("{}.lock", self.name)))?;
        if !program.is_file() {
            // Built beside and renamed: what carries the final name is whole.
            let unfinished = tools.join(format!("{}.unfinished", self.name));
            let _ = fs::remove_dir_all(&unfinished);
            fs::create_dir_all(&unfinished)
                .with_context(|| format!("failed to make {}", unfinished.display()))?;
            self.compile(&unfinished)?;
            fs::rename(&unfinished, &folder)
                .with_context(|| format!("failed to make {}", folder.display()))?;
        }
        Ok(program)
    }

    fn compile(&self, folder: &Path) -> Result<()> {
        if find("go").is_none() {
            bail!("failed to find go: install Go 1.25 or newer (https://go.dev/dl), then try again");
        }
        let title = format!("{} {}", self.name, self.version);
        say(format_args!("building {title} (only the first time; minutes for the largest)"));
        let total = self
            .go("list")
            .args(["-deps", self.package])
            .output()
            .map_or(0, |output| String::from_utf8_lossy(&output.stdout).lines().count());
        let flags: Vec<_> = self.definitions.iter().map(|definition| format!("-X {definition}")).collect();
        let mut build = self.go("build");
        build.args(["-v", "-trimpath", "-ldflags", &format!("-s -w {}", flags.join(" ")), "-o"]);
        build.arg(folder.join(self.name)).arg(self.package);
        watch(build, &title, total, &folder.join("build.log"))?;
        for link in self.links {
            std::os::unix::fs::symlink(self.name, folder.join(link))
                .with_context(|| format!("failed to link {link}"))?;
        }
        Ok(())
    }

    fn go(&self, verb: &str) -> std::process::Command {
        let mut go = command("go");
        go.arg(verb).current_dir(self.module).env("CGO_ENABLED", "0").env("GOWORK", "off");
        go
    }
}

/// Prints what every tool is and where, building what is missing.
pub fn list() -> Result<Vec<PathBuf>> {
    Ok(vec![kubectl()?, helm()?, test_box()?, cert_manager()?, pebble()?, pebble_dns()?, h2spec()?])
}

fn module() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster")
}

fn cert_manager_module() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cert-manager")
}

/// Runs a `go build -v` and counts the packages that it names, so that a person sees how far it is.
fn watch(mut build: std::process::Command, title: &str, total: usize, log: &Path) -> Result<()> {
    let file = File::create(log).with_context(|| format!("failed to create {}", log.display()))?;
    let mut child = build.stderr(Stdio::piped()).spawn().context("failed to start go")?;
    let lines = BufReader::new(child.stderr.take().context("failed to read what go says")?);
    let compiled = Arc::new(AtomicUsize::new(0));
    let reader = thread::spawn({
        let compiled = Arc::clone(&compiled);
        move || copy(lines, file, &compiled)
    });
    let (started, mut said) = (Instant::now(), Instant::now());
    let status = loop {
        if let Some(status) = child.try_wait().context("failed to wait for go")? {
            break status;
        }
        if said.elapsed() >= HEARTBEAT {
            said = Instant::now();
            let done = compiled.load(Ordering::Relaxed);
            say(format_args!(
                "  {title}: {done} of up to {total} packages, {} s",
                started.elapsed().as_secs()
            ));
        }
        thread::sleep(Duration::from_millis(100));
    };
    let _ = reader.join();
    if !status.success() {
        let text = fs::read_to_string(log).unwrap_or_default();
        let tail: Vec<_> = text.lines().rev().take(15).collect();
        bail!("failed to build {title}:\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
    }
    say(format_args!("built {title} in {} s", started.elapsed().as_secs()));
    Ok(())
}

fn copy(lines: impl BufRead, mut log: File, compiled: &AtomicUsize) {
    for line in lines.lines().map_while(std::result::Result::ok) {
        compiled.fetch_add(1, Ordering::Relaxed);
        let _ = writeln!(log, "{line}");
    }
}

/// Runs the cluster's `kubectl` with a kubeconfig and returns what it prints.
pub fn kubectl_output(kubeconfig: &Path, arguments: &[&str]) -> Result<String> {
    // By variable and not by flag, which takes no list of files.
    run(command(kubectl()?).env("KUBECONFIG", kubeconfig).args(arguments))
}
