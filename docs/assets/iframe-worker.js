// Browsers start no worker from file://. Material's search then runs in a frame of the same page, by this class in Worker's place.
(() => {
  if (location.protocol !== "file:") return;

  class IFrameWorker extends EventTarget {
    constructor(url) {
      super();
      this.onmessage = null;
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.setAttribute("aria-hidden", "true");
      document.body.append(this.frame);
      const inner = this.frame.contentWindow;
      inner.postMessage = (data) => this.#receive(data);
      inner.importScripts = (...urls) =>
        urls.reduce((before, each) => before.then(() => this.#load(each)), Promise.resolve());
      this.ready = this.#load(url);
    }

    #load(url) {
      return new Promise((resolve, reject) => {
        const script = this.frame.contentDocument.createElement("script");
        script.src = new URL(url, location.href).href;
        script.onload = resolve;
        script.onerror = () => reject(new Error(`cannot load ${script.src}`));
        this.frame.contentDocument.body.append(script);
      });
    }

    #receive(data) {
      const event = new MessageEvent("message", { data });
      this.onmessage?.(event);
      this.dispatchEvent(event);
    }

    postMessage(data) {
      this.ready.then(() => {
        const inner = this.frame.contentWindow;
        const event = new inner.MessageEvent("message", { data });
        inner.onmessage?.(event);
        inner.dispatchEvent(event);
      });
    }

    terminate() {
      this.frame.remove();
    }
  }

  window.IFrameWorker = IFrameWorker; // the search looks for this name, to find its other scripts
  window.Worker = IFrameWorker;
})();
