// What the page asks its server: plain requests, and the stream of what changes.

const KINDS = ["list", "run", "log", "problem"];

/** Ask for JSON; raises an Error with the server's own words. */
export async function ask(path, parameters = [], options = {}) {
  const answer = await fetch(`${path}?${new URLSearchParams(parameters)}`, options);
  if (answer.status === 204) return null;
  const data = await answer.json().catch(() => ({ error: `the server answered ${answer.status}` }));
  if (!answer.ok) throw new Error(data.error);
  return data;
}

export function act(action, run, given = {}) {
  return ask(`/api/act/${action}`, [], { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ run, given }) });
}

/** The stream of changes: rests while the page is hidden, and goes on where it was. */
export class Stream {
  /**
   * @param parameters of the stream: pairs of names and values
   * @param heard called with the kind and the data of each message
   * @param connected called with whether the stream is open
   */
  constructor(parameters, heard, connected) {
    [this.parameters, this.heard, this.connected] = [parameters, heard, connected];
    this.last = "";
    this.turn = () => (document.hidden ? this.rest() : this.open());
    document.addEventListener("visibilitychange", this.turn);
    this.turn();
  }

  open() {
    if (this.source) return;
    const parameters = this.last ? [...this.parameters, ["last", this.last]] : this.parameters;
    this.source = new EventSource(`/api/stream?${new URLSearchParams(parameters)}`);
    this.source.onopen = () => this.connected(true);
    this.source.onerror = () => {
      this.connected(false);
      if (this.source?.readyState === EventSource.CLOSED) { // the browser gives up where the server refuses
        this.rest();
        this.again = setTimeout(this.turn, 2000);
      }
    };
    for (const kind of KINDS) {
      this.source.addEventListener(kind, (event) => {
        this.last = event.lastEventId;
        this.heard(kind, JSON.parse(event.data));
      });
    }
  }

  rest() {
    clearTimeout(this.again);
    this.source?.close();
    this.source = null;
  }

  close() {
    document.removeEventListener("visibilitychange", this.turn);
    this.rest();
  }
}
