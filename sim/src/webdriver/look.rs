//! How a page looks and whether everybody can use it: sizes, colour schemes, screenshots, axe-core.

use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Browser;
use crate::clients;

/// At this quality letters are still sharp, and a page takes a third of its PNG.
const WEBP_QUALITY: u32 = 50;

/// Light or dark, as the person's system would say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Dark letters on light.
    Light,
    /// Light letters on dark.
    Dark,
}

impl Browser {
    /// Shows the page in a viewport of this size; `phone` adds touch and a phone's pixel ratio.
    ///
    /// # Errors
    /// When the browser is gone.
    pub async fn viewport(&self, width: u32, height: u32, phone: bool) -> Result<()> {
        let ratio = if phone { 2 } else { 1 };
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": ratio, "mobile": phone});
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics).await?;
        self.devtools("Emulation.setTouchEmulationEnabled", &json!({"enabled": phone})).await.map(drop)
    }

    /// Sets what `prefers-color-scheme` says, and that motion is unwanted, so that pictures stand still.
    ///
    /// # Errors
    /// When the browser is gone.
    pub async fn colour_scheme(&self, scheme: Scheme) -> Result<()> {
        let value = match scheme {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        };
        let features = json!({"features": [
            {"name": "prefers-color-scheme", "value": value},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]});
        self.devtools("Emulation.setEmulatedMedia", &features).await.map(drop)
    }

    /// Writes a PNG of the viewport.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn screenshot(&self, path: &Path) -> Result<()> {
        let taken = self.get("/screenshot").await?;
        write_picture(path, taken.as_str())
    }

    /// Writes a picture of the whole page, also of what lies below the viewport: a small WebP where the file's name
    /// ends so, else a PNG.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn screenshot_of_page(&self, path: &Path) -> Result<()> {
        let mut wanted = json!({"format": "png", "captureBeyondViewport": true});
        if path.extension().is_some_and(|ending| ending == "webp") {
            wanted = json!({"format": "webp", "quality": WEBP_QUALITY, "captureBeyondViewport": true});
        }
        let taken = self.devtools("Page.captureScreenshot", &wanted).await?;
        write_picture(path, taken.get("data").and_then(Value::as_str))
    }

    /// What axe-core finds wrong with the page: one line for each rule and element.
    ///
    /// # Errors
    /// When axe-core has not been installed by `scripts/setup --for test`.
    pub async fn axe(&self) -> Result<Vec<String>> {
        self.run(&clients::axe_source()?, &[]).await.context("loading axe-core into the page")?;
        let found = self
            .run_async(
                "const found = await axe.run(document, {resultTypes: ['violations', 'incomplete']});
                 return found.violations.flatMap(rule =>
                   rule.nodes.map(node => `${rule.id} (${rule.impact}): ${rule.help}: ${node.html}`));",
                &[],
            )
            .await?;
        Ok(found.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect())
    }
}

fn write_picture(path: &Path, encoded: Option<&str>) -> Result<()> {
    let picture = STANDARD.decode(encoded.context("no picture")?).context("the picture is not base64")?;
    std::fs::write(path, picture).with_context(|| format!("writing `{}`", path.display()))
}
