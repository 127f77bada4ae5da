//! Pictures of a page as people see it: phone and desk, light and dark. Knows no page.

use std::path::Path;

use anyhow::{Context, Result};
use countersign_sim::webdriver::{Browser, Scheme};

/// The widths, with whether they are a phone's.
const WIDTHS: [(u32, u32, bool); 2] = [(360, 780, true), (1280, 900, false)];
const SCHEMES: [(Scheme, &str); 2] = [(Scheme::Light, "light"), (Scheme::Dark, "dark")];

/// Writes `NAME-WIDTH-SCHEME.png` for each width and scheme, and leaves the page as wide and light as it was.
pub async fn take(browser: &Browser, folder: &Path, name: &str) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("making `{}`", folder.display()))?;
    for (width, height, phone) in WIDTHS {
        browser.viewport(width, height, phone).await?;
        for (scheme, word) in SCHEMES {
            browser.colour_scheme(scheme).await?;
            browser.screenshot_of_page(&folder.join(format!("{name}-{width}-{word}.png"))).await?;
        }
    }
    browser.colour_scheme(Scheme::Light).await
}
