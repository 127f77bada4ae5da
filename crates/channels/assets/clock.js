// Counts down what the server printed. The numbers change in place; a screen reader hears three moments only.

const HEARD = [300, 60, 0];

const words = (seconds) => {
  const s = Math.max(0, seconds);
  const two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(s / 3600);
  const rest = `${Math.floor(s / 60) % 60}`;
  return hours > 0 ? `${hours}:${two(rest)}:${two(s % 60)}` : `${rest}:${two(s % 60)}`;
};

const spoken = (seconds) =>
  seconds > 0 ? `${seconds / 60} minute${seconds === 60 ? "" : "s"} left` : "Time is up";

export function startClocks() {
  const says = document.getElementById("clock-says");
  const tick = () => {
    // Asked for each time: rows come while the page is open.
    for (const clock of document.querySelectorAll("time[data-until]")) {
      const left = Math.ceil((Number(clock.dataset.until) - Date.now()) / 1000);
      const text = words(left);
      if (clock.textContent !== text) clock.textContent = text;
      if (says && HEARD.includes(left)) says.textContent = spoken(left);
      if (left <= 0 && document.body.dataset.page === "card") {
        document.dispatchEvent(new CustomEvent("timeup"));
      }
    }
  };
  tick();
  setInterval(tick, 1000);
}
