//! The browser, its virtual authenticator, pictures and axe-core, against the real Chromium.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::time::Duration;

use countersign_sim::scratch::Folder;
use countersign_sim::webdriver::{Browser, Scheme};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const SOON: Duration = Duration::from_secs(30);
const PAGE: &str = "<!doctype html><html lang=en><meta name=viewport content=\"width=device-width\"><title>Shop</title><main><h1>Shop</h1>\
    <label for=n>Name</label><input id=n><button id=b onclick=\"document.title='clicked '+n.value\">Go</button></main>";

/// Serves the page to whoever comes; gives the port.
async fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n", PAGE.len());
            let _ = stream.write_all(format!("{head}Connection: close\r\n\r\n{PAGE}").as_bytes()).await;
        }
    });
    port
}

#[tokio::test]
async fn a_person_can_click_type_and_be_photographed() {
    let browser = Browser::start().await.unwrap();
    browser.open(&format!("data:text/html,{}", PAGE.replace('#', "%23"))).await.unwrap();
    browser.type_text("#n", "Ada").await.unwrap();
    browser.press("\u{E004}\u{E007}").await.unwrap();
    browser.wait_for("the click", "document.title === 'clicked Ada'", SOON).await.unwrap();
    assert_eq!(browser.text("h1").await.unwrap(), "Shop");
    assert!(browser.find("#absent").await.is_err());

    let folder = Folder::new("shot").unwrap();
    let shot = folder.path().join("phone.png");
    browser.viewport(390, 844, true).await.unwrap();
    browser.colour_scheme(Scheme::Dark).await.unwrap();
    let dark =
        browser.run("return matchMedia('(prefers-color-scheme: dark)').matches && innerWidth", &[]).await;
    assert_eq!(dark.unwrap(), json!(390));
    browser.screenshot(&shot).await.unwrap();
    let png = std::fs::read(&shot).unwrap();
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    assert_eq!(&png[16..24], &[0, 0, 3, 12, 0, 0, 6, 152], "390 by 844 at twice the pixels");

    browser.run("console.error('something odd')", &[]).await.unwrap();
    assert!(browser.console().await.unwrap().iter().any(|line| line.contains("something odd")));
    assert!(browser.run("throw new Error('no')", &[]).await.is_err());
}

#[tokio::test]
async fn a_virtual_authenticator_makes_and_uses_a_passkey_only_for_a_verified_user() {
    let browser = Browser::start().await.unwrap();
    browser.open(&format!("http://localhost:{}/", serve().await)).await.unwrap();
    let authenticator = browser.add_authenticator().await.unwrap();
    let create = "const made = await navigator.credentials.create({publicKey: {
        challenge: new Uint8Array(32), rp: {id: 'localhost', name: 'x'},
        user: {id: new Uint8Array([1]), name: 'ada', displayName: 'Ada'},
        pubKeyCredParams: [{type: 'public-key', alg: -7}],
        authenticatorSelection: {residentKey: 'required', userVerification: 'required'}}});
        return made.type;";
    assert_eq!(browser.run_async(create, &[]).await.unwrap(), json!("public-key"));
    let held = browser.credentials(&authenticator).await.unwrap();
    assert_eq!(held.len(), 1);
    assert_eq!(held[0]["rpId"], json!("localhost"));

    let sign = "const got = await navigator.credentials.get({publicKey: {
        challenge: new Uint8Array(32), rpId: 'localhost', userVerification: 'required', timeout: 2000}});
        return got.type;";
    assert_eq!(browser.run_async(sign, &[]).await.unwrap(), json!("public-key"));
    browser.set_user_verified(&authenticator, false).await.unwrap();
    let refused =
        browser.run_async(&format!("try {{ {sign} }} catch (error) {{ return error.name; }}"), &[]).await;
    assert_eq!(refused.unwrap(), json!("NotAllowedError"));
}

#[tokio::test]
async fn axe_finds_what_is_wrong_and_nothing_else() {
    let browser = Browser::start().await.unwrap();
    browser.open(&format!("http://localhost:{}/", serve().await)).await.unwrap();
    assert_eq!(browser.axe().await.unwrap(), Vec::<String>::new());
    browser.run("document.querySelector('label').remove()", &[]).await.unwrap();
    let found = browser.axe().await.unwrap();
    assert!(found.iter().any(|line| line.starts_with("label ")), "{found:?}");
}

#[tokio::test]
async fn a_dropped_browser_leaves_no_process() {
    let browser = Browser::start().await.unwrap();
    let profile = browser.profile().to_path_buf();
    assert!(processes_naming(&profile.display().to_string()) > 0);
    drop(browser);
    assert!(!profile.exists());
    assert_eq!(processes_naming(&profile.display().to_string()), 0);
}

fn processes_naming(word: &str) -> usize {
    let named = |entry: &std::fs::DirEntry| {
        std::fs::read(entry.path().join("cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(word))
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter(named).count()
}
