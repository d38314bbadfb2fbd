// Before anything is painted. "#theme=dark" and "#theme=light" overrule the system.
{
  const system = matchMedia("(prefers-color-scheme: dark)");
  const choose = () => {
    const asked = new URLSearchParams(location.hash.slice(1)).get("theme");
    document.documentElement.dataset.theme = asked ?? (system.matches ? "dark" : "light");
  };
  choose();
  system.addEventListener("change", choose);
  addEventListener("hashchange", choose);
}
