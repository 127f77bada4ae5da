//! A real PostgreSQL for one test: own folder, own port, an unprivileged user, gone when dropped.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;

use super::super::{Address, Password, TlsMode, UpstreamConfig};

/// The name in the server's certificate.
pub(super) const SERVER_NAME: &str = "db.example.test";
pub(super) const PASSWORD: &str = "correct horse";
const NOBODY: u32 = 65534;
const HBA: &str = "local all admin trust
host all trusty 127.0.0.1/32 trust
host all scrammy 127.0.0.1/32 scram-sha-256
host all hashy 127.0.0.1/32 md5
host all cleary 127.0.0.1/32 password
";

pub(super) struct Cluster {
    dir: PathBuf,
    bin: PathBuf,
    port: u16,
    roots: Arc<RootCertStore>,
}

impl Cluster {
    pub(super) fn start() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("countersign-pg-{}-{number}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let mut cluster =
            Self { dir, bin: binaries(), port: free_port(), roots: Arc::new(RootCertStore::empty()) };
        cluster.own(&cluster.dir);
        let data = cluster.data();
        cluster.run("initdb", &["-D", &data, "-U", "admin", "-A", "reject", "-E", "UTF8", "--no-sync"]);
        cluster.configure();
        let log = cluster.dir.join("log").display().to_string();
        cluster.run("pg_ctl", &["start", "-w", "-D", &data, "-l", &log]);
        cluster
    }

    fn data(&self) -> String {
        self.dir.join("data").display().to_string()
    }

    fn configure(&mut self) {
        let (roots, certificate, key) = server_certificate();
        self.roots = roots;
        let dir = self.dir.display();
        let settings = format!(
            "port = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{dir}'\nfsync = off\n\
             ssl = on\nssl_cert_file = '{dir}/cert.pem'\nssl_key_file = '{dir}/key.pem'\n\
             max_connections = 20\nshared_buffers = '16MB'\n",
            self.port
        );
        let data = self.dir.join("data");
        for (path, text) in [
            (data.join("postgresql.auto.conf"), settings.as_str()),
            (data.join("pg_hba.conf"), HBA),
            (self.dir.join("cert.pem"), &certificate),
            (self.dir.join("key.pem"), &key),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            self.own(&path);
        }
    }

    fn own(&self, path: &Path) {
        if is_root() {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let path = self.bin.join(program);
        let mut command = Command::new("setpriv");
        if is_root() {
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        }
        let output = command.arg(path).args(arguments).env("LC_ALL", "C").current_dir(&self.dir);
        // Not captured by a pipe: the server would keep it open.
        let status = output.stdout(std::process::Stdio::null()).status().unwrap();
        let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        assert!(status.success(), "{program} failed: {status}\n{log}");
    }

    pub(super) fn tcp(&self) -> Address {
        Address::Tcp { host: "127.0.0.1".to_owned(), port: self.port }
    }

    pub(super) fn unix(&self) -> Address {
        Address::Unix { dir: self.dir.clone(), port: self.port }
    }

    pub(super) fn tls(&self) -> TlsMode {
        TlsMode::Require { roots: Arc::clone(&self.roots), server_name: SERVER_NAME.to_owned() }
    }

    pub(super) fn config(&self, user: &str, password: Option<&str>, tls: TlsMode) -> UpstreamConfig {
        UpstreamConfig {
            address: self.tcp(),
            tls,
            user: user.to_owned(),
            database: "postgres".to_owned(),
            password: password.map(|password| Password::new(password.to_owned())),
            application_name: "countersign".to_owned(),
            options: Vec::new(),
        }
    }

    pub(super) fn admin(&self) -> UpstreamConfig {
        UpstreamConfig { address: self.unix(), ..self.config("admin", None, TlsMode::Disable) }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let data = self.data();
        if Path::new(&data).join("postmaster.pid").exists() {
            self.run("pg_ctl", &["stop", "-m", "immediate", "-w", "-D", &data]);
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = versions.map(|entry| entry.path().join("bin")).collect();
    found.retain(|bin| bin.join("initdb").exists() && bin.join("postgres").exists());
    found.sort();
    found.pop().expect("these tests need a real server: apt-get install postgresql (see ./test)")
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Roots that trust an authority of their own, and a certificate and key from it.
pub(super) fn server_certificate() -> (Arc<RootCertStore>, String, String) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(authority.self_signed(&authority_key).unwrap().der().clone()).unwrap();
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let certificate = CertificateParams::new(vec![SERVER_NAME.to_owned()]).unwrap();
    let certificate = certificate.signed_by(&key, &issuer).unwrap();
    (Arc::new(roots), certificate.pem(), key.serialize_pem())
}
