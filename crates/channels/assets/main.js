// Loaded by every page: clocks, keys, and news from the gate. Never writes markup, only text.
import { startClocks } from "./clock.js";
import { startKeys } from "./keys.js";
import { startNews } from "./news.js";

startClocks();
startKeys();
startNews(document.body.dataset.page, document.body.dataset.request);
