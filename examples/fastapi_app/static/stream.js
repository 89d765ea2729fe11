// Server-sent events over fetch: EventSource cannot send an Authorization header, and a token has no place in a URL.

import { failure } from "./api.js";

const DEAD_AFTER_MS = 40_000; // heartbeats come every 15 s
const SLOWEST_MS = 30_000;

export class Stream {
  constructor(api, { onEvent, onState }) {
    Object.assign(this, { api, onEvent, onState });
    this.stopped = false;
    this.lastId = null;
    this.retryMs = 2000;
    this.failures = 0;
  }

  start(position) {
    this.lastId = position;
    this.#loop();
  }

  stop() {
    this.stopped = true;
    this.abort?.abort();
  }

  async #loop() {
    while (!this.stopped) {
      try {
        await this.#read();
      } catch (error) {
        if (this.stopped) return;
        if ([401, 403].includes(error.status) || error.terminal) return this.onState("refused", error);
        this.failures += 1;
      }
      if (this.stopped) return;
      this.onState("lost");
      const base = Math.min(SLOWEST_MS, this.retryMs * 1.6 ** Math.min(this.failures, 8));
      await new Promise((wake) => setTimeout(wake, base * (0.5 + Math.random() / 2)));
    }
  }

  async #read() {
    this.abort = new AbortController();
    const headers = this.api.headers({ Accept: "text/event-stream" });
    if (this.lastId) headers["Last-Event-ID"] = this.lastId;
    let timer;
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.abort.abort(), DEAD_AFTER_MS);
    };
    alive();
    try {
      const response = await fetch("/api/v1/stream", { headers, signal: this.abort.signal, cache: "no-store" });
      if (!response.ok) throw failure(response, await response.json().catch(() => null));
      this.failures = 0;
      this.onState("live");
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        alive();
        text += value;
        const frames = text.split("\n\n");
        text = frames.pop();
        for (const frame of frames) this.#take(frame);
      }
    } finally {
      clearTimeout(timer);
      this.abort.abort();
    }
  }

  #take(frame) {
    let event = "message";
    const data = [];
    for (const line of frame.split("\n")) {
      if (line.startsWith(":")) continue;
      const colon = line.indexOf(":");
      const name = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (name === "id") this.lastId = value;
      else if (name === "event") event = value;
      else if (name === "data") data.push(value);
      else if (name === "retry") this.retryMs = Number(value) || this.retryMs;
    }
    if (!data.length) return;
    const body = JSON.parse(data.join("\n"));
    if (event === "bye") {
      if (body.retry_ms) this.retryMs = body.retry_ms;
      if (!body.resume) throw Object.assign(new Error(body.code), { terminal: true, code: body.code });
      return;
    }
    this.onEvent(event, body);
  }
}
