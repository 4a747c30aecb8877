use super::*;

fn with(cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\npreferences: {{}}\n\
         contexts:\n- {{name: other, context: {{cluster: x, user: y}}}}\n\
         - {{name: c, context: {{cluster: k, user: u, namespace: n}}}}\n\
         clusters:\n- {{name: k, cluster: {{{cluster}}}}}\n\
         users:\n- {{name: u, user: {{{user}}}}}\n"
    )
}

const SERVER: &str = "server: 'https://10.0.0.1:6443'";
const PEM: &str = "client-certificate: c.pem, client-key: c.pem";

fn parse(text: &str) -> Result<Kubeconfig, Error> {
    Kubeconfig::parse(Path::new("/etc/k/kubelet.conf"), text)
}

fn shown(item: Option<&Item>) -> String {
    match item {
        None => "none".to_owned(),
        Some(Item::File { key, path }) => format!("{key} at {}", path.display()),
        Some(Item::Inline { key, bytes }) => {
            format!("{key} = {}", String::from_utf8_lossy(bytes))
        }
    }
}

#[test]
fn what_the_current_context_says() {
    let ca = |more: &str| format!("{SERVER}, {more}");
    #[rustfmt::skip]
    let table = [
        // cluster, user, authorities, certificate, key, token
        (SERVER.to_owned(), PEM,
            "none", "client-certificate at /etc/k/c.pem", "client-key at /etc/k/c.pem", "none"),
        (ca("certificate-authority: /ca.pem"), "tokenFile: ../t",
            "certificate-authority at /ca.pem", "none", "none", "tokenFile at /etc/k/../t"),
        (ca("certificate-authority: x, certificate-authority-data: aGk="), "token: abc",
            "certificate-authority-data = hi", "none", "none", "token = abc"),
        (ca("insecure-skip-tls-verify: false, proxy-url: ''"), "token: abc, tokenFile: t, exec: null, as-groups: []",
            "none", "none", "none", "tokenFile at /etc/k/t"),
        (SERVER.to_owned(), "client-certificate-data: YQ==, client-key-data: Yg==, client-key: x, username: ''",
            "none", "client-certificate-data = a", "client-key-data = b", "none"),
    ];
    for (cluster, user, authorities, cert, key, token) in table {
        let read = parse(&with(&cluster, user)).unwrap();
        assert_eq!(read.server.url, "https://10.0.0.1:6443");
        assert_eq!(shown(read.authorities.as_ref()), authorities, "{cluster}");
        let identity = read.identity.as_ref();
        assert_eq!(shown(identity.map(|it| &it.0)), cert, "{user}");
        assert_eq!(shown(identity.map(|it| &it.1)), key, "{user}");
        assert_eq!(shown(read.token.as_ref()), token, "{user}");
    }
    let json = serde_json::json!({
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "b", "user": "c"}}],
        "clusters": [{"name": "b", "cluster": {
            "server": "https://10.0.0.1:6443", "tls-server-name": "kubernetes"}}],
        "users": [{"name": "c", "user": {"token": "t"}}],
    });
    let read = parse(&json.to_string()).unwrap();
    assert_eq!(read.server.base, "https://kubernetes:6443", "JSON is YAML");
}

#[test]
fn what_is_wrong_and_what_to_do() {
    let cluster = |more: &str| with(&format!("{SERVER}, {more}"), PEM);
    let user = |user: &str| with(SERVER, user);
    let whole = with(SERVER, PEM);
    let lost = |what: &str| whole.replace(what, "");
    #[rustfmt::skip]
    let table = [
        ("not YAML", "a: [hush\nb".to_owned(), "line", "not YAML"),
        ("nothing", String::new(), "line 1", "not a map"),
        ("a text", "hush".to_owned(), "line 1", "not a map"),
        ("no current-context", lost("current-context: c\n"), "current-context", "is missing"),
        ("a context that is not there", whole.replace("current-context: c", "current-context: z"),
            "contexts", "no context called \"z\""),
        ("no cluster", whole.replace("name: k,", "name: z,"), "clusters", "no cluster called \"k\""),
        ("no user", whole.replace("name: u,", "name: z,"), "users", "no user called \"u\""),
        ("no lists", "current-context: c".to_owned(), "contexts", "no context called \"c\""),
        ("no server", with("certificate-authority: x", PEM), "clusters[k].cluster.server", "is missing"),
        ("http", with("server: 'http://10.0.0.1'", PEM), "clusters[k].cluster.server", "use https"),
        ("a name that is none", cluster("tls-server-name: a/b"), "cluster.tls-server-name", "host name"),
        ("unverified", cluster("insecure-skip-tls-verify: true"),
            "insecure-skip-tls-verify", "name its authority"),
        ("unverified in quotes", cluster("insecure-skip-tls-verify: 'true'"),
            "insecure-skip-tls-verify", "name its authority"),
        ("a proxy", cluster("proxy-url: 'http://hush@p'"), "proxy-url", "directly"),
        ("a number for a file", cluster("certificate-authority: 5"), "certificate-authority", "must be text"),
        ("not base64", cluster("certificate-authority-data: 'hush!'"), "certificate-authority-data", "not base64"),
        ("a key that is not base64", user("client-certificate: a, client-key-data: 'hush!'"),
            "client-key-data", "not base64"),
        ("nobody", user(""), "users[u].user", "needs client-certificate"),
        ("certificate alone", user("client-certificate: c"), "client-certificate", "needs client-key"),
        ("key alone", user("client-key-data: aHVzaA=="), "client-key", "needs client-certificate"),
        ("a password", user("username: me, password: hush"), "username", "token file"),
        ("a password with more", user("password: hush, token: hush"), "password", "token file"),
        ("exec", user("exec: {command: hush}"), "users[u].user.exec", "client certificate"),
        ("a provider", user("auth-provider: {name: oidc}"), "auth-provider", "client certificate"),
        ("somebody else", user("token: hush, as: admin"), "users[u].user.as", "remove it"),
        ("a token without quotes", user("token: 5551234"), "token", "in quotes"),
    ];
    for (name, text, key, part) in table {
        let error = parse(&text).expect_err(name);
        let shown = format!("{error} {error:?}");
        assert!(
            shown.starts_with("kubeconfig /etc/k/kubelet.conf: "),
            "{name}: {shown}"
        );
        assert!(shown.contains(key), "{name}: {shown}");
        assert!(shown.contains(part), "{name}: {shown}");
        assert!(
            !shown.contains("hush") && !shown.contains("555"),
            "{name}: {shown}"
        );
    }
}

#[test]
fn secrets_are_not_shown() {
    let user = "client-certificate: c, client-key-data: aHVzaA==, token: hush";
    let shown = format!("{:?}", parse(&with(SERVER, user)).unwrap());
    assert!(shown.contains("client-key-data"), "{shown}");
    for secret in ["hush", "aHVzaA", "104"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
