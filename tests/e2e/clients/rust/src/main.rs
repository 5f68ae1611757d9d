//! Gets a URL of the API server with reqwest, which takes name and secret from the proxy's URL.
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [proxy, ca, token, url] = &args[..] else {
        return Err("takes PROXY_URL CA_FILE TOKEN URL".into());
    };
    let client = reqwest::blocking::Client::builder()
        .proxy(reqwest::Proxy::all(proxy)?)
        .add_root_certificate(reqwest::Certificate::from_pem(&std::fs::read(ca)?)?)
        .build()?;
    match client.get(url).bearer_auth(token).send().and_then(|answer| answer.text()) {
        Ok(body) => println!("{body}"),
        Err(error) => return Err(chain(&error).into()),
    }
    Ok(())
}

/// An error with what caused it: reqwest prints the outermost alone.
fn chain(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", chain(cause)),
        None => error.to_string(),
    }
}
