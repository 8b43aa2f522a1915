// Deep links: the page's place is in the fragment of its address.

/** A part of a path, as it stands where somebody has cut it in the midst of a character. */
function word(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The place: its path as words, and its parameters. */
export function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  return { words: path.split("/").filter(Boolean).map(word), parameters: new URLSearchParams(query ?? "") };
}

export function link(words, parameters = {}) {
  const given = Object.entries(parameters).flatMap(([name, value]) => (Array.isArray(value) ? value : [value]).filter((each) => each !== "" && each !== null && each !== undefined).map((each) => [name, each]));
  const query = new URLSearchParams(given).toString();
  return `#/${words.map(encodeURIComponent).join("/")}${query ? `?${query}` : ""}`;
}

/** Change parameters of the place; without an entry in the history where the change is small. */
export function change(parameters, small = false) {
  const { words, parameters: before } = route();
  const all = { ...Object.fromEntries(before), ...parameters };
  const to = link(words, all);
  if (to === location.hash) return;
  if (small) history.replaceState(null, "", to);
  else location.hash = to;
}
