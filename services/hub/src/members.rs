//! How the members of a hub are reached: by the credentials that KubeFedCluster and Karmada's Cluster name on the hub.

use fleetcast_core::model::ObjectKey;
use fleetcast_kubernetes::brief;
use fleetcast_kubernetes::credentials::Endpoint;
use serde_json::Value;

use crate::api::Api;

/// The way to the member that `cluster`, a live object of the hub, describes.
///
/// # Errors
/// Why there is none, for a person: nothing is named, it is not there, or we may not look at it.
pub async fn endpoint(api: &Api, cluster: &Value) -> Result<Endpoint, String> {
    let spec = &cluster["spec"];
    let text = |value: &Value| {
        value
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let server = text(&spec["apiEndpoint"]).ok_or("spec.apiEndpoint names no server")?;
    let server = match server.contains("://") {
        true => server,
        false => format!("https://{server}"),
    };
    let reference = &spec["secretRef"];
    let Some(name) = text(&reference["name"]) else {
        return Err("spec.secretRef names no Secret (Karmada's pull mode has none)".to_owned());
    };
    // KubeFed's Secret lies beside its cluster, Karmada's where it says.
    let namespace =
        text(&reference["namespace"]).or_else(|| text(&cluster["metadata"]["namespace"]));
    let key = ObjectKey::new("Secret", "", namespace.as_deref(), &name);
    let key = key.map_err(|refusal| format!("spec.secretRef: {refusal}"))?;
    let secret = match api.get("v1", &key).await {
        Ok(Some(secret)) => secret,
        Ok(None) => return Err(format!("{} is not on the hub", key.for_people())),
        Err(error) => {
            return Err(format!(
                "{} cannot be read: {}",
                key.for_people(),
                brief(&error)
            ));
        }
    };
    let token = text(&secret["data"]["token"]).and_then(|token| decoded(&token));
    let token = token.ok_or_else(|| format!("{} has no token", key.for_people()))?;
    let authority = text(&spec["caBundle"]).or_else(|| text(&secret["data"]["caBundle"]));
    let lax = spec["disabledTLSValidations"]
        .as_array()
        .into_iter()
        .flatten();
    let insecure =
        spec["insecureSkipTLSVerification"] == true || lax.into_iter().any(|word| word == "*");
    Ok(Endpoint {
        server,
        authority: authority.filter(|_| !insecure),
        insecure,
        proxy: text(&spec["proxyURL"]),
        token,
    })
}

fn decoded(text: &str) -> Option<String> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .ok()?;
    String::from_utf8(bytes).ok()
}
