//! A real bind9 on a loopback port: one zone that takes TXT records from the holder of a key.

use std::process::Command;

use super::process::{Process, free_port, private, wait_for};

/// The zone.
pub(crate) const ZONE: &str = "b.example";
/// The key, in base64.
const KEY: &str = "c2l4dGVlbiBieXRlcyBvZiBhIHNlY3JldCBrZXkuLi4=";

/// A running name server.
pub(crate) struct Bind {
    pub(crate) process: Process,
    folder: tempfile::TempDir,
    pub(crate) port: u16,
}

impl Bind {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (port, path) = (free_port(), folder.path().display().to_string());
        let config = format!(
            "options {{ directory \"{path}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};\n\
             pid-file none; session-keyfile none; recursion no; dnssec-validation no; allow-transfer {{ none; }}; }};\n\
             controls {{ }};\n\
             key \"acme\" {{ algorithm hmac-sha256; secret \"{KEY}\"; }};\n\
             zone \"{ZONE}\" {{ type primary; file \"zone\"; update-policy {{ grant acme zonesub TXT; }}; }};\n"
        );
        let zone = format!(
            "$TTL 60\n@ IN SOA ns.{ZONE}. admin.{ZONE}. 1 60 60 600 60\n@ IN NS ns.{ZONE}.\nns IN A 127.0.0.1\n\
             @ IN A 127.0.0.1\n_acme-challenge IN TXT \"not ours\"\n"
        );
        std::fs::write(folder.path().join("named.conf"), config).expect("written");
        std::fs::write(folder.path().join("zone"), zone).expect("written");
        private(&folder.path().join("key"), &format!("{KEY}\n"));
        private(&folder.path().join("wrong-key"), "d3Jvbmc=\n");
        let mut command = Command::new(named());
        command.args(["-g", "-c"]).arg(folder.path().join("named.conf"));
        let process = Process::start(&mut command);
        wait_for("bind9 runs", || process.output().contains("running"));
        Self { process, folder, port }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The section `acme.dns` for this server, as one line.
    pub(crate) fn section(&self, key_file: &str) -> String {
        let key_file = self.folder.path().join(key_file).display().to_string();
        format!(
            "dns: {{rfc2136: {{server: \"127.0.0.1:{}\", zone: {ZONE}, key_name: acme, key_file: {key_file}, wait_seconds: 0}}}}",
            self.port
        )
    }

    /// A program for `acme.dns.exec`, as a person would write it for this server.
    pub(crate) fn nsupdate_hook(&self) -> String {
        format!(
            "case $ACME_DNS_ACTION in present) change='add' ;; *) change='delete' ;; esac\n\
             echo \"server 127.0.0.1 {}\nzone {ZONE}\n\
             update $change $ACME_DNS_NAME. 60 TXT $ACME_DNS_VALUE\nsend\" | /usr/bin/nsupdate -y hmac-sha256:acme:{KEY}\n",
            self.port
        )
    }

    /// The TXT records of a name, as their raw text; asked of the server itself.
    pub(crate) fn txt(&self, name: &str) -> Vec<String> {
        let script = "import socket,struct,sys\n\
            name,port=sys.argv[1],int(sys.argv[2])\n\
            q=struct.pack('>6H',7,0,1,0,0,0)+b''.join(bytes([len(l)])+l.encode() for l in name.split('.'))+b'\\0'+struct.pack('>2H',16,1)\n\
            s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.settimeout(10); s.sendto(q,('127.0.0.1',port)); d=s.recv(4096)\n\
            n=struct.unpack('>H',d[6:8])[0]; p=len(q)\n\
            for _ in range(n):\n\
            \x20   p+=2; t,c,l,r=struct.unpack('>HHIH',d[p:p+10]); p+=10; print(d[p+1:p+r].decode()); p+=r\n";
        let output = Command::new("python3").args(["-c", script, name, &self.port.to_string()]).output();
        let output = output.expect("python3 is there");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut found: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
        found.sort();
        found
    }
}

fn named() -> &'static str {
    ["/usr/sbin/named", "/usr/bin/named"]
        .into_iter()
        .find(|path| std::path::Path::new(path).is_file())
        .expect("bind9 is installed: apt-get install bind9")
}
