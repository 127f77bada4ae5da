// j and k move through a list, o opens. No key decides anything.

export function startKeys() {
  const links = () => [...document.querySelectorAll(".row a.open")];
  const move = (step) => {
    const all = links();
    const at = all.indexOf(document.activeElement);
    const next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
    next?.focus();
  };
  const act = {
    j: () => move(1),
    k: () => move(-1),
    o: () => {
      const link = document.activeElement;
      if (link?.matches(".row a.open")) link.click();
    },
  };
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    act[event.key]?.();
  });
}
