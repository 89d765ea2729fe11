/**
 * Follows the live stream of an evara server: over server-sent events or a WebSocket.
 *
 *   const stream = new EvaraStream({
 *     url: "/api/v1/stream",                 // or "/api/v1/stream/socket" with transport: "websocket"
 *     token: () => session.accessToken,      // asked before each connection; may be async
 *     snapshot: async () => (await getJson("/api/v1/stream/snapshot")).data, // {position, …}
 *     onSnapshot: (snapshot) => draw(snapshot),
 *     onEvent: (event) => update(event),
 *   });
 *   stream.start();
 *
 * It resumes where it was after every break, pauses ever longer between attempts (full jitter),
 * tells no alert twice, keeps the newest message of each thing in `latest`, and reads a new
 * snapshot when the server says that something is missing. It stops for good when the server
 * says that coming back is of no use.
 *
 * No dependency, no build: an ECMAScript module.
 */

export const SCHEMA_VERSION = 1;

/** WebSocket close codes from here to 4999 are terminal: coming back as before is of no use. */
export const FIRST_TERMINAL_CODE = 4500;

const DEFAULTS = {
  transport: "sse",
  select: null, // {name: {kinds: [...], topics: [...]}}; null: everything that the user may hear
  token: () => null,
  snapshot: null,
  onEvent: () => {},
  onSnapshot: () => {},
  onState: () => {},
  firstPauseMs: 1_000,
  longestPauseMs: 30_000,
  deadAfterMs: 40_000, // heartbeats come every 15 s
  rememberedAlerts: 2_000,
  random: Math.random,
  fetch: (...request) => globalThis.fetch(...request),
  WebSocket: globalThis.WebSocket,
  setTimeout: (wake, ms) => globalThis.setTimeout(wake, ms),
  clearTimeout: (timer) => globalThis.clearTimeout(timer),
};

/** Ended by the server for good. `code` says why, such as "TOKEN_EXPIRED" or "FORBIDDEN". */
export class StreamEnded extends Error {
  constructor(code) {
    super(`the server ended the stream: ${code}`);
    this.name = "StreamEnded";
    this.code = code;
  }
}

/** The pause before the next attempt: anything up to a limit that doubles with each failure. */
export function pauseMs(failures, { firstPauseMs, longestPauseMs, random }) {
  const limit = Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(failures, 30));
  return Math.round(limit * random());
}

/** Reads server-sent events out of pieces of text, wherever they are cut. */
export class EventParser {
  #rest = "";
  #event = "";
  #data = [];
  lastId = null;
  retryMs = null;

  *feed(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (this.#data.length) yield { event: this.#event || "message", data: this.#data.join("\n"), lastId: this.lastId };
        this.#event = "";
        this.#data = [];
        continue;
      }
      const colon = line.indexOf(":");
      const name = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (name === "id") this.lastId = value;
      else if (name === "event") this.#event = value;
      else if (name === "data") this.#data.push(value);
      else if (name === "retry" && /^\d+$/.test(value)) this.retryMs = Number(value);
    }
  }
}

export class EvaraStream {
  #options;
  #stopped = true;
  #failures = 0;
  #hintMs = null;
  #cut = () => {};
  #wake = () => {};
  #alerts = new Set();
  #send = null;
  #select;

  /** Where to resume. */
  position = null;

  /** The newest message of each thing, by `kind:key`. Alerts are not in it: each of them counts. */
  latest = new Map();

  constructor(options) {
    this.#options = { ...DEFAULTS, ...options };
    this.#select = this.#options.select;
  }

  /** Begin: with a snapshot if there is one to read, or behind *position*. */
  start(position = null) {
    if (!this.#stopped) return;
    this.#stopped = false;
    this.position = position;
    this.#failures = 0;
    this.#run();
  }

  /** End, and do not come back. */
  stop() {
    this.#stopped = true;
    this.#cut();
    this.#wake();
    this.#state("stopped");
  }

  /** Hear this, too; over server-sent events that means a new connection. */
  subscribe(name, selection) {
    this.#select = { ...this.#select, [name]: selection };
    this.#reselect({ type: "subscribe", name, ...selection });
  }

  /** Hear it no longer. */
  unsubscribe(name) {
    const { [name]: _, ...rest } = this.#select ?? {};
    this.#select = rest;
    this.#reselect({ type: "unsubscribe", name });
  }

  /** Hand a fresh token to an open WebSocket, before the old one expires. */
  renew(token) {
    this.#send?.({ type: "token", token });
  }

  #reselect(command) {
    if (this.#send) this.#send(command);
    else this.#cut();
  }

  #state(state, detail = null) {
    this.#options.onState(state, detail);
  }

  async #run() {
    while (!this.#stopped) {
      try {
        if (this.position === null) await this.#resync();
        if (this.#stopped) return;
        if (this.#options.transport === "websocket") await this.#overSocket();
        else await this.#overEvents();
      } catch (error) {
        if (this.#stopped) return;
        if (error instanceof StreamEnded || error.status === 401 || error.status === 403) {
          this.#stopped = true;
          this.#state("ended", error);
          return;
        }
        this.#state("lost", error);
      }
      if (this.#stopped) return;
      await this.#pause();
    }
  }

  async #pause() {
    // The server's hint is a random pause already: many clients lose it at the same moment.
    const ms = Math.max(this.#hintMs ?? 0, pauseMs(this.#failures, this.#options));
    this.#hintMs = null;
    this.#failures += 1;
    this.#state("waiting", { ms });
    let timer;
    await new Promise((wake) => {
      this.#wake = wake;
      timer = this.#options.setTimeout(wake, ms);
    });
    this.#options.clearTimeout(timer);
  }

  async #resync() {
    if (!this.#options.snapshot) return;
    const snapshot = await this.#options.snapshot();
    this.position = snapshot.position;
    this.latest.clear();
    this.#options.onSnapshot(snapshot);
  }

  #live() {
    this.#failures = 0;
    this.#state("live");
  }

  #take(event) {
    if (event.position != null) this.position = event.position;
    if (event.event === "alert") {
      if (this.#alerts.has(event.id)) return;
      this.#alerts.add(event.id);
      if (this.#alerts.size > this.#options.rememberedAlerts) this.#alerts.delete(this.#alerts.values().next().value);
    } else {
      this.latest.set(`${event.event}:${event.key}`, event);
    }
    this.#options.onEvent(event);
  }

  /** Something is missing: only a snapshot helps. Without one, go on from here. */
  #gap() {
    this.#state("gap");
    if (this.#options.snapshot) {
      this.position = null;
      this.#cut();
    }
  }

  #bye(body) {
    if (!body.resume) throw new StreamEnded(body.code);
    this.#hintMs = body.retry_ms ?? null;
    this.#state("let go", body);
  }

  // --- server-sent events: over fetch, since an EventSource cannot send an Authorization header

  async #overEvents() {
    const abort = new AbortController();
    this.#cut = () => abort.abort();
    const silence = this.#watch(() => abort.abort());
    try {
      const headers = { Accept: "text/event-stream" };
      const token = await this.#options.token();
      if (token) headers.Authorization = `Bearer ${token}`;
      if (this.position !== null) headers["Last-Event-ID"] = this.position;
      const response = await this.#options.fetch(this.#eventsUrl(), { headers, signal: abort.signal, cache: "no-store" });
      if (!response.ok) {
        this.#hintMs = 1_000 * (Number(response.headers.get("Retry-After")) || 0);
        throw Object.assign(new Error(`status ${response.status}`), { status: response.status });
      }
      this.#live();
      await this.#readEvents(response.body, silence);
    } finally {
      silence.end();
      this.#cut = () => {};
      abort.abort();
    }
  }

  #eventsUrl() {
    const selections = Object.values(this.#select ?? {});
    if (!selections.length) return this.#options.url;
    // A URL has one selection: the union of all of them, or everything if one wants everything.
    const query = new URLSearchParams();
    for (const name of ["kinds", "topics"]) {
      if (selections.every((each) => each[name]?.length)) {
        query.set(name, [...new Set(selections.flatMap((each) => each[name]))].join(","));
      }
    }
    return query.size ? `${this.#options.url}?${query}` : this.#options.url;
  }

  async #readEvents(body, silence) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    const parser = new EventParser();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      silence.over();
      for (const { event, data, lastId } of parser.feed(value)) {
        const body = JSON.parse(data);
        if (event === "resync") {
          if (lastId !== null) this.position = lastId;
          this.#gap();
          if (this.position === null) return;
        } else if (event === "bye") return this.#bye(body);
        else this.#take({ event, position: lastId, ...body });
      }
      if (parser.lastId !== null) this.position = parser.lastId;
      if (parser.retryMs !== null) this.#hintMs = parser.retryMs;
    }
  }

  // --- WebSocket ----------------------------------------------------------------------

  async #overSocket() {
    const token = await this.#options.token();
    const url = new URL(this.#options.url, globalThis.location?.href);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new this.#options.WebSocket(url.href, ["evara.v1.json"]);
    const silence = this.#watch(() => socket.close());
    this.#cut = () => socket.close();
    try {
      await new Promise((resolve, reject) => {
        let ended = null;
        socket.onopen = () => {
          const hello = { type: "hello" };
          if (token) hello.token = token;
          if (this.position !== null) hello.after = this.position;
          if (this.#select !== null) hello.subscribe = this.#select;
          socket.send(JSON.stringify(hello));
        };
        socket.onmessage = ({ data }) => {
          silence.over();
          try {
            this.#hear(JSON.parse(data), socket);
          } catch (error) {
            ended = error;
            socket.close();
          }
        };
        socket.onerror = () => {};
        socket.onclose = ({ code, reason }) => {
          const isTerminal = code >= FIRST_TERMINAL_CODE && code <= 4_999;
          if (ended) reject(ended);
          else if (isTerminal) reject(new StreamEnded(reason || String(code)));
          else resolve();
        };
      });
    } finally {
      silence.end();
      this.#send = null;
      this.#cut = () => {};
      socket.close();
    }
    if (!this.#stopped) this.#state("lost");
  }

  #hear(message, socket) {
    switch (message.type) {
      case "events":
        for (const event of message.events) {
          this.#take(event);
          if (this.position === null) return;
        }
        break;
      case "welcome":
        this.position ??= message.position;
        this.#send = (command) => socket.send(JSON.stringify(command));
        this.#live();
        break;
      case "ping":
        if (message.position != null) this.position = message.position;
        socket.send('{"type":"pong"}');
        break;
      case "resync":
        this.#gap();
        break;
      case "bye":
        this.#bye(message);
        break;
      case "subscribed":
        this.#options.onState("subscribed", message);
        break;
      case "error":
        this.#options.onState("error", message);
        break;
      default: // what a newer server says besides
    }
  }

  #watch(cut) {
    let timer = null;
    const over = () => {
      if (timer !== null) this.#options.clearTimeout(timer);
      timer = this.#options.setTimeout(cut, this.#options.deadAfterMs);
    };
    over();
    return { over, end: () => this.#options.clearTimeout(timer) };
  }
}
