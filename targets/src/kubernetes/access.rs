//! Where the Kubernetes API is and who asks it: `--kube-api`, a kubeconfig, or the service account of the pod.

use std::env;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helios_web::secret;
use serde::Deserialize;

/// Kubernetes mounts token, authority and namespace of a pod's service account here.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// How the API is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// `https://10.0.0.1:443`, without a slash at the end.
    pub url: String,
    /// PEM text of the authorities that the server's certificate is of; `None` for the system's.
    pub authorities: Option<String>,
    /// PEM texts of the client's certificate and key.
    pub client: Option<(String, String)>,
    /// Goes into the header `Authorization: Bearer`.
    pub token: Token,
    /// Of the pod, or of the kubeconfig's context.
    pub namespace: Option<String>,
}

/// What a request proves itself with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Token {
    /// No header: a client certificate or a proxy does it.
    #[default]
    None,
    /// As the kubeconfig has it.
    Text(String),
    /// Read anew for every request: the kubelet replaces it before it expires.
    File(PathBuf),
}

/// There is no way to the API.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum AccessError {
    #[error(
        "the Kubernetes API is not known: in a pod, mount the service account's token (automountServiceAccountToken); \
         elsewhere set KUBECONFIG, or run `kubectl proxy` and give --kube-api http://127.0.0.1:8001"
    )]
    Nowhere,
    #[error(transparent)]
    File(#[from] secret::SecretError),
    #[error("{}: {problem}", path.display())]
    Kubeconfig { path: PathBuf, problem: String },
}

impl Access {
    /// Looks in this order: `api`, the file that KUBECONFIG names, the pod's service account, ~/.kube/config.
    ///
    /// # Errors
    /// [`AccessError`] when there is none of them, or the first one that there is cannot be used.
    pub fn find(api: Option<&str>) -> Result<Self, AccessError> {
        if let Some(url) = api {
            return Ok(Self { url: url.trim_end_matches('/').to_owned(), ..Self::default() });
        }
        let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(path) = variable("KUBECONFIG") {
            return Self::kubeconfig(Path::new(&path));
        }
        if let (Some(host), Some(port)) = (variable("KUBERNETES_SERVICE_HOST"), variable("KUBERNETES_SERVICE_PORT")) {
            return Self::of_pod(&host, &port, Path::new(SERVICE_ACCOUNT));
        }
        match variable("HOME").map(|home| Path::new(&home).join(".kube/config")).filter(|path| path.exists()) {
            Some(path) => Self::kubeconfig(&path),
            None => Err(AccessError::Nowhere),
        }
    }

    fn of_pod(host: &str, port: &str, account: &Path) -> Result<Self, AccessError> {
        let host = match host.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            _ => host.to_owned(),
        };
        let read = |name: &str| secret::read("service account", &account.join(name));
        Ok(Self {
            url: format!("https://{host}:{port}"),
            authorities: Some(read("ca.crt")?),
            client: None,
            token: Token::File(account.join("token")),
            namespace: read("namespace").ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()),
        })
    }

    /// Reads the current context of a kubeconfig.
    ///
    /// # Errors
    /// [`AccessError`] when the file cannot be read, or its user logs in by a program.
    pub fn kubeconfig(path: &Path) -> Result<Self, AccessError> {
        let text = secret::read("KUBECONFIG", path)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        parse(&text, folder)?.map_err(|problem| AccessError::Kubeconfig { path: path.to_owned(), problem })
    }
}

#[derive(Debug, Deserialize)]
struct Kubeconfig {
    #[serde(default, rename = "current-context")]
    current_context: String,
    #[serde(default)]
    clusters: Vec<Named<ClusterOf>>,
    #[serde(default)]
    contexts: Vec<Named<ContextOf>>,
    #[serde(default)]
    users: Vec<Named<UserOf>>,
}

#[derive(Debug, Deserialize)]
struct Named<T> {
    name: String,
    #[serde(flatten)]
    content: T,
}

#[derive(Debug, Deserialize)]
struct ClusterOf {
    cluster: Cluster,
}

#[derive(Debug, Deserialize)]
struct ContextOf {
    context: Context,
}

#[derive(Debug, Deserialize)]
struct UserOf {
    user: User,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
}

#[derive(Debug, Deserialize)]
struct Context {
    cluster: String,
    user: String,
    namespace: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    exec: Option<serde_json::Value>,
    auth_provider: Option<serde_json::Value>,
}

/// The inner error is of the content. Paths in it are relative to `folder`.
fn parse(text: &str, folder: &Path) -> Result<Result<Access, String>, AccessError> {
    let file: Kubeconfig = match serde_saphyr::from_str(text) {
        Ok(file) => file,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let Kubeconfig { current_context, clusters, contexts, users } = file;
    let Some(Named { content: ContextOf { context }, .. }) =
        contexts.into_iter().find(|context| context.name == current_context)
    else {
        return Ok(Err(format!("it has no context `{current_context}`: run `kubectl config use-context NAME`")));
    };
    let Some(Named { content: ClusterOf { cluster }, .. }) =
        clusters.into_iter().find(|cluster| cluster.name == context.cluster)
    else {
        return Ok(Err(format!("it has no cluster `{}`", context.cluster)));
    };
    let user = users.into_iter().find(|user| user.name == context.user);
    let user = user.map(|user| user.content.user).unwrap_or_default();
    if cluster.insecure_skip_tls_verify {
        return Ok(Err("insecure-skip-tls-verify is not supported: give the cluster's certificate-authority".into()));
    }
    let token = match (&user.token, &user.token_file) {
        (Some(token), _) => Token::Text(token.clone()),
        (None, Some(file)) => Token::File(folder.join(file)),
        (None, None) => Token::None,
    };
    let certificate = pem(user.client_certificate_data.as_deref(), user.client_certificate.as_deref(), folder)?;
    let key = pem(user.client_key_data.as_deref(), user.client_key.as_deref(), folder)?;
    if token == Token::None && certificate.is_none() && (user.exec.is_some() || user.auth_provider.is_some()) {
        let problem = "the user logs in by a program, which is not supported: run `kubectl proxy` and give --kube-api http://127.0.0.1:8001";
        return Ok(Err(problem.into()));
    }
    Ok(Ok(Access {
        url: cluster.server.trim_end_matches('/').to_owned(),
        authorities: pem(
            cluster.certificate_authority_data.as_deref(),
            cluster.certificate_authority.as_deref(),
            folder,
        )?,
        client: certificate.zip(key),
        token,
        namespace: context.namespace,
    }))
}

/// What stands in the file itself goes before a path.
fn pem(data: Option<&str>, file: Option<&Path>, folder: &Path) -> Result<Option<String>, AccessError> {
    let decoded = data.and_then(|data| STANDARD.decode(data.trim()).ok()).and_then(|pem| String::from_utf8(pem).ok());
    match (decoded, file) {
        (Some(pem), _) => Ok(Some(pem)),
        (None, Some(file)) => Ok(Some(secret::read("KUBECONFIG", &folder.join(file))?)),
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const FILE: &str = "
apiVersion: v1
kind: Config
current-context: lab
clusters:
- {name: other, cluster: {server: 'https://192.0.2.1'}}
- name: c
  cluster: {server: 'https://127.0.0.1:6443/', certificate-authority: pki/ca.crt}
contexts:
- {name: lab, context: {cluster: c, user: u, namespace: collection}}
users:
- name: u
  user: {client-certificate-data: Q0VSVA==, client-key-data: S0VZ, token: secret}
";

    #[test]
    fn a_kubeconfig_has_its_files_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("pki")).unwrap();
        fs::write(folder.path().join("pki/ca.crt"), "AUTHORITY").unwrap();
        let path = folder.path().join("config");
        fs::write(&path, FILE).unwrap();
        let expected = Access {
            url: "https://127.0.0.1:6443".into(),
            authorities: Some("AUTHORITY".into()),
            client: Some(("CERT".into(), "KEY".into())),
            token: Token::Text("secret".into()),
            namespace: Some("collection".into()),
        };
        assert_eq!(Access::kubeconfig(&path).unwrap(), expected);
        fs::write(&path, FILE.replace("current-context: lab", "current-context: prod")).unwrap();
        let error = Access::kubeconfig(&path).unwrap_err().to_string();
        assert!(error.contains("no context `prod`") && error.contains("use-context"), "{error}");
        fs::remove_file(folder.path().join("pki/ca.crt")).unwrap();
        fs::write(&path, FILE).unwrap();
        assert!(Access::kubeconfig(&path).unwrap_err().to_string().contains("ca.crt"));
    }

    #[test]
    fn a_user_that_logs_in_by_a_program_is_told_what_to_do() {
        let (head, _) = FILE.split_once("  user:").unwrap();
        let text =
            format!("{head}  user: {{exec: {{command: aws}}}}\n").replace(", certificate-authority: pki/ca.crt", "");
        let problem = parse(&text, Path::new(".")).unwrap().unwrap_err();
        assert!(problem.contains("kubectl proxy"), "{problem}");
    }

    #[test]
    fn a_pod_has_its_service_account() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("ca.crt", "AUTHORITY"), ("namespace", "helios\n"), ("token", "t")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let access = Access::of_pod("fd00::1", "443", folder.path()).unwrap();
        assert_eq!((access.url.as_str(), access.namespace.as_deref()), ("https://[fd00::1]:443", Some("helios")));
        assert_eq!(access.token, Token::File(folder.path().join("token")));
        let error = Access::of_pod("h", "443", Path::new("/nowhere")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/ca.crt"), "{error}");
    }
}
