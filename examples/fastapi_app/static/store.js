// What the page knows: nodes by id, kept up to date by the stream. Views hear of changes once a frame at most.

const BETWEEN_MS = 250; // a screen that changes more often is not easier to read
const INDEX = "id,label,kind,status,location_name,lat,lng,health_score,active_alerts,last_reading_at,values";
const INDEX_PAGES = 10;

export class Store {
  constructor(api) {
    this.api = api;
    this.listeners = new Set();
    this.clear();
  }

  clear() {
    this.nodes = new Map();
    this.stats = null;
    this.isWhole = false;
    this.dirty = new Set();
    this.told = new Set();
    this.waiting = false;
  }

  // `listener(ids, topics)`: which nodes changed, and which of "stats", "alerts", "index".
  listen(listener) {
    this.listeners.add(listener);
  }

  keep(data) {
    const known = this.nodes.get(data.id);
    if (known) Object.assign(known, data);
    else this.nodes.set(data.id, data);
    this.dirty.add(data.id);
    this.#soon();
    return this.nodes.get(data.id);
  }

  tell(topic) {
    this.told.add(topic);
    this.#soon();
  }

  // The whole fleet in brief, for the map and the health bands: up to 1,000 nodes.
  // The first page is worth waiting for; the others come while people look at it.
  async loadIndex() {
    const mine = this.nodes;
    const second = await this.#indexPage(mine, null);
    const rest = async (cursor) => {
      for (let page = 1; cursor && page < INDEX_PAGES; page += 1) cursor = await this.#indexPage(mine, cursor);
      if (mine === this.nodes) this.isWhole = !cursor;
      this.tell("index");
    };
    if (second) rest(second).catch(() => {});
    else await rest(null);
  }

  async #indexPage(mine, cursor) {
    const query = new URLSearchParams({ limit: "100", sort: "label", fields: INDEX, include: "community,customer" });
    if (cursor) query.set("cursor", cursor);
    const answer = await this.api.call(`/api/v1/nodes?${query}`);
    if (mine !== this.nodes) return null; // somebody else has signed in
    for (const node of answer.data) this.keep(node);
    this.tell("index");
    return answer.meta.pagination?.next_cursor ?? null;
  }

  async loadStats() {
    this.stats = await this.api.data("/api/v2/dashboard/stats");
    this.tell("stats");
  }

  onReading(reading) {
    const known = this.nodes.get(reading.node_id);
    if (!known || !isNewer(known, reading.measured_at)) return;
    const judged = {};
    for (const name of ["status", "health_score"]) if (name in reading) judged[name] = reading[name];
    this.keep({ id: reading.node_id, ...judged, values: { ...known.values, ...reading.values }, last_reading_at: reading.measured_at });
  }

  onNode({ node_id: id, status, last_seen_at, active_alerts, health_score, health_reasons, connectivity }) {
    if (!this.nodes.has(id)) return;
    this.keep({ id, status, last_seen_at, active_alerts, health_score, health_reasons, connectivity });
  }

  #soon() {
    if (this.waiting) return;
    this.waiting = true;
    setTimeout(() => requestAnimationFrame(() => this.#flush()), BETWEEN_MS);
  }

  #flush() {
    const [ids, topics] = [this.dirty, this.told];
    this.dirty = new Set();
    this.told = new Set();
    this.waiting = false;
    for (const listener of this.listeners) listener(ids, topics);
  }
}

function isNewer(node, moment) {
  return !node.last_reading_at || !moment || Date.parse(moment) >= Date.parse(node.last_reading_at);
}
